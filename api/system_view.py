"""What the system's parts told, as the page shows it."""

from collections.abc import Mapping
from typing import Any

PARTS = ("processes", "lag", "rates", "storage", "servers", "versions", "retention", "settings")

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def shown(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Each of PARTS as ``(told, error)``; one that was not asked is neither."""
    found = {name: parts.get(name, {}) for name in PARTS}
    return {
        "parts": {name: (one.get("told"), one.get("error")) for name, one in found.items()},
        "size": size,
        "span": span,
        "seconds": seconds,
        "spark": spark,
    }


def size(number: int) -> str:
    """Bytes in the unit people would use: ``12 bytes``, ``1.4 GiB``."""
    value, unit = float(number), _UNITS[0]
    for unit in _UNITS:
        if abs(value) < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"


def span(microseconds: int) -> str:
    """A length of time that records are kept: ``7 days``."""
    days = microseconds / 86_400e6
    return f"{days:g} day{'' if days == 1 else 's'}"


def seconds(value: float) -> str:
    """``3 ms``, ``1.2 s``, ``4 min``."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.0f} min"


def spark(values: list[int]) -> str:
    """The points of a line of 100 by 24, the largest value at its top."""
    most = max(values, default=0) or 1
    step = 100 / max(len(values) - 1, 1)
    return " ".join(
        f"{n * step:.1f},{23 - 22 * value / most:.1f}" for n, value in enumerate(values)
    )
