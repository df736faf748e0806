"""Plates of several countries as strings, made up by layout and not taken from the rules."""

from dataclasses import dataclass
from random import Random

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
_BARE = str.maketrans("", "", " -.\n")
_GERMAN = ("B", "M", "K", "F", "S", "D", "HH", "HB", "KA", "MA", "DA", "HD", "FR", "OG", "DD")
_BRITISH = (
    "AB",
    "AK",
    "BD",
    "BX",
    "CA",
    "DA",
    "EA",
    "FG",
    "GN",
    "HW",
    "KP",
    "LB",
    "MA",
    "OU",
    "YK",
)
_VIETNAMESE = ("14", "15", "29", "30", "34", "43", "51", "59", "60", "61", "72", "79", "88", "89")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the plates of a region look.

    In a pattern L is a letter of ``letters``, D a digit, P one of ``prefixes``; anything else
    stands for itself. ``weight`` is the region's share among the cars of the city.
    """

    region: str
    weight: int
    patterns: tuple[str, ...]
    letters: str = ALPHABET
    prefixes: tuple[str, ...] = ()


LAYOUTS = (
    Layout("DE", 30, ("P-LL DDDD", "P-LL DDD", "P-L DDDD", "P-L DDD"), prefixes=_GERMAN),
    Layout("FR", 12, ("LL-DDD-LL",), "ABCDEFGHJKLMNPQRSTVWXYZ"),
    Layout(
        "GB",
        12,
        ("P12 LLL", "P63 LLL", "P18 LLL", "P71 LLL", "P24 LLL", "P05 LLL"),
        "ABCDEFGHJKLMNOPRSTUVWXYZ",
        _BRITISH,
    ),
    Layout("IT", 10, ("LL DDDLL",), "ABCDEFGHJKLMNPRSTVWXYZ"),
    Layout("US-CA", 6, ("DLLLDDD",)),
    Layout("US-NY", 4, ("LLL-DDDD",)),
    Layout("US-TX", 4, ("LLL-DDDD",), "BCDFGHJKLMNPRSTVWXYZ"),
    Layout("US-FL", 2, ("LLL LDD",), "ABCDEFGHIJKLMNPQRSTUVWXYZ"),
    Layout("BR", 10, ("LLLDLDD", "LLL-DDDD")),
    Layout("VN", 10, ("PL-DDD.DD", "PL\nDDD.DD"), "ABCDEFGHKLMNPSTUVXYZ", _VIETNAMESE),
)
_WEIGHTED = tuple(layout for layout in LAYOUTS for _ in range(layout.weight))
BY_REGION = {layout.region: layout for layout in LAYOUTS}


def make(rng: Random) -> tuple[str, str]:
    """A plate as it is painted, separators and line feed included, and its region."""
    layout = rng.choice(_WEIGHTED)
    painted: list[str] = []
    for place in rng.choice(layout.patterns):
        if place == "L":
            painted.append(rng.choice(layout.letters))
        elif place == "D":
            painted.append(rng.choice(DIGITS))
        elif place == "P":
            painted.append(rng.choice(layout.prefixes))
        else:
            painted.append(place)
    return "".join(painted), layout.region


def bare(painted: str) -> str:
    """The characters alone, as a normalised read has them."""
    return painted.translate(_BARE)


def normalised(text: str) -> str:
    """What of a read counts for the truth: its letters, upper case, and digits."""
    return "".join(character for character in text.upper() if character.isalnum())


def successor(painted: str, region: str) -> str:
    """The plate issued after this one, as a fleet gets them: the last run counted up by one."""
    letters = BY_REGION[region].letters
    symbols = letters if region == "GB" else DIGITS
    characters = list(painted)
    counting = False
    for place in range(len(characters) - 1, -1, -1):
        character = characters[place]
        if character not in symbols:
            if counting and character.isalnum():
                break
            continue
        counting = True
        up = symbols.index(character) + 1
        characters[place] = symbols[up % len(symbols)]
        if up < len(symbols):
            break
    return "".join(characters)
