"""What is asked of a plate's text, and whether a text is meant."""

from dataclasses import dataclass

from rules.neighbourhood import MOST_EDITS, distance
from rules.similarity import fold
from rules.text import normalise
from rules.wildcard import follows, is_pattern, normal


class QuestionError(ValueError):
    """A question that no index answers."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A plate to look for, all of it normal; ``lookup`` makes one.

    ``pattern`` is a text, or holds ``*`` and ``?``; ``near`` a text that is ``edits`` away at most
    (``rules.neighbourhood``). With ``confusable`` characters that OCR takes for one another count
    as equal (``rules.similarity``), in both. None is not asked.
    """

    pattern: str | None
    near: str | None
    edits: int
    confusable: bool

    @property
    def exact(self) -> str | None:
        """The only text that is meant, where there is but one."""
        if self.pattern is None or self.near is not None or self.confusable:
            return None
        return None if is_pattern(self.pattern) else self.pattern

    def means(self, text: str) -> bool:
        """Whether a plate's text is meant."""
        if self.confusable:
            text = fold(text)
        if self.pattern is not None and not follows(self.pattern, text):
            return False
        return self.near is None or distance(self.near, text, self.edits) is not None


def lookup(
    plate: str | None = None,
    near: str | None = None,
    edits: int = 1,
    confusable: bool = False,
) -> Lookup | None:
    """What somebody wrote, however it is written; None where nothing is asked of the plate.

    Raises QuestionError for more edits than MOST_EDITS, or none.
    """
    if plate is None and near is None:
        return None
    if not 1 <= edits <= MOST_EDITS:
        raise QuestionError(f"edits={edits}: ask for 1 to {MOST_EDITS}")
    pattern = None if plate is None else normal(plate)
    wanted = None if near is None else normalise(near)
    if confusable:
        pattern = None if pattern is None else fold(pattern)
        wanted = None if wanted is None else fold(wanted)
    return Lookup(pattern, wanted, edits, confusable)
