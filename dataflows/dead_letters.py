"""What becomes of a record that cannot be processed: whole, with its place and the reason."""

from eventlog.log import Append, Entry
from schemas.codec import Codec
from schemas.records import DeadLetter
from schemas.topics import DLQ


def dead_letter(codec: Codec, entry: Entry, step: str, reason: str, detail: str) -> Append:
    """The record for alpr.dlq that keeps ``entry``; ``reason`` is a word, to count by."""
    letter: DeadLetter = {
        "topic": entry.topic,
        "partition": entry.partition,
        "offset": entry.offset,
        "appended_at": entry.appended_at,
        "key": entry.key,
        "value": entry.value,
        "headers": dict(entry.headers),
        "step": step,
        "reason": reason,
        "detail": detail,
        "redriven": 0,
    }
    place = f"{entry.topic}/{entry.partition}/{entry.offset}".encode()
    return Append(place, codec.encode(DLQ.name, "DeadLetter", letter), entry.headers)
