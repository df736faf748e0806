"""What a plate says, by all its reads together: evidence summed by place in whole numbers.

The result does not depend on the order of the reads: sums commute, ties go by text. The idea of
aligning outputs and voting by position is ROVER's (Fiscus 1997, doi:10.1109/ASRU.1997.659110).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import isqrt
from operator import add
from typing import Any, NamedTuple

from rapidfuzz.distance import Levenshtein

from rules.grammar import AUTO, Grammar
from rules.similarity import CONFUSABLE, fold
from schemas.records import Alternative, CharacterEvidence

Weights = Sequence[int]
"""Summed weight of each character of a text, per mille of a certain one; then the sum of the
reads' mean weights, per mille; last the number of reads, in thousandths."""

_MEANS, _READS = -2, -1

_WEIGHT = tuple(confidence**3 // 1_000_000 for confidence in range(1001))
"""What a character counts by its confidence, per mille both: its cube, since readers that are
unsure are mostly wrong, not half right. 0.99 counts 0.97, 0.7 a third, 0.5 an eighth."""

_TWINS = ({"0", "O"}, {"1", "I"})  # one and the same in many plates' typefaces
_CERTAIN = 900

MAX_TEXTS = 24
"""Distinct texts remembered of one sighting; the lightest go first."""

MAX_TRACKS = 8
"""Tracks told apart in one sighting; older ones are summed up."""


@dataclass(slots=True)
class Ballot:
    """All that a vote needs of the reads of one sighting, bounded however many there are.

    Frames of one track are not independent: n of them count as the square root of n. So sums
    are kept by track and scaled when counted.
    """

    tracks: dict[str, dict[str, list[int]]] = field(default_factory=dict[str, dict[str, list[int]]])
    """track id → text → Weights of its reads, not scaled"""
    settled: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """text → Weights of tracks no longer told apart, already scaled"""
    only: str | None = None
    """the text that all reads agree on, if they do"""

    def add(self, track_id: str, text: str, confidences: Sequence[int]) -> None:
        """Count one read: normalised ``text``, a confidence of 0 to 1000 for each character."""
        weight = _WEIGHT
        read = [weight[confidence] for confidence in confidences]
        read += (sum(read) // len(text), 1000)
        if text != self.only:
            self.only = None if self.tracks else text
        texts = self.tracks.get(track_id)
        if texts is None:
            if len(self.tracks) >= MAX_TRACKS:
                self._settle(next(iter(self.tracks)))
            self.tracks[track_id] = {text: read}
            return
        sums = texts.get(text)
        if sums is not None:
            texts[text] = list(map(add, sums, read))
            return
        if len(texts) >= MAX_TEXTS:
            del texts[min(texts, key=lambda other: (texts[other][_MEANS], other))]
        texts[text] = read

    def absorb(self, other: "Ballot") -> None:
        """Count everything another ballot holds, for two sightings that prove to be one."""
        if other.tracks and self.only != other.only:
            self.only = None if self.tracks else other.only
        for track_id, texts in other.tracks.items():
            if track_id not in self.tracks:
                while len(self.tracks) >= MAX_TRACKS:
                    self._settle(next(iter(self.tracks)))
                self.tracks[track_id] = {text: list(sums) for text, sums in texts.items()}
                continue
            mine = self.tracks[track_id]
            for text, sums in texts.items():
                _count(mine, text, sums)
        for text, weights in other.settled.items():
            _count(self.settled, text, weights)

    def texts(self) -> dict[str, int]:
        """How many reads said each text, of the tracks still told apart."""
        counts: dict[str, int] = {}
        for texts in self.tracks.values():
            for text, sums in texts.items():
                counts[text] = counts.get(text, 0) + sums[_READS] // 1000
        return counts

    def confidences(self, text: str) -> tuple[int, ...]:
        """Mean confidence of each character over the reads that say ``text``, per mille.

        Empty if none does, as where the vote or the grammar put a text together.
        """
        found = [texts[text] for texts in self.tracks.values() if text in texts]
        if text in self.settled:
            found.append(self.settled[text])
        if not found:
            return ()
        total = [sum(column) for column in zip(*found, strict=True)]
        reads = total[_READS]
        return tuple(round(1000 * _confidence_of(weight, reads)) for weight in total[:_MEANS])

    def on_track(self, track_id: str) -> int:
        """How many reads of one track have been counted, if it is still told apart."""
        return sum(sums[_READS] for sums in self.tracks.get(track_id, {}).values()) // 1000

    def state(self) -> dict[str, Any]:
        """A plain copy, for ``Ballot.of``."""
        return {
            "tracks": {
                track: {text: list(sums) for text, sums in texts.items()}
                for track, texts in self.tracks.items()
            },
            "settled": {text: list(sums) for text, sums in self.settled.items()},
            "only": self.only,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "Ballot":
        """The ballot whose ``state`` was taken; it keeps the values."""
        return cls(**state)

    def weights(self) -> Mapping[str, Weights]:
        """For each text its evidence over all tracks, to be read only."""
        if len(self.tracks) == 1 and not self.settled:
            (texts,) = self.tracks.values()
            return _scaled(texts)
        total = dict(self.settled)
        for texts in self.tracks.values():
            for text, found in _scaled(texts).items():
                _count(total, text, found)
        return total

    def _settle(self, track_id: str) -> None:
        for text, found in _scaled(self.tracks.pop(track_id)).items():
            _count(self.settled, text, found)
        while len(self.settled) > MAX_TEXTS:
            lightest = min(self.settled, key=lambda text: (self.settled[text][_MEANS], text))
            del self.settled[lightest]


def _scaled(texts: dict[str, list[int]]) -> dict[str, list[int]]:
    """The sums of one track, as the square root of so many reads."""
    whole = sum([sums[_READS] for sums in texts.values()])
    if whole == 1000:
        return texts
    scale = isqrt(whole * 1000)
    return {text: [weight * scale // whole for weight in sums] for text, sums in texts.items()}


def _count(total: dict[str, list[int]], text: str, found: list[int]) -> None:
    known = total.get(text)
    total[text] = found if known is None else _sum(known, found)


def _sum(one: list[int], other: list[int]) -> list[int]:
    return list(map(add, one, other))


def supported(text: str, texts: Mapping[str, int]) -> int:
    """How many of the reads of ``texts`` say a sign of ``text``, up to what OCR confuses, where
    fewest do. Those that are longer or shorter say nothing.
    """
    alike = [(fold(other), n) for other, n in texts.items() if len(other) == len(text)]
    return min(
        [sum([n for other, n in alike if other[i] == sign]) for i, sign in enumerate(fold(text))],
        default=0,
    )


class Vote(NamedTuple):
    """The outcome: ``positions`` gives for each character of ``text`` the weight of every
    character read there, ``""`` standing for none, heaviest first.
    """

    text: str
    confidence: float
    positions: list[list[CharacterEvidence]]
    alternatives: list[Alternative]


class Columns(NamedTuple):
    """The weights of all characters by place, ``""`` standing for none."""

    pivot: str
    """the text whose places they are, with those between them that other texts insert"""
    all: dict[tuple[int, int], dict[str, int]]
    """by place of the pivot and insertion after it, in order"""
    said: list[dict[str, int]]
    """those of them at which there is a character"""


class Winner(NamedTuple):
    """The text of a vote, and what is known on the way to it."""

    text: str
    natural: bool
    """fits a grammar, but for O and 0, I and 1, and characters that were in doubt"""
    plain: str
    """the text before the grammar"""
    columns: Columns | None
    """None where they were not needed"""


def winner(weights: Mapping[str, Weights], grammar: Grammar, scope: str = AUTO) -> Winner:
    """The text that the evidence of ``Ballot.weights`` speaks for, by the grammar of ``scope``.

    ``weights`` must not be empty. Reads that together hold more than half of the evidence and
    agree are never outvoted.
    """
    pivot = _pivot(weights)
    if _unrivalled(pivot, weights) and grammar.regions(pivot, scope):
        return Winner(pivot, True, pivot, None)
    plain, columns = _counted(pivot, weights)
    text = grammar.repair(plain, scope, columns.said)
    if not grammar.regions(text, scope):
        return Winner(text, False, plain, columns)
    certain = _WEIGHT[_CERTAIN] * _reads(weights) / 1000
    natural = text == plain or all(
        new == old or {new, old} in _TWINS or column[old] < certain
        for new, old, column in zip(text, plain, columns.said, strict=True)
    )
    return Winner(text, natural, plain, columns)


def vote(
    weights: Mapping[str, Weights],
    grammar: Grammar,
    scope: str = AUTO,
    known: Winner | None = None,
) -> Vote:
    """The ``winner`` with its reasons; that one need not be found again where it is known."""
    if len(weights) == 1:
        ((text, found),) = weights.items()
        if grammar.regions(text, scope):
            return _unanimous(text, found)
    text, _, plain, columns = known or winner(weights, grammar, scope)
    if columns is None:
        _, columns = _counted(text, weights)
    return Vote(
        text=text,
        confidence=_confidence(text, plain, columns.said, _reads(weights)),
        positions=[_ranked(column) for column in columns.said],
        alternatives=_alternatives(text, columns, weights),
    )


def _unanimous(text: str, found: Weights) -> Vote:
    """The vote where all reads say the same and the grammar takes it."""
    reads, confidence = found[_READS], 1.0
    positions: list[list[CharacterEvidence]] = []
    for character, weight in zip(text, found, strict=False):
        confidence *= _certainty(weight, 0, reads)
        positions.append([{"character": character, "weight": weight}])
    return Vote(text, min(0.999, round(confidence, 3)), positions, [])


def _pivot(weights: Mapping[str, Weights]) -> str:
    """The heaviest text."""
    if len(weights) == 1:
        return next(iter(weights))
    heaviest = max([found[_MEANS] for found in weights.values()])
    return min([text for text, found in weights.items() if found[_MEANS] == heaviest])


def _unrivalled(pivot: str, weights: Mapping[str, Weights]) -> bool:
    """Whether each of its characters outweighs all that any others could say there together."""
    if len(weights) == 1:
        return True
    least = min(weights[pivot][:_MEANS])
    for text, found in weights.items():
        if text != pivot:
            least -= max(found[:_MEANS])
    return least > 0


def _reads(weights: Mapping[str, Weights]) -> int:
    """How many reads there are, in thousandths."""
    return sum([found[_READS] for found in weights.values()])


def _counted(pivot: str, weights: Mapping[str, Weights]) -> tuple[str, Columns]:
    """The text of the heaviest characters, and the weights of all at each place."""
    columns = _columns(pivot, weights)
    chosen = [_heaviest(column) for column in columns.values()]
    said = [column for c, column in zip(chosen, columns.values(), strict=True) if c]
    return "".join(chosen), Columns(pivot, columns, said)


def _heaviest(column: Mapping[str, int]) -> str:
    if len(column) == 1:
        return next(iter(column))
    return min(column, key=lambda c: (-column[c], c))


def _ranked(column: Mapping[str, int]) -> list[CharacterEvidence]:
    """A column's characters, heaviest first."""
    items = list(column.items())
    if len(items) > 1:
        items.sort(key=lambda item: (-item[1], item[0]))
    return [{"character": character, "weight": weight} for character, weight in items]


def _columns(pivot: str, weights: Mapping[str, Weights]) -> dict[tuple[int, int], dict[str, int]]:
    """Sum the evidence of every text, aligned to the heaviest of them, the pivot, by place.

    Places are those of the pivot and, between them, those that other texts insert; a text that
    has nothing at a place votes for ``""`` there with its mean weight.
    """
    columns: dict[tuple[int, int], dict[str, int]] = {(i, 0): {} for i in range(len(pivot))}
    straight = list(columns.values())
    filled: dict[tuple[int, int], int] = {}
    for text, found in weights.items():
        pairs = _aligned(pivot, text)
        if not pairs:
            for column, character, weight in zip(straight, text, found, strict=False):
                column[character] = column.get(character, 0) + weight
            continue
        mean = found[_MEANS]
        for key, index in pairs:
            character = "" if index is None else text[index]
            column = columns.setdefault(key, {})
            column[character] = column.get(character, 0) + (mean if index is None else found[index])
            if key[1]:
                filled[key] = filled.get(key, 0) + mean
    if not filled:
        return columns
    total = sum([found[_MEANS] for found in weights.values()])
    for key, mean in filled.items():
        columns[key][""] = total - mean
    return {key: columns[key] for key in sorted(columns)}


@lru_cache(maxsize=4096)
def _aligned(pivot: str, text: str) -> tuple[tuple[tuple[int, int], int | None], ...]:
    """For each place (place of the pivot, insertion after it) the index in ``text``, or None.

    By least edits between the folded texts, so that a confusion never shifts what follows. Empty
    where the two stand character by character.
    """
    if text == pivot:
        return ()
    pairs: list[tuple[tuple[int, int], int | None]] = []
    operations = Levenshtein.opcodes(fold(pivot), fold(text))
    if all(op.tag in ("equal", "replace") for op in operations):
        return ()
    for op in operations:
        if op.tag in ("equal", "replace"):
            pairs.extend(
                ((op.src_start + i, 0), op.dest_start + i) for i in range(op.src_end - op.src_start)
            )
        elif op.tag == "delete":
            pairs.extend(((place, 0), None) for place in range(op.src_start, op.src_end))
        else:
            pairs.extend(
                ((op.src_start - 1, 1 + i), op.dest_start + i)
                for i in range(op.dest_end - op.dest_start)
            )
    return tuple(pairs)


def _confidence(text: str, plain: str, evidence: Sequence[Mapping[str, int]], reads: int) -> float:
    """Probability that the whole text is right, 0 to 0.999, places taken as independent.

    ``plain`` is the text before the grammar.
    """
    whole = 1.0
    for character, heaviest, column in zip(text, plain, evidence, strict=True):
        agreeing = column.get(character, 0)
        if character != heaviest:
            agreeing += sum([column.get(other, 0) for other in CONFUSABLE.get(character, "")])
        against = sum(column.values()) - agreeing
        whole *= _certainty(agreeing, against, reads)
    return min(0.999, round(whole, 3))


@lru_cache(maxsize=65_536)
def _certainty(agreeing: int, against: int, reads: int) -> float:
    """Probability that one place is right, by weights in per mille.

    p is the mean confidence of ``reads`` (thousandths of an effective read) in the character
    chosen, those that disagree counted as none; the net support of further reads leaves
    (1 - p) ** support of doubt. One read alone keeps its own confidence.
    """
    doubt = 1.0 - _confidence_of(agreeing, reads)
    support = (agreeing - against) / 1000
    return 1.0 - (doubt if support <= 1.0 else doubt**support)


def _confidence_of(weight: int, reads: int) -> float:
    """The mean confidence, 0 to 1, that a sum of weights stands for."""
    return min(1.0, weight / reads) ** (1 / 3)


def _alternatives(
    text: str, columns: Columns, weights: Mapping[str, Weights], most: int = 4
) -> list[Alternative]:
    """The likeliest of the heavier other texts read, each with its share of the evidence."""
    if len(weights) == 1:
        return []
    heavier = sorted([(-found[_MEANS], other) for other, found in weights.items() if other != text])
    places = [(key, column, sum(column.values()) or 1) for key, column in columns.all.items()]
    shares = [(-_share(other, columns.pivot, places), other) for _, other in heavier[: 4 * most]]
    return [
        {"text": other, "confidence": round(-share, 3)} for share, other in sorted(shares)[:most]
    ]


def _share(
    text: str, pivot: str, places: Sequence[tuple[tuple[int, int], Mapping[str, int], int]]
) -> float:
    """How much of the evidence, 0 to 1, says what a text does where least of it does: no text is
    likelier than its one sign that nobody else saw. ``places`` are columns and their sums.
    """
    pairs = _aligned(pivot, text)
    if pairs:
        said = {key: "" if index is None else text[index] for key, index in pairs}
    else:
        said = {(place, 0): character for place, character in enumerate(text)}
    return min([column.get(said.get(key, ""), 0) / total for key, column, total in places])
