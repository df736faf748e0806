"""Whether this process traces, and with what; apart, so that who does not loads nothing for it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventlog.traces import Traces

_installed: "Traces | None" = None


def install(traces: "Traces | None") -> None:
    """Have this process trace, or not any more."""
    global _installed  # noqa: PLW0603 (a process traces or does not)
    _installed = traces


def tracing() -> "Traces | None":
    """What this process traces with; None where it does not."""
    return _installed
