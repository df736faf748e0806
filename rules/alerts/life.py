"""An alert as it stands, from the events of its life: what the engine finds and what people do.

The end of a life is what its log says last, whatever stretch of it is there twice after a crash:

- The engine's part is the latest word: ``raised`` lets an alert stand, ``withdrawn`` takes it
  back, ``updated`` changes what it says. A record that was folded before is no news: not to be
  told again, not a line of the history.
- People's part is kept beside it, and the first word holds: whoever acknowledged first, whoever
  resolved first. It stays when the engine withdraws the alert or raises it anew: who has seen
  it has seen it.
- ``state``: what a person resolved is ``resolved``, also where it is withdrawn or raised after
  that (``withdrawn_at`` tells); else what was withdrawn is ``withdrawn``, also where somebody had
  acknowledged it; else it is ``acknowledged`` or ``open``.

A log that retention has thinned out may begin a life anywhere: the event at hand then says what
the alert is about, and the alert counts as raised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal, cast

from schemas.records import AlertEvent, Images, WatchHit

State = Literal["open", "acknowledged", "resolved", "withdrawn"]
STATES: tuple[State, ...] = ("open", "acknowledged", "resolved", "withdrawn")
PEOPLE = ("acknowledged", "resolved", "commented")
"""Kinds of events that people append; all others but ``escalated`` are the engine's."""
SEEN = 64
"""Records of an alert that are known again when they come twice: more than a crash repeats."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it stands. Times are microseconds UTC: of the event for what rules find, of the
    wall for what people do. Fields that AlertEvent has mean the same.
    """

    alert_id: str
    rule: str
    rule_version: str
    severity: str
    state: State
    subject: str
    plate: str | None
    text: str | None
    confidence: float
    camera_id: str | None
    site: str
    zone: str
    timezone: str
    message: str
    count: int
    event_id: str | None
    revision: int | None
    event_ids: tuple[str, ...]
    first_at: int | None
    last_at: int | None
    raised_at: int
    """``at`` of the first ``raised``; of a life whose beginning is gone, of what is left of it."""
    images: Images | None
    watched: WatchHit | None
    was: tuple[str, ...]
    near_change: bool
    withdrawn_at: int | None = None
    reason: str | None = None
    """Why it was withdrawn."""
    acknowledged_by: str | None = None
    acknowledged_at: int | None = None
    resolved_by: str | None = None
    resolved_at: int | None = None
    escalated_at: int | None = None
    comments: int = 0
    """How many people's events said something, comments with an acknowledgement included."""
    seen: tuple[int, ...] = ()
    """Marks of the latest records, to know a repeat by."""


def fold(alert: Alert | None, event: AlertEvent, *, redriven: bool = False) -> tuple[Alert, bool]:
    """The alert after an event, and whether that is news: to be told, and a line of its history.

    No news is a record that was there before (of the latest ``SEEN``); an ``acknowledged`` or
    ``resolved`` that came second and says nothing; a ``raised`` of an alert that stands or is
    resolved, a ``withdrawn`` of one that is withdrawn; an ``updated`` that changes nothing. One
    raised by the same revision of the same sighting as before its withdrawal stands again and is
    no news either: a crash repeats it. One that somebody sent again (``redriven``), for whom it had
    not reached, is an old word: where it was there before, the alert stays as later ones left it.
    """
    mark = _mark(event)
    if alert is None:
        begun = _begun(event)
        return replace(_after(begun, event), seen=(mark,)), True
    if redriven and mark in alert.seen:
        return alert, False
    after = _after(alert, event)
    if mark in alert.seen:
        # Twice said, once counted.
        return replace(after, comments=alert.comments), False
    match event["kind"]:
        case "raised":
            news = alert.state == "withdrawn"
        case "withdrawn":
            news = alert.withdrawn_at is None
        case _:
            news = after != alert
    return replace(after, seen=(*alert.seen, mark)[-SEEN:]), news


def _after(alert: Alert, event: AlertEvent) -> Alert:
    at, actor = event["at"], event["actor"] or ""
    match event["kind"]:
        case "raised":
            alert = replace(_told(alert, event), withdrawn_at=None, reason=None)
        case "updated":
            alert = _told(alert, event)
        case "withdrawn":
            alert = replace(alert, withdrawn_at=at, reason=event["reason"])
        case "acknowledged":
            if alert.acknowledged_by is None and alert.resolved_by is None:
                alert = replace(alert, acknowledged_by=actor, acknowledged_at=at)
        case "resolved":
            if alert.resolved_by is None:
                alert = replace(alert, resolved_by=actor, resolved_at=at)
        case "escalated":
            if alert.escalated_at is None:
                alert = replace(alert, escalated_at=at)
        case _:
            pass
    if event["kind"] in PEOPLE and event["comment"]:
        alert = replace(alert, comments=alert.comments + 1)
    return replace(alert, state=_state(alert))


def _state(alert: Alert) -> State:
    if alert.resolved_by is not None:
        return "resolved"
    if alert.withdrawn_at is not None:
        return "withdrawn"
    return "open" if alert.acknowledged_by is None else "acknowledged"


def _begun(event: AlertEvent) -> Alert:
    return Alert(
        alert_id=event["alert_id"],
        rule=event["rule"],
        rule_version=event["rule_version"],
        severity=event["severity"],
        state="open",
        subject=event["subject"],
        plate=event["plate"],
        text=event["text"],
        confidence=event["confidence"],
        camera_id=event["camera_id"],
        site=event["site"],
        zone=event["zone"],
        timezone=event["timezone"],
        message=event["message"],
        count=event["count"],
        event_id=event["event_id"],
        revision=event["revision"],
        event_ids=tuple(event["event_ids"]),
        first_at=event["first_at"],
        last_at=event["last_at"],
        raised_at=event["at"],
        images=event["images"],
        watched=event["watched"],
        was=tuple(event["was"]),
        near_change=event["near_change"],
    )


def _told(alert: Alert, event: AlertEvent) -> Alert:
    """The alert, saying what an event of the engine says."""
    return replace(
        _begun(event),
        raised_at=alert.raised_at,
        withdrawn_at=alert.withdrawn_at,
        reason=alert.reason,
        acknowledged_by=alert.acknowledged_by,
        acknowledged_at=alert.acknowledged_at,
        resolved_by=alert.resolved_by,
        resolved_at=alert.resolved_at,
        escalated_at=alert.escalated_at,
        comments=alert.comments,
        seen=alert.seen,
    )


def _mark(event: AlertEvent) -> int:
    """A signed 64-bit number by which a record is known again.

    ``raised`` and ``withdrawn`` by the sighting's revision that caused them, since a repeat may
    differ in what else was there; all others by all they say.
    """
    if event["kind"] in ("raised", "withdrawn") and event["event_id"] is not None:
        said = repr((event["kind"], event["event_id"], event["revision"]))
    else:
        fields = cast("Mapping[str, object]", event)
        said = repr(sorted((name, repr(fields[name])) for name in AlertEvent.__annotations__))
    return int.from_bytes(blake2b(said.encode(), digest_size=8).digest(), "big", signed=True)
