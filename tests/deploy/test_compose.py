"""docker-compose.yml by Compose's own parser, and its parts against the real servers."""

import os
import re
import shutil
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from dotenv import dotenv_values

from alpr.cli import COMMANDS
from alpr.commands.flow import FLOWS
from alpr.settings import load
from eventlog.kafka_url import KafkaAddress
from tests.deploy import composed as compose
from tests.deploy.composed import ROOT, Refused, composed
from tests.servers import CACHE, KAFKA_VERSION, Kafka, Minio, NotInstalled, free_port, java

ONCE = {"init", "minio-init", "rules"}
PORTS = {
    "kafka": ["9092"],
    "schema-registry": ["8081"],
    "kafka-ui": ["8080"],
    "timescaledb": ["5432"],
    "opensearch": ["9200"],
    "minio": ["9000", "9001"],
    "query-api": ["8000"],
    "alert-engine": ["8003"],
}
OURS = {
    *("init", "rules", "ticker", "dedup", "kafka-consumer", "index", "metrics"),
    *("alert-engine", "notify", "keep", "query-api"),
}
VARIABLES = {
    "KAFKA_CLUSTER_ID",
    "KAFKA_BROKER_PASSWORD",
    "KAFKA_PASSWORD",
    "KAFKA_UI_PASSWORD",
    "POSTGRES_PASSWORD",
    "OPENSEARCH_PASSWORD",
    "MINIO_ROOT_PASSWORD",
    "MINIO_PASSWORD",
}


@pytest.fixture(scope="session")
def parser():
    try:
        compose.check()
    except NotInstalled as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def secrets(tmp_path_factory):
    """What deploy/secrets.sh makes in a fresh clone."""
    folder = tmp_path_factory.mktemp("clone")
    _make_secrets(folder)
    return {name: value or "" for name, value in dotenv_values(folder / ".env").items()}


def _make_secrets(folder):
    (folder / "deploy").mkdir(exist_ok=True)
    shutil.copy(ROOT / "deploy" / "secrets.sh", folder / "deploy")
    made = subprocess.run(
        ["sh", "deploy/secrets.sh"], cwd=folder, capture_output=True, text=True, check=True
    )
    return made.stdout


@pytest.fixture(scope="session")
def whole(parser, secrets):
    return composed(secrets)


@pytest.fixture(scope="session")
def services(whole):
    return whole["services"]


def test_secrets_are_made_once_and_are_nobody_elses(tmp_path, secrets):
    assert set(secrets) == VARIABLES
    assert len(set(secrets.values())) == len(secrets)
    (tmp_path / ".env").write_text("# mine\nKAFKA_PASSWORD=chosen\nALPR_DEDUP_COUNTRY=eu")
    assert _make_secrets(tmp_path).startswith("7 secrets made")
    before = (tmp_path / ".env").read_text()
    assert before.startswith("# mine\nKAFKA_PASSWORD=chosen\nALPR_DEDUP_COUNTRY=eu\n")
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert _make_secrets(tmp_path).startswith("0 secrets made")
    assert (tmp_path / ".env").read_text() == before
    mine = dotenv_values(tmp_path / ".env")
    assert all(mine[name] != secrets[name] for name in VARIABLES)
    # The settings' own reader takes the file that Compose and `alpr` share.
    assert load({}, tmp_path / ".env").dedup.country == "eu"


@pytest.mark.parametrize("missing", sorted(VARIABLES))
def test_nothing_starts_without_every_secret(parser, secrets, missing):
    for environ in (
        {name: value for name, value in secrets.items() if name != missing},
        secrets | {missing: ""},
    ):
        with pytest.raises(Refused, match=f"{missing} is missing a value: run `sh deploy/secrets"):
            composed(environ)


