"""Kafka behind TLS and passwords: what reaches it, and what is told where nothing does."""

import secrets
from collections.abc import Mapping
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from eventlog.kafka import KafkaLog
from eventlog.kafka_cluster import Cluster, create_topics
from eventlog.kafka_url import KafkaAddress
from eventlog.log import LogError, LogUnavailable
from tests.conftest import started
from tests.eventlog.certificates import Authority
from tests.eventlog.contract import RAW_TOPIC, read_all, texts, values
from tests.servers import Kafka

PASSWORD = "p:w@rd/?" + secrets.token_hex(4)
LOGIN = "org.apache.kafka.common.security"


class Secured(Kafka):
    """A broker that speaks SASL in TLS alone, with PLAIN and SCRAM."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        super().__init__(folder)
        users = f'username="alpr" password="{PASSWORD}" user_alpr="{PASSWORD}"'
        listeners = f"SASL_SSL://127.0.0.1:{self.port}"
        self.properties = {
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "SASL_SSL",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": (
                f"{LOGIN}.plain.PlainLoginModule required {users};"
            ),
            **{
                f"listener.name.sasl_ssl.scram-sha-{bits}.sasl.jaas.config": (
                    f"{LOGIN}.scram.ScramLoginModule required;"
                )
                for bits in (256, 512)
            },
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(authority.server()),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(authority.certificate),
        }
        self.client = {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "alpr",
            "sasl.password": PASSWORD,
            "ssl.ca.location": str(authority.certificate),
        }


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "own")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, authority: Authority):
    server = started(Secured, tmp_path_factory, authority=authority)
    from confluent_kafka import admin

    api = vars(admin)
    client: Mapping[str, str] = {"bootstrap.servers": server.bootstrap, **server.client}
    administrator = AdminClient(dict(client))
    for mechanism in ("SCRAM_SHA_256", "SCRAM_SHA_512"):
        kind = api["ScramCredentialInfo"](api["ScramMechanism"][mechanism], 4096)
        change = api["UserScramCredentialUpsertion"]("alpr", kind, PASSWORD.encode())
        for future in administrator.alter_user_scram_credentials([change]).values():
            future.result(30)
    yield server.bootstrap
    server.stop()


def address(place: str, authority: Authority | None, **changes: str) -> KafkaAddress:
    from urllib.parse import quote

    password = quote(changes.get("password", PASSWORD), safe="")
    query = f"mechanism={changes.get('mechanism', 'SCRAM-SHA-512')}"
    if authority is not None:
        query += f"&ca={quote(str(authority.certificate))}"
    scheme = changes.get("scheme", "kafka+tls")
    return KafkaAddress.parse(f"{scheme}://alpr:{password}@{place}?{query}&prefix=sec.")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_records_go_through_tls_with_a_password(
    secured: str, authority: Authority, mechanism: str
) -> None:
    place = address(secured, authority, mechanism=mechanism)
    create_topics(place, 2, 1, {})
    log = KafkaLog(place, 2)
    try:
        log.append(RAW_TOPIC, 0, values(mechanism))
        assert texts(read_all(log, RAW_TOPIC, 0))[-1] == mechanism
    finally:
        log.close()
        Cluster(place).drop()


@pytest.mark.parametrize("waits", [False, True])
def test_a_wrong_password_is_told_soon_with_its_cure_and_never_shown(
    secured: str, authority: Authority, waits: bool
) -> None:
    place = address(secured, authority, password="falsch")
    with pytest.raises(LogUnavailable, match=r"refuses the user 'alpr'.*ALPR_LOG_URL") as told:
        KafkaLog(place, 2, patience_s=20, waits=waits)
    assert "falsch" not in str(told.value) + repr(place) + place.shown


def test_an_unknown_authority_is_told_with_its_cure(secured: str, tmp_path: Path) -> None:
    for stranger in (None, Authority(tmp_path / "stranger", "stranger")):
        with pytest.raises(LogUnavailable, match=r"no TLS.*ca=FILE"):
            KafkaLog(address(secured, stranger), 2, patience_s=20)


def test_a_file_that_is_not_there_is_named(secured: str) -> None:
    place = KafkaAddress.parse(f"kafka+tls://{secured}?ca=/no/such.pem")
    with pytest.raises(LogError, match=r"/no/such\.pem, the ca of ALPR_LOG_URL"):
        KafkaLog(place, 2)


def test_plain_text_to_a_broker_that_wants_tls_is_told(secured: str) -> None:
    with pytest.raises(LogUnavailable, match=r"does not answer|kafka\+tls"):
        KafkaLog(KafkaAddress.parse(f"kafka://{secured}"), 2, patience_s=3)
