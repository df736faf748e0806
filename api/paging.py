"""Cursors of deep pages: where a page ended, as a text that nobody has to understand."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from struct import Struct
from struct import error as StructError
from uuid import UUID

from api.errors import BadInput
from projections.filters import After
from projections.queries import Row

_FORM = Struct(">4sq16s")  # of which search, when captured (microseconds), which sighting
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


def next_cursor(rows: list[Row], limit: int, *asked: object) -> str | None:
    """Where the next page of what was asked goes on; None where this one is the last."""
    if len(rows) < limit:
        return None
    last = rows[-1]
    at = (last["captured_at"] - _EPOCH) // _US
    raw = _FORM.pack(_mark(asked), at, UUID(str(last["event_id"])).bytes)
    return urlsafe_b64encode(raw).decode().rstrip("=")


def read_cursor(text: str | None, offset: int, *asked: object) -> After | None:
    """The end of the page before. Raises BadInput for one of something else, or none at all."""
    if not text:
        return None
    if offset:
        raise BadInput(f"offset={offset} and cursor are both given: a cursor goes on by itself")
    try:
        mark, at, event_id = _FORM.unpack(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        moment = _EPOCH + at * _US
    except (Error, StructError, ValueError, OverflowError) as error:
        raise BadInput(
            f"cursor={text[:80]!r} is none: give next_cursor as an answer gave it"
        ) from error
    if mark != _mark(asked):
        raise BadInput(
            f"cursor={text[:80]!r} is of another search: change nothing but limit, or begin anew"
        )
    return After(moment, UUID(bytes=event_id))


def _mark(asked: tuple[object, ...]) -> bytes:
    return blake2b(repr(asked).encode("utf-8", "surrogatepass"), digest_size=4).digest()
