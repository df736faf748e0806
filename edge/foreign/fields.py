"""Taking apart what another program sent: values of the kind expected, or where one is not."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


class Untranslatable(Exception):
    """A payload is not what its sender's documentation says; the message names place and cause."""


@dataclass(frozen=True, slots=True)
class Translated:
    """Reads in the form of ``GivenRead``, not checked yet, and cameras said to live."""

    reads: list[dict[str, Any]] = field(default_factory=list)
    alive: list[str] = field(default_factory=list)


def mapping(value: Any, place: str) -> Mapping[str, Any]:
    """A JSON object. Raises Untranslatable."""
    if not isinstance(value, dict):
        raise Untranslatable(f"{place} is no JSON object")
    return value


def items(value: Any, place: str, most: int = 1000) -> Sequence[Any]:
    """A list, [] for null. Raises Untranslatable."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise Untranslatable(f"{place} is no list")
    if len(value) > most:
        raise Untranslatable(f"{place} has more than {most} items")
    return value


def text(value: Any, place: str) -> str:
    """A text that is not empty, or a whole number as one. Raises Untranslatable."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise Untranslatable(f"{place} is missing, or no text")
    return value


def number(value: Any, place: str) -> float:
    """A number. Raises Untranslatable."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e18:
        raise Untranslatable(f"{place} is missing, or no number")
    return float(value)


def camera(value: Any, place: str) -> str:
    """A camera's name as an id: what an id cannot hold becomes a dash. Raises Untranslatable."""
    name = re.sub(r"[^A-Za-z0-9_.\-]+", "-", text(value, place)[:100]).lstrip("-._")
    if not name:
        raise Untranslatable(f"{place} holds no letter and no digit")
    return name


def seconds(value: Any, place: str) -> int:
    """Microseconds UTC of seconds since 1970. Raises Untranslatable."""
    return round(number(value, place) * 1_000_000)


def time(value: Any, place: str) -> int:
    """Microseconds UTC of ISO 8601, without a zone UTC. Raises Untranslatable."""
    try:
        at = datetime.fromisoformat(text(value, place)[:64])
        at = at.replace(tzinfo=at.tzinfo or UTC)
        return round((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
    except (ValueError, OverflowError):
        raise Untranslatable(f"{place} is no time") from None


def corners(value: Any, place: str) -> dict[str, int] | None:
    """A box around corners given as [{x, y}, …]; None where there are none."""
    points = [mapping(point, place) for point in items(value, place, 100)]
    if not points:
        return None
    xs = [number(point.get("x"), place) for point in points]
    ys = [number(point.get("y"), place) for point in points]
    return box(min(xs), min(ys), max(xs), max(ys))


def box(left: float, top: float, right: float, bottom: float) -> dict[str, int]:
    """A box between two corners; what lies outside of the picture is cut off."""
    x, y = max(0, round(left)), max(0, round(top))
    return {"x": x, "y": y, "width": max(0, round(right) - x), "height": max(0, round(bottom) - y)}


def best(value: Any, place: str, name: str) -> str | None:
    """What is likeliest in a list of ``{name, score or confidence}``; None for an empty one."""
    found = [mapping(one, place) for one in items(value, place, 1000)]
    rated = [(_rate(one), str(one[name])[:100]) for one in found if one.get(name)]
    return max(rated, key=lambda pair: pair[0])[1] if rated else None


def region(code: Any) -> str | None:
    """``us-ca`` as US-CA; None for what is no ISO code."""
    if isinstance(code, str) and re.fullmatch(r"[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?", code):
        return code.upper()
    return None


def share(value: Any, place: str, whole: float = 1.0) -> float:
    """A confidence as 0 to 1, of one given as 0 to ``whole``. Raises Untranslatable."""
    return min(1.0, max(0.0, number(value, place) / whole))


def known(**fields: Any) -> dict[str, Any]:
    """The fields that are known."""
    return {name: value for name, value in fields.items() if value is not None}


def heading(degrees: Any) -> str | None:
    """Where something moves in the picture by degrees clockwise: 0 up, 90 right, 180 down."""
    if isinstance(degrees, bool) or not isinstance(degrees, int | float) or not 0 <= degrees <= 360:
        return None
    return ("receding", "right", "approaching", "left")[round(degrees / 90) % 4]


def _rate(one: Mapping[str, Any]) -> float:
    rate = one.get("score", one.get("confidence", 0))
    return float(rate) if isinstance(rate, int | float) and 0 <= rate <= 100 else 0.0
