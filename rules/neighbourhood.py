"""Which texts may be few edits apart: by what is left when characters are left out.

Two texts are ``edits`` apart by optimal string alignment: insertions, deletions, substitutions and
exchanges of neighbours that turn the one into the other, no part being edited twice. If they are k
apart or less, leaving out k characters or less of each can make them equal (the symmetric delete
of Garbe's SymSpell, 2012). So a text is kept under the hashes of all that is left of it, and who
looks for a text looks under those of his; what is found so is a candidate, to be compared.
"""

from itertools import combinations
from zlib import crc32

from rapidfuzz.distance import OSA

MOST_EDITS = 2
"""That a text is kept for: a third would more than double its keys."""
PREFIX = 7
"""Characters that are left out of, as SymSpell does by default: what follows is only compared.

Kept are 29 keys of a text of 7 characters or more; of all 8 they would be 37.
"""


def distance(a: str, b: str, most: int) -> int | None:
    """Edits between two texts if they are ``most`` at most.

    >>> distance("ABC123", "ABC213", 2), distance("ABC123", "AB123", 2), distance("AB", "XYZ", 2)
    (1, 1, None)
    """
    found = OSA.distance(a, b, score_cutoff=most)
    return found if found <= most else None


def kept_keys(text: str) -> list[int]:
    """The keys that a text is kept under: 32 bits with sign, ascending, each once."""
    return sorted(map(_hash, _neighbourhood(text, MOST_EDITS)))


def wanted_keys(text: str, edits: int) -> list[int]:
    """The keys under which texts are found that are so many edits away, or fewer.

    ``edits`` is 0 to MOST_EDITS. The prefix of what is looked for may align with less of what is
    kept, which then lacks as many characters at its end as it has too few: no key is missed.
    """
    return sorted(map(_hash, _neighbourhood(text, edits)))


def _neighbourhood(text: str, edits: int) -> set[str]:
    """What is left of the beginning of a text without 0 to ``edits`` of its characters."""
    start = text[:PREFIX]
    return {
        "".join(kept)
        for number in range(min(edits, len(start)) + 1)
        for kept in combinations(start, len(start) - number)
    }


def _hash(text: str) -> int:
    number = crc32(text.encode("utf-8", "surrogatepass"))
    return number - (1 << 32) if number >= 1 << 31 else number
