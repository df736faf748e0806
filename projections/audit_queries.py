"""What the audit is asked: who looked at or did what, when and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from projections.asking import Asking, Row, storable
from projections.grant import among
from projections.schema import DERIVED, LIVE
from projections.shown import FROM, PEOPLE, STANDING, of_plates

_ENTRY = "audit_id, at, actor, action, subject, reason, found"


@dataclass(frozen=True, slots=True)
class AuditSearch:
    """Conditions that must all hold; None and () do not matter.

    ``subjects``: one of them is the subject, or ``pseudonym`` is among what was found. ``since``
    and ``until`` are included.
    """

    actor: str | None = None
    action: str | None = None
    subjects: Sequence[str] = ()
    pseudonym: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The entry after which a page goes on."""

    at: datetime
    audit_id: UUID


class AuditQueries(Asking):
    """Reads the audit; any number of threads may share it. Raises as Asking does."""

    def __init__(self, url: str, connections: int = 2, timeout_ms: int = 5_000) -> None:
        super().__init__(url, LIVE, f"{PEOPLE}.audit", connections, timeout_ms)

    def entries(
        self, search: AuditSearch = AuditSearch(), limit: int = 100, after: Place | None = None
    ) -> list[Row]:
        """Entries that meet every condition, the latest first, from after a place on.

        ``audit_id``, ``at``, ``actor``, ``action``, ``subject``, ``reason``, ``found``.
        """
        conditions: list[str] = []
        values: list[object] = []
        for condition, value in (
            ("actor = %s", search.actor),
            ("action = %s", search.action),
            ("at >= %s", search.since),
            ("at <= %s", search.until),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        if search.subjects or search.pseudonym:
            conditions.append("(subject = ANY(%s) OR found @> %s::text[])")
            values += [list(search.subjects), [search.pseudonym or ""]]
        if after is not None:
            # at DESC, audit_id: a comparison of rows serves one direction alone.
            conditions.append("(at < %s OR (at = %s AND audit_id > %s))")
            values += [after.at, after.at, str(after.audit_id)]
        if not all(map(storable, values)):
            return []
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        return self._all(
            f"SELECT {_ENTRY} FROM {PEOPLE}.audit {where}ORDER BY at DESC, audit_id LIMIT %s",
            [*values, limit],
        )

    def actors(self) -> list[str]:
        """Who is in the audit, by name; found by hops over its index, not by reading all."""
        rows = self._all(
            "WITH RECURSIVE one AS ("
            f"(SELECT actor FROM {PEOPLE}.audit ORDER BY actor LIMIT 1) UNION ALL "
            f"SELECT (SELECT actor FROM {PEOPLE}.audit WHERE actor > one.actor "
            "ORDER BY actor LIMIT 1) FROM one WHERE one.actor IS NOT NULL) "
            "SELECT actor FROM one WHERE actor IS NOT NULL LIMIT 500"
        )
        return [row["actor"] for row in rows]

    def plates(self, pseudonyms: Sequence[str]) -> dict[str, str]:
        """The plates of pseudonyms, of those that are still in the view, there for the one who
        asks.
        """
        if not pseudonyms:
            return {}
        names, cameras = among("event.camera_id")
        theirs = "".join(
            f"AND EXISTS (SELECT FROM {FROM} WHERE {STANDING} AND "
            f"{of_plates('ARRAY[plates.text]')} AND {name}) "
            for name in names
        )
        rows = self._all(
            f"SELECT pseudonym, min(text) AS plate FROM {DERIVED}.plates "
            f"WHERE pseudonym = ANY(%s) {theirs}GROUP BY 1",
            [sorted(set(pseudonyms)), *cameras],
        )
        return {row["pseudonym"]: row["plate"] for row in rows}
