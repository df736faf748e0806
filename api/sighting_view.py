"""The vote of one sighting in words that need no knowledge of it: pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.view import level, percent
from rules.confusions import aligned

_SHOWN_CANDIDATES = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """A character at one place: its share of all weight there, and how many reads said it."""

    character: str
    percent: int
    level: str
    said: int
    won: bool


@dataclass(frozen=True, slots=True)
class Place:
    """One place of the plate: what stands there, by whose word, and why in a sentence."""

    number: int
    character: str
    why: str
    sure: bool
    candidates: tuple[Candidate, ...]


def places(evidence: Mapping[str, Any], text: str, country: str | None) -> list[Place]:
    """How each character of the vote's text came about; none where no weights are kept."""
    columns: Sequence[Sequence[Mapping[str, Any]]] = evidence["positions"]
    if len(columns) != len(text):
        return []
    said = _said([read["normalized_text"] for read in evidence["reads"]], text)
    return [
        _place(number, character, column, said[number], country)
        for number, (character, column) in enumerate(zip(text, columns, strict=True))
    ]


def _place(
    number: int,
    character: str,
    column: Sequence[Mapping[str, Any]],
    said: Counter[str],
    country: str | None,
) -> Place:
    total = sum(max(one["weight"], 0) for one in column)
    ranked = sorted(column, key=lambda one: (-one["weight"], one["character"]))
    candidates = tuple(
        Candidate(
            character=one["character"] or "∅",
            percent=share,
            level=level(share),
            said=said[one["character"]],
            won=one["character"] == character,
        )
        for one in ranked[:_SHOWN_CANDIDATES]
        for share in [percent(one["weight"] / total if total else 0.0)]
    )
    heaviest = ranked[0]["character"] if ranked else character
    return Place(
        number=number + 1,
        character=character,
        why=_why(character, heaviest, candidates, said, country),
        sure=len(candidates) < 2 and heaviest == character,
        candidates=candidates,
    )


def _why(
    character: str,
    heaviest: str,
    candidates: Sequence[Candidate],
    said: Counter[str],
    country: str | None,
) -> str:
    if heaviest != character:
        where = f"on plates of {country}" if country else "on plates of this form"
        return (
            f"Most of the weight says {heaviest or 'nothing'}, which does not stand here {where}: "
            f"{character} does, and the two are easily mistaken for each other."
        )
    if len(candidates) < 2:
        return f"Every read says {character}."
    others = ", ".join(one.character for one in candidates if not one.won)
    kept, share = sum(said.values()), next(one.percent for one in candidates if one.won)
    told = f"{said[character]} of the {kept} reads kept say {character}" if kept else ""
    lead = f"{told}; with" if told else "With"
    return f"{lead} {share} % of the weight it stands before {others}."


def _said(reads: Sequence[str], text: str) -> list[Counter[str]]:
    """How many of the reads kept say what, at each place of the vote's text."""
    found = [Counter[str]() for _ in text]
    for read in reads:
        place = 0
        for was, stands in aligned(read, text):
            if stands:
                found[place][was] += 1
                place += 1
    return found
