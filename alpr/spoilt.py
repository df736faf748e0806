"""Bytes that are no record: how far they can be read, field by field, and where that ends."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast

import fastavro

from schemas.codec import Codec, DecodeError, EncodeError, parsed, schema_text
from schemas.topics import TOPICS

HEADER = 5
"""Bytes of the wire format before a record's body."""
AROUND = 256
"""Bytes shown before and after the place where reading ends."""
_avro: Any = fastavro  # its stubs leave types unknown


@dataclass(frozen=True, slots=True)
class Field:
    """A field as it was read: its first byte and the one after its last, its type, its value."""

    name: str
    start: int
    end: int
    type: str
    value: Any


@dataclass(frozen=True, slots=True)
class Reading:
    """How far bytes can be read as ``record`` by today's schema.

    ``ends`` is the byte at which that ends, ``failed`` the name and type of the field that begins
    there; None where every field could be read. ``left`` bytes are left over then.
    """

    record: str
    fields: tuple[Field, ...]
    ends: int
    failed: tuple[str, str] | None
    left: int

    @property
    def complete(self) -> bool:
        """Whether the body is one whole record."""
        return self.failed is None and self.left == 0


def reading(topic: str, value: bytes, error: DecodeError | None = None) -> Reading | None:
    """The best reading of bytes as a record of a topic; None where the topic is unknown.

    The record that ``error`` names is taken, else that of which most can be read. The wire
    format's header is passed over: it may be what is spoilt.
    """
    names = TOPICS[topic].records if topic in TOPICS else ()
    named = error.detail.partition(":")[0] if error is not None else ""
    if named in names:
        names = (named,)
    found = [_walk(name, value) for name in names]
    return max(found, key=lambda r: (r.complete, r.ends), default=None)


def reencoded(codec: Codec, topic: str, record: Any) -> bytes:
    """The bytes of a record that was mended as JSON. Raises schemas.codec.SchemaError."""
    errors: list[str] = []
    for name in TOPICS[topic].records:
        try:
            return codec.encode(topic, name, record)
        except EncodeError as error:
            errors.append(str(error))
    raise EncodeError("; ".join(errors))


def hexdump(value: bytes, at: int | None) -> list[str]:
    """Lines of 16 bytes around ``at``, whose line is marked; the first ones without it."""
    first = max(0, (at or 0) - AROUND) // 16 * 16
    lines: list[str] = []
    for start in range(first, min(len(value), (at or 0) + AROUND), 16):
        row = value[start : start + 16]
        mark = ">" if at is not None and start <= at < start + 16 else " "
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{mark} {start:6d}  {row.hex(' '):<47}  {text}")
    return lines


def _walk(record: str, value: bytes) -> Reading:
    schema = json.loads(schema_text(record))
    fields: Sequence[Any] = schema["fields"]
    done: list[Field] = []
    at = HEADER
    for count, field in enumerate(fields, 1):
        # Read from the start each time: a field may name a type that an earlier one defines.
        first = parsed(json.dumps({**schema, "fields": fields[:count]}))
        body = BytesIO(value)
        body.seek(HEADER)
        try:
            read = cast("dict[str, Any]", _avro.schemaless_reader(body, first, None))
        except Exception:  # fastavro raises whatever the bytes lead it to
            return Reading(record, tuple(done), at, (field["name"], _type(field["type"])), 0)
        name = field["name"]
        done.append(Field(name, at, body.tell(), _type(field["type"]), read[name]))
        at = body.tell()
    return Reading(record, tuple(done), at, None, max(0, len(value) - at))


def _type(schema: Any) -> str:
    if isinstance(schema, list):
        return " or ".join(_type(one) for one in cast("list[Any]", schema))
    if isinstance(schema, dict):
        named = cast("dict[str, Any]", schema)
        if named["type"] in ("record", "enum"):
            return named["name"]
        if named["type"] == "array":
            return f"array of {_type(named['items'])}"
        if named["type"] == "map":
            return f"map of {_type(named['values'])}"
        return _type(named["type"])
    return str(schema).removeprefix("alpr.")
