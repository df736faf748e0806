"""Rules and lists of a log, whatever else stands on their topics."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from eventlog.log import Append
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from projections.rulebook import RulebookFollower
from rules.alerts.parse import RulesError, parse, rule_of
from schemas.codec import Codec
from schemas.topics import RULES, WATCHLIST

(SOUND,) = parse("rules: [{name: Sound, count: {at_least: 3, within: 1h}}]", "rules").rules
ENTRY: dict[str, Any] = {
    "watchlist": "stolen", "plate": "ABC123", "kind": "deny", "match": "exact",
    "effective_from": 0, "valid_from": None, "valid_to": None, "owner": "", "reason": "",
    "tags": [], "removed": False, "actor": "test",
}  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    with closing(SqliteLog(tmp_path / "log", 1)) as log:
        yield log


@pytest.fixture
def codec(tmp_path: Path, log: SqliteLog) -> Codec:
    made = Codec(SqliteRegistry(tmp_path / "log"))
    made.register()
    return made


def append(log: SqliteLog, codec: Codec, topic: str, name: str, record: Any) -> None:
    log.append(topic, 0, [Append(b"", codec.encode(topic, name, record))])


def version(name: str, definition: str) -> dict[str, Any]:
    return {"name": name, "effective_from": 0, "definition": definition, "actor": "test"}


@pytest.mark.parametrize(
    "definition",
    [
        '{"name": "Odd", "count": {"at_least": Infinity, "within": "1h"}}',
        '{"name": "Odd", "count": {"at_least": 1e999, "within": "1h"}}',
        '{"name": "Odd", "conditions": ' + '{"not": ' * 3000 + "{}" + "}" * 3001,
        '{"name": "Odd\\ud800"}',
        "[]",
        "",
    ],
)
def test_a_definition_that_is_none_is_refused_and_nothing_else(definition: str) -> None:
    with pytest.raises(RulesError):
        rule_of(definition)


def test_what_stands_on_a_topic_and_is_no_rule_is_passed_over(
    log: SqliteLog, codec: Codec, caplog: pytest.LogCaptureFixture
) -> None:
    endless = json.loads(SOUND.definition) | {"count": {"at_least": float("inf"), "within": "1h"}}
    log.append(RULES.name, 0, [Append(b"", b"\0\0\0\0\x7fnone"), Append(b"", None)])
    append(log, codec, RULES.name, "RuleVersion", version("Odd", json.dumps(endless)))
    append(log, codec, RULES.name, "RuleVersion", version("Of another name", SOUND.definition))
    append(log, codec, RULES.name, "RuleVersion", version("Sound", SOUND.definition))
    follower = RulebookFollower(log, codec)
    follower.complete()
    assert follower.book.current("Sound", 1 << 62) == SOUND
    assert follower.book.current("Of another name", 1 << 62) is None
    said = [record.getMessage() for record in caplog.records]
    assert [f"offset {n} is passed over" in one for n, one in enumerate(said)] == [True] * 4


@pytest.mark.parametrize(
    "said",
    [
        {"plate": "*A" * 100_000, "match": "wildcard"},
        {"plate": "***", "match": "wildcard"},
        {"plate": ""},
        {"match": "soundex"},
        {"kind": "nobody knows"},
    ],
)
def test_an_entry_that_nobody_can_state_is_passed_over(
    log: SqliteLog, codec: Codec, said: dict[str, Any]
) -> None:
    append(log, codec, WATCHLIST.name, "WatchlistEntry", ENTRY | said)
    append(log, codec, WATCHLIST.name, "WatchlistEntry", ENTRY | {"watchlist": "sound"})
    follower = RulebookFollower(log, codec)
    follower.complete()
    hits = follower.book.watch.look("ABC123", [], 1 << 62, 0)
    assert [hit["watchlist"] for hit in hits] == ["sound"]


def test_a_plate_that_is_erased_is_watched_no_more_and_its_past_stays_decided(
    log: SqliteLog, codec: Codec
) -> None:
    append(log, codec, WATCHLIST.name, "WatchlistEntry", ENTRY)
    follower = RulebookFollower(log, codec)
    follower.complete()
    at = log.read(WATCHLIST.name, 0, 0, 1)[0].appended_at
    assert follower.book.watch.look("ABC123", [], at, at)
    log.append(WATCHLIST.name, 0, [Append(b"stolen/ABC123", None)])
    follower.complete()
    end = log.read(WATCHLIST.name, 0, 1, 1)[0].appended_at
    assert not follower.book.watch.look("ABC123", [], end + 1, end + 1)
