"""Avro records to bytes and back, in Confluent's wire format: 0, schema id (4 bytes), body."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from io import BytesIO
from struct import Struct
from struct import error as StructError
from typing import Any, Protocol, cast

import fastavro
from fastavro.validation import ValidationError, validate

from schemas import compiled
from schemas.topics import TOPICS, subject

_HEADER = Struct(">BI")
_PREFIX = "alpr."
_avro: Any = fastavro  # its stubs leave types unknown
_MISFITS = (ValueError, TypeError, KeyError, AttributeError, OverflowError, StructError)
_Read = Callable[[bytes, int], tuple[Any, int]]


class SchemaRegistry(Protocol):
    """Where schemas have numbers. An adapter may cache: a number never changes its schema."""

    def register(self, subject: str, schema: str) -> int:
        """The id of ``schema`` under ``subject``, a new one if it has none yet."""
        ...

    def find(self, subject: str, schema: str) -> int:
        """The id of ``schema`` under ``subject``; KeyError if it was not registered."""
        ...

    def schema(self, schema_id: int) -> str:
        """The JSON text of a schema; KeyError if there is none with this id."""
        ...


class RegistryUnavailable(Exception):
    """The schema registry does not answer, so nothing is known of a record: wait, try again.

    No SchemaError: a record met in the meantime may well be good.
    """


class SchemaError(Exception):
    """Base of what can be wrong between a record and its bytes.

    - NotRegistered: a record whose schema no deployment has registered
    - EncodeError: a record that does not fit its schema
    - DecodeError: bytes that are no record we know
    """


class NotRegistered(SchemaError):
    """The registry does not have today's schema of a record under its subject."""


class EncodeError(SchemaError):
    """A record does not fit its schema; the message names the record and the cause."""


class DecodeError(SchemaError):
    """Bytes that are no record we know.

    ``reason`` is ``magic`` (not Confluent's wire format), ``schema`` (an id or a record nobody
    knows) or ``unreadable`` (the body does not follow its schema).
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@cache
def schema_text(record: str) -> str:
    """The schema of a record, complete in itself, as it is registered: JSON without spaces."""
    seen: set[str] = set()

    def expand(node: Any) -> Any:
        if isinstance(node, str):
            if not node.startswith(_PREFIX) or node in seen:
                return node
            return expand(json.loads(_source(node)))
        if isinstance(node, list):
            return [expand(item) for item in cast("list[Any]", node)]
        if not isinstance(node, dict):
            return node
        schema = cast("dict[str, Any]", node)
        if "name" in schema and schema.get("type") in ("record", "enum"):
            seen.add(f"{schema['namespace']}.{schema['name']}")
        parts = ("type", "fields", "items", "values")
        return {key: expand(value) if key in parts else value for key, value in schema.items()}

    return json.dumps(expand(_PREFIX + record), separators=(",", ":"), ensure_ascii=False)


def _source(full_name: str) -> str:
    return (files("schemas") / "avro" / f"{full_name}.avsc").read_text(encoding="utf-8")


def _plain(node: Any) -> Any:
    """A schema without its logical types, so that times stay integers: same bytes, less work."""
    if isinstance(node, list):
        return [_plain(item) for item in cast("list[Any]", node)]
    if isinstance(node, dict):
        schema = cast("dict[str, Any]", node)
        return {k: _plain(v) for k, v in schema.items() if k not in ("logicalType", "doc")}
    return node


def _cause(error: Exception, value: object, schema: Any) -> str:
    """What is wrong with a value; the validator names the field where the writer does not."""
    if "field" not in str(error) and isinstance(value, Mapping):
        try:
            validate(value, schema, raise_errors=True)
        except ValidationError as found:
            return "; ".join(str(one) for one in cast("Any", found).errors)
    return str(error)


@cache
def parsed(text: str) -> Any:
    """A schema's JSON text, parsed once for fastavro."""
    return fastavro.parse_schema(_plain(json.loads(text)))


def _resolving(writer: Any, reader: Any) -> _Read:
    """A decoder for what another version of a schema wrote, as ``compiled.decoder`` gives one."""

    def read(data: bytes, at: int) -> tuple[Any, int]:
        body = BytesIO(data)
        body.seek(at)
        return _avro.schemaless_reader(body, writer, reader), body.tell()

    return read


