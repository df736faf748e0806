"""Two sides of alerts, those of the log and those of a replay, kept in a file and compared."""

import sqlite3
from collections.abc import Callable, Set
from dataclasses import asdict, dataclass
from typing import Any

from alpr.moments import SECOND_US, shown
from schemas.records import AlertEvent

HELD = 5_000
"""Alert events between two transactions of the file they are kept in."""
TOP = 10
"""Plates that are named for each rule."""
SHOWN = 100
"""Differences that are named for each rule; all are counted."""

RECORDED, REPLAYED = 0, 1

_TABLES = """
CREATE TABLE alert (
    side INTEGER NOT NULL, alert_id TEXT NOT NULL, rule TEXT NOT NULL, subject TEXT NOT NULL,
    plate TEXT, camera_id TEXT, at INTEGER NOT NULL, said_at INTEGER NOT NULL,
    kind TEXT NOT NULL, stands INTEGER NOT NULL, near INTEGER NOT NULL, message TEXT NOT NULL,
    rests_on TEXT NOT NULL, PRIMARY KEY (side, alert_id)
) WITHOUT ROWID;
CREATE INDEX alert_rule ON alert (side, rule);
"""
# The first `raised` says when; the last word, what and whether it stands.
_UPSERT = """
INSERT INTO alert VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (side, alert_id) DO UPDATE SET
    subject = excluded.subject, plate = excluded.plate, camera_id = excluded.camera_id,
    stands = CASE excluded.kind WHEN 'updated' THEN stands ELSE excluded.stands END,
    near = max(near, excluded.near), message = excluded.message, rests_on = excluded.rests_on
"""
_OTHER = "ON other.side = 1 - one.side AND other.alert_id = one.alert_id"
_PAIRS = f"""
FROM alert AS one LEFT JOIN alert AS other {_OTHER}
WHERE one.side = :side AND one.rule = :rule AND one.said_at >= :since AND one.said_at < :until
"""
_MARKED = "max(one.near, coalesce(other.near, 0))"
_BOTH = "one.stands AND coalesce(other.stands, 0)"
_ALONE = "one.stands AND NOT coalesce(other.stands, 0)"


