"""Hits of a search as the page shows them: which characters of a plate met what was typed."""

from dataclasses import dataclass
from difflib import SequenceMatcher

from api import view
from projections.queries import Row
from rules.similarity import fold
from rules.text import normalise
from rules.wildcard import normal

WORDS = {
    "within": "within",
    "start_time": "from",
    "end_time": "to",
    "camera": "camera",
    "site": "site",
    "zone": "zone",
    "type": "type",
    "colour": "colour",
    "make": "make",
    "model": "model",
    "direction": "direction",
    "region": "region",
    "status": "status",
    "min_confidence": "confidence from",
    "max_confidence": "confidence to",
    "watchlist": "on the list",
    "tag": "tag",
    "kind": "listed to",
    "looks": "look",
    "include_retracted": "with retracted",
}
"""What a filter is called where those that are set are listed."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A sighting that was found, its plate in pieces: text, and whether it met what was typed."""

    card: view.Card
    pieces: tuple[tuple[str, bool], ...]


def hit(row: Row, typed: str, how: str) -> Hit:
    """A row; ``how`` is the step that found it."""
    card = view.card(row)
    return Hit(card, pieces(card.text, typed, how))


def pieces(text: str, typed: str, how: str) -> tuple[tuple[str, bool], ...]:
    """A plate in pieces. Where all of it was typed, or nothing, there is but one, not marked.

    >>> pieces("34A36837", "34A3683", "beginning")
    (('34A3683', True), ('7', False))
    """
    if how == "pattern":
        met = _of_pattern(normal(typed), text)
    elif how == "within":
        start = text.find(normalise(typed))
        met = set(range(start, start + len(normalise(typed)))) if start >= 0 else set()
    elif how in ("beginning", "near1", "near2", "alike"):
        wanted, here = normalise(typed), text
        if how == "alike":
            wanted, here = fold(wanted), text
        blocks = SequenceMatcher(None, wanted, here, autojunk=False).get_matching_blocks()
        met = {n for block in blocks for n in range(block.b, block.b + block.size)}
    else:
        return ((text, False),)
    if len(met) == len(text):
        return ((text, False),)
    found: list[tuple[str, bool]] = []
    for n, character in enumerate(text):
        if found and found[-1][1] == (n in met):
            found[-1] = (found[-1][0] + character, n in met)
        else:
            found.append((character, n in met))
    return tuple(found)


def _of_pattern(pattern: str, text: str) -> set[int]:
    """Places of the characters that a pattern names, each part at its first place, the last at
    the end; the text follows the pattern.
    """
    met: set[int] = set()
    parts = pattern.split("*")
    at = 0
    for number, part in enumerate(parts):
        last = number == len(parts) - 1 and number > 0
        starts = [len(text) - len(part)] if last else range(at, len(text) - len(part) + 1)
        for start in starts:
            if start >= 0 and all(c in ("?", text[start + n]) for n, c in enumerate(part)):
                met |= {start + n for n, c in enumerate(part) if c != "?"}
                at = start + len(part)
                break
    return met