def record_name(text: str) -> str:
    """The record a schema's text is about, without its namespace.

    Raises DecodeError where it is about none: a registry takes any schema, of any kind.
    """
    try:
        name = json.loads(text)["name"]
    except (ValueError, KeyError, TypeError):
        name = None
    if not isinstance(name, str):
        raise DecodeError("schema", f"the schema is of no record: {text[:80]}")
    return name


class Codec:
    """Encodes and decodes the records of the log against one registry.

    Parses each schema once. A record written with another version of its schema is read as
    today's: fields that it lacks take their defaults, fields nobody knows any more are dropped.
    """

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._encoders: dict[tuple[str, str], Callable[[Mapping[str, Any]], bytes]] = {}
        self._decoders: dict[bytes, tuple[str, _Read]] = {}

    def register(self) -> None:
        """Register every record of every topic, as a deployment does; running code need not."""
        for topic in TOPICS.values():
            for record in topic.records:
                self._registry.register(subject(topic.name, record), schema_text(record))

    def encoder(self, topic: str, record: str) -> Callable[[Mapping[str, Any]], bytes]:
        """A function from a record (a typed dictionary of ``schemas.records``) to its bytes.

        Raises NotRegistered, RegistryUnavailable; the function EncodeError for a missing, an
        unknown or an ill-typed field.
        """
        known = self._encoders.get((topic, record))
        if known is not None:
            return known
        text = schema_text(record)
        name = subject(topic, record)
        try:
            header = _HEADER.pack(0, self._registry.find(name, text))
        except KeyError:
            raise NotRegistered(
                f"the schema registry does not have {name} as this release writes it: "
                "run `alpr topics create`, as a deployment does"
            ) from None
        body = compiled.encoder(json.loads(text))

        def encode(value: Mapping[str, Any]) -> bytes:
            try:
                return header + body(value)
            except _MISFITS as error:
                cause = _cause(error, value, parsed(text))
                raise EncodeError(f"{record} does not fit its schema: {cause}") from error

        self._encoders[topic, record] = encode
        return encode

    def encode(self, topic: str, record: str, value: Mapping[str, Any]) -> bytes:
        """The bytes of a record for a topic; raises EncodeError."""
        return self.encoder(topic, record)(value)

    def decode(self, payload: bytes) -> tuple[str, Any]:
        """The record's name and the record, a typed dictionary of ``schemas.records``.

        Raises DecodeError for anything else than one whole record in wire format, and
        RegistryUnavailable where its schema cannot be asked for.
        """
        name, read = self._decoders.get(payload[: _HEADER.size]) or self._load(payload)
        try:
            record, end = read(payload, _HEADER.size)
        except Exception as error:  # whatever the bytes lead to
            raise DecodeError("unreadable", f"{name}: {type(error).__name__}: {error}") from error
        if end != len(payload):
            over = len(payload) - end
            raise DecodeError(
                "unreadable", f"{name}: {abs(over)} bytes {'left over' if over > 0 else 'missing'}"
            )
        return name, record

    def _load(self, payload: bytes) -> tuple[str, _Read]:
        """The record and the decoder that the first bytes of a payload name."""
        if len(payload) < _HEADER.size:
            raise DecodeError("magic", f"{len(payload)} bytes are too few for a record")
        magic, schema_id = _HEADER.unpack_from(payload)
        if magic != 0:
            raise DecodeError("magic", f"first byte is {magic}, not 0")
        try:
            text = self._registry.schema(schema_id)
        except KeyError:
            raise DecodeError("schema", f"the registry has no schema {schema_id}") from None
        name = record_name(text)
        try:
            today = schema_text(name)
        except (OSError, ValueError):  # a name need not be one of a file
            raise DecodeError("schema", f"schema {schema_id} is of an unknown {name}") from None
        try:
            same = parsed(text) == parsed(today)
        except Exception as error:  # a name that is ours, and who knows what
            raise DecodeError("schema", f"schema {schema_id} is no {name}: {error}") from error
        if same:
            read = compiled.decoder(json.loads(today))
        else:
            read = _resolving(parsed(text), parsed(today))
        found = self._decoders[payload[: _HEADER.size]] = name, read
        return found
