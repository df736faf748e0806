"""Every setting of the program: environment variables ``ALPR_*``, a ``.env`` file, defaults."""

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from alpr.errors import ConfigError
from eventlog.address import check_database, check_http, masked
from eventlog.kafka_url import KafkaAddress
from images.address import S3Address
from rules.settings import DedupSettings
from schemas.topics import DETECTED

PREFIX = "ALPR_"
TEST_PREFIX = "ALPR_TEST_"  # read by the tests alone
EMBEDDED = "embedded"

DATABASE_PARTS = ("DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD")
# Names of the first layout that mean nothing here, accepted so that its .env files still work:
# a reader's position is kept with what it writes, not under the name of a consumer group.
WITHOUT_EFFECT = ("KAFKA_GROUP_ID", "AUTO_OFFSET_RESET")
# Secret as they are, so never shown; of URLs only their passwords are.
_SECRETS = frozenset({"jwt_secret"})
_LISTS = frozenset({"api_hosts", "api_proxies", "api_cors", "notify_allow"})
_LEAST_SECRET = 32  # bytes of a key for HS256 (RFC 7518, 3.2)


class Settings(BaseModel):
    """The settings, checked. Made by ``load``; paths are absolute then.

    ``str`` and ``repr`` never show a password.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(default=Path(".alpr"))
    log_url: str = ""
    log_partitions: int = Field(ge=1, le=1024)
    partitions: tuple[int, ...] = ()
    registry_url: str = ""
    edge_log: str = ""
    database_url: str = EMBEDDED
    search_url: str = ""
    images_url: str = ""
    images_cache_days: int = Field(default=30, ge=1)
    images_retention_days: int = Field(default=90, ge=1)
    cameras: Path = Path("config/cameras.yaml")
    detector: str = "corners"
    recogniser: str = "voting"
    alert_rules: Path = Path("config/alert_rules.yaml")
    public_url: str = ""
    link_secret_file: Path
    pseudonym_key_file: Path
    pseudonyms: bool = False
    reason_required: bool = False
    notify_allow: tuple[str, ...] = ()
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=1, le=65535)
    api_auth: Literal["auto", "required"] = "auto"
    api_hosts: tuple[str, ...] = ()
    api_proxies: tuple[str, ...] = ()
    api_cors: tuple[str, ...] = ()
    api_rate: float = Field(default=50.0, ge=0)
    tls_cert: str = ""
    tls_key: str = ""
    jwt_secret: str = ""
    jwt_secret_file: str = ""
    jwt_public_key_file: str = ""
    jwt_audience: str = ""
    jwt_issuer: str = ""
    log_format: Literal["text", "json"] = "text"
    metrics_port: int = Field(default=0, ge=0, le=65535)
    retention_raw_days: int = Field(default=7, ge=1)
    retention_plates_days: int = Field(default=90, ge=1)
    retention_view_days: int = Field(default=0, ge=0)
    dedup: DedupSettings = DedupSettings()

    @field_validator("partitions", mode="before")
    @classmethod
    def _ranges(cls, value: Any) -> Any:
        """``all``, ``0-7``, ``0,2`` or ``0-3,6`` as numbers; () is all."""
        if not isinstance(value, str):
            return value
        if value.strip() == "all":
            return ()
        numbers: set[int] = set()
        for part in value.split(","):
            found = re.fullmatch(r"\s*(\d{1,4})\s*(?:-\s*(\d{1,4})\s*)?", part)
            if found is None:
                raise ValueError("use all, a range such as 0-7, or numbers such as 0,2")
            first, last = int(found[1]), int(found[2] or found[1])
            if last < first:
                raise ValueError(f"the range {part.strip()} runs backwards")
            numbers.update(range(first, last + 1))
        return tuple(sorted(numbers))

    @field_validator("api_hosts", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(name.strip().lower() for name in value.split(",") if name.strip())

    @field_validator("api_proxies", "notify_allow", mode="before")
    @classmethod
    def _addresses(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        given = tuple(text.strip() for text in value.split(",") if text.strip())
        for text in given:
            try:
                ip_network(text)
            except ValueError:
                raise ValueError(
                    f"{text} is no address: give IP addresses or networks, such as "
                    "127.0.0.1,10.0.0.0/24"
                ) from None
        return given

    @field_validator("api_cors", mode="before")
    @classmethod
    def _origins(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        given = tuple(text.strip().lower() for text in value.split(",") if text.strip())
        for text in given:
            if not re.fullmatch(r"https?://[^/?#@\s*]+", text):
                raise ValueError(
                    f"{text} is no origin: give scheme and host, without a path and without *, "
                    "such as https://gate.example.org"
                )
        return given

    @field_validator("detector")
    @classmethod
    def _detector(cls, value: str) -> str:
        if value not in ("corners", "text") and not value.endswith(".onnx"):
            raise ValueError("use corners, text, or the .onnx that training.detector.export made")
        return value

    @field_validator("recogniser")
    @classmethod
    def _recogniser(cls, value: str) -> str:
        if value not in ("voting", "plates", "text") and not value.endswith(".onnx"):
            told = "use voting, plates, text, or the .onnx that training.reader.export made"
            raise ValueError(told)
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, value: str) -> str:
        if value and len(value.encode()) < _LEAST_SECRET:
            raise ValueError(
                f"it has {len(value.encode())} bytes: give {_LEAST_SECRET} or more, such as what "
                "`openssl rand -hex 32` prints"
            )
        return value

    @field_validator("log_url")
    @classmethod
    def _log(cls, value: str) -> str:
        if re.match(r"kafka(\+tls)?:", value):
            KafkaAddress.parse(value)
        elif not re.fullmatch(r"sqlite:///.+", value):
            raise ValueError(
                "use sqlite:///FOLDER, with a fourth / for an absolute path, or "
                "kafka://HOST:PORT (kafka+tls:// for TLS)"
            )
        return value

    @field_validator("edge_log")
    @classmethod
    def _edge_log(cls, value: str) -> str:
        if not re.fullmatch(r"sqlite:///.+", value):
            raise ValueError("use sqlite:///FOLDER: the edge writes to a folder of its own first")
        return value

    @field_validator("registry_url", "search_url", "public_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if value:
            check_http(value)
        return value

    @field_validator("database_url")
    @classmethod
    def _database(cls, value: str) -> str:
        if value != EMBEDDED:
            check_database(value)
        return value

    @field_validator("images_url")
    @classmethod
    def _images(cls, value: str) -> str:
        if value.startswith("s3"):
            S3Address.parse(value)
        elif not re.fullmatch(r"file:///.+", value):
            raise ValueError(
                "use file:///FOLDER, an absolute path, or s3+https://KEY:SECRET@HOST:PORT/BUCKET "
                "(s3+http:// without TLS)"
            )
        return value

    @model_validator(mode="after")
    def _within_the_log(self) -> "Settings":
        beyond = [n for n in self.partitions if n >= self.log_partitions]
        if beyond:
            raise ValueError(
                f"ALPR_PARTITIONS names partition {beyond[0]}, and the log has "
                f"{self.log_partitions}: use 0-{self.log_partitions - 1}, or set "
                "ALPR_LOG_PARTITIONS to the number that the log was made with"
            )
        return self

    @model_validator(mode="after")
    def _both_or_none(self) -> "Settings":
        if bool(self.tls_cert) != bool(self.tls_key):
            there, missing = ("CERT", "KEY") if self.tls_cert else ("KEY", "CERT")
            raise ValueError(
                f"ALPR_TLS_{there} is set and ALPR_TLS_{missing} is not: name both PEM files, or "
                "neither"
            )
        if self.jwt_secret and self.jwt_secret_file:
            raise ValueError(
                "ALPR_JWT_SECRET and ALPR_JWT_SECRET_FILE are both set: take one of them out"
            )
        return self

    @model_validator(mode="after")
    def _a_plate_for_its_reader(self) -> "Settings":
        if (self.detector, self.recogniser) == ("text", "plates"):
            raise ValueError(
                "ALPR_RECOGNISER=plates reads a plate by its corners, which ALPR_DETECTOR=text "
                "does not tell: use the detector corners, or the recogniser text or voting"
            )
        return self

    @model_validator(mode="after")
    def _a_registry_for_kafka(self) -> "Settings":
        if self.on_kafka and not self.registry_url:
            raise ValueError(
                "the log is on Kafka, and ALPR_REGISTRY_URL is not set: name the schema registry, "
                "such as http://localhost:8081"
            )
        return self

    @property
    def on_kafka(self) -> bool:
        """Whether the log is a broker's; else it is a folder."""
        return not self.log_url.startswith("sqlite:")

    @property
    def authenticated(self) -> bool:
        """Whether the API asks who is there: always beyond loopback."""
        try:
            inside = ip_address(self.api_host).is_loopback
        except ValueError:
            inside = self.api_host == "localhost"
        return self.api_auth == "required" or not inside

    @property
    def edge_log_folder(self) -> Path:
        """Folder of the edge's own log: the embedded log itself, unless the log is on Kafka."""
        return _folder(self.edge_log)

    @property
    def log_folder(self) -> Path:
        """Folder of the embedded log and its schema registry."""
        assert not self.on_kafka
        return _folder(self.log_url)

    @property
    def images_folder(self) -> Path:
        """Folder of the evidence pictures: where they are kept, or wait for their upload."""
        if self.images_url.startswith("file:"):
            return Path(unquote(urlsplit(self.images_url).path))
        return self.home / "images"

    @property
    def own_partitions(self) -> tuple[int, ...]:
        """The partitions that this machine's flows work on, ascending."""
        return self.partitions or tuple(range(self.log_partitions))

    def changed(self, **changes: Any) -> "Settings":
        """These settings with others, checked as ``load`` does; what lies in HOME moves with it."""
        values = self._plain()
        for name, derived in _derived(values).items():
            if values[name] == derived:
                del values[name]
        return _checked(values | changes, {})

    def environ(self) -> dict[str, str]:
        """Variables from which ``load`` makes equal settings, for a child process.

        Holds passwords.
        """
        return {variable(*path): text for path, text in self._texts()}

    def shown(self) -> dict[str, str]:
        """Every variable and its value with passwords masked, to print."""
        secret = {variable(name) for name in _SECRETS}
        return {
            name: "***" if text and name in secret else masked(text)
            for name, text in self.environ().items()
        }

    def __repr_args__(self) -> Any:
        """What ``repr`` and ``str`` show."""
        return [
            (name, _safe(name, value) if isinstance(value, str) else value)
            for name, value in self._plain().items()
        ]

    def _plain(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields}

    def _texts(self) -> list[tuple[tuple[str, ...], str]]:
        texts: list[tuple[tuple[str, ...], str]] = []
        for name, value in self._plain().items():
            if name == "dedup":
                texts += [(("dedup", key), str(part)) for key, part in asdict(value).items()]
            elif name == "partitions":
                texts.append(((name,), ",".join(map(str, value)) or "all"))
            elif name in _LISTS:
                texts.append(((name,), ",".join(value)))
            else:
                texts.append(((name,), str(value)))
        return texts


