"""What people say of sightings: the fold of a sighting's corrections into what stands of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from rules.text import normalise
from schemas.records import Correction

TEXT, MERGE, NO_PLATE, UNDO = "text", "merge", "no plate", "undo"
KINDS = (TEXT, MERGE, NO_PLATE, UNDO)
LONGEST = 16
"""Characters of a plate that a person may say: more than any country's, which have ten."""


class CorrectionError(ValueError):
    """A correction that means nothing; the message names the field, its value and the cure."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands of a sighting's corrections, and the latest that does.

    ``text`` is what the plate was, normalised; None: as it was read. ``hidden``: it is no plate,
    or one with the sighting ``merged_into``.
    """

    text: str | None
    hidden: bool
    merged_into: str | None
    correction_id: str
    actor: str
    at: int
    comment: str


@dataclass(frozen=True, slots=True)
class Folded:
    """The sighting as people say it is, None: as it was read; and who was undone by whom."""

    standing: Standing | None
    undone: Mapping[str, str]


def fold(corrections: Iterable[Correction]) -> Folded:
    """Fold what was said of one sighting, in the order of its log.

    What was said last about the text stands, and what was said last about whether it counts
    (merge, no plate), each unless undone. An undo of what is unknown, or undone already, or an
    undo itself, does nothing; nor does an id that was there before.
    """
    said: dict[str, Correction] = {}
    undone: dict[str, str] = {}
    for correction in corrections:
        if correction["correction_id"] in said:
            continue
        if correction["kind"] == UNDO:
            earlier = said.get(correction["other"] or "")
            if earlier is not None and earlier["kind"] != UNDO:
                undone.setdefault(earlier["correction_id"], correction["correction_id"])
        said[correction["correction_id"]] = correction
    standing = [one for key, one in said.items() if one["kind"] != UNDO and key not in undone]
    if not standing:
        return Folded(None, undone)
    text = next((one for one in reversed(standing) if one["kind"] == TEXT), None)
    place = next((one for one in reversed(standing) if one["kind"] != TEXT), None)
    latest = standing[-1]
    return Folded(
        Standing(
            text=normalise(text["text"] or "") if text else None,
            hidden=place is not None,
            merged_into=place["other"] if place and place["kind"] == MERGE else None,
            correction_id=latest["correction_id"],
            actor=latest["actor"],
            at=latest["at"],
            comment=latest["comment"],
        ),
        undone,
    )


def checked(correction: Correction) -> Correction:
    """The correction with its ids and its text in one form. Raises CorrectionError."""
    kind, said, other = correction["kind"], correction["text"], correction["other"]
    if kind not in KINDS:
        raise CorrectionError(f"kind={kind!r} is unknown: give one of {', '.join(KINDS)}")
    event_id = _id("event_id", correction["event_id"])
    text = None
    if kind == TEXT:
        text = normalise(said or "")
        if not text:
            raise CorrectionError(f"text={said!r} has no letter and no digit: give the plate")
        if len(text) > LONGEST:
            raise CorrectionError(
                f"text={said!r} has {len(text)} characters, no plate more than {LONGEST}:"
                " shorten it"
            )
    elif said is not None:
        raise CorrectionError(f"text={said!r} says nothing beside kind={kind!r}: leave it out")
    if kind in {MERGE, UNDO}:
        other = _id("other", other or "")
        if kind == MERGE and other == event_id:
            raise CorrectionError(f"other={other!r} is the sighting itself: give another one's id")
    elif other is not None:
        raise CorrectionError(f"other={other!r} says nothing beside kind={kind!r}: leave it out")
    return {
        **correction,
        "event_id": event_id,
        "correction_id": _id("correction_id", correction["correction_id"]),
        "text": text,
        "other": other,
    }


def _id(name: str, value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise CorrectionError(f"{name}={value!r} is no UUID: copy the whole id") from None
