"""Every version of a schema that was ever published can be read by every other."""

from io import BytesIO
from itertools import permutations

import fastavro
import pytest
from hypothesis import given, settings

from eventlog.compatibility import difference
from schemas.codec import parsed, schema_text
from schemas.publish import FOLDER, publish, versions
from schemas.topics import TOPICS
from tests.schemas.generated import records

RECORDS = sorted({name for topic in TOPICS.values() for name in topic.records})
PAIRS = [
    (record, *pair)
    for record in RECORDS
    for pair in [(n, n) for n in versions(record)] + list(permutations(versions(record), 2))
]


@pytest.mark.parametrize("record", RECORDS)
def test_todays_schema_is_the_newest_published(record):
    known = versions(record)
    assert known, f"{record} was never published: run `python -m schemas.publish`"
    newest = max(known)
    assert known[newest] == schema_text(record), (
        f"schemas/avro changed {record} since version {newest}: publish the change as version "
        f"{newest + 1} by `python -m schemas.publish`. What is published is never edited."
    )
    assert list(known) == list(range(1, newest + 1))


def test_nothing_is_published_that_no_topic_holds():
    assert sorted(path.name for path in FOLDER.iterdir()) == RECORDS


@pytest.mark.parametrize(("record", "one", "other"), PAIRS)
def test_all_versions_of_a_record_read_one_another(record, one, other):
    known = versions(record)
    assert difference(known[one], known[other]) is None
    writer, reader = parsed(known[one]), parsed(known[other])

    @settings(max_examples=10, deadline=None)
    @given(records(known[one]))
    def is_read(value):
        body = BytesIO()
        fastavro.schemaless_writer(body, writer, value, strict=True)
        body.seek(0)
        found = fastavro.schemaless_reader(body, writer, reader)
        assert isinstance(found, dict)
        assert {k: v for k, v in found.items() if k in value} == {
            k: v for k, v in value.items() if k in found
        }

    is_read()


def test_publishing_adds_a_version_only_where_something_changed(tmp_path):
    first = publish(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in first) == [
        f"{record}/1.avsc" for record in RECORDS
    ]
    assert publish(tmp_path) == []
    older = tmp_path / "Tick" / "1.avsc"
    older.write_text(older.read_text().replace('"doc"', '"was"', 1))
    assert publish(tmp_path) == [tmp_path / "Tick" / "2.avsc"]
    assert list(versions("Tick", tmp_path)) == [1, 2]