def load(environ: Mapping[str, str], dotenv: Path | None = Path(".env")) -> Settings:
    """The settings that an environment and a ``.env`` file say; the environment wins.

    An empty value counts as not set. Raises ConfigError, which names the variable, for a value
    that cannot be used and for an unknown name that begins with ``ALPR_``.
    """
    given = dict(_read(dotenv)) if dotenv is not None else {}
    given.update(environ)
    given = {name: value.strip() for name, value in given.items() if value.strip()}
    known = names()
    for name in sorted(given):
        if name.startswith(PREFIX) and name not in known and not name.startswith(TEST_PREFIX):
            close = get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else "`alpr settings` lists the known ones"
            raise ConfigError(f"there is no setting {name}; {hint}")
    values: dict[str, Any] = {}
    sources: dict[tuple[str, ...], str] = {}
    dedup: dict[str, str] = {}
    for name, path in known.items():
        if name not in given:
            continue
        sources[path] = name
        if len(path) == 2:
            dedup[path[1]] = given[name]
        else:
            values[path[0]] = given[name]
    if dedup:
        values["dedup"] = dedup
    _take_aliases(given, values, sources)
    return _checked(values, sources)


def names() -> dict[str, tuple[str, ...]]:
    """Every variable and the path of its field in Settings."""
    paths = [(name,) for name in Settings.model_fields if name != "dedup"]
    paths += [("dedup", field.name) for field in fields(DedupSettings)]
    return {variable(*path): path for path in paths}


