"""``alpr rules``: alert rules; list, show, test a file, bring it into force, try it on history."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from alpr.backtest import HOUR_US, BacktestResult, backtest
from alpr.commands.table import columns, printable
from alpr.errors import AlprError, ConfigError
from alpr.moments import moment, shown
from alpr.person import actor
from alpr.rules_file import Applied, RulesFileError, Told, apply, load, told
from alpr.settings import Settings
from alpr.two_sides import Found, RuleResult
from alpr.wiring import open_codec, open_log
from eventlog.log import Log
from projections.statements import Statements
from rules.alerts.duration import written
from rules.alerts.normal import defined, to_yaml
from rules.alerts.parse import RuleFile, RulesError, rule_of
from rules.alerts.rule import Rule
from rules.alerts.trial import tried
from rules.alerts.words import words
from schemas.codec import Codec

DIFFERENT = 3
"""Exit code where the log's own rules do not give the log's own alerts."""
NAMED = 20
"""Differences that are named for each rule; --json names more."""
Clock = Callable[[], int]


def configure(parser: argparse.ArgumentParser) -> None:
    """Ten commands in one."""
    commands = parser.add_subparsers(
        dest="what",
        required=True,
        metavar="list|show|schema|check|test|apply|enable|disable|remove|backtest",
    )
    listing = commands.add_parser("list", help="the rules of the log, one a line")
    listing.add_argument("--json", action="store_true", help="a JSON object a line")
    show = commands.add_parser("show", help="one rule: in words, and as a file has it")
    show.add_argument("name", metavar="NAME")
    commands.add_parser("schema", help="the JSON Schema of a file of rules, for editors")
    check = commands.add_parser("check", help="whether a file of rules can be used")
    test = commands.add_parser("test", help="the same, and its rules against its own examples")
    apply_ = commands.add_parser("apply", help="bring a file's rules into force")
    for command in (check, test, apply_):
        command.add_argument("file", metavar="FILE")
    apply_.add_argument(
        "--force", action="store_true", help="also over what somebody changed since"
    )
    for name, does in (
        ("enable", "let a rule raise alerts"),
        ("disable", "let it raise none for now"),
        ("remove", "take it out of the log's rules"),
    ):
        commands.add_parser(name, help=does).add_argument("name", metavar="NAME")

    trial = commands.add_parser("backtest", help="what rules would have raised: nothing is written")
    trial.add_argument("file", metavar="FILE", nargs="?", help="rules, as if always in force")
    trial.add_argument(
        "--in-force",
        action="store_true",
        help="the log's own rules, as and when they were in force: must give its own alerts",
    )
    trial.add_argument("--since", metavar="TIME", required=True, help="such as 30d, or ISO 8601")
    trial.add_argument("--until", metavar="TIME", help="before then (now)")
    trial.add_argument("--rule", metavar="NAME", help="this one alone")
    trial.add_argument("--json", action="store_true", help="a JSON object")


def run(  # noqa: PLR0911 (one a command)
    arguments: argparse.Namespace, settings: Settings
) -> int:
    """Exit code 0; 1 where a file fails its test, 2 where it cannot be used."""
    if arguments.what == "schema":
        schema = files("rules.alerts") / "alert_rules.schema.json"
        sys.stdout.write(schema.read_text(encoding="utf-8"))
        return 0
    if arguments.what in ("check", "test"):
        return _test(Path(arguments.file), examples=arguments.what == "test")
    with closing(open_log(settings)) as log:
        codec = open_codec(settings)
        match arguments.what:
            case "list":
                return _list(log, codec, arguments.json)
            case "show":
                return _show(_known(log, codec, arguments.name))
            case "apply":
                with _problems_by_line(arguments.file):
                    done = apply(log, codec, Path(arguments.file), _clock, force=arguments.force)
                _tell_applied(arguments.file, done)
                return 0
            case "backtest":
                return _backtest(arguments, log, codec)
            case _:
                return _change(arguments, log, codec)


def _clock() -> int:
    return time.time_ns() // 1000


# list, show


def _list(log: Log, codec: Codec, as_json: bool) -> int:
    standing = [one for _, one in sorted(told(log, codec).items()) if one.last["definition"]]
    rows: list[tuple[str, ...]] = []
    for one in standing:
        since, who = shown(one.at), one.last["actor"]
        try:
            rule = _rule(one)
        except RulesError as error:
            print(printable(f"{one.last['name']}, by {who}, is no rule: {error}"), file=sys.stderr)
            continue
        if as_json:
            facts = {"version": rule.version, "since": since, "actor": who, "words": words(rule)}
            print(json.dumps({**json.loads(rule.definition), **facts}, ensure_ascii=False))
            continue
        state = "enabled" if rule.enabled else "disabled"
        what = "; ".join(words(rule))
        rows.append((rule.name, state, rule.severity, rule.version, since, who, what))
    if rows:
        head = ("RULE", "STATE", "SEVERITY", "VERSION", "SINCE", "BY", "RAISES")
        for line in columns(head, rows):
            print(line)
    if not standing:
        print("no rules; `alpr rules apply FILE` brings some in", file=sys.stderr)
    return 0


def _show(one: Told) -> int:
    rule = _rule(one)
    state = "enabled" if rule.enabled else "disabled"
    print(f"# {rule.name}, {state}, version {rule.version}")
    print(printable(f"# since {shown(one.at)} by {one.last['actor']}"))
    for sentence in words(rule):
        print(printable(f"# {sentence}"))
    print(to_yaml([rule]), end="")
    return 0


def _known(log: Log, codec: Codec, name: str) -> Told:
    rules = told(log, codec)
    one = rules.get(name)
    if one is None or one.last["definition"] is None:
        there = [other for other, known in sorted(rules.items()) if known.last["definition"]]
        names = ", ".join(map(repr, there)) or "none"
        gone = f"; it was removed by {one.last['actor']}" if one else ""
        raise AlprError(f"there is no rule {name!r}; there are {names}{gone}")
    return one


def _rule(one: Told) -> Rule:
    assert one.last["definition"] is not None
    return rule_of(one.last["definition"])


# check, test, apply


def _test(path: Path, *, examples: bool) -> int:
    try:
        file = load(path)
    except RulesFileError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 1
    if not examples:
        print(f"{path}: {_count(len(file.rules), 'rule')}, no problems")
        return 0
    failed = False
    for rule, results in tried(file).items():
        wrong = [result for result in results if not result.passed]
        failed |= bool(wrong)
        fate = "FAILED" if wrong else "passed" if results else "no examples"
        print(printable(f"{fate:<11}  {rule}" + (f" ({len(results)})" if results else "")))
        for result in wrong:
            print(printable(f"  {path}:{result.line}: {result.example}: {result.told}"))
    return int(failed)


def _tell_applied(path: str, done: Applied) -> None:
    for names, fate in ((done.written, "in force"), (done.removed, "removed")):
        for name in names:
            print(printable(f"{name}: {fate}"))
    for name, why in done.left.items():
        print(
            printable(f"{name}: left as it is, last {why}; --force takes it from {path}"),
            file=sys.stderr,
        )
    if done.same:
        print(f"{_count(len(done.same), 'rule')} as before")


@contextmanager
def _problems_by_line(path: str) -> Iterator[None]:
    """Everything that is wrong with a file, one a line, before the command fails."""
    try:
        yield
    except RulesFileError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        raise ConfigError(
            f"{path} cannot be used ({_count(len(error.problems), 'problem')}); nothing was done: "
            "mend it first"
        ) from None


# enable, disable, remove


def _change(arguments: argparse.Namespace, log: Log, codec: Codec) -> int:
    one = _known(log, codec, arguments.name)
    statements = Statements(log, codec, _clock)
    if arguments.what == "remove":
        statements.remove_rule(arguments.name, actor())
        print(printable(f"{arguments.name}: removed"))
        return 0
    rule = _rule(one)
    enabled = arguments.what == "enable"
    if rule.enabled == enabled:
        print(printable(f"{rule.name} is {arguments.what}d already"))
        return 0
    statements.rule(defined(replace(rule, enabled=enabled)), actor())
    print(printable(f"{rule.name}: {arguments.what}d"))
    return 0


# backtest


def _backtest(arguments: argparse.Namespace, log: Log, codec: Codec) -> int:
    now = _clock()
    since = moment("--since", arguments.since, now)
    until = now if arguments.until is None else moment("--until", arguments.until, now)
    if since >= until:
        raise ConfigError(f"--since {arguments.since} is not before {arguments.until or 'now'}")
    if bool(arguments.file) == arguments.in_force:
        raise ConfigError("give a FILE of rules, or --in-force for those of the log: one of both")
    rules = None
    if arguments.file:
        with _problems_by_line(arguments.file):
            rules = _chosen(load(Path(arguments.file)), arguments.rule, arguments.file)
    with _bar() as progress:
        result = backtest(log, codec, rules, since, until, progress)
    if rules is None and arguments.rule is not None:
        one = tuple(rule for rule in result.rules if rule.rule == arguments.rule)
        if not one:
            raise AlprError(f"the log never had a rule {arguments.rule!r}; see `alpr rules list`")
        result = replace(result, rules=one)
    if arguments.json:
        print(json.dumps(result.plain(), ensure_ascii=False))
    else:
        for line in _told(result):
            print(printable(line))
    return DIFFERENT if result.in_force and not result.agrees else 0


def _chosen(file: RuleFile, name: str | None, path: str) -> Sequence[Rule]:
    rules = [rule for rule in file.rules if name in (None, rule.name)]
    if not rules:
        names = ", ".join(repr(rule.name) for rule in file.rules) or "none"
        raise ConfigError(
            f"{path} has no rule {name!r}; it has {names}" if name else f"{path} has no rules"
        )
    return rules


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    shape = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*shape, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("replaying", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _told(result: BacktestResult) -> Iterator[str]:
    early = f"{_about(max(0, result.since - result.start))} before --since"
    yield (
        f"{result.records:,} records from {shown(result.start)} on, "
        f"{'where the log begins' if result.whole else early}, "
        f"in {result.took_s:.1f} s: {result.records_per_s:,.0f} records/s"
    )
    if result.unreadable or result.poison:
        yield (
            f"{result.unreadable + result.poison} records cannot be read or matched; see "
            "`alpr dlq list`"
        )
    yield ""
    head = ("RULE", "RAISED", "WITHDRAWN", "RECORDED", "SAME", "NEW", "GONE", "MARKED")
    yield from columns(head, map(_row, result.rules))
    for rule in result.rules:
        yield from _details(rule, result)
    if any(rule.marked + rule.gone_marked for rule in result.rules):
        yield ""
        yield "~ within two seconds of a change of rules or lists: counted apart."
    if result.in_force:
        yield ""
        yield (
            "The log's own rules give the log's own alerts."
            if result.agrees
            else "The log's own rules do not give the log's own alerts: see what is new or gone."
        )


def _row(rule: RuleResult) -> tuple[str, ...]:
    counts = (rule.raised, rule.withdrawn, rule.recorded, rule.same, rule.new, rule.gone)
    name = rule.rule if rule.enabled else f"{rule.rule} (disabled)"
    return (name, *(f"{count:,}" for count in counts), f"{rule.marked + rule.gone_marked:,}")


def _details(rule: RuleResult, result: BacktestResult) -> Iterator[str]:
    differing = [("+", one) for one in rule.news] + [("-", one) for one in rule.lost]
    further = not result.in_force and _further(rule, result)
    if not (rule.raised or differing or further):
        return
    yield ""
    yield f"{rule.rule}:"
    if further:
        yield f"  {further}"
    if not result.in_force and rule.in_force_since is None:
        yield "  the log never had a rule of this name, so all that it raises is new"
    elif rule.in_force_since is not None and rule.in_force_since > result.since:
        yield f"  the log has it since {shown(rule.in_force_since)}: nothing was recorded before"
    if rule.by_time:
        by, length = ("hour", 16) if result.step == HOUR_US else ("day", 10)
        times = ", ".join(f"{shown(at)[:length]} {count:,}" for at, count in rule.by_time)
        yield f"  by {by}: {times}"
    if rule.plates:
        yield "  plates: " + ", ".join(f"{plate} {count:,}" for plate, count in rule.plates)
    differing.sort(key=lambda pair: (pair[1].at, pair[0]))
    for sign, one in differing[:NAMED]:
        yield _difference(sign, one)
    more = rule.differing - len(differing[:NAMED])
    if more > 0:
        yield f"    and {more:,} more"


def _difference(sign: str, one: Found) -> str:
    sign = f"~{sign}" if one.near_change else f" {sign}"
    place = f" {one.camera_id}" if one.camera_id else ""
    return (
        f" {sign} {shown(one.at)} {one.plate or one.subject}{place} ({one.alert_id[:8]}) "
        f"{one.message}"
    )


def _further(rule: RuleResult, result: BacktestResult) -> str:
    """What to say of a rule that looks further back than the replay."""
    back = max(0, result.since - result.start)
    if result.whole or (rule.needs is not None and rule.needs <= back):
        return ""
    needs = "all there is" if rule.needs is None else _about(rule.needs)
    return (
        f"looks back over {needs}, of which {_about(back)} were replayed: it may raise "
        "what it would not have then"
    )


def _about(duration: int) -> str:
    """A duration to read, in the largest unit of which there are two or more."""
    for unit in (86_400_000_000, 3_600_000_000, 60_000_000):
        if duration >= 2 * unit:
            return written(duration // unit * unit)
    return written(duration // 1_000_000 * 1_000_000)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
