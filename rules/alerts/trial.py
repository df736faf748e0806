"""The examples of a file of rules, through the engine as it runs: what each rule raises of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rules.alerts.examples import Example, Expected
from rules.alerts.matching import Matching
from rules.alerts.parse import RuleFile
from rules.alerts.raising import Raising
from rules.alerts.rulebook import Rulebook
from schemas.records import AlertEvent, Progress

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Tried:
    """How an example went for one rule; ``told`` says what was raised instead, '' if it passed."""

    rule: str
    example: str
    line: int
    told: str

    @property
    def passed(self) -> bool:
        """Whether the rule raised what was expected."""
        return not self.told


def _on() -> None:
    """Nobody waits."""


def tried(file: RuleFile, step: Callable[[], None] = _on) -> dict[str, list[Tried]]:
    """How the examples went, by rule in the file's order; disabled rules are tried as well.

    ``step`` is called again and again, and ends it by what it raises.
    """
    results: dict[str, list[Tried]] = {rule.name: [] for rule in file.rules}
    for example in file.examples:
        alerts = raised(file, example, step)
        for expected in example.expected:
            of_rule = [alert for alert in alerts if alert["rule"] == expected.rule]
            told = _instead(expected, of_rule)
            results[expected.rule].append(Tried(expected.rule, example.name, example.line, told))
    return results


def raised(file: RuleFile, example: Example, step: Callable[[], None] = _on) -> list[AlertEvent]:
    """The alerts that stand at an example's end, in order of event time."""
    step()
    book = Rulebook()
    for rule in file.rules:
        book.put(rule.name, replace(rule, enabled=True), 0)
    for entry in example.watchlist:
        book.watch.put(entry, 0)
    happens: list[tuple[int, str, Any]] = [
        *((event["captured_at"], "PlateEvent", event) for event in example.events),
        *((state["at"], "CameraState", state) for state in example.silences),
        (example.until, "Progress", None),
    ]
    happens.sort(key=lambda one: one[0])
    matching, raising = Matching(0, book), Raising(book, 1)
    standing: dict[str, AlertEvent] = {}
    for offset, (at, name, record) in enumerate(happens):
        step()
        signals = [] if record is None else matching.fold(name, record, offset, at)
        signals += matching.fold("Progress", _progress(at, offset), offset, at)
        for signal in signals:
            for event in raising.fold(signal):
                if event["kind"] == "withdrawn":
                    standing.pop(event["alert_id"], None)
                elif event["kind"] in ("raised", "updated"):
                    standing[event["alert_id"]] = event
    return sorted(standing.values(), key=lambda event: (event["at"], event["alert_id"]))


def _progress(at: int, revision: int) -> Progress:
    return {"partition": 0, "revision": revision, "watermark": at, "clock": at, "cameras": 1}


def _instead(expected: Expected, alerts: Sequence[AlertEvent]) -> str:
    """What was raised instead of what was expected; '' where that is the same."""
    plates = tuple(sorted(alert["plate"] or alert["subject"] for alert in alerts))
    wanted: list[str] = []
    if expected.alerts is not None and expected.alerts != len(alerts):
        wanted.append(_count(expected.alerts))
    if expected.plates is not None and expected.plates != plates:
        wanted.append(f"alerts about {', '.join(expected.plates) or 'nothing'}")
    if not wanted:
        return ""
    more = f" and {len(alerts) - _SHOWN} more" if len(alerts) > _SHOWN else ""
    shown = "; ".join(alert["message"] for alert in alerts[:_SHOWN])
    told = f"{_count(len(alerts))}: {shown}{more}" if alerts else "nothing"
    return f"expected {' and '.join(wanted)}, raised {told}"


def _count(number: int) -> str:
    return f"{number} alert{'' if number == 1 else 's'}"
