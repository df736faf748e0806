"""The form of the view of what people said and did, a schema of its own beside the sightings'."""

from projections.schema import Migration, migrate_own, migrations
from projections.shown import PEOPLE

COMMAND = "alpr replay --view people"
CHANNEL = "alpr_people_changes"


def people_migrations() -> tuple[Migration, ...]:
    """The steps of the view; the last one's version is this program's."""
    return migrations("people_migrations")


def channel(schema: str = PEOPLE) -> str:
    """The name to LISTEN on for changes. The payload: their number, a space, the topics' names."""
    return f"{CHANNEL}_{schema}"


def migrate_people(url: str, schema: str = PEOPLE, log_uuid: str | None = None) -> int:
    """Create the view or bring it up to date; the version it now has.

    With ``log_uuid`` it is claimed for that log, or checked to be its. May be called by many
    processes at once. Raises ViewMismatch for a server that is too old, a view of a newer version
    or of another log; ViewUnavailable.
    """
    return migrate_own(url, schema, people_migrations(), COMMAND, log_uuid)
