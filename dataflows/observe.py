"""What a flow's process counts of itself, in prometheus_client's own registry.

Served on loopback where ALPR_METRICS_PORT says. In a container, whose ports are published from
outside, Bytewax serves the registry: BYTEWAX_DATAFLOW_API_ENABLED, on BYTEWAX_DATAFLOW_API_PORT and
every address.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from prometheus_client import Counter, Histogram

from eventlog.tracing import tracing


@cache
def consumed() -> Counter:
    """``alpr_messages_consumed_total`` by topic: records read from the log."""
    return Counter("alpr_messages_consumed", "Records read from the log", ("topic",))


@cache
def written() -> Counter:
    """``alpr_database_writes_total``: changes that the views in PostgreSQL took."""
    return Counter("alpr_database_writes", "Changes that the views took")


@cache
def alert_events() -> Counter:
    """``alpr_alert_events_processed_total``: revisions of sightings that met the rules."""
    return Counter("alpr_alert_events_processed", "Revisions of sightings that met the rules")


@cache
def alerts_triggered() -> Counter:
    """``alpr_alert_triggered_total`` by rule: alerts raised."""
    return Counter("alpr_alert_triggered", "Alerts raised", ("rule",))


@cache
def evaluation() -> Histogram:
    """``alpr_rule_evaluation_duration_seconds``: one revision against all rules and lists."""
    return Histogram(
        "alpr_rule_evaluation_duration_seconds",
        "One revision of a sighting against all rules and watchlists",
        buckets=(1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2, 0.1, 1),
    )


@cache
def notifications_sent() -> Counter:
    """``alpr_notifications_sent_total`` by channel: messages that were delivered."""
    return Counter("alpr_notifications_sent", "Messages delivered", ("channel",))


@cache
def notifications_failed() -> Counter:
    """``alpr_notifications_failed_total`` by channel: attempts that were not."""
    return Counter("alpr_notifications_failed", "Attempts that did not deliver", ("channel",))


def trace_shown(step: str, changes: Sequence[Any], began: int) -> None:
    """Add to the traces of sightings that a view took them; ``began`` in microseconds UTC."""
    if (traces := tracing()) is None:
        return
    for change in changes:
        if isinstance(change, dict) and "evidence" in change:
            traces.step(step, change["event_id"], began, status=change["status"])
