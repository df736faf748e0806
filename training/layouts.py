"""How number plates of many countries look, and what may stand on them."""

import string
from dataclasses import dataclass
from random import Random

Colour = tuple[int, int, int]  # BGR

WHITE: Colour = (244, 246, 246)
BLACK: Colour = (28, 26, 24)
EU_BLUE: Colour = (150, 58, 8)
YELLOW: Colour = (30, 190, 245)
GREY: Colour = (175, 175, 175)
BLUE: Colour = (150, 70, 20)
RED: Colour = (30, 30, 190)
GREEN: Colour = (60, 110, 20)
_SAFE = "ABCDEFGHJKLMNPRSTUVWXYZ"  # without I, O and Q, as most countries issue them


@dataclass(frozen=True, slots=True)
class Band:
    """A coloured strip on a plate's edge with a short text; sizes in millimetres."""

    side: str  # left, right or top
    width: float
    colour: Colour
    text: str = ""
    stars: bool = False


@dataclass(frozen=True, slots=True)
class Caption:
    """A line of small print: a state's name, a motto."""

    text: str
    middle: float  # of the plate's height, 0 at the top
    height: float  # millimetres
    colour: Colour


@dataclass(frozen=True, slots=True)
class Layout:
    """How a country's plate looks and what may stand on it.

    A pattern is a line of the plate: `A` a letter, `9` a digit, anything else (space, `-`, `.`)
    itself; `heads` are what a plate may begin with instead of chance (towns, provinces), standing
    for `#`.
    """

    name: str
    country: str  # ISO 3166 alpha-2; a US state as US-CA
    size: tuple[float, float]  # millimetres
    patterns: tuple[tuple[str, ...], ...]
    character: float = 76.0  # height in millimetres
    pen: float = 0.145  # a stroke's width by the character's height
    letters: str = _SAFE
    heads: tuple[str, ...] = ()
    ink: Colour = BLACK
    ground: Colour = WHITE
    bands: tuple[Band, ...] = ()
    captions: tuple[Caption, ...] = ()
    shift: float = 0.0  # of the text, down, in millimetres
    seal: bool = False  # a seal in the first gap of a line

    def matches(self, lines: tuple[str, ...]) -> bool:
        """Whether these lines could stand on a plate of this layout."""
        return any(
            len(pattern) == len(lines)
            and all(self._line_fits(p, line) for p, line in zip(pattern, lines, strict=True))
            for pattern in self.patterns
        )

    def _line_fits(self, pattern: str, line: str) -> bool:
        if pattern.startswith("#"):
            return any(
                line.startswith(head) and self._line_fits(pattern[1:], line[len(head) :])
                for head in self.heads
            )
        kinds = {"A": self.letters, "9": string.digits}
        return len(pattern) == len(line) and all(
            c in kinds.get(p, p) for p, c in zip(pattern, line, strict=True)
        )


_LONG = (520.0, 112.0)
_US = (305.0, 152.0)
_MERCOSUR = (400.0, 130.0)
_VN_LETTERS = "ABCDEFGHKLMNPSTUVXYZ"
_VN_HEADS = ("29", "30", "34", "43", "51", "61", "89")


def _eu(code: str) -> Band:
    return Band("left", 42, EU_BLUE, code, stars=True)


def _europe(
    code: str,
    *patterns: str,
    heads: tuple[str, ...] = (),
    ink: Colour = BLACK,
    ground: Colour = WHITE,
    more: tuple[Band, ...] = (),
    seal: bool = False,
    letters: str = _SAFE,
) -> Layout:
    """A long plate of the European Union, by the sign of the country on its band."""
    iso = {"D": "DE", "F": "FR", "I": "IT", "E": "ES", "A": "AT", "B": "BE", "P": "PT", "S": "SE"}
    iso |= {"H": "HU", "L": "LU", "FIN": "FI", "IRL": "IE", "EST": "EE", "SLO": "SI"}
    country = iso.get(code, code)
    return Layout(
        name=country.lower(),
        country=country,
        size=_LONG,
        patterns=tuple((pattern,) for pattern in patterns),
        heads=heads,
        ink=ink,
        ground=ground,
        bands=(_eu(code), *more),
        seal=seal,
        letters=letters,
    )


