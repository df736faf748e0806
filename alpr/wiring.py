"""The only place that builds adapters: which one is behind an interface, the settings' URLs say."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from alpr.settings import EMBEDDED, Settings

if TYPE_CHECKING:
    from edge.detect import PlateDetector
    from edge.recognise import PlateRecogniser
    from eventlog.sqlite import SqliteLog
    from images.store import ImageStore
    from projections.queries import SightingQueries
    from projections.view import SightingsView
    from schemas.codec import Codec

# Rooms are imported where they are built: a process loads only what it works with.


class Database(Protocol):
    """A PostgreSQL to work with until ``stop``."""

    @property
    def url(self) -> str:
        """Where it is; may hold a password."""
        ...

    def ensure(self) -> bool:
        """Bring it up where it died, True then. Raises projections.errors.EmbeddedError."""
        ...

    def stop(self) -> None:
        """Leave it."""
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL that somebody else runs."""

    url: str

    def ensure(self) -> bool:
        """Who runs it sees to it."""
        return False

    def stop(self) -> None:
        """Nothing to leave."""


def open_log(settings: Settings) -> "SqliteLog":
    """The log; made if there is none. Raises eventlog.log.LogError."""
    from eventlog.sqlite import SqliteLog

    return SqliteLog(settings.log_folder, settings.log_partitions)


def open_codec(settings: Settings) -> "Codec":
    """Records to bytes and back, against the log's schema registry."""
    from eventlog.registry import SqliteRegistry
    from schemas.codec import Codec

    return Codec(SqliteRegistry(settings.log_folder))


def open_images(settings: Settings) -> "ImageStore":
    """Where evidence pictures are kept."""
    from images.store import FolderStore

    return FolderStore(settings.images_folder)


def open_database(settings: Settings) -> Database:
    """The read model's database; the embedded one is started and shared by all who open it.

    Raises projections.errors.EmbeddedError.
    """
    if settings.database_url != EMBEDDED:
        return Server(settings.database_url)
    from projections.embedded import EmbeddedPostgres

    return EmbeddedPostgres(settings.home / "postgres")


def open_view(database: Database, log_uuid: str) -> "SightingsView":
    """The writer of the sightings' view; makes its tables. Raises projections.errors.ViewError."""
    from projections.view import SightingsView

    return SightingsView(database.url, log_uuid)


def open_queries(database: Database) -> "SightingQueries":
    """What the API asks the view."""
    from projections.queries import SightingQueries

    return SightingQueries(database.url)


def open_detector(threads: int = 2) -> "PlateDetector":
    """What finds plates in a picture: PaddleOCR's text detector on ONNX Runtime."""
    from edge.detect import TextPlateDetector

    return TextPlateDetector(threads)


def open_recogniser(threads: int = 2) -> "PlateRecogniser":
    """What reads a plate: PaddleOCR's text recogniser on ONNX Runtime."""
    from edge.recognise import TextRecogniser

    return TextRecogniser(threads)
