"""What a flow's process counts of itself, in prometheus_client's own registry.

Bytewax serves that registry where BYTEWAX_DATAFLOW_API_ENABLED is set, on
BYTEWAX_DATAFLOW_API_PORT and on every address: publish it on loopback alone, or leave it off.
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
