"""The alerts that a set of sightings stands for, by the plainest way there is: the oracle."""

from collections import defaultdict
from itertools import combinations, pairwise
from typing import Any, NamedTuple

from rules.alerts.identity import alert_id
from rules.alerts.rule import Convoy, Count, Dwell, Rule, Sequence, Travel, Unseen

DAY = 86_400_000_000


class Seen(NamedTuple):
    """A sighting as it is in the end; ``root`` is what its alerts are named by."""

    at: int
    event_id: str
    root: str
    plate: str
    camera_id: str
    zone: str
    last_seen: int
    place: tuple[float, float] | None
    km: Any


Alerts = dict[str, tuple[Any, ...]]
"""What stands, by alert_id: plate, count and sighting."""


def alerts(rule: Rule, seen: list[Seen], now: int) -> Alerts:  # noqa: PLR0911, one a pattern
    """All alerts of a rule over sightings that count for it, once time has come to ``now``."""
    seen = sorted(seen)
    match rule.pattern:
        case None:
            return _each(seen, lambda s: s.plate, lambda k, row: _single(rule, k, row))
        case Count(within=None, by=by):
            return _each(
                seen,
                lambda s: (_value(s, by), s.at // DAY),
                lambda k, row: _daily(rule, rule.pattern, k, row),
            )
        case Count(by=by):
            return _each(
                seen, lambda s: _value(s, by), lambda k, row: _sliding(rule, rule.pattern, k, row)
            )
        case Dwell(longer=longer):
            return _each(seen, lambda s: s.plate, lambda k, row: _dwell(rule, longer, k, row, now))
        case Unseen(longer=longer):
            return _each(seen, lambda s: s.plate, lambda k, row: _unseen(rule, longer, k, row))
        case Sequence(steps=steps, within=within):
            return _each(
                seen, lambda s: s.plate, lambda k, row: _route(rule, len(steps), within, k, row)
            )
        case Travel():
            return _each(seen, lambda s: s.plate, lambda k, row: _clone(rule, rule.pattern, k, row))
        case Convoy():
            return _convoys(rule, rule.pattern, seen)
    raise AssertionError


def _each(seen, key, of) -> Alerts:
    rows = defaultdict(list)
    for one in seen:
        rows[key(one)].append(one)
    return {name: said for k, row in rows.items() for name, said in of(k, row).items()}


def _value(one: Seen, by: str) -> str:
    return {"plate": one.plate, "camera_id": one.camera_id, "zone": one.zone, "": "all"}[by]


def _single(rule, plate, row) -> Alerts:
    found: Alerts = {}
    first = None
    for one in row:
        if first is None or one.at >= first.at + rule.cooldown:
            first, count = one, 0
        count += 1
        found[alert_id(rule.name, first.root)] = (plate, count, first.event_id)
    return found


def _sliding(rule, pattern, subject, row) -> Alerts:
    found: Alerts = {}
    plate = subject if pattern.by == "plate" else None
    run: list[Seen] = []
    name, most, lead = "", 0, row[0]
    for one in row:
        window = [o for o in row[: row.index(one) + 1] if one.at - pattern.within < o.at]
        there = len({o.plate for o in window}) if pattern.distinct else len(window)
        if there < pattern.at_least:
            run = []
            continue
        if not run or one.at - run[-1].at >= pattern.within:
            name, lead, run, most = alert_id(rule.name, subject, one.root), one, [one], there
            base = there
        else:
            run.append(one)
            most = max(most, there) if pattern.distinct else base + len(run) - 1
        found[name] = (plate, most, lead.event_id)
    return found


def _daily(rule, pattern, key, row) -> Alerts:
    value, day = key
    for place, one in enumerate(row):
        there = row[: place + 1]
        if (len({o.plate for o in there}) if pattern.distinct else len(there)) < pattern.at_least:
            continue
        total = len({o.plate for o in row}) if pattern.distinct else len(row)
        ordinal = day + 719_163  # 1970-01-01 as datetime counts days
        plate = value if pattern.by == "plate" else None
        return {alert_id(rule.name, value, ordinal): (plate, total, one.event_id)}
    return {}


def _dwell(rule, longer, plate, row, now) -> Alerts:
    found: Alerts = {}
    inside = None
    for one in row:
        if one.camera_id == "c1" and inside is not None and one.at > inside.at:
            if one.at > inside.at + longer:
                found[alert_id(rule.name, inside.root)] = (plate, 1, inside.event_id)
            inside = None
        if one.camera_id == "c0" and inside is None:
            inside = one
    if inside is not None and now > inside.at + longer:
        found[alert_id(rule.name, inside.root)] = (plate, 1, inside.event_id)
    return found


def _unseen(rule, longer, plate, row) -> Alerts:
    found: Alerts = {}
    for place, one in enumerate(row):
        before = [max(o.last_seen, o.at) for o in row[:place]]
        new = not before if longer is None else before and one.at - max(before) > longer
        if new:
            found[alert_id(rule.name, one.root)] = (plate, 1, one.event_id)
    return found


def _route(rule, steps, within, plate, row) -> Alerts:
    found: Alerts = {}
    for last in row:
        if last.camera_id != f"c{steps - 1}":
            continue
        begins = []
        for chosen in combinations([o for o in row if o.at < last.at], steps - 1):
            way = [*chosen, last]
            right = all(o.camera_id == f"c{n}" for n, o in enumerate(way))
            rising = all(a.at < b.at for a, b in pairwise(way))
            if right and rising and last.at - way[0].at <= within:
                begins.append((way[0].at, way[0].event_id, way[0]))
        if begins:
            name = alert_id(rule.name, plate, max(begins)[2].root)
            known = found.get(name)
            found[name] = (
                plate,
                known[1] + 1 if known else 1,
                known[2] if known else last.event_id,
            )
    return found


def _clone(rule, pattern, plate, row) -> Alerts:
    found: Alerts = {}
    placed = [o for o in row if o.place is not None]
    for before, after in pairwise(placed):
        km = before.km(before.place, after.place)
        hours = (after.at - max(before.last_seen, before.at)) / 3.6e9
        if before.camera_id == after.camera_id or km <= pattern.farther:
            continue
        if hours <= 0 or km / hours > pattern.faster:
            found[alert_id(rule.name, after.root)] = (plate, 1, after.event_id)
    return found


def _convoys(rule, pattern, seen) -> Alerts:  # noqa: PLR0912, plain on purpose
    passages = []
    for anchor in sorted({o.plate for o in seen}):
        run = None
        for last in [o for o in seen if o.plate == anchor]:
            way = [
                o
                for o in seen
                if o.plate == anchor and o <= last and o.at > last.at - pattern.within
            ]
            near = defaultdict(set)
            for mine in way:
                for other in seen:
                    beside = abs(other.at - mine.at) <= pattern.apart
                    if beside and other.camera_id == mine.camera_id and other.plate != anchor:
                        near[other.plate].add(mine.camera_id)
            group = set()
            for cameras in combinations(sorted({o.camera_id for o in way}), pattern.cameras):
                those = {p for p, there in near.items() if there >= set(cameras)}
                if len(those) >= pattern.plates - 1:
                    group |= those
            if not group:
                run = None
            elif run is None:
                run = {"plates": {anchor} | group, "began": way[0], "full": last, "last": last}
                passages.append(run)
            else:
                run["plates"] |= group
                run["last"] = last
    found: Alerts = {}
    while passages:
        convoy = [passages.pop(0)]
        grown = True
        while grown:
            grown = False
            for one in list(passages):
                if any(
                    one["plates"] & o["plates"]
                    and one["full"].at <= o["last"].at + pattern.apart
                    and o["full"].at <= one["last"].at + pattern.apart
                    for o in convoy
                ):
                    passages.remove(one)
                    convoy.append(one)
                    grown = True
        began = min(o["began"] for o in convoy)
        plates = set().union(*(o["plates"] for o in convoy))
        lead = min((o["full"].at, o["full"].event_id) for o in convoy)[1]
        found[alert_id(rule.name, "convoy", began.event_id)] = (min(plates), len(plates), lead)
    return found
