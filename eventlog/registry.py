"""The numbers of schemas, in a SQLite file beside the log."""

from pathlib import Path

from eventlog.compatibility import difference
from eventlog.files import File, make, translated
from eventlog.log import LogError

_TABLES = """
CREATE TABLE schema (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE version (
    subject TEXT NOT NULL, version INTEGER NOT NULL, schema INTEGER NOT NULL REFERENCES schema (id),
    PRIMARY KEY (subject, version), UNIQUE (subject, schema)
);
"""


class SchemaConflict(LogError):
    """A schema that cannot read what its subject's versions wrote, or be read by them."""


class SqliteRegistry:
    """A ``schemas.codec.SchemaRegistry`` in a folder, for any number of processes.

    Ids begin at 1. As in Confluent's registry, the same text has the same id under every
    subject; each subject counts its versions from 1. A new version must read, and be read by,
    every earlier one (FULL_TRANSITIVE).
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "registry.db"
        if not path.exists():
            with translated(folder):
                folder.mkdir(parents=True, exist_ok=True)
            make(path, _TABLES, {})
        self._file = File(path)
        self._ids: dict[tuple[str, str], int] = {}
        self._texts: dict[int, str] = {}

    def register(self, subject: str, schema: str) -> int:
        """The id of ``schema`` under ``subject``, a new one if it has none yet.

        Raises SchemaConflict where the subject's versions and ``schema`` cannot read each other.
        """
        known = self._ids.get((subject, schema))
        if known is None:
            known = self._ids[subject, schema] = self._find(subject, schema) or self._add(
                subject, schema
            )
        return known

    def find(self, subject: str, schema: str) -> int:
        """The id of ``schema`` under ``subject``; KeyError if it was not registered."""
        known = self._ids.get((subject, schema)) or self._find(subject, schema)
        if known is None:
            raise KeyError(subject)
        self._ids[subject, schema] = known
        return known

    def schema(self, schema_id: int) -> str:
        """The JSON text of a schema; KeyError if there is none with this id."""
        text = self._texts.get(schema_id)
        if text is None:
            with self._file.reading() as db:
                row = db.execute("SELECT text FROM schema WHERE id = ?", (schema_id,)).fetchone()
            if row is None:
                raise KeyError(schema_id)
            text = self._texts[schema_id] = row[0]
        return text

    def subjects(self) -> list[str]:
        """Every subject, sorted."""
        with self._file.reading() as db:
            rows = db.execute("SELECT DISTINCT subject FROM version ORDER BY subject").fetchall()
        return [row[0] for row in rows]

    def versions(self, subject: str) -> dict[int, int]:
        """The schema id of each version of a subject, oldest first; empty if unknown."""
        with self._file.reading() as db:
            return dict(
                db.execute(
                    "SELECT version, schema FROM version WHERE subject = ? ORDER BY version",
                    (subject,),
                ).fetchall()
            )

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _find(self, subject: str, schema: str) -> int | None:
        with self._file.reading() as db:
            row = db.execute(
                "SELECT id FROM schema JOIN version ON schema = id WHERE subject = ? AND text = ?",
                (subject, schema),
            ).fetchone()
        return row[0] if row else None

    def _add(self, subject: str, schema: str) -> int:
        with self._file.writing() as db:
            earlier = db.execute(
                "SELECT version, text FROM version JOIN schema ON id = schema"
                " WHERE subject = ? ORDER BY version",
                (subject,),
            ).fetchall()
            for version, text in earlier:
                if text != schema and (why := difference(text, schema)):
                    raise SchemaConflict(
                        f"{subject}: the schema does not go with version {version}: {why}; "
                        "add and drop only fields with a default"
                    )
            db.execute("INSERT OR IGNORE INTO schema (text) VALUES (?)", (schema,))
            (number,) = db.execute("SELECT id FROM schema WHERE text = ?", (schema,)).fetchone()
            # Another process may have added it since it was looked for.
            db.execute(
                "INSERT OR IGNORE INTO version VALUES (?, ?, ?)",
                (subject, len(earlier) + 1, number),
            )
        return number