def _state(
    code: str,
    name: str,
    motto: str,
    patterns: tuple[str, ...],
    ink: Colour,
    *,
    ground: Colour = WHITE,
    head: Colour | None = None,
) -> Layout:
    """A US state's plate: its name above in ``head`` or the ink, its motto below."""
    captions = [Caption(name, 0.135, 23, head or ink)]
    if motto:
        captions.append(Caption(motto, 0.915, 13, ink))
    return Layout(
        name=f"us-{code.lower()}",
        country=f"US-{code}",
        size=_US,
        patterns=tuple((pattern,) for pattern in patterns),
        character=68,
        pen=0.125,
        ink=ink,
        ground=ground,
        captions=tuple(captions),
        shift=3,
    )


_EUROPE = (
    _europe(
        "D",
        "# AA 9999",
        "# AA 999",
        "# A 9999",
        heads=("B", "HH", "M", "K", "F", "S", "KA", "DA", "LB"),
        seal=True,
    ),
    _europe("F", "AA-999-AA", more=(Band("right", 42, EU_BLUE, "75"),)),
    _europe("I", "AA 999AA", more=(Band("right", 42, EU_BLUE),)),
    _europe("E", "9999 AAA", letters="BCDFGHJKLMNPRSTVWXYZ"),
    _europe("NL", "AA-999-A", "99-AAA-9", "9-AAA-99", ground=YELLOW),
    _europe("PL", "AA 99999", "AAA 9999", "AA 999AA"),
    _europe("RO", "AA 99 AAA", "B 999 AAA"),
    _europe("CZ", "9A9 9999", "9AA 9999"),
    _europe("SK", "AA 999AA", seal=True),
    _europe("H", "AAA-999", "AA AA-999"),
    _europe("A", "AA 9999A", "AA 999AA", seal=True, more=(Band("right", 3, RED),)),
    _europe("B", "9-AAA-999", ink=(35, 25, 130)),
    _europe("P", "AA-99-AA", "99-AA-99"),
    _europe("S", "AAA 999", "AAA 99A"),
    _europe("DK", "AA 99 999", more=(Band("right", 3, RED),)),
    _europe("FIN", "AAA-999"),
    _europe("BG", "A 9999 AA", "AA 9999 AA"),
    _europe("HR", "AA 9999-AA", "AA 999-A"),
    _europe("LT", "AAA 999"),
    _europe("LV", "AA-9999"),
    _europe("EST", "999 AAA"),
    _europe("SLO", "AA AA-999"),
    _europe("IRL", "99-A-9999", "999-AA-999"),
    _europe("L", "AA 9999", ground=YELLOW),
)
_STATES = (
    _state("CA", "California", "", ("9AAA999",), (110, 40, 20), head=(40, 40, 170)),
    _state("TX", "TEXAS", "The Lone Star State", ("AAA-9999",), BLACK),
    _state("NY", "NEW YORK", "EXCELSIOR", ("AAA-9999",), (120, 60, 20)),
    _state("FL", "FLORIDA", "SUNSHINE STATE", ("AA9 9AA", "999 9AA"), GREEN),
    _state(
        "AZ", "ARIZONA", "GRAND CANYON STATE", ("AAA9999",), (90, 30, 60), ground=(170, 200, 235)
    ),
    _state("CO", "COLORADO", "", ("999-AAA", "AAA-A99"), WHITE, ground=(60, 110, 40)),
    _state("GA", "GEORGIA", "PEACH STATE", ("AAA9999",), BLACK, ground=(215, 228, 238)),
    _state("IL", "Illinois", "Land of Lincoln", ("AA 99999", "A99 9999"), RED, head=BLUE),
    _state("IN", "INDIANA", "IN GOD WE TRUST", ("999AAA", "AAA999"), (120, 50, 20)),
    _state("MA", "Massachusetts", "The Spirit of America", ("9AA A99", "999 AA9"), RED),
    _state("MD", "MARYLAND", "", ("9AA9999",), BLACK, head=RED),
    _state("MI", "MICHIGAN", "Pure Michigan", ("AAA 9999",), BLUE),
    _state("MN", "Minnesota", "10,000 lakes", ("999-AAA",), (120, 60, 20), ground=(230, 225, 200)),
    _state("NC", "NORTH CAROLINA", "FIRST IN FLIGHT", ("AAA-9999",), (130, 40, 20), head=RED),
    _state("NJ", "NEW JERSEY", "GARDEN STATE", ("A99-AAA",), BLACK, ground=(130, 215, 240)),
    _state("NV", "NEVADA", "THE SILVER STATE", ("999A99", "99A-999"), BLUE, ground=(225, 220, 205)),
    _state("OH", "OHIO", "BEAUTIFUL OHIO", ("AAA 9999",), BLUE, ground=(240, 235, 225)),
    _state("OR", "OREGON", "", ("999 AAA",), (90, 40, 30), ground=(225, 210, 215)),
    _state(
        "PA", "PENNSYLVANIA", "visitPA.com", ("AAA-9999",), (110, 50, 20), ground=(220, 235, 240)
    ),
    _state("VA", "VIRGINIA", "", ("AAA-9999",), (120, 50, 10)),
    _state("WA", "WASHINGTON", "EVERGREEN STATE", ("AAA9999", "999-AAA"), (110, 60, 20)),
    _state("WI", "WISCONSIN", "America's Dairyland", ("999-AAA",), BLACK, head=RED),
)
_OTHERS = (
    Layout("vn", "VN", _LONG, (("#A-999.99",),), letters=_VN_LETTERS, heads=_VN_HEADS),
    Layout(
        name="vn-two-line",
        country="VN",
        size=(330, 165),
        patterns=(("#A", "999.99"),),
        character=64,
        letters=_VN_LETTERS,
        heads=_VN_HEADS,
    ),
    Layout(
        name="vn-trade",
        country="VN",
        size=(330, 165),
        patterns=(("#A", "999.99"),),
        character=64,
        letters=_VN_LETTERS,
        heads=_VN_HEADS,
        ground=YELLOW,
    ),
    Layout(
        name="vn-motorcycle",
        country="VN",
        size=(190, 140),
        patterns=(("#-A9", "999.99"),),
        character=55,
        letters=_VN_LETTERS,
        heads=_VN_HEADS,
    ),
    Layout("gb", "GB", _LONG, (("AA99 AAA",),)),
    Layout("gb-rear", "GB", _LONG, (("AA99 AAA",),), ground=YELLOW),
    Layout(
        name="gb-two-line",
        country="GB",
        size=(285, 203),
        patterns=(("AA99", "AAA"),),
        character=79,
        ground=YELLOW,
    ),
    Layout("ch", "CH", _LONG, (("AA 999999",), ("AA 99999",)), heads=("ZH", "BE", "GE", "VD")),
    Layout("no", "NO", _LONG, (("AA 99999",),), bands=(Band("left", 42, (130, 40, 10), "N"),)),
    Layout("tr", "TR", _LONG, (("99 AAA 99",),), bands=(Band("left", 42, EU_BLUE, "TR"),)),
    Layout("ua", "UA", _LONG, (("AA 9999 AA",),), bands=(Band("left", 42, EU_BLUE, "UA"),)),
    Layout(
        name="br",
        country="BR",
        size=_MERCOSUR,
        patterns=(("AAA9A99",),),
        character=65,
        letters=string.ascii_uppercase,
        bands=(Band("top", 30, (130, 50, 0), "BRASIL"),),
    ),
    Layout(
        name="br-old",
        country="BR",
        size=_MERCOSUR,
        patterns=(("AAA-9999",),),
        character=63,
        letters=string.ascii_uppercase,
        ground=GREY,
        captions=(Caption("SP - CAMPINAS", 0.15, 16, BLACK),),
        shift=12,
    ),
    Layout(
        name="br-motorcycle",
        country="BR",
        size=(200, 170),
        patterns=(("AAA", "9A99"),),
        character=53,
        letters=string.ascii_uppercase,
        bands=(Band("top", 30, (130, 50, 0), "BRASIL"),),
    ),
    Layout(
        name="ar",
        country="AR",
        size=_MERCOSUR,
        patterns=(("AA 999 AA",),),
        character=65,
        bands=(Band("top", 30, (130, 50, 0), "REPUBLICA ARGENTINA"),),
    ),
    Layout(
        name="mx",
        country="MX",
        size=_US,
        patterns=(("AAA-99-99",), ("AAA-999-A",)),
        character=62,
        captions=(Caption("MEXICO", 0.13, 20, GREEN), Caption("DELANTERA", 0.91, 14, BLACK)),
    ),
    Layout(
        name="au-nsw",
        country="AU",
        size=(372, 134),
        patterns=(("AA-99-AA",), ("AAA-99A",)),
        character=62,
        ground=YELLOW,
        captions=(Caption("NEW SOUTH WALES", 0.9, 13, BLACK),),
        shift=-6,
    ),
    Layout("in", "IN", (500, 120), (("AA 99 AA 9999",),), character=65),
    Layout("in-two-line", "IN", (340, 200), (("AA 99 AA", "9999"),), character=65, ground=YELLOW),
    Layout(
        "cn", "CN", (440, 140), (("A.99999",), ("A.9A999",)), character=74, ink=WHITE, ground=BLUE
    ),
    Layout("za", "ZA", _LONG, (("AA 99 AA",),), captions=(Caption("GP", 0.9, 12, BLUE),), shift=-6),
)
LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (*_OTHERS, *_EUROPE, *_STATES)}