def variable(*path: str) -> str:
    """The environment variable of a field: ``dedup``, ``window_s`` is ALPR_DEDUP_WINDOW_S."""
    return PREFIX + "_".join(path).upper()


def _read(dotenv: Path) -> dict[str, str]:
    if not dotenv.exists():
        return {}
    try:
        return {k: v or "" for k, v in dotenv_values(dotenv, interpolate=False).items()}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{dotenv} cannot be read: {error}; mend or remove it") from error


def _take_aliases(
    given: Mapping[str, str], values: dict[str, Any], sources: dict[tuple[str, ...], str]
) -> None:
    """The names of the first layout, where the setting's own name is not given."""
    parts = [name for name in DATABASE_PARTS if name in given]
    if parts and "database_url" not in values:
        host, port, name, user, password = (given.get(part, "") for part in DATABASE_PARTS)
        account = quote(user or "alpr", safe="") + (
            ":" + quote(password, safe="") if password else ""
        )
        values["database_url"] = (
            f"postgresql://{account}@{host or 'localhost'}:{port or 5432}/"
            f"{quote(name or 'alpr_db', safe='')}"
        )
        sources["database_url",] = ", ".join(parts)
    if "KAFKA_BOOTSTRAP_SERVERS" in given and "log_url" not in values:
        values["log_url"] = "kafka://" + given["KAFKA_BOOTSTRAP_SERVERS"].replace(" ", "")
        sources["log_url",] = "KAFKA_BOOTSTRAP_SERVERS"
    if "SCHEMA_REGISTRY_URL" in given and "registry_url" not in values:
        values["registry_url"] = given["SCHEMA_REGISTRY_URL"]
        sources["registry_url",] = "SCHEMA_REGISTRY_URL"
    if "RULES_CONFIG_PATH" in given and "alert_rules" not in values:
        values["alert_rules"] = given["RULES_CONFIG_PATH"]
        sources["alert_rules",] = "RULES_CONFIG_PATH"
    topic = given.get("KAFKA_TOPIC", DETECTED.name)
    if topic != DETECTED.name:
        raise ConfigError(
            f"KAFKA_TOPIC is {topic}, and sightings are always on {DETECTED.name}; unset it"
        )


