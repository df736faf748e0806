"""Batch borders, crashes and rivals do not show in the view: it is a fold of the log."""

import os
import random
import subprocess
import sys
import threading
import time
from contextlib import closing

import psycopg2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projections.counts import recount
from projections.errors import PositionConflict
from projections.queries import SightingQueries
from projections.view import Change, SightingsView
from tests.projections.sightings import LOG, event_id, progress, sighting

changes = st.lists(
    st.one_of(
        st.builds(
            lambda number, revision, status: sighting(
                number, revision, text=f"N{number}R{revision}", status=status
            ),
            st.integers(0, 3),
            st.integers(0, 4),
            st.sampled_from(["confirmed", "retracted"]),
        ),
        st.builds(lambda number: ("erase", event_id(number)), st.integers(2, 3)),
        st.builds(progress, st.integers(0, 100)),
    ),
    max_size=12,
)
borders = st.sets(st.integers(0, 24))


def fold(log: list[Change]) -> dict[str, int]:
    """The revision that each sighting must have in the end."""
    latest: dict[str, int] = {}
    erased: set[str] = set()
    for change in log:
        if isinstance(change, tuple):
            erased.add(change[1])
        elif "event_id" in change:
            name = change["event_id"]
            latest[name] = max(latest.get(name, -1), change["revision"])
    return {name: revision for name, revision in latest.items() if name not in erased}


def write(view: SightingsView, log: list[Change], cuts: set[int]) -> None:
    position = 0
    for end in [*sorted(cut for cut in cuts if cut < len(log)), len(log)]:
        assert view.apply(0, position, log[position:end], end) == []
        position = end


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(log=changes, cuts=borders)
def test_any_batches_of_any_order_of_doubled_records_give_the_fold(view, url, log, cuts):
    with closing(psycopg2.connect(url, options="-c search_path=alpr")) as connection, connection:
        cursor = connection.cursor()
        cursor.execute("TRUNCATE plate_events, erased_events, view_positions")
        recount(cursor, "alpr")
    doubled = log + log
    write(view, doubled, cuts)
    with closing(SightingQueries(url)) as queries:
        rows = queries.recent(100, retracted=True)
        assert {row["event_id"]: row["revision"] for row in rows} == fold(log)
        assert all(row["plate_text"].endswith(f"R{row['revision']}") for row in rows)
    assert view.positions() == ({0: len(doubled)})
    assert counted(url) == counted(url, anew=True)


def counted(url: str, anew: bool = False) -> list[tuple]:
    """What the view has counted as it wrote, or what there is to count."""
    with closing(psycopg2.connect(url, options="-c search_path=alpr")) as connection:
        cursor = connection.cursor()
        if anew:
            recount(cursor, "alpr")  # and never committed
        cursor.execute("SELECT * FROM plate_events_stats")
        stats = cursor.fetchall()
        cursor.execute("SELECT * FROM sighting_counts ORDER BY kind, name")
        return stats + cursor.fetchall()


def test_of_two_writers_at_once_each_batch_is_written_by_one(view, url):
    won: list[int] = []
    lost: list[int] = []
    batches = 60

    def rival() -> None:
        with closing(SightingsView(url, LOG)) as mine:
            while (position := mine.positions().get(0, 0)) < batches:
                try:
                    mine.apply(0, position, [sighting(position)], position + 1)
                    won.append(position)
                except PositionConflict:
                    lost.append(position)

    threads = [threading.Thread(target=rival) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(batches))
    with closing(SightingQueries(url)) as queries:
        assert queries.stats()["total_events"] == batches


WRITER = """
import sys
from projections.view import SightingsView
from tests.projections.sightings import LOG, sighting
view = SightingsView(sys.argv[1], LOG)
position = view.positions().get(0, 0)
print("writing", flush=True)
while True:
    view.apply(0, position, [sighting(position * 20 + n) for n in range(20)], position + 1)
    position += 1
"""


def test_a_writer_killed_at_any_moment_leaves_rows_and_position_together(view, queries, url):
    chance = random.Random(7)
    before = 0
    for _ in range(10):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, url],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        time.sleep(chance.uniform(0.01, 0.15))
        writer.kill()
        writer.communicate()
        settled(url)
        position = view.positions().get(0, 0)
        assert queries.stats()["total_events"] == position * 20
        assert queries.latest_change() == position * 20
        assert position >= before
        before = position
    assert before > 0


def settled(url: str) -> None:
    """Wait until the server has noticed that the writer is gone."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        while True:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND state <> 'idle'"
            )
            if cursor.fetchone() == (0,):
                return
            time.sleep(0.02)
