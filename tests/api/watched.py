"""A log, the alerts' view that follows it, and what the API is given of both."""

import threading
from pathlib import Path
from typing import Any

from alpr.rules_file import refused
from api.backtests import Backtest, Backtests
from api.cameras import Cameras
from api.heartbeats import Heartbeats
from api.system import System
from api.voice import Voice
from api.watching import Watching
from eventlog.log import Append, LogUnavailable
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog, wall_clock
from projections.alert_queries import AlertQueries
from projections.alert_view import SHOWN, AlertView, alert_change_of
from projections.camera_queries import CameraQueries
from projections.people_queries import PeopleQueries
from projections.people_view import PEOPLE_TOPICS, PeopleView, people_change_of
from schemas.codec import Codec
from schemas.topics import ALERTS, NOTIFICATIONS, RULES, WATCHLIST
from tests.api.audited import unwritten

_KEYS = {
    ALERTS.name: "alert_id",
    NOTIFICATIONS.name: "alert_id",
    RULES.name: "name",
    WATCHLIST.name: "plate",
}
_TOPICS = {
    "AlertEvent": ALERTS.name,
    "NotificationAttempt": NOTIFICATIONS.name,
    "RuleVersion": RULES.name,
    "WatchlistEntry": WATCHLIST.name,
}


class Watched:
    """An embedded log whose alerts' view is kept up by a thread, as ``alpr project`` does."""

    def __init__(self, url: str, folder: Path, backtest: Backtest | None = None) -> None:
        self.log = SqliteLog(folder, 1)
        self.codec = Codec(SqliteRegistry(folder))
        self.codec.register()
        self._view = AlertView(url, self.log.uuid)
        self._people = PeopleView(url, self.log.uuid)
        self._next = dict.fromkeys((*SHOWN, *PEOPLE_TOPICS), 0)
        self.queries = AlertQueries(url)
        self.people = PeopleQueries(url)
        self.voice = Voice(lambda: (self.log, self.codec), wall_clock)
        self.watching = Watching(
            self.queries, self.voice, Backtests(backtest or _nothing), self.people, refused
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def say(self, name: str, *records: Any) -> None:
        """Append records of one kind, and wait until the view has them."""
        topic = _TOPICS[name]
        encoded = [
            Append(one[_KEYS[topic]].encode(), self.codec.encode(topic, name, one))
            for one in records
        ]
        self.log.append(topic, 0, encoded)
        self.settle()

    def records(self, topic: str) -> list[Any]:
        """All that a topic holds."""
        entries = self.log.read(topic, 0, 0, 10_000)
        return [self.codec.decode(entry.value or b"")[1] for entry in entries]

    def settle(self) -> None:
        """Wait until the view is where the log is."""
        for _ in range(1000):
            if all(self._next[topic] >= self.log.end(topic, 0) for topic in self._next):
                return
            self._ended.wait(0.01)
        raise AssertionError("the view does not follow")

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._view.close()
        self._people.close()
        self.queries.close()
        self.people.close()

    def _follow(self) -> None:
        while not self._ended.wait(0.02):
            for topic in self._next:
                at = self._next[topic]
                entries = self.log.read(topic, 0, at, 5000)
                if entries:
                    view = self._view if topic in SHOWN else self._people
                    of = alert_change_of if topic in SHOWN else people_change_of
                    changes = [of(entry, self.codec) for entry in entries]
                    after = entries[-1].offset + 1
                    assert view.apply(topic, 0, at, changes, after) == []
                    self._next[topic] = after


def idle(url: str) -> Watching:
    """What an API is given before there is any alert, or a log."""

    def none() -> tuple[SqliteLog, Codec]:
        raise LogUnavailable("there is no log: no test asked for one")

    return Watching(
        AlertQueries(url),
        Voice(none, wall_clock),
        Backtests(_nothing),
        PeopleQueries(url),
        patience=0,
    )


def whole(url: str) -> dict[str, Any]:
    """The parts of an application for every route there is, where none is to do anything."""
    nobody: Any = object()
    return {
        "watching": idle(url),
        "placed": Cameras(CameraQueries(url), Heartbeats(_no_log, wall_clock)),
        "privacy": unwritten(url),
        "desk": nobody,
        "whole": System((), ()),
        "counts": nobody,
        "forgettings": nobody,
    }


def _no_log() -> tuple[SqliteLog, Codec]:
    raise LogUnavailable("there is no log: no test asked for one")


def _nothing(rules: Any, since: int, progress: Any) -> dict[str, Any]:
    raise AssertionError("no test asked for a backtest")