@dataclass(frozen=True, slots=True)
class Found:
    """An alert of one side alone. ``at`` is event time; ``near_change``: within two seconds of a
    change of rules or lists, where live and replay may differ.
    """

    alert_id: str
    at: int
    plate: str | None
    subject: str
    camera_id: str | None
    message: str
    near_change: bool


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What a rule would have raised. Alerts that were raised and withdrawn again count apart.

    Of those ``raised``, ``same`` were recorded as well and ``new`` were not; ``gone`` were
    recorded and would not be raised. What is near a change of rules or lists counts in none of
    the three, but as ``same_marked``, ``new_marked`` or ``gone_marked``. ``by_time`` has
    how many began in which hour or day (its beginning, microseconds UTC of event time),
    ``plates`` those with the most alerts. ``news`` and ``lost`` name the first ``SHOWN`` that are
    of one side alone, marked ones too.
    ``in_force_since`` is when the log first knew a rule of this name, None if never.
    ``needs`` is how long before an alert this rule looks, None for all there is (microseconds);
    where that is longer than the replay's warm-up, it may raise what it would not have live.
    """

    rule: str
    enabled: bool
    raised: int
    withdrawn: int
    recorded: int
    same: int
    new: int
    gone: int
    same_marked: int
    new_marked: int
    gone_marked: int
    by_time: tuple[tuple[int, int], ...]
    plates: tuple[tuple[str, int], ...]
    news: tuple[Found, ...]
    lost: tuple[Found, ...]
    in_force_since: int | None
    needs: int | None

    @property
    def marked(self) -> int:
        """Of those raised, the ones near a change of rules or lists."""
        return self.same_marked + self.new_marked

    @property
    def differing(self) -> int:
        """Alerts of one side alone, marked ones too."""
        return self.new + self.gone + self.new_marked + self.gone_marked

    def plain(self) -> dict[str, Any]:
        """All of it as values of JSON, times in UTC as text."""
        value = asdict(self)
        value["marked"] = self.marked
        value["by_time"] = {shown(at): count for at, count in self.by_time}
        value["plates"] = dict(self.plates)
        for name in ("news", "lost"):
            value[name] = [asdict(one) | {"at": shown(one.at)} for one in getattr(self, name)]
        if self.in_force_since is not None:
            value["in_force_since"] = shown(self.in_force_since)
        value["needs_s"] = None if self.needs is None else self.needs / SECOND_US
        del value["needs"]
        return value


class TwoSides:
    """The alerts of both sides, in a file that is nobody else's and goes with it."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(_TABLES)
        self._rows: list[tuple[Any, ...]] = []

    def take(self, side: int, event: AlertEvent, said_at: int) -> None:
        """Keep what an event says of its alert; ``said_at`` is the log time that caused it."""
        if event["kind"] not in ("raised", "updated", "withdrawn"):
            return
        self._rows.append(
            (
                side,
                event["alert_id"],
                event["rule"],
                event["subject"],
                event["plate"],
                event["camera_id"],
                event["at"],
                said_at,
                event["kind"],
                int(event["kind"] != "withdrawn"),
                int(event["near_change"]),
                event["message"],
                " ".join(event["event_ids"]),
            )
        )
        if len(self._rows) >= HELD:
            self.flush()

    def flush(self) -> None:
        """Write what is held back."""
        self._db.execute("BEGIN")
        self._db.executemany(_UPSERT, self._rows)
        self._db.execute("COMMIT")
        self._rows.clear()

    def mark(self, near: Set[str], changed: Callable[[int], bool]) -> None:
        """Mark the recorded alerts that rest on sightings ``near`` a change of rules or lists, or
        on none and were said near one: who raised them did not know of a change that came after.
        """
        unmarked = self._db.execute(
            "SELECT alert_id, rests_on, said_at FROM alert WHERE side = 0 AND NOT near"
        )
        found = [
            (alert_id,)
            for alert_id, rests_on, said_at in unmarked
            if (not near.isdisjoint(rests_on.split()) if rests_on else changed(said_at))
        ]
        self._db.executemany("UPDATE alert SET near = 1 WHERE side = 0 AND alert_id = ?", found)

    def spread(self, rule: str, reach: int | None) -> None:
        """Mark what follows from marked differences: of one subject, within ``reach`` after it.

        What one side did not raise lets a cooldown begin there with the next sighting.
        """
        differing = self._db.execute(
            f"SELECT one.side, one.alert_id, one.subject, one.at, {_MARKED} FROM alert AS one"
            f" LEFT JOIN alert AS other {_OTHER} WHERE one.rule = ? AND {_ALONE}"
            " ORDER BY one.subject, one.at, one.alert_id",
            (rule,),
        )
        found: list[tuple[int, str]] = []
        last: tuple[str, int] | None = None
        for side, alert_id, subject, at, marked in differing:
            follows = (
                last is not None and last[0] == subject and (reach is None or at <= last[1] + reach)
            )
            if marked or follows:
                last = subject, at
            if follows and not marked:
                found.append((side, alert_id))
        self._db.executemany("UPDATE alert SET near = 1 WHERE side = ? AND alert_id = ?", found)

    def rules(self) -> list[str]:
        """The names of all rules with alerts."""
        return [name for (name,) in self._db.execute("SELECT DISTINCT rule FROM alert")]

    def result(self, rule: str, *, since: int, until: int, step: int, **facts: Any) -> RuleResult:
        """The two sides of one rule's alerts, compared; ``facts`` are what else there is to say."""
        values = {"rule": rule, "since": since, "until": until, "step": step}
        replayed = values | {"side": REPLAYED}
        recorded = values | {"side": RECORDED}
        raised, withdrawn, same, new, same_marked, new_marked = self._counts(replayed)
        were, _, _, gone, _, gone_marked = self._counts(recorded)
        return RuleResult(
            rule=rule,
            raised=raised,
            withdrawn=withdrawn,
            recorded=were,
            same=same,
            new=new,
            gone=gone,
            same_marked=same_marked,
            new_marked=new_marked,
            gone_marked=gone_marked,
            by_time=self._pairs(
                "SELECT one.at - one.at % :step, count(*) "
                f"{_PAIRS} AND one.stands GROUP BY 1 ORDER BY 1",
                replayed,
            ),
            plates=self._pairs(
                "SELECT coalesce(one.plate, one.subject), count(*) "
                f"{_PAIRS} AND one.stands GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {TOP}",
                replayed,
            ),
            news=self._differing(replayed),
            lost=self._differing(recorded),
            **facts,
        )

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def _counts(self, values: dict[str, Any]) -> tuple[int, int, int, int, int, int]:
        """Standing, withdrawn; of the standing on both sides, on this alone; marked on both sides,
        on this alone.
        """
        wanted = (
            "one.stands",
            "NOT one.stands",
            f"{_BOTH} AND NOT {_MARKED}",
            f"{_ALONE} AND NOT {_MARKED}",
            f"{_BOTH} AND {_MARKED}",
            f"{_ALONE} AND {_MARKED}",
        )
        sums = ", ".join(f"coalesce(sum({one}), 0)" for one in wanted)
        return self._db.execute(f"SELECT {sums} {_PAIRS}", values).fetchone()

    def _pairs(self, query: str, values: dict[str, Any]) -> tuple[tuple[Any, int], ...]:
        return tuple(self._db.execute(query, values))

    def _differing(self, values: dict[str, Any]) -> tuple[Found, ...]:
        rows = self._db.execute(
            "SELECT one.alert_id, one.at, one.plate, one.subject, one.camera_id, one.message,"
            f" {_MARKED} {_PAIRS} AND {_ALONE}"
            f" ORDER BY one.at, one.alert_id LIMIT {SHOWN}",
            values,
        )
        return tuple(Found(*named, near_change=bool(near)) for *named, near in rows)
