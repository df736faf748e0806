"""The schema registry beside the log."""

import json
from pathlib import Path

import pytest

from eventlog.compatibility import difference
from eventlog.registry import SchemaConflict, SqliteRegistry
from schemas.codec import Codec, schema_text
from schemas.topics import TOPICS, subject
from tests.eventlog.contract import processes


def record(*fields: dict[str, object]) -> str:
    return json.dumps({"type": "record", "name": "R", "namespace": "t", "fields": fields})


A = {"name": "a", "type": "int"}
B = {"name": "b", "type": ["null", "string"], "default": None}
C = {"name": "c", "type": "string"}


def test_a_schema_gets_one_id_for_ever(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path)
    first = registry.register("one", record(A))
    second = registry.register("one", record(A, B))
    assert (first, second) == (1, 2)
    for again in (registry, SqliteRegistry(tmp_path)):
        assert again.register("one", record(A)) == first
        assert again.schema(second) == record(A, B)
        assert again.versions("one") == {1: first, 2: second}


def test_the_same_text_has_the_same_id_under_every_subject(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path)
    assert registry.register("one", record(A)) == registry.register("two", record(A))
    assert registry.subjects() == ["one", "two"]


def test_an_unknown_id_is_a_key_error_and_an_unknown_subject_has_no_versions(
    tmp_path: Path,
) -> None:
    registry = SqliteRegistry(tmp_path)
    with pytest.raises(KeyError):
        registry.schema(1)
    assert registry.versions("one") == {}


def test_a_change_that_cannot_be_read_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path)
    registry.register("one", record(A))
    with pytest.raises(SchemaConflict, match=r"one: .* version 1: t\.R\.c .* no default"):
        registry.register("one", record(A, C))
    assert registry.versions("one") == {1: 1}
    assert registry.register("two", record(A, C)) == 2


E = {"type": "enum", "name": "E", "symbols": ["X", "Y"]}
E_MORE = {**E, "symbols": ["X", "Y", "Z"]}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (record(A), record(A), None),
        (record(A), record({**A, "doc": "said better"}), None),
        (record(A), record(B, A), None),
        (record(A, B), record(A), None),
        (record(A), record(A, C), "t.R.c is in only one of them and has no default"),
        (record(A, C), record(A), "t.R.c is in only one of them and has no default"),
        (record(A), record({**A, "type": "long"}), "t.R.a changed from int to long"),
        (record({**A, "type": E}), record({**A, "type": E_MORE}), "t.E changed from"),
        (
            record({**A, "type": {"type": "array", "items": E}}),
            record({**A, "type": {"type": "array", "items": "int"}}),
            "t.R.a changed from",
        ),
        (record(A), record(A).replace('"R"', '"S"'), "it is about t.S, not t.R"),
    ],
)
def test_what_goes_together(old: str, new: str, why: str | None) -> None:
    found = difference(old, new)
    assert found is None if why is None else why in (found or "")


def test_every_schema_of_ours_goes_with_itself_and_gets_registered(tmp_path: Path) -> None:
    registry = SqliteRegistry(tmp_path)
    Codec(registry).register()
    names = [subject(topic.name, name) for topic in TOPICS.values() for name in topic.records]
    assert registry.subjects() == sorted(names)
    for topic in TOPICS.values():
        for name in topic.records:
            assert difference(schema_text(name), schema_text(name)) is None


def register_many(folder: Path, results: object) -> None:
    registry = SqliteRegistry(folder)
    ids = [registry.register(f"subject {n}", json.dumps(f"t{n}")) for n in range(20)]
    results.put(ids)  # type: ignore[attr-defined]


def test_processes_that_register_at_once_agree(tmp_path: Path) -> None:
    results = processes.Queue()
    everyone = [processes.Process(target=register_many, args=(tmp_path, results)) for _ in range(3)]
    for process in everyone:
        process.start()
    ids = [results.get(timeout=60) for _ in everyone]
    for process in everyone:
        process.join()
    assert ids[0] == ids[1] == ids[2]
    assert sorted(ids[0]) == list(range(1, 21))
