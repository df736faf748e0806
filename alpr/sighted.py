"""Whether a read that is to be sent again would double a sighting that the view shows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from alpr.settings import EMBEDDED, Settings
from alpr.wiring import open_database, open_queries
from projections.errors import ViewError
from projections.queries import SightingQueries
from rules.settings import DedupSettings
from rules.similarity import similarity
from rules.text import normalise
from schemas.records import PlateRead

Sighted = Callable[[PlateRead], str | None]
"""The event_id of the sighting that is likest to a read, of its gate and time; None if none is."""


@contextmanager
def asking_the_view(settings: Settings, told: Callable[[str], None]) -> Iterator[Sighted]:
    """What asks the settings' view; ``told`` gets one line where that cannot be asked, which then
    knows of no sighting.
    """
    away = False

    def cannot(why: object) -> None:
        nonlocal away
        away = True
        told(f"sent without asking the view what is sighted already: {why}")

    def never(read: PlateRead) -> None:
        return None

    if settings.database_url == EMBEDDED and not (settings.home / "postgres" / "data").exists():
        cannot("there is none yet")
        yield never
        return
    try:
        database = open_database(settings)
    except ViewError as error:
        cannot(error)
        yield never
        return
    queries = open_queries(database)

    def sighted(read: PlateRead) -> str | None:
        if away:
            return None
        try:
            return likest(queries, settings.dedup, read)
        except ViewError as error:
            cannot(error)
            return None

    try:
        yield sighted
    finally:
        queries.close()
        database.stop()


def likest(queries: SightingQueries, rules: DedupSettings, read: PlateRead) -> str | None:
    """The sighting whose text is alike enough to be of the same car. Raises ViewError."""
    text = normalise(read["text"])
    try:
        captured = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=read["captured_at"])
    except OverflowError:
        return None  # no calendar has that time, so the view has no sighting of it
    found = queries.there(
        read["camera_id"], read["camera_group"], captured, timedelta(seconds=rules.window_s)
    )
    likeness = {row["event_id"]: similarity(row["plate_normalized_text"], text) for row in found}
    alike = [event_id for event_id, alike in likeness.items() if alike >= rules.similarity]
    return str(max(alike, key=lambda event_id: likeness[event_id])) if alike else None
