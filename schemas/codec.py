"""Avro records to bytes and back, in Confluent's wire format: 0, schema id (4 bytes), body."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from io import BytesIO
from struct import Struct
from typing import Any, Protocol, cast

import fastavro
from fastavro.validation import ValidationError, validate

from schemas.topics import TOPICS, subject

_HEADER = Struct(">BI")
_PREFIX = "alpr."
_avro: Any = fastavro  # its stubs leave types unknown


class SchemaRegistry(Protocol):
    """Where schemas have numbers. An adapter may cache: a number never changes its schema."""

    def register(self, subject: str, schema: str) -> int:
        """The id of ``schema`` under ``subject``, a new one if it has none yet."""
        ...

    def schema(self, schema_id: int) -> str:
        """The JSON text of a schema; KeyError if there is none with this id."""
        ...


class SchemaError(Exception):
    """Base of what can be wrong between a record and its bytes.

    - EncodeError: a record that does not fit its schema
    - DecodeError: bytes that are no record we know
    """


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


def record_name(text: str) -> str:
    """The record a schema's JSON text is about, without its namespace."""
    return cast("str", json.loads(text)["name"])


class Codec:
    """Encodes and decodes the records of the log against one registry.

    Parses each schema once. A record written with another version of its schema is read as
    today's: fields that it lacks take their defaults, fields nobody knows any more are dropped.
    """

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._encoders: dict[tuple[str, str], Callable[[Mapping[str, Any]], bytes]] = {}
        self._decoders: dict[int, tuple[str, Any, Any | None]] = {}

    def register(self) -> None:
        """Register every record of every topic, as a deployment does; running code need not."""
        for topic in TOPICS.values():
            for record in topic.records:
                self._registry.register(subject(topic.name, record), schema_text(record))

    def encoder(self, topic: str, record: str) -> Callable[[Mapping[str, Any]], bytes]:
        """A function from a record (a typed dictionary of ``schemas.records``) to its bytes.

        The function raises EncodeError for a missing, an unknown or an ill-typed field.
        """
        known = self._encoders.get((topic, record))
        if known is not None:
            return known
        text = schema_text(record)
        header = _HEADER.pack(0, self._registry.register(subject(topic, record), text))
        schema = parsed(text)
        write = _avro.schemaless_writer

        def encode(value: Mapping[str, Any]) -> bytes:
            out = BytesIO()
            out.write(header)
            try:
                write(out, schema, value, strict=True)
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
                cause = _cause(error, value, schema)
                raise EncodeError(f"{record} does not fit its schema: {cause}") from error
            return out.getvalue()

        self._encoders[topic, record] = encode
        return encode

    def encode(self, topic: str, record: str, value: Mapping[str, Any]) -> bytes:
        """The bytes of a record for a topic; raises EncodeError."""
        return self.encoder(topic, record)(value)

    def decode(self, payload: bytes) -> tuple[str, Any]:
        """The record's name and the record, a typed dictionary of ``schemas.records``.

        Raises DecodeError for anything else than one whole record in wire format.
        """
        if len(payload) < _HEADER.size:
            raise DecodeError("magic", f"{len(payload)} bytes are too few for a record")
        magic, schema_id = _HEADER.unpack_from(payload)
        if magic != 0:
            raise DecodeError("magic", f"first byte is {magic}, not 0")
        name, writer, reader = self._decoders.get(schema_id) or self._load(schema_id)
        body = BytesIO(payload)
        body.seek(_HEADER.size)
        try:
            record = _avro.schemaless_reader(body, writer, reader)
        except Exception as error:  # fastavro raises whatever the bytes lead it to
            raise DecodeError("unreadable", f"{name}: {type(error).__name__}: {error}") from error
        if body.tell() != len(payload):
            raise DecodeError(
                "unreadable", f"{name}: {len(payload) - body.tell()} bytes are left over"
            )
        return name, record

    def _load(self, schema_id: int) -> tuple[str, Any, Any | None]:
        try:
            text = self._registry.schema(schema_id)
        except KeyError:
            raise DecodeError("schema", f"the registry has no schema {schema_id}") from None
        name = record_name(text)
        try:
            today = schema_text(name)
        except FileNotFoundError:
            raise DecodeError("schema", f"schema {schema_id} is of an unknown {name}") from None
        writer, reader = parsed(text), parsed(today)
        self._decoders[schema_id] = (name, writer, None if writer == reader else reader)
        return self._decoders[schema_id]
