"""What a flow's process counts of itself, in prometheus_client's own registry.

Served on loopback where ALPR_METRICS_PORT says. In a container, whose ports are published from
outside, Bytewax serves the registry: BYTEWAX_DATAFLOW_API_ENABLED, on BYTEWAX_DATAFLOW_API_PORT and
every address.
"""

from functools import cache

from prometheus_client import Counter


@cache
def consumed() -> Counter:
    """``alpr_messages_consumed_total`` by topic: records read from the log."""
    return Counter("alpr_messages_consumed", "Records read from the log", ("topic",))


@cache
def written() -> Counter:
    """``alpr_database_writes_total``: changes of sightings that the view took."""
    return Counter("alpr_database_writes", "Changes of sightings that the view took")
