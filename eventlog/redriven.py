"""How a record that was sent again out of `alpr.dlq` is known: by a header."""

import re
from collections.abc import Mapping

REDRIVEN = "redriven"
"""Header of a record that was sent again: how often, and the place that it first had."""


def redriven(topic: str, headers: Mapping[str, bytes]) -> int:
    """How often a record of ``topic`` was sent again; what it caused elsewhere was not."""
    times, _, where = headers.get(REDRIVEN, b"").decode("utf-8", "replace").partition(" ")
    known = re.fullmatch(r"[0-9]{1,4}", times) and where.startswith(f"{topic}/")
    return int(times) if known else 0
