"""The audit is found by who, what, when and which plate, page by page."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg2
import pytest

from projections.audit_queries import AuditQueries, AuditSearch, Place
from projections.schema import migrate_beside
from projections.view import SightingsView
from tests.projections.sightings import LOG

NOON = datetime(2025, 6, 15, 12, tzinfo=UTC)
ONE, OTHER = "~aaaaaaaaaaaa", "~bbbbbbbbbbbb"


@pytest.fixture(scope="module")
def queries(postgres_url: str) -> Iterator[AuditQueries]:
    SightingsView(postgres_url, LOG).close()
    migrate_beside(postgres_url)
    rows = [
        (NOON, "user:anna", "search", f"plate:{ONE}", "case 17", [ONE]),
        (NOON + timedelta(minutes=1), "user:anna", "list", "recent", "", [ONE, OTHER]),
        (NOON + timedelta(minutes=2), "user:bert", "search", f"near:{ONE}", "", []),
        (NOON + timedelta(minutes=2), "user:bert", "view", "sighting:1", "", [OTHER]),
    ]
    with psycopg2.connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE alpr_people.audit")
        for at, actor, action, subject, reason, found in rows:
            cursor.execute(
                "INSERT INTO alpr_people.audit (audit_id, at, actor, action, subject, reason, "
                "found) VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (str(uuid4()), at, actor, action, subject, reason, found),
            )
    with closing(AuditQueries(postgres_url)) as made:
        yield made


def subjects(queries: AuditQueries, **search: object) -> set[str]:
    return {row["subject"] for row in queries.entries(AuditSearch(**search))}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ({"actor": "user:anna"}, {f"plate:{ONE}", "recent"}),
        ({"action": "search"}, {f"plate:{ONE}", f"near:{ONE}"}),
        ({"since": NOON + timedelta(minutes=2)}, {f"near:{ONE}", "sighting:1"}),
        ({"until": NOON}, {f"plate:{ONE}"}),
        (
            {"subjects": [f"plate:{ONE}", f"near:{ONE}"], "pseudonym": ONE},
            {f"plate:{ONE}", "recent", f"near:{ONE}"},
        ),
        ({"subjects": [f"plate:{OTHER}"], "pseudonym": OTHER}, {"recent", "sighting:1"}),
        ({"actor": "nul\0"}, set()),
    ],
)
def test_entries_are_found_by_each_condition(
    queries: AuditQueries, search: dict[str, object], found: set[str]
):
    assert subjects(queries, **search) == found


def test_pages_go_on_where_the_one_before_ended(queries: AuditQueries):
    whole = [row["audit_id"] for row in queries.entries()]
    paged, after = [], None
    while rows := queries.entries(limit=1, after=after):
        paged.append(rows[0]["audit_id"])
        after = Place(rows[0]["at"], rows[0]["audit_id"])
    assert paged == whole
    assert len(whole) == 4


def test_everybody_in_the_audit_is_named_once(queries: AuditQueries):
    assert queries.actors() == ["user:anna", "user:bert"]
