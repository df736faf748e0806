"""The address of a Kafka cluster as a setting gives it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from eventlog.address import check

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
COMPRESSIONS = ("gzip", "zstd", "lz4", "snappy", "none")
PORT = 9092
_SHAPE = "kafka://[USER:PASSWORD@]HOST:PORT[,HOST:PORT][?...], or kafka+tls:// for TLS"
_QUERY = ("mechanism", "ca", "cert", "key", "compression", "prefix")


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """Where a cluster is, how to log in to it, and how to write to it.

    ``hosts`` are HOST:PORT; ``ca``, ``cert`` and ``key`` PEM files. ``prefix`` stands before
    every topic's name, so that several systems can share a cluster.
    """

    hosts: tuple[str, ...]
    tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    mechanism: str = "SCRAM-SHA-512"
    ca: str = ""
    cert: str = ""
    key: str = ""
    compression: str = "gzip"
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> "KafkaAddress":
        """The address a URL gives; ValueError says what is wrong with it, never its password."""
        scheme, found, rest = url.partition("://")
        if not found or scheme not in ("kafka", "kafka+tls"):
            raise ValueError(f"use {_SHAPE}")
        check(url, f"use {_SHAPE}")
        place, _, query = rest.partition("?")
        account, found, hosts = place.rpartition("@")
        user, _, password = account.partition(":")
        if found and not (user and password):
            raise ValueError(f"a user and a password stand before the @: use {_SHAPE}")
        return cls(
            hosts=tuple(_host(host) for host in hosts.removesuffix("/").split(",")),
            tls=scheme == "kafka+tls",
            user=unquote(user),
            password=unquote(password),
            **_options(query, scheme == "kafka+tls"),
        )

    def config(self) -> dict[str, str | int | float | bool]:
        """What librdkafka needs to reach the cluster; holds the password."""
        security = ("SASL_" if self.user else "") + ("SSL" if self.tls else "PLAINTEXT")
        config: dict[str, str | int | float | bool] = {
            "bootstrap.servers": ",".join(self.hosts),
            "security.protocol": security,
            "client.id": "alpr",
        }
        if self.user:
            config["sasl.mechanism"] = self.mechanism
            config["sasl.username"] = self.user
            config["sasl.password"] = self.password
        files = {
            "ssl.ca.location": self.ca,
            "ssl.certificate.location": self.cert,
            "ssl.key.location": self.key,
        }
        return config | {name: path for name, path in files.items() if path}

    @property
    def shown(self) -> str:
        """The cluster for messages: no user, no password."""
        return f"kafka{'+tls' if self.tls else ''}://{','.join(self.hosts)}"


def _host(text: str) -> str:
    host, found, port = text.rpartition(":")
    if not found or text.endswith("]"):
        host, port = text, str(PORT)
    if (
        not host
        or not port.isdecimal()
        or not 0 < int(port) < 65536
        or any(c in "/@" for c in host)
    ):
        # Not the text: it is a password where the @ and the host were forgotten.
        raise ValueError(f"there is no HOST:PORT in it: use {_SHAPE}")
    return f"{host}:{port}"


def _options(query: str, tls: bool) -> Mapping[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in _QUERY:
            raise ValueError(f"there is no option {name!r}: options are {', '.join(_QUERY)}")
    for name, known in (("mechanism", MECHANISMS), ("compression", COMPRESSIONS)):
        if name in options and options[name] not in known:
            raise ValueError(f"{name} cannot be {options[name]!r}: use one of {', '.join(known)}")
    if not tls and (files := options.keys() & {"ca", "cert", "key"}):
        raise ValueError(f"{min(files)} needs TLS: use kafka+tls://, or leave it out")
    if ("cert" in options) != ("key" in options):
        raise ValueError("cert and key go together: name both files, or none")
    return options
