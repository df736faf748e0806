"""The form of the alerts' view, a schema of its own: a rebuild of the sightings leaves it alone."""

from projections.schema import Migration, migrate_own, migrations

ALERTS_LIVE = "alpr_alerts"
COMMAND = "alpr replay --view alerts"
CHANNEL = "alpr_alert_changes"


def alert_migrations() -> tuple[Migration, ...]:
    """The steps of the alerts' view; the last one's version is this program's."""
    return migrations("alert_migrations")


def channel(schema: str = ALERTS_LIVE) -> str:
    """The name to LISTEN on for changes. The payload: their number, a space, the topics' names."""
    return f"{CHANNEL}_{schema}"


def migrate_alerts(url: str, schema: str = ALERTS_LIVE, log_uuid: str | None = None) -> int:
    """Create the alerts' view or bring it up to date; the version it now has.

    With ``log_uuid`` it is claimed for that log, or checked to be its. May be called by many
    processes at once. Raises ViewMismatch for a server that is too old, a view of a newer version
    or of another log; ViewUnavailable.
    """
    return migrate_own(url, schema, alert_migrations(), COMMAND, log_uuid)
