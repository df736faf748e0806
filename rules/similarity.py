"""How alike two plate texts are, with the confusions of OCR counted as small."""

from functools import lru_cache

from rapidfuzz.distance import Indel

_CLASSES = ("0OQD", "1IL", "8B", "5S", "2Z", "6G", "4A", "7T", "VY")
"""Characters that OCR takes for one another. Disjoint, so that folding is well defined."""

CONFUSABLE: dict[str, str] = {
    character: "".join(other for other in group if other != character)
    for group in _CLASSES
    for character in group
}
"""For each character the others of its class, likeliest first."""

FOLDED = {c: group[0] for group in _CLASSES for c in group[1:]}
"""The first of its class for each other confusable character."""

_FOLD = str.maketrans(FOLDED)

# Tenths, so that costs are whole numbers.
_CONFUSED, _OTHER, _GAP = 3, 20, 10


@lru_cache(maxsize=65_536)
def fold(text: str) -> str:
    """``text`` with each confusable character replaced by the first of its class."""
    return text.translate(_FOLD)


def cost(a: str, b: str) -> int:
    """Least cost, in tenths, of turning ``a`` into ``b``.

    A confusable substitution costs 3, another 20, an insertion or deletion 10: the weighted
    edit distance of Wagner and Fischer (1974), doi:10.1145/321796.321811.
    """
    if a == b:
        return 0
    # What two texts begin and end with alike costs nothing in some cheapest way.
    start = end = 0
    shorter = min(len(a), len(b))
    while start < shorter and a[start] == b[start]:
        start += 1
    while end < shorter - start and a[-1 - end] == b[-1 - end]:
        end += 1
    a, b = a[start : len(a) - end], b[start : len(b) - end]
    previous = list(range(0, _GAP * (len(b) + 1), _GAP))
    for row, left in enumerate(a, 1):
        current = [row * _GAP]
        confusable = CONFUSABLE.get(left, "")
        for column, right in enumerate(b):
            if left == right:
                step = previous[column]
            elif right in confusable:
                step = previous[column] + _CONFUSED
            else:
                step = previous[column] + _OTHER
            current.append(min(step, previous[column + 1] + _GAP, current[column] + _GAP))
        previous = current
    return previous[-1]


def similarity(a: str, b: str) -> float:
    """1 - cost / length of the longer text: 1 for equal texts, below 0 for strangers.

    >>> similarity("ABC1234", "ABC1234"), round(similarity("ABC1230", "ABC123O"), 3)
    (1.0, 0.957)
    >>> round(similarity("ABC1234", "ABC1235"), 3)
    0.714
    """
    longest = max(len(a), len(b))
    return 1.0 - cost(a, b) / (10 * longest) if longest else 1.0


def single_difference(folded_a: str, folded_b: str) -> int | None:
    """The one place where two folded texts of equal length differ; None if it is not just one."""
    if len(folded_a) != len(folded_b):
        return None
    places = [i for i, (a, b) in enumerate(zip(folded_a, folded_b, strict=True)) if a != b]
    return places[0] if len(places) == 1 else None


def similarity_of_folded(a: str, folded_a: str, b: str, folded_b: str, least: float) -> float:
    """``similarity(a, b)`` where it is at least ``least``, else 0; quick for strangers.

    The insertions and deletions between the folded texts cost no more than the full distance,
    in which a substitution is never cheaper than a deletion with an insertion unless the two
    are confusable; so most pairs are told apart without the full distance.
    """
    if a == b:
        return 1.0
    longest = max(len(a), len(b))
    budget = int((1.0 - least) * longest + 1e-9)
    if Indel.distance(folded_a, folded_b, score_cutoff=budget) > budget:
        return 0.0
    found = 1.0 - cost(a, b) / (10 * longest)
    return found if found >= least else 0.0
