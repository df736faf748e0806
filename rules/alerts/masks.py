"""Which of many conditions hold of a sighting, asked field by field instead of one by one."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

from rules.alerts.clauses import PLATE, WATCHED, WHEN, Clause, Leaf, Literal, clauses
from rules.alerts.fields import FIELDS, getter
from rules.alerts.holds import folded, holds
from rules.alerts.plates import Patterns
from rules.alerts.rule import Among, Compare, Condition, PlateIs, Scalar
from schemas.records import PlateEvent, WatchHit

CELLS = 4096
"""Values of one field for which is kept what they rule out."""
WORDS = 32
"""Texts that conditions mention of a field that is looked up together with others."""
_MINUTE = 60_000_000
_WHOLE_MINUTES = 94_694_400_000_000
"""From 1973 on every time zone differs from UTC by whole minutes."""

_OTHER = ("other",)
"""The cell of all texts that no condition mentions."""

_Cell = Callable[[PlateEvent, Sequence[WatchHit]], Hashable]


class _Check(NamedTuple):
    """The condition to which a bit belongs, and whether the bit alone says that it holds."""

    number: int
    sure: bool


class Masks:
    """Conditions under numbers, which only ever become more.

    Each clause of a condition is a bit. A field says which bits its value rules out: computed by
    ``holds`` once for each cell of values that no condition tells apart, then remembered. What no
    field rules out holds. So an event costs one look-up and one ``and`` of long integers a field.
    """

    def __init__(self) -> None:
        self._checks: list[_Check] = []
        self._conditions: list[Condition] = []
        self._bits: list[int] = []
        """Of each condition its bits, as a mask; none of one that is found by its plates."""
        self._named: dict[str, list[int]] = {}
        """By plate the conditions that nothing but this plate, or others by name, can fulfil."""
        self._plate = _Plate()
        self._fields: dict[str, _Field] = {}
        self.asks_lists = False
        """Whether a condition speaks of watchlists."""
        self._order: list[_Field | _Joint] = []
        """Those that most is asked of first, so that often nothing is left to ask of the last."""

    def add(self, condition: Condition) -> int:
        """Take a condition; its number."""
        number = len(self._bits)
        made = clauses(condition)
        mask = 0
        plates = _plates(made.any)
        asked = (literal.field for clause in made.any for literal in clause.literals)
        self.asks_lists |= not made.exact or WATCHED in asked
        for plate in plates:
            self._named.setdefault(plate, []).append(number)
        for clause in () if plates else made.any:
            bit = len(self._checks)
            mask |= 1 << bit
            sure = self._file(clause, bit) and made.exact
            self._checks.append(_Check(number, sure))
        self._bits.append(mask)
        self._conditions.append(condition)
        return number

    def bits(self, number: int) -> int:
        """The mask that lets ``match`` look at a condition."""
        return self._bits[number]

    def match(
        self, event: PlateEvent, hits: Sequence[WatchHit], bits: int, numbers: Container[int]
    ) -> set[int]:
        """The numbers of the conditions that hold, of those with these ``bits`` and ``numbers``."""
        text = event["plate"]["normalized_text"]
        found = {
            number
            for number in self._named.get(text, ())
            if number in numbers and holds(self._conditions[number], event, hits)
        }
        left = self._plate.allowed(text, bits)
        if not left:
            return found
        if not self._order:
            self._order = _ordered(self._fields.values())
        for field in self._order:
            if left & field.asking:
                left ^= left & field.denied(event, hits)
        for bit in _ones(left):
            number, sure = self._checks[bit]
            if number not in found and (sure or holds(self._conditions[number], event, hits)):
                found.add(number)
        return found

    def _file(self, clause: Clause, bit: int) -> bool:
        """Tell each field what a clause asks of it; whether that is all that the clause asks."""
        sure = True
        self._order = []
        for name, literals in clause.fields().items():
            if name == PLATE:
                sure = self._plate.add(literals, bit)
                continue
            field = self._fields.get(name)
            if field is None:
                field = self._fields[name] = _field(name)
            field.add(literals, bit)
            field.asking |= 1 << bit
        return sure


class _Field:
    """What the value of one field rules out."""

    def __init__(self, cell: _Cell) -> None:
        self._cell = cell
        self._asked: dict[str, tuple[tuple[Literal, ...], list[int]]] = {}
        self._cells: dict[Hashable, int] = {}
        self.asking = 0
        """The bits that ask something of the field."""

    def add(self, literals: tuple[Literal, ...], bit: int) -> None:
        """Take what the clause of a bit asks."""
        # By its text, as True == 1 in Python, which holds tells apart.
        self._asked.setdefault(repr(literals), (literals, []))[1].append(bit)
        self._forget()

    def denied(self, event: PlateEvent, hits: Sequence[WatchHit]) -> int:
        """The bits that the sighting rules out."""
        return self._of_cell(self._cell(event, hits), event, hits)

    def _of_cell(self, cell: Hashable, event: PlateEvent, hits: Sequence[WatchHit]) -> int:
        mask = self._cells.get(cell)
        if mask is None:
            if len(self._cells) >= CELLS:
                self._cells.clear()
            mask = self._cells[cell] = self._ask(event, hits)
        return mask

    def _forget(self) -> None:
        self._cells.clear()

    def _ask(self, event: PlateEvent, hits: Sequence[WatchHit]) -> int:
        return _mask(
            bit
            for literals, bits in self._asked.values()
            if not all(_holds(literal, event, hits) for literal in literals)
            for bit in bits
        )


class _Values(_Field):
    """A field of the event, its values told apart as far as conditions mention them.

    Clauses that only ask for one of some values are found by value, however many there are.
    """

    def __init__(self, name: str) -> None:
        self.get = getter(name)
        super().__init__(lambda event, _: self._cell_of(self.get(event)))
        self._is_text = FIELDS[name].kind == "text"
        self._of_text: dict[str, int] = {}
        """Of texts as they come what ``denied`` says."""
        self._points: list[float] = []
        """Numbers that conditions mention, ascending."""
        self._texts: set[str] = set()
        """Texts that conditions mention, folded."""
        self._by_value: dict[Scalar, list[int]] = defaultdict(list)
        self._listed = 0

    @property
    def is_word(self) -> bool:
        """Whether it is text of which conditions mention few values."""
        return self._is_text and len(self._texts) <= WORDS

    def add(self, literals: tuple[Literal, ...], bit: int) -> None:
        leaves = [leaf for one in literals for leaf in (*one.yes, *one.no)]
        for leaf in leaves:
            self._mention(leaf)
        among = [leaf for leaf in leaves if isinstance(leaf, Among)]
        if len(literals) == 1 and not literals[0].no and len(among) == len(leaves):
            self._listed |= 1 << bit
            for value in {folded(value) for leaf in among for value in leaf.values}:
                self._by_value[value].append(bit)
            self._forget()
        else:
            super().add(literals, bit)

    def denied(self, event: PlateEvent, hits: Sequence[WatchHit]) -> int:
        value = self.get(event)
        if not isinstance(value, str):
            return self._of_cell(self._cell_of(value), event, hits)
        mask = self._of_text.get(value)
        if mask is None:
            if len(self._of_text) >= CELLS:
                self._of_text.clear()
            mask = self._of_text[value] = self._of_cell(self._cell_of(value), event, hits)
        return mask

    def _forget(self) -> None:
        super()._forget()
        self._of_text.clear()

    def _ask(self, event: PlateEvent, hits: Sequence[WatchHit]) -> int:
        denied = self._listed | super()._ask(event, hits)
        value = folded(self.get(event))
        if value is None:
            return denied
        return denied & ~_mask(self._by_value.get(value, ()))

    def _mention(self, leaf: Leaf) -> None:
        if isinstance(leaf, Compare):
            numbers: list[Scalar] = [leaf.value]
        elif isinstance(leaf, Among):
            numbers = []
            for value in leaf.values:
                one = folded(value)
                if isinstance(one, str):
                    self._texts.add(one)
                else:
                    numbers.append(one)
        else:
            return
        for number in numbers:
            # NaN is equal to nothing, so that nothing is told apart by it.
            if number is not None and not isinstance(number, str) and number == number:  # noqa: PLR0124
                place = bisect_left(self._points, number)
                if place == len(self._points) or self._points[place] != number:
                    insort(self._points, number)

    def _cell_of(self, value: Scalar) -> Hashable:
        if isinstance(value, str):
            text = value.casefold()
            return text if text in self._texts else _OTHER
        if value is None:
            return None
        if isinstance(value, bool):
            return (value,)
        if value != value:  # noqa: PLR0124, NaN
            return ()
        points = self._points
        place = bisect_left(points, value)
        return 2 * place + (place < len(points) and points[place] == value)


class _Joint:
    """What the values of several fields of few texts rule out together, in one look-up."""

    def __init__(self, fields: Sequence[_Values]) -> None:
        self._fields = fields
        self._gets = [field.get for field in fields]
        self._seen: dict[tuple[Scalar, ...], int] = {}
        self.asking = 0
        for field in fields:
            self.asking |= field.asking

    def denied(self, event: PlateEvent, hits: Sequence[WatchHit]) -> int:
        """The bits that the sighting rules out."""
        key = tuple([get(event) for get in self._gets])
        mask = self._seen.get(key)
        if mask is None:
            if len(self._seen) >= CELLS:
                self._seen.clear()
            mask = 0
            for field in self._fields:
                mask |= field.denied(event, hits)
            self._seen[key] = mask
        return mask


def _ordered(fields: Iterable[_Field]) -> list[_Field | _Joint]:
    few: list[_Values] = []
    order: list[_Field | _Joint] = []
    for field in fields:
        if isinstance(field, _Values) and field.is_word:
            few.append(field)
        else:
            order.append(field)
    if few:
        order.append(_Joint(few))
    return sorted(order, key=lambda one: -one.asking.bit_count())


class _Plate:
    """What the text of the plate rules out."""

    def __init__(self) -> None:
        self._patterns = Patterns[int]()
        self._numbers: dict[PlateIs, int] = {}
        self._yes: list[int] = []
        """By pattern: the bits that it lets pass, of those that need a pattern, as a mask."""
        self._no: list[int] = []
        """By pattern: the bits that it rules out, as a mask."""
        self._free = -1
        """The bits that need no pattern, as a mask."""

    def add(self, literals: tuple[Literal, ...], bit: int) -> bool:
        """Take what the clause of a bit asks; whether ``allowed`` says all of it."""
        guards = [literal for literal in literals if not literal.no]
        rest = [literal for literal in literals if literal.no]
        if guards:
            self._free &= ~(1 << bit)
            for leaf in set(min(guards, key=_looseness).yes):
                self._yes[self._number(leaf)] |= 1 << bit
        for literal in rest:
            if len(literal.no) == 1 and not literal.yes:
                self._no[self._number(literal.no[0])] |= 1 << bit
        return len(guards) <= 1 and all(len(one.no) == 1 and not one.yes for one in rest)

    def allowed(self, text: str, among: int) -> int:
        """Of the bits ``among`` those that the text does not rule out."""
        yes = no = 0
        for number in self._patterns.follow(text):
            yes |= self._yes[number]
            no |= self._no[number]
        left = among & (yes | self._free)
        return left & ~no if no else left

    def _number(self, leaf: Leaf) -> int:
        assert isinstance(leaf, PlateIs)
        found = self._numbers.get(leaf)
        if found is None:
            found = self._numbers[leaf] = len(self._yes)
            self._yes.append(0)
            self._no.append(0)
            self._patterns.add(leaf, found)
        return found


def _plates(some: Iterable[Clause]) -> set[str]:
    """The plates of which each clause names one; none if there is a clause that does not."""
    plates: set[str] = set()
    for clause in some:
        named = [one for one in clause.fields().get(PLATE, ()) if not one.no and _is_exact(one)]
        if not named:
            return set()
        plates |= {leaf.pattern for leaf in named[0].yes if isinstance(leaf, PlateIs)}
    return plates


def _is_exact(literal: Literal) -> bool:
    return all(isinstance(leaf, PlateIs) and leaf.match == "exact" for leaf in literal.yes)


def _looseness(literal: Literal) -> tuple[bool, int]:
    """The less the better a literal is to find its clause by."""
    return not _is_exact(literal), len(literal.yes)


def _field(name: str) -> _Field:
    if name == WATCHED:
        return _Field(_lists)
    return _Field(_minute) if name == WHEN else _Values(name)


def _lists(event: PlateEvent, hits: Sequence[WatchHit]) -> Hashable:
    if not hits:
        return None
    return tuple([(hit["watchlist"], hit["kind"], hit["confidence"]) for hit in hits])


def _minute(event: PlateEvent, hits: Sequence[WatchHit]) -> Hashable:
    """Hours begin and end with minutes, which begin everywhere at once."""
    at = event["captured_at"]
    unit = _MINUTE if at >= _WHOLE_MINUTES else 1_000_000
    return event["node"]["timezone"], unit, at // unit


def _holds(literal: Literal, event: PlateEvent, hits: Sequence[WatchHit]) -> bool:
    return any(holds(leaf, event, hits) for leaf in literal.yes) or not all(
        holds(leaf, event, hits) for leaf in literal.no
    )


def _mask(bits: Iterable[int]) -> int:
    mask = 0
    for bit in bits:
        mask |= 1 << bit
    return mask


def _ones(mask: int) -> Iterator[int]:
    """The places of the bits that are set, highest first."""
    while mask:
        place = mask.bit_length() - 1
        yield place
        mask ^= 1 << place
