"""Which plates a view told the one for whom it is asked, and whether as they are.

The API sets both when it lets somebody in, and ``Asking`` applies them to every row that leaves a
view, so that no endpoint has to remember it. Who may not see plates in clear gets pseudonyms in
their place; pictures, evidence and what else shows a plate are withheld. Columns are known by
their names: a query that tells a plate calls it one of ``PLATES``.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from projections.errors import ViewError
from rules.pseudonym import MARK, is_pseudonym
from rules.text import normalise

Row = dict[str, Any]
Name = Callable[[str], str]
"""Makes the pseudonym of a plate; one stays itself."""

PLATES = frozenset(
    {
        *("plate", "plate_text", "plate_normalized_text", "plate_shown", "normalized_text"),
        *("text", "plates", "was"),
    }
)
"""Columns, and keys within columns of JSON, that hold a plate or several."""

# Of these the audit tells.
_SHOWN = ("plate_normalized_text", "plate_shown", "plate", "text", "plates")
_WITHHELD: dict[str, Any] = {
    "plate_image_url": "",
    "vehicle_image_url": "",
    "frame_image_url": "",
    "plate_url": "",
    "vehicle_url": "",
    "frame_url": "",
    "alternatives": [],
    "positions": [],  # of the evidence: the votes
    "char_confidences": [],
    "definition": None,  # of a rule, which may name plates
    "folded": None,
    "grams": None,
    "keys": None,
}
_SAID = frozenset({"message", "subject"})  # made of a plate by rules
_WORDS = frozenset({"comment", "reason", "description", "detail", "tags"})  # typed by people
_PATTERN = frozenset("*?")
# What might be a plate in somebody's words: letters and digits together, perhaps with dashes.
_LIKE = re.compile(r"[^\W_](?:[.\-·]?[^\W_]){3,11}")


class Veiled(ViewError):
    """What was asked would tell plates to somebody who may not see them."""


class Shown:
    """The plates that were told in one request, as they are; for one request's threads."""

    def __init__(self) -> None:
        self.plates: set[str] = set()
        self._open = True

    def add(self, plates: Iterable[str]) -> None:
        """Note plates that are told."""
        if self._open:
            self.plates.update(plates)

    def close(self) -> None:
        """From now on none is noted: what is told by a stream."""
        self._open = False

    def take(self) -> list[str]:
        """Those since the last time, which are not told again."""
        taken, self.plates = sorted(self.plates), set()
        return taken


_shown: ContextVar[Shown | None] = ContextVar("shown", default=None)
_veil: ContextVar[Name | None] = ContextVar("veil", default=None)


def note(shown: Shown | None) -> None:
    """For the rest of this context, note there which plates are told."""
    _shown.set(shown)


def cover(name: Name | None) -> None:
    """For the rest of this context plates are told by this name alone; None: as they are."""
    _veil.set(name)


def named(plates: Sequence[str]) -> list[str]:
    """Plates as they may be told, each once."""
    name = _veil.get()
    return list(dict.fromkeys(plates if name is None else map(name, plates)))


def veil() -> Name | None:
    """How plates are told in this context; None: as they are."""
    return _veil.get()


@contextmanager
def lifted() -> Iterator[None]:
    """Within it rows are as they stand, and not noted: what goes back to the log, not to anybody.

    The log holds what is, never a pseudonym.
    """
    veiled, shown = _veil.set(None), _shown.set(None)
    try:
        yield
    finally:
        _veil.reset(veiled)
        _shown.reset(shown)


def refuse(what: str) -> None:
    """Raise Veiled where plates are not told as they are."""
    if _veil.get() is not None:
        raise Veiled(
            f"{what} shows plates as they are, and you are shown pseudonyms: ask somebody who may "
            "see plates"
        )


def refuse_guessing(plate: str | None) -> None:
    """Raise Veiled for a plate with wildcards, where plates are not told as they are."""
    if plate is not None and _veil.get() is not None and set(plate) & _PATTERN:
        raise Veiled(
            "a search with * or ?, or for similar plates, would let a plate be guessed letter by "
            f"letter, and you are shown pseudonyms: give a whole plate, or a pseudonym ({MARK}…)"
        )


def told(rows: list[Row]) -> list[Row]:
    """Rows as they may leave a view for the one who asks; what they tell is noted."""
    if not rows:
        return rows
    shown, name = _shown.get(), _veil.get()
    if shown is not None:
        for column in _SHOWN:
            if column in rows[0]:
                shown.add(_texts(row.get(column) for row in rows))
    if name is not None:
        return [veiled(row, name) for row in rows]
    return rows


def veiled(row: Row, name: Name) -> Row:
    """A row with pseudonyms for its plates; what shows a plate otherwise is left out.

    One that is veiled already stays as it is.
    """
    known = {normalise(text) for column in PLATES for text in _texts([row.get(column)])}
    known |= _shown_before()
    return {column: _veiled(column, value, name, known) for column, value in row.items()}


def _veiled(column: str, value: Any, name: Name, known: set[str]) -> Any:
    if value is not None and column in _WITHHELD:
        return _WITHHELD[column]
    if isinstance(value, dict):
        return {key: _veiled(key, inner, name, known) for key, inner in value.items()}
    if isinstance(value, list):
        # Of the evidence; elsewhere reads are a count.
        kept = [] if column == "reads" else value
        return [_veiled(column, inner, name, known) for inner in kept]
    return _text(column, value, name, known) if isinstance(value, str) and value else value


def _text(column: str, text: str, name: Name, known: set[str]) -> str:
    if column in PLATES:
        return name(text)
    if column in _SAID | _WORDS:
        text = _without(text, known, name)
    if column in _WORDS:
        text = _LIKE.sub(lambda found: _named(found[0], name), text)
    return text


def _named(word: str, name: Name) -> str:
    """A pseudonym for what might be a plate: a word with letters and digits."""
    text = normalise(word)
    mixed = any(c.isdigit() for c in text) and any(c.isalpha() for c in text)
    return name(text) if mixed else word


def _without(text: str, known: Iterable[str], name: Name) -> str:
    """A text with pseudonyms for the plates that are known, however they are written in it."""
    for plate in sorted(known, key=lambda one: (-len(one), one)):
        if len(plate) > 1 and plate in normalise(text):
            written = r"[\W_]*".join(map(re.escape, plate))
            text = re.sub(written, name(plate), text, flags=re.IGNORECASE)
    return text


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            if value and not is_pseudonym(value):
                yield value
        elif isinstance(value, Sequence):
            yield from _texts(value)


def _shown_before() -> set[str]:
    shown = _shown.get()
    return set() if shown is None else {normalise(text) for text in shown.plates}
