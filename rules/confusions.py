"""What corrections tell of reading: which characters were taken for which, and how often."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rules.similarity import CONFUSABLE

# Tenths, as in rules.similarity; a substitution that is not known to be likely costs less than a
# deletion with an insertion, so that a plate of the same length is compared place by place.
_CONFUSED, _OTHER, _GAP = 3, 15, 10


@dataclass(frozen=True, slots=True)
class Judged:
    """What stands of a corrected sighting: the text ``said`` is None where that was as read.

    ``second``: what was said stood among the alternatives of the vote.
    """

    event_id: str
    read: str
    said: str | None
    hidden: bool
    merged: bool
    camera: str
    region: str
    reader: str
    second: bool


@dataclass(slots=True)
class Confusion:
    """A character that was read, '' for none, where another was, '' for none."""

    read: str
    was: str
    count: int = 0
    cameras: Counter[str] = field(default_factory=Counter[str])
    readers: Counter[str] = field(default_factory=Counter[str])
    regions: Counter[str] = field(default_factory=Counter[str])
    event_ids: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Share:
    """What was said of the sightings of one camera, reader or country."""

    name: str
    corrected: int = 0
    no_plate: int = 0
    merged: int = 0


@dataclass(slots=True)
class Report:
    """``corrected``: their text was another; ``confirmed``: it was said to be as read;
    ``second``: what was said stood among the alternatives. Confusions: the most frequent first.
    """

    corrected: int
    confirmed: int
    no_plate: int
    merged: int
    second: int
    confusions: list[Confusion]
    cameras: list[Share]
    readers: list[Share]
    regions: list[Share]


def aligned(read: str, was: str) -> Iterator[tuple[str, str]]:
    """The places of two texts beside each other, '' where one has none.

    A cheapest way of turning one into the other (Wagner and Fischer 1974,
    doi:10.1145/321796.321811), confusable characters counted as nearly the same.

    >>> list(aligned("A8C", "ABCD"))
    [('A', 'A'), ('8', 'B'), ('C', 'C'), ('', 'D')]
    """
    rows = [[column * _GAP for column in range(len(was) + 1)]]
    for place, left in enumerate(read, 1):
        row = [place * _GAP]
        for column, right in enumerate(was, 1):
            row.append(
                min(
                    rows[-1][column - 1] + _step(left, right),
                    rows[-1][column] + _GAP,
                    row[-1] + _GAP,
                )
            )
        rows.append(row)
    pairs: list[tuple[str, str]] = []
    i, j = len(read), len(was)
    while i or j:
        here = rows[i][j]
        if i and j and here == rows[i - 1][j - 1] + _step(read[i - 1], was[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((read[i], was[j]))
        elif j and here == rows[i][j - 1] + _GAP:
            j -= 1
            pairs.append(("", was[j]))
        else:
            i -= 1
            pairs.append((read[i], ""))
    return reversed(pairs)


def report(judged: Iterable[Judged], examples: int = 3) -> Report:
    """What corrections tell; of each confusion so many sightings are named as examples.

    Where more than half of the places differ it was another plate that was read, or a picture
    that was taken: its characters are not compared.
    """
    confusions: dict[tuple[str, str], Confusion] = {}
    cameras: dict[str, Share] = {}
    readers: dict[str, Share] = {}
    regions: dict[str, Share] = {}
    told = Report(0, 0, 0, 0, 0, [], [], [], [])
    for one in judged:
        shares = [
            of.setdefault(name, Share(name))
            for of, name in ((cameras, one.camera), (readers, one.reader), (regions, one.region))
        ]
        wrong = one.said is not None and one.said != one.read
        for share in (told, *shares):
            share.corrected += wrong
            share.merged += one.hidden and one.merged
            share.no_plate += one.hidden and not one.merged
        told.confirmed += one.said == one.read
        told.second += wrong and one.second
        pairs = list(aligned(one.read, one.said or one.read))
        different = [pair for pair in pairs if pair[0] != pair[1]]
        if 2 * len(different) <= len(pairs):
            for read, was in different:
                found = confusions.setdefault((read, was), Confusion(read, was))
                found.count += 1
                found.cameras[one.camera] += 1
                found.readers[one.reader] += 1
                found.regions[one.region] += 1
                if len(found.event_ids) < examples and one.event_id not in found.event_ids:
                    found.event_ids.append(one.event_id)
    told.confusions = sorted(confusions.values(), key=lambda c: (-c.count, c.read, c.was))
    told.cameras, told.readers, told.regions = map(_ranked, (cameras, readers, regions))
    return told


def _ranked(shares: Mapping[str, Share]) -> list[Share]:
    return sorted(shares.values(), key=lambda s: (-(s.corrected + s.no_plate + s.merged), s.name))


def _step(left: str, right: str) -> int:
    if left == right:
        return 0
    return _CONFUSED if right in CONFUSABLE.get(left, "") else _OTHER
