"""Rules and backtests as what the pages show: pure, and all text still to be escaped."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from api.alert_view import named, told
from api.view import moment
from projections.queries import Row
from rules.alerts.parse import RulesError, rule_of
from rules.alerts.rule import Rule
from rules.alerts.words import words

_MOST_BARS = 400
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NEW = """\
rules:
  - name: stolen cars
    description: Plates on the list stolen
    severity: critical
    conditions:
      watchlist: stolen
    actions:
      - type: email
        recipients: [gate@example.org]
"""


def empty() -> dict[str, Any]:
    """The page of a rule that is yet to be written."""
    return {
        "name": "",
        "url": "",
        "row": None,
        "text": NEW,
        "words": [],
        "history": [],
        "tries": False,
    }


def rule(row: Row) -> Rule | None:
    """The rule of a row; None where there is none, or one in another program's language."""
    if not row["definition"]:
        return None
    try:
        return rule_of(orjson.dumps(row["definition"]).decode())
    except RulesError:
        return None


def history(versions: Sequence[Row]) -> list[dict[str, Any]]:
    """Versions, the newest first, with the words of each."""
    shown: list[dict[str, Any]] = []
    for row in versions:
        made = rule(row)
        shown.append(
            {
                "version": row["version"],
                "actor": row["actor"],
                "at": told(row["appended_at"]),
                "from": told(row["in_force_from"]),
                "enabled": row["enabled"],
                "words": words(made) if made else [],
            }
        )
    return shown


def result(found: Mapping[str, Any]) -> dict[str, Any]:
    """A backtest's result, its times for people and its charts with every hour or day."""
    since, until = _time(found["since"]), _time(found["until"])
    step = timedelta(microseconds=found["step"])
    return {
        **found,
        "step": "day" if step >= _DAY else "hour",
        "since": moment(since, ""),
        "until": moment(until, ""),
        "rules": [_rule(one, since, until, step) for one in found["rules"]],
    }


def _rule(
    one: Mapping[str, Any], since: datetime, until: datetime, step: timedelta
) -> dict[str, Any]:
    return {
        **one,
        "url": named("/rules", one["rule"]),
        "known": moment(_time(one["in_force_since"]), "") if one["in_force_since"] else None,
        "bars": _bars(one["by_time"], since, until, step),
        "news": [{**f, "at": moment(_time(f["at"]), "")} for f in one["news"]],
        "lost": [{**f, "at": moment(_time(f["at"]), "")} for f in one["lost"]],
    }


def _bars(
    by_time: Mapping[str, int], since: datetime, until: datetime, step: timedelta
) -> list[dict[str, Any]]:
    """The columns of a chart of 100 by 100, one an hour or day, those of none too."""
    counts = {_place(_time(at), step): count for at, count in by_time.items()}
    # What happened before may have been appended since, so the chart may begin before, too.
    first = min([_place(since, step), *counts])
    last = max([_place(until, step), *counts])
    places = range(max(first, last - _MOST_BARS), last + 1)
    most = max(counts.values(), default=0) or 1
    wide = 100 / len(places)
    return [
        {
            "x": round(number * wide, 3),
            "wide": round(wide * 0.8, 3),
            "height": round(100 * counts.get(place, 0) / most, 2),
            "alerts": counts.get(place, 0),
            "at": _label(place, step),
        }
        for number, place in enumerate(places)
    ]


def _place(at: datetime, step: timedelta) -> int:
    return (at - _EPOCH) // step


def _label(place: int, step: timedelta) -> str:
    shown = moment(_EPOCH + place * step, "")
    return shown.date if step >= _DAY else shown.exact


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