def test_every_password_is_one_of_the_secrets(secrets, services):
    used = set()
    for name, service in services.items():
        for variable, value in service["environment"].items():
            found = re.findall(r'(?:password|user_\w+)="(.*?)"', str(value))  # of Kafka's logins
            if "://" in str(value) and (password := urlsplit(value).password):
                found.append(password)
            if variable.endswith(("_PASSWORD", "CLUSTER_ID")) and variable != "SMTP_PASSWORD":
                found.append(value)
            assert set(found) <= set(secrets.values()), (name, variable)
            used |= set(found)
    assert used == set(secrets.values())


def test_every_port_is_published_on_loopback_alone(services):
    found = {
        name: sorted(port["published"] for port in service["ports"])
        for name, service in services.items()
        if "ports" in service
    }
    assert found == PORTS
    for service in services.values():
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1"
            assert port["published"] == str(port["target"])
        assert "network_mode" not in service
        assert not service.get("privileged")


def test_every_service_is_looked_after(services):
    for name, service in services.items():
        assert service["container_name"].startswith("alpr-")
        assert int(service["mem_limit"]) > 0, name
        assert list(service["networks"]) == ["alpr-network"], name
        assert service["init"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        if name in ONCE:
            assert service["restart"] == "on-failure:10", name
        else:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
        tag = service["image"].rpartition(":")[2]
        assert re.search(r"\d", tag), f"{name}: {service['image']} is no certain version"
        for needed, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if needed in ONCE else "service_healthy"
            assert how["condition"] == wanted, (name, needed)


def test_the_first_layouts_containers_are_there(services):
    names = {service["container_name"] for service in services.values()}
    assert names >= {
        "alpr-kafka",
        "alpr-schema-registry",
        "alpr-kafka-ui",
        "alpr-timescaledb",
        "alpr-minio",
        "alpr-kafka-consumer",
        "alpr-query-api",
        "alpr-alert-engine",
    }


def test_what_is_kept_is_kept_in_named_volumes(whole, services):
    kept = {
        mount["source"]
        for service in services.values()
        for mount in service.get("volumes", [])
        if mount["type"] == "volume"
    }
    assert kept == set(whole["volumes"])
    for service in services.values():
        for mount in service.get("volumes", []):
            if mount["type"] == "bind":
                assert mount["read_only"]
                assert Path(mount["source"]).is_file()


def test_our_processes_have_no_rights_and_commands_that_exist(services):
    assert {n for n, s in services.items() if s["image"].startswith("ovr-alpr:")} == OURS
    for name in OURS:
        service = services[name]
        assert service["user"] == "10001:10001"
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        command, *arguments = service["command"]
        assert command in COMMANDS
        if command == "flow":
            assert arguments[0] in FLOWS
        if name not in PORTS:
            assert "ports" not in service


def test_our_processes_are_given_settings_that_the_program_takes(services):
    for name in OURS:
        environ = services[name]["environment"]
        settings = load(environ, None)
        assert settings.on_kafka
        address = KafkaAddress.parse(settings.log_url)
        assert (address.hosts, address.user, address.mechanism) == (
            ("kafka:29092",),
            "alpr",
            "PLAIN",
        )
        assert settings.log_partitions == 32
        # Each knows the passwords that it needs and no other.
        assert ("ALPR_DATABASE_URL" in environ) == (
            name in {"kafka-consumer", "notify", "keep", "query-api"}
        ), name
        assert ("ALPR_SEARCH_URL" in environ) == (name in {"index", "query-api"}), name
        shows = name in {"init", "notify", "keep", "query-api"}
        assert ("ALPR_IMAGES_URL" in environ) == shows, name
    api = load(services["query-api"]["environment"], None)
    assert api.authenticated
    for name in ("dedup", "kafka-consumer", "index", "alert-engine", "metrics"):
        assert "BYTEWAX_DATAFLOW_API_ENABLED" in services[name]["environment"]


def test_addresses_lead_to_services_of_the_network(services):
    for name in OURS:
        for variable, value in services[name]["environment"].items():
            if "://" in value and variable != "ALPR_PUBLIC_URL":
                host = urlsplit(value).hostname
                assert host in services, (name, variable, host)


def test_two_dedups_share_the_partitions_between_them(parser, secrets):
    services = composed(secrets, "docker-compose.yml", "deploy/two-dedups.yml")["services"]
    shares = [
        load(services[name]["environment"], None).own_partitions for name in ("dedup", "dedup-2")
    ]
    assert sorted(shares[0] + shares[1]) == list(range(32))
    assert services["dedup"]["volumes"] == services["dedup-2"]["volumes"]
    assert services["dedup-2"]["container_name"] == "alpr-dedup-2"


def test_the_image_is_built_from_files_that_are_there():
    lines = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    instructions = [line.split() for line in lines if line and not line.startswith(("#", " "))]
    known = {"FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "VOLUME", "ENTRYPOINT", "CMD"}
    assert {words[0] for words in instructions} <= known
    sent = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        source
        for words in instructions
        if words[0] == "COPY" and not words[1].startswith("--from")
        for source in words[1:-1]
    }
    assert copied == sent
    assert all((ROOT / source).exists() for source in copied)
    assert ".env" not in sent
    last = max(i for i, words in enumerate(instructions) if words[0] == "FROM")
    assert ["USER", "10001:10001"] in instructions[last:]
    # Every package of the wheel is in the image.
    packages = re.search(r"packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.S)
    assert packages is not None
    assert set(re.findall(r'"(\w+)"', packages[1])) <= copied
    # What is left out is in the lock file under that name.
    locked = set(re.findall(r'^name = "(.+)"', (ROOT / "uv.lock").read_text(), re.M))
    left = re.findall(r"--no-install-package=(\S+?)[\s\"]", " ".join(lines) + " ")
    assert left
    assert set(left) <= locked


class ComposedKafka(Kafka):
    """The broker as the image starts it: by Kafka's own wrapper, from the service's variables."""

    def __init__(self, folder, service, password):
        client = {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "alpr",
            "sasl.password": password,
        }
        super().__init__(folder, client=client)
        self._variables = {k: str(v) for k, v in service["environment"].items()}

    def command(self):
        inside = str(free_port())
        moved = {"29092": inside, "29093": str(self.controller_port), "9092": str(self.port)}
        environ = self._variables | {"KAFKA_LOG_DIRS": str(self.folder / "data")}
        for name in environ:
            if "LISTENERS" in name or "VOTERS" in name:  # no container: other ports, loopback
                value = re.sub(r"\b(29092|29093|9092)\b", lambda m: moved[m[1]], environ[name])
                environ[name] = value.replace("://:", "://127.0.0.1:").replace(
                    "kafka:", "localhost:"
                )
        libs = f"{CACHE / f'kafka-{KAFKA_VERSION}'}/*"
        configs = [self.folder / name for name in ("defaults", "mounted", "final")]
        for path in configs:
            path.mkdir(exist_ok=True)
        for path in configs[:1]:
            for file in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
                (path / file).write_text("Configuration: {Loggers: {Root: {level: INFO}}}\n")
        flags = ("--default-configs-dir", "--mounted-configs-dir", "--final-configs-dir")
        subprocess.run(
            [java(17), "-Xmx128m", "-cp", libs, "kafka.docker.KafkaDockerWrapper", "setup"]
            + [
                word
                for flag, path in zip(flags, configs, strict=True)
                for word in (flag, str(path))
            ],
            env={"PATH": os.environ["PATH"], **environ},
            check=True,
            capture_output=True,
        )
        final = str(configs[2] / "server.properties")
        return [java(17), "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", libs, "kafka.Kafka", final]


@pytest.fixture(scope="module")
def broker(services, secrets, tmp_path_factory):
    try:
        Kafka.check()
    except NotInstalled as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("kafka")
    server = ComposedKafka(folder, services["kafka"], secrets["KAFKA_PASSWORD"])
    server.start()
    yield server
    server.stop()


@pytest.mark.slow
def test_the_broker_starts_as_composed_and_is_the_log_of_its_own_id(broker, secrets, tmp_path):
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": broker.bootstrap} | broker.client)
    cluster = client.describe_cluster().result(timeout=10)
    assert cluster.cluster_id == secrets["KAFKA_CLUSTER_ID"]
    # It advertises itself where the host reaches it.
    assert [(n.host, n.port) for n in cluster.nodes] == [("localhost", broker.port)]


@pytest.mark.slow
@pytest.mark.parametrize("password", [None, "alpr", "wrong"])
def test_the_broker_lets_nobody_in_without_the_password(broker, password):
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    config = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
    if password is not None:
        config |= broker.client | {"sasl.password": password}
    with pytest.raises(KafkaException):
        AdminClient(config).list_topics(timeout=3)


class RootMinio(Minio):
    """A server whose administrator has the name that compose gives it."""

    def __init__(self, folder):
        super().__init__(folder)
        self.access_key = "alpr_root"


@pytest.mark.slow
def test_pictures_user_may_use_its_bucket_and_nothing_else(services, secrets, own_server, tmp_path):
    """deploy/minio-init.sh by the real `mc`, which is not installed everywhere."""
    if shutil.which("mc") is None:
        pytest.skip("there is no mc here: go install github.com/minio/mc@latest")
    from minio import Minio as Client
    from minio.error import S3Error

    server = own_server(RootMinio)
    script = (ROOT / "deploy" / "minio-init.sh").read_text()
    script = script.replace("http://minio:9000", f"http://{server.endpoint}")
    script = script.replace("/tmp/", f"{tmp_path}/")
    environ = services["minio-init"]["environment"] | {
        "PATH": os.environ["PATH"],
        "MC_CONFIG_DIR": str(tmp_path / "mc"),
        "MINIO_ROOT_USER": server.access_key,
        "MINIO_ROOT_PASSWORD": server.secret_key,
    }
    for _ in range(2):  # as often as one likes
        subprocess.run(["sh", "-c", script], env=environ, check=True, capture_output=True)
    user = Client(server.endpoint, "alpr_minio", secrets["MINIO_PASSWORD"], secure=False)
    assert [bucket.name for bucket in user.list_buckets()] == ["alpr-plate-images"]
    assert list(user.list_objects("alpr-plate-images")) == []
    with pytest.raises(S3Error, match="Access Denied"):
        user.make_bucket("another")

    # What the service `init` does beside the topics: pictures end by themselves.
    url = f"s3+http://alpr_minio:{secrets['MINIO_PASSWORD']}@{server.endpoint}/alpr-plate-images"
    said = subprocess.run(
        [sys.executable, "-m", "alpr", "topics", "create"],
        env={"PATH": os.environ["PATH"], "ALPR_HOME": str(tmp_path / "home")}
        | {"ALPR_IMAGES_URL": url},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "keeps pictures 90 days" in said.stdout
    cycle = user.get_bucket_lifecycle("alpr-plate-images")
    assert cycle is not None
    assert [rule.expiration.days for rule in cycle.rules if rule.expiration] == [90]


@pytest.mark.slow
def test_a_container_of_the_ticker_is_healthy_while_it_ticks(tmp_path):
    from alpr.alive import main
    from alpr.wiring import open_codec, open_log
    from eventlog.log import Append
    from schemas.topics import RAW

    environ = {"ALPR_HOME": str(tmp_path)}
    settings = load(environ, None)
    command = [sys.executable, "-m", "alpr.alive", "ticks"]
    others = {k: v for k, v in os.environ.items() if not k.startswith("ALPR_")}

    def health():
        return subprocess.run(
            command, env=others | environ, cwd=ROOT, capture_output=True, check=False
        ).returncode

    with closing(open_log(settings)) as log:
        assert health() == 1
        value = open_codec(settings).encode(RAW.name, "Tick", {"at": 1})
        log.append(RAW.name, 0, [Append(None, value, {}, 1_000_000)])
        assert health() == 1, "a tick of 1970"
        log.append(RAW.name, 0, [Append(None, value, {})])
        assert health() == 0
    with pytest.raises(OSError, match="refused"):
        main([f"http://127.0.0.1:{free_port()}/health"])
