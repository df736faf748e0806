"""What becomes of a record that cannot be processed: whole, with its place and the reason."""

from hashlib import sha256
from typing import NamedTuple

from eventlog.log import Append, Entry
from eventlog.redriven import redriven
from schemas.codec import Codec
from schemas.records import DeadLetter
from schemas.topics import DLQ, TOPICS

CUT = "cut"
"""Header of a dead letter that lacks the end of its record: length and SHA-256 of the value."""
NOTE = "redrive"
"""Header of a note that `alpr dlq redrive` makes under a letter's key; see ``note``."""
REDRIVE = "redrive"
"""Step of such a note, which is no failure."""

TRACE = "traceparent"

WHOLE = 5_000_000
"""Bytes of key, headers and value that a dead letter holds; on Kafka alpr.dlq takes 5 MiB, which
is more than any other topic does."""
PART = 65_536
"""Bytes of the value that are kept of a larger record, and the most of its key and headers."""
DETAIL = 2_000
"""Characters of the detail: an error's text may repeat the record."""


class Place(NamedTuple):
    """Where a record is; the identity of its dead letter. As text ``alpr.reads.raw/3/1290``."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


def place(text: str) -> Place:
    """The place that a text names. Raises ValueError."""
    topic, partition, offset = text.rsplit("/", 2)
    if topic not in TOPICS or not (partition + offset).isdecimal():
        raise ValueError(f"{text!r} is no place of a topic")
    return Place(topic, int(partition), int(offset))


def dead_letter(codec: Codec, entry: Entry, step: str, reason: str, detail: str) -> Append:
    """The record for alpr.dlq that keeps ``entry``; ``reason`` is a word, to count by.

    Of a record too large for the log to take it wrapped, the first part is kept, with the length
    and the hash of the value; the whole is where it was for as long as its topic keeps it.
    """
    detail = detail[:DETAIL]
    key, value, headers = entry.key, entry.value, dict(entry.headers)
    trace = headers.get(TRACE, b"")
    outer = {TRACE: trace} if 0 < len(trace) < 256 else {}
    others = len(key or b"") + sum(len(name) + len(held) for name, held in headers.items())
    if others + len(value or b"") > WHOLE:
        held = value or b""
        digest = sha256(held).hexdigest()
        detail = (
            f"{detail}; {len(held)} bytes are more than a dead letter holds: here are the "
            f"first {PART}, the whole is at its place while {entry.topic} keeps it"
        )
        value = value and value[:PART]
        outer = {CUT: f"{len(held)} {digest}".encode()}
        if others > PART:
            key, headers = None, {}
    letter: DeadLetter = {
        "topic": entry.topic,
        "partition": entry.partition,
        "offset": entry.offset,
        "appended_at": entry.appended_at,
        "key": key,
        "value": value,
        "headers": headers,
        "step": step,
        "reason": reason,
        "detail": _printable(detail),
        "redriven": redriven(entry.topic, entry.headers),
    }
    return Append(_key(entry), codec.encode(DLQ.name, "DeadLetter", letter), outer)


def note(codec: Codec, letter: DeadLetter, word: str, where: Place) -> Append:
    """The record for alpr.dlq that says how far sending a letter's record again has come.

    ``started`` names the place from which on it may have been appended, ``done`` where it was.
    """
    noted: DeadLetter = {
        **letter,
        "key": None,
        "value": None,
        "headers": {},
        "step": REDRIVE,
        "reason": word,
        "detail": str(where),
        "redriven": letter["redriven"] + 1,
    }
    key = str(Place(letter["topic"], letter["partition"], letter["offset"])).encode()
    value = codec.encode(DLQ.name, "DeadLetter", noted)
    return Append(key, value, {NOTE: f"{word} {where}".encode()})


def _key(entry: Entry) -> bytes:
    return str(Place(entry.topic, entry.partition, entry.offset)).encode()


def _printable(text: str) -> str:
    """Text that Avro takes: an error may quote half a surrogate pair."""
    return text.encode("utf-8", "replace").decode()