def anywhere(rng: Random) -> Layout:
    """A layout of Europe, of the United States or of elsewhere, as often each, or of no country."""
    group = rng.choice((_EUROPE, _STATES, _OTHERS, None))
    return invented(rng) if group is None else rng.choice(group)


def invented(rng: Random) -> Layout:
    """A plate of no country, of any shape and colours: who has seen many knows the next."""
    shape = rng.choice((1.4, 1.7, 2.0, 2.0, 3.0, 4.0, 4.6)) * rng.uniform(0.9, 1.1)
    wide = rng.uniform(200, 520)
    high = wide / shape
    dark = rng.random() < 0.2
    light, deep = _mixed(rng, 150, 255), _mixed(rng, 0, 120)
    lines = 2 if shape < 2.2 and rng.random() < 0.5 else 1
    line = high / lines
    bands: tuple[Band, ...] = ()
    if rng.random() < 0.3:
        side = rng.choice(("left", "right", "top"))
        text = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(1, 3)))
        bands = (Band(side, rng.uniform(0.12, 0.25) * high, _mixed(rng, 0, 200), text),)
    captions = tuple(
        Caption(
            "".join(rng.choices(string.ascii_uppercase + " ", k=rng.randint(3, 16))),
            middle,
            rng.uniform(0.08, 0.14) * high,
            deep,
        )
        for middle in (0.12, 0.9)
        if lines == 1 and shape < 2.6 and rng.random() < 0.7
    )
    patterns = tuple(_pattern(rng, 7 if lines == 1 else 4) for _ in range(lines))
    return Layout(
        name="invented",
        country="",
        size=(wide, high),
        patterns=(patterns,),
        character=line * rng.uniform(0.45, 0.7 if not captions and not bands else 0.55),
        pen=rng.uniform(0.09, 0.17),
        letters=string.ascii_uppercase,
        ink=light if dark else deep,
        ground=deep if dark else light,
        bands=bands,
        captions=captions,
        seal=rng.random() < 0.15,
    )


def _mixed(rng: Random, low: int, high: int) -> Colour:
    """A colour, mostly nearly grey."""
    grey = rng.uniform(low, high)
    spread = 60 if rng.random() < 0.4 else 8
    blue, green, red = (
        round(min(255.0, max(0.0, grey + rng.uniform(-spread, spread)))) for _ in range(3)
    )
    return blue, green, red


def _pattern(rng: Random, longest: int) -> str:
    signs = "".join(rng.choices("A9", k=rng.randint(2, longest)))
    if len(signs) > 4 and rng.random() < 0.6:
        middle = rng.randint(2, len(signs) - 2)
        signs = signs[:middle] + rng.choice(" -.") + signs[middle:]
    return signs
