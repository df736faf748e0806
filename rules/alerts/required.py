"""What a text must hold for a regular expression to be found in it."""

import re
from typing import Literal, NamedTuple

LEAST = 3
"""Characters of a literal that is worth to be looked for: of fewer too many texts hold it."""

_TOKEN = re.compile(
    r"(?P<letter>[A-Za-z0-9])|(?P<any>\.|\\[dDwW]|\[\^?[A-Za-z0-9](?:[A-Za-z0-9-])*\])"
    r"|(?P<open>\((?!\?)|\(\?:)|(?P<close>\))|(?P<or>\|)|(?P<first>\^)|(?P<last>\$)"
)
_TIMES = re.compile(r"(?:[*?]|\{[0-9,]+\})\??|(?P<plus>\+)\??")


class Required(NamedTuple):
    """A literal in capitals and where it stands in the text."""

    literal: str
    place: Literal["prefix", "suffix", "contains"]
    whole: bool
    """Whether the literal at its place is all that the expression says."""


def required(pattern: str) -> Required | None:
    """The longest literal without which RE2, case ignored, finds no match in ASCII text.

    None where there is none of ``LEAST`` characters, or the expression holds more than letters,
    digits, plain classes, groups, repetitions and anchors: then it has to be tried.
    """
    runs: list[tuple[str, int, int]] = []
    run, start, place, depth = "", 0, 0, 0
    while place < len(pattern):
        token = _TOKEN.match(pattern, place)
        if token is None or (token.lastgroup == "or" and depth == 0):
            return None
        times = _TIMES.match(pattern, token.end())
        kind, begin = token.lastgroup, place
        place = times.end() if times else token.end()
        depth += (kind == "open") - (kind == "close")
        letter = kind == "letter" and depth == 0
        if letter and (times is None or times["plus"]):
            start = start if run else begin
            run += token[0]
        if not letter or times:
            runs.append((run, start, begin if not letter else place))
            run = ""
    runs.append((run, start, place))
    literal, start, end = max(runs, key=lambda one: len(one[0]))
    if len(literal) < LEAST:
        return None
    first = pattern.startswith("^") and start == 1
    last = pattern.endswith("$") and end == len(pattern) - 1
    anchors = pattern.startswith("^") + pattern.endswith("$")
    whole = end - start == len(literal) == len(pattern) - anchors and not (first and last)
    return Required(literal.upper(), "prefix" if first else "suffix" if last else "contains", whole)
