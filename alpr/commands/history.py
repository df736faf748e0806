"""``alpr replay --flow dedup --since TIME --diff``: history through today's settings, into nowhere.

Exit code 0 where nothing would differ, 3 where something would (1 is a failure, 2 a usage).
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from alpr.changes import Change, Comparison, Stay
from alpr.errors import ConfigError
from alpr.history import NOW, THEN, Covered, History, Span, scratch
from alpr.moments import moment, shown
from alpr.settings import Settings
from alpr.wiring import open_codec, open_log
from rules.grammar import grammar
from rules.version import rules_version

DIFFERENT = 3
GO_ON_S = 3_600.0
"""How long a run that was cut off may be gone on with where its times were told by the clock."""
_SIGNS = {"changes": "~", "appears": "+", "vanishes": "-", "merges": "-", "splits": "+"}


def configure(parser: argparse.ArgumentParser) -> None:
    """What `alpr replay` takes for a flow."""
    flow = parser.add_argument_group(
        "a flow", "history through today's settings: which sightings would change, and how"
    )
    flow.add_argument("--flow", choices=["dedup"], help="the flow, in place of a view")
    flow.add_argument("--diff", action="store_true", help="compare and write nothing; needed")
    flow.add_argument("--since", metavar="TIME", help="captured from then on: ISO 8601, or 2h")
    flow.add_argument("--until", metavar="TIME", help="captured before (now)")
    flow.add_argument("--json", action="store_true", help="a JSON object a difference, then a sum")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Fold, compare, tell. May be interrupted; the same command goes on where it was."""
    if not arguments.diff:
        raise ConfigError(
            "--flow dedup needs --diff: new settings over old history go nowhere else, the live "
            "topics least of all"
        )
    if arguments.since is None:
        raise ConfigError("--flow dedup needs --since TIME, such as 2025-01-15T12:00:00Z or 2h")
    now_us = time.time_ns() // 1000
    since = moment("--since", arguments.since, now_us)
    until = now_us if arguments.until is None else moment("--until", arguments.until, now_us)
    if since >= until:
        raise ConfigError(f"--since {arguments.since} is not before {arguments.until or 'now'}")
    log, plates = open_log(settings, leaps=True), grammar()
    plates.check(settings.dedup.country)
    version = rules_version(settings.dedup, plates)
    told = (arguments.since, arguments.until)
    span = Span(since, until)
    path = scratch(settings.home / "replay", log.uuid, settings.own_partitions, version, told)
    if _since_now(arguments) and path.exists() and now_us / 1e6 - path.stat().st_mtime > GO_ON_S:
        path.unlink()  # what "2h" meant then, it does not mean any more
    history = History(log, open_codec(settings), settings.dedup, plates, span=span, path=path)
    done = False
    try:
        covered = _replayed(history, settings.own_partitions)
        compared = Comparison(history, covered, span, settings.dedup.similarity)
        counts: Counter[str] = Counter()
        for change in compared.changes():
            counts[change.kind] += 1
            print(json.dumps(_plain(change)) if arguments.json else _line(change))
        summary = _summary(history, covered, compared, counts, span) | {"rules_version": version}
        done = True
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        raise
    finally:
        history.close(done=done)
    if arguments.json:
        print(json.dumps(summary))
    else:
        _tell(summary)
    sys.stdout.flush()
    return DIFFERENT if counts else 0


def _since_now(arguments: argparse.Namespace) -> bool:
    """Whether the times asked for depend on when that is."""
    times = (arguments.since, arguments.until)
    return any(at is None or moment("", at, 0) != moment("", at, 1) for at in times)


def _replayed(history: History, partitions: Sequence[int]) -> list[Covered]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("looking where to begin, by partition", total=len(partitions))
        return history.replay(
            tuple(partitions),
            lambda at, total: bar.update(task, description="replaying", completed=at, total=total),
            lambda count: bar.update(task, completed=count),
        )


def _summary(
    history: History,
    covered: Sequence[Covered],
    compared: Comparison,
    counts: Counter[str],
    span: Span,
) -> dict[str, Any]:
    known = [part for part in covered if part.stop > part.first]
    late = [part for part in known if part.since > span.since]
    return {
        "since": shown(span.since),
        "until": shown(span.until),
        "compared_since": {part.partition: shown(part.since) for part in late},
        "records": sum(part.stop - part.first for part in covered),
        "unreadable": history.count("unreadable"),
        "poison": history.count("poison"),
        "sightings_then": compared.standing(THEN),
        "sightings_now": compared.standing(NOW),
        "differences": dict(counts),
        "rules_versions_then": dict(compared.versions()),
    }


def _tell(summary: dict[str, Any]) -> None:
    counts = summary["differences"]
    for partition, since in summary["compared_since"].items():
        print(
            f"alpr.reads.raw, partition {partition}, does not go back far enough: sightings are "
            f"compared from {since} on",
            file=sys.stderr,
        )
    lost = summary["unreadable"] + summary["poison"]
    if lost:
        print(f"{lost} records cannot be read or folded; see `alpr dlq list`", file=sys.stderr)
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no difference"
    print(
        f"{summary['sightings_then']} sightings were said from {summary['since']} to"
        f" {summary['until']}, {summary['sightings_now']} would be: {told}."
    )
    versions = summary["rules_versions_then"]
    if counts and set(versions) == {summary["rules_version"]}:
        print("They were said with these very settings: history before --since makes them differ.")


def _line(change: Change) -> str:
    stay = change.shown
    line = f"{_SIGNS[change.kind]} {shown(stay.captured_at)} {_text(stay.camera_id)} "
    line += f"{_text(stay.text)} ({stay.event_id[:8]}) "
    then, now = change.then, change.now
    if change.kind == "changes":
        assert then is not None
        assert now is not None
        return line + ", ".join(_difference(name, then, now) for name in change.differing)
    if change.kind == "merges" and now is not None:
        return line + f"would be part of {_text(now.text)} ({now.event_id[:8]})"
    if change.kind == "splits" and then is not None:
        return line + f"would be its own, was part of {_text(then.text)} ({then.event_id[:8]})"
    if change.kind == "vanishes":
        return line + ("would vanish" + (f" ({now.reason})" if now and now.reason else ""))
    return line + f"would appear ({stay.status}, until {shown(stay.last_seen)})"


def _difference(name: str, then: Stay, now: Stay) -> str:
    before, after = getattr(then, name), getattr(now, name)
    if name == "event_id":
        return f"opened by another read ({after[:8]})"
    if name in ("first_seen", "last_seen"):
        return f"{name} {(after - before) / 1e6:+.3f} s"
    return f"{name} {_text(str(before))} → {_text(str(after))}"


def _plain(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "then": asdict(change.then) if change.then else None,
        "now": asdict(change.now) if change.now else None,
        "differing": list(change.differing),
    }


def _text(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
