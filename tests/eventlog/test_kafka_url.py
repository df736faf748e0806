"""What ALPR_LOG_URL says of a Kafka cluster."""

import pytest

from eventlog.kafka_url import KafkaAddress


def test_a_host_is_enough() -> None:
    address = KafkaAddress.parse("kafka://localhost")
    assert address.hosts == ("localhost:9092",)
    config = address.config()
    assert config["bootstrap.servers"] == "localhost:9092"
    assert config["security.protocol"] == "PLAINTEXT"
    assert address.compression == "gzip"


def test_everything_can_be_said() -> None:
    address = KafkaAddress.parse(
        "kafka+tls://al%40pr:p%3A%2Fw%40rd@one:1,[::1]:2,three/?mechanism=PLAIN&ca=%2Fa+b.pem"
        "&cert=/c.pem&key=/k.pem&compression=zstd&prefix=site1."
    )
    assert address.hosts == ("one:1", "[::1]:2", "three:9092")
    assert (address.user, address.password) == ("al@pr", "p:/w@rd")
    assert address.config() == {
        "bootstrap.servers": "one:1,[::1]:2,three:9092",
        "client.id": "alpr",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "al@pr",
        "sasl.password": "p:/w@rd",
        "ssl.ca.location": "/a b.pem",
        "ssl.certificate.location": "/c.pem",
        "ssl.key.location": "/k.pem",
    }
    assert (address.compression, address.prefix) == ("zstd", "site1.")


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("kafka://h:1", "PLAINTEXT"),
        ("kafka+tls://h:1", "SSL"),
        ("kafka://u:p@h:1", "SASL_PLAINTEXT"),
        ("kafka+tls://u:p@h:1", "SASL_SSL"),
    ],
)
def test_a_user_and_tls_say_the_protocol(url: str, protocol: str) -> None:
    assert KafkaAddress.parse(url).config()["security.protocol"] == protocol


def test_no_password_is_ever_shown() -> None:
    address = KafkaAddress.parse("kafka://alpr:geheim@h:1")
    assert address.shown == "kafka://h:1"
    assert "geheim" not in repr(address)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("localhost:9092", "use kafka://"),
        ("http://h:1", "use kafka://"),
        ("kafka://", "no HOST:PORT"),
        ("kafka://h:0", "no number from 1 to 65535"),
        ("kafka://h:port", "no number from 1 to 65535"),
        ("kafka://h:1,", "no HOST:PORT"),
        ("kafka://u:ge?heim@h:1", "write them as %2F"),
        ("kafka://us/er:geheim@h:1", "write them as %2F"),
        ("kafka://u:geheim", "use kafka://"),
        ("kafka://user@h:1", "a user and a password"),
        ("kafka://:geheim@h:1", "a user and a password"),
        ("kafka://h:1?acks=1", "there is no option 'acks': options are mechanism, ca"),
        ("kafka://h:1?mechanism=MD5", "mechanism cannot be 'MD5': use one of PLAIN"),
        ("kafka://h:1?compression=zip", "compression cannot be 'zip'"),
        ("kafka://h:1?ca=/ca.pem", "ca needs TLS: use kafka"),
        ("kafka+tls://h:1?cert=/c.pem", "cert and key go together"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_cure(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("?", r"\?")) as told:
        KafkaAddress.parse(url)
    assert "geheim" not in str(told.value)