def _folder(url: str) -> Path:
    return Path(unquote(url.removeprefix("sqlite:///")))


def _derived(values: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults that follow from other values; ``home`` is among them."""
    home = values["home"]
    embedded = "sqlite:///" + quote(str(home / "log"))
    log = values.get("log_url", embedded)
    on_kafka = not log.startswith("sqlite:")
    return {
        "log_url": embedded,
        "log_partitions": 32 if on_kafka else 4,
        "edge_log": "sqlite:///" + quote(str(home / "edge-log")) if on_kafka else log,
        "images_url": (home / "images").as_uri(),
        "link_secret_file": home / "link-secret",
        "pseudonym_key_file": home / "pseudonym-key",
    }


def _checked(values: dict[str, Any], sources: Mapping[tuple[str, ...], str]) -> Settings:
    defaults = {
        name: Settings.model_fields[name].default for name in ("home", "cameras", "alert_rules")
    }
    values = defaults | {name: value for name, value in values.items() if value != ""}
    for name in defaults:
        values[name] = Path(os.path.expanduser(values[name])).absolute()
    values = _derived(values) | values
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = tuple(str(part) for part in first["loc"])
        told = first["msg"].removeprefix("Value error, ")
        if not path or path == ("dedup",):
            # A check over several fields, whose text names them itself.
            raise ConfigError(told) from None
        name = sources.get(path) or variable(*path)
        raise ConfigError(
            f"{name}={_safe(path[0], str(first['input']))} cannot be used; {told}"
        ) from None


def _safe(name: str, value: str) -> str:
    """The value of a setting without what is secret in it."""
    return "***" if value and name in _SECRETS else masked(value)
