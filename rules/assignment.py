"""Which open sighting a read belongs to, and which two sightings are of one plate."""

from collections.abc import Sequence

from rapidfuzz.distance import Indel, Levenshtein

from rules.boxes import overlap
from rules.group import Group
from rules.settings import DedupSettings
from rules.sighting import SECOND, Sighting
from rules.similarity import fold, similarity, similarity_of_folded, single_difference
from schemas.records import PlateRead

TRACK_BONUS = 0.15
"""What the same track is worth in similarity, so that it wins over a likeness by chance."""
_LEAST_PART = 4  # signs that a part of a plate must have to be known as such


class Assignment:
    """The choice by likeness, track, time and place in the picture, by the settings."""

    def __init__(self, settings: DedupSettings) -> None:
        self._settings = settings
        self._window = int(settings.window_s * SECOND)
        self._doubt = int(settings.doubt_s * SECOND)

    def of(
        self, group: Group, read: PlateRead, text: str, confidences: Sequence[int]
    ) -> tuple[Sighting | None, Sighting | None]:
        """The open sighting a read belongs to, and one of the same track that it contradicts.

        The likest wins, not the first; the same track counts as likeness. Of equals the one seen
        last, then the lower id.
        """
        captured, window = read["captured_at"], self._window
        bound_id = group.by_track.get(read["track_id"])
        bound = None if bound_id is None else group.sightings.get(bound_id)
        if (
            bound is not None
            and bound.text == text
            and bound.first_seen - window <= captured <= bound.last_seen + window
        ):
            return bound, None  # nothing is likelier than the same text on the same track
        if not group.sightings:
            return None, None
        folded = fold(text)
        best: Sighting | None = None
        best_rank = (0.0, 0, "")
        for sighting in self._candidates(group, folded, bound):
            if not sighting.first_seen - window <= captured <= sighting.last_seen + window:
                continue
            if sighting.frame == (read["camera_id"], read["session"], read["frame_number"]):
                box = sighting.frame_box
                if box is not None and overlap(box, read["box"]) >= 0.5:
                    return sighting, None
                if sighting.frame_text != text:
                    continue
            likeness = self._likeness(sighting, read, text, folded, sighting is bound)
            if not likeness and self._near(sighting, captured):
                likeness = self._likeness_but_for_doubt(sighting, folded, confidences)
            rank = (likeness, sighting.last_seen, sighting.event_id)
            if likeness > 0 and (best is None or rank > best_rank):
                best, best_rank = sighting, rank
        best = best or self._half_hidden(group, read, folded)
        rival = bound if bound is not None and bound is not best and best is not None else None
        return best, rival

    def _half_hidden(self, group: Group, read: PlateRead, folded: str) -> Sighting | None:
        """The sighting of a plate of which the read, or all that was read before, shows a part.

        A vehicle in front or the picture's edge hides the rest for a moment; a sighting that was
        read again says no part.
        """
        captured, source = read["captured_at"], (read["camera_id"], read["session"])
        frame = (*source, read["frame_number"])
        found = [
            sighting
            for sighting in group.sightings.values()
            if sighting.source == source
            and sighting.frame != frame
            and self._near(sighting, captured)
            and (
                (sighting.reads == 1 and _part(sighting.folded, folded))
                or _part(folded, sighting.folded)
            )
        ]
        return max(found, key=lambda one: (one.last_seen, one.event_id), default=None)

    def twin(self, group: Group, sighting: Sighting) -> Sighting | None:
        """Another open sighting that a changed vote has proved to be of the same plate."""
        found = [
            other
            for other in map(group.sightings.__getitem__, group.texts.near(sighting.folded))
            if other is not sighting
            and other.text == sighting.text
            and other.first_seen - self._window <= sighting.last_seen
            and sighting.first_seen - self._window <= other.last_seen
        ]
        return min(found, key=_opened) if found else None

    def are_one(self, one: Sighting, rival: Sighting, track_id: str) -> bool:
        """Whether two sightings that a track ties together are one, not different plates.

        They are the same if they differ by length or confusions alone, or if all that the rival
        has is this track, of which as many reads say otherwise.
        """
        if similarity(one.text, rival.text) < self._settings.track_similarity:
            return False
        if not differ(one.folded, rival.folded):
            return True
        outvoted = rival.tracks == 1 and one.ballot.on_track(track_id) >= rival.reads
        return outvoted and self._unsure(one, rival)

    def _candidates(self, group: Group, folded: str, bound: Sighting | None) -> list[Sighting]:
        """The open sightings that may be alike enough to a folded text, and the bound one."""
        # The longer of two texts so alike is at most two characters longer than this one.
        # A doubtful character costs a deletion and an insertion, 2.
        budget = int((1 - self._settings.similarity) * (len(folded) + 2) + 1e-9)
        near = group.texts.near(folded) if budget <= 2 else group.texts.within(folded, budget)
        found = [group.sightings[event_id] for event_id in near]
        if len(found) > 1:
            found.sort(key=lambda s: (Indel.distance(folded, s.folded), s.passed))
        if bound is not None and all(sighting is not bound for sighting in found):
            found.append(bound)
        return found

    def _likeness(
        self, sighting: Sighting, read: PlateRead, text: str, folded: str, bound: bool
    ) -> float:
        settings = self._settings
        if bound:
            likeness = similarity(sighting.text, text)
            confident = (
                read["confidence"] >= settings.confident
                and sighting.confidence >= settings.confident
            )
            # Below 0 there are more differences than half the characters: another plate.
            least = settings.track_similarity if confident else 0.0
            return likeness + TRACK_BONUS if likeness >= least else 0.0
        return similarity_of_folded(
            sighting.text, sighting.folded, text, folded, settings.similarity
        )

    def _near(self, sighting: Sighting, captured: int) -> bool:
        return sighting.first_seen - self._doubt <= captured <= sighting.last_seen + self._doubt

    def _likeness_but_for_doubt(
        self, sighting: Sighting, folded: str, confidences: Sequence[int]
    ) -> float:
        """Likeness of texts that differ in a character of which a reader was in doubt.

        An end that one of them lacks is such: it is the outermost characters that get lost.
        """
        shorter, longer = sorted((sighting.folded, folded), key=len)
        if len(longer) == len(shorter) + 1 and (
            longer.startswith(shorter) or longer.endswith(shorter)
        ):
            known = sighting.ballot.texts()
            return 0.0 if any(differ(fold(t), folded) for t in known) else self._settings.similarity
        place = single_difference(sighting.folded, folded)
        if place is None:
            return 0.0
        if not (
            self._doubtful(confidences, place)
            or self._doubtful(sighting.ballot.confidences(sighting.text), place)
        ):
            return 0.0
        return self._settings.similarity

    def _unsure(self, one: Sighting, other: Sighting) -> bool:
        """Whether two sightings' texts differ where not both are read with confidence."""
        place = single_difference(one.folded, other.folded)
        if place is None:
            return True
        sure = 1000 * self._settings.confident
        return any(
            (s.ballot.confidences(s.text)[place : place + 1] or (0,))[0] < sure
            for s in (one, other)
        )

    def _doubtful(self, confidences: Sequence[int], place: int) -> bool:
        """Whether a character's confidence is low, and lower than that of all its neighbours."""
        if len(confidences) <= place:
            return False
        others = [c for index, c in enumerate(confidences) if index != place]
        doubt = 1000 * self._settings.doubtful
        return confidences[place] < doubt and confidences[place] + 100 <= min(others, default=0)


def _part(less: str, more: str) -> bool:
    """Whether a folded text is much, but not all, of another one."""
    return _LEAST_PART <= len(less) <= len(more) - 2 and less in more


def differ(one: str, other: str) -> bool:
    """Whether two folded texts differ at a place that OCR does not confuse, not just in length."""
    return any(op.tag == "replace" for op in Levenshtein.opcodes(one, other))


def _opened(sighting: Sighting) -> int:
    return sighting.passed
