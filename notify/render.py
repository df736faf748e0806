"""What people read of an alert: subject, text and HTML, filled from templates."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache, lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from notify.channel import Delivery, OptionsError
from schemas.records import AlertEvent

# What users' own templates may name, and what the docs say of it.
FIELDS: Mapping[str, str] = {
    "plate": "the plate",
    "camera": "the camera's id",
    "time": "when, in the camera's time zone",
    "rule": "the rule's name",
    "zone": "the zone",
    "site": "the site",
    "message": "what the rule says",
    "link": "the alert's page, or else the picture",
    "kind": "raised, updated, withdrawn, escalated or test",
    "severity": "info, warning or critical",
    "confidence": "of the plate, such as 97 %",
    "count": "how many matches this stands for",
}
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_HEADINGS = {
    "raised": "Alert",
    "updated": "Alert updated",
    "withdrawn": "Alert withdrawn",
    "escalated": "Not acknowledged",
    "test": "Test",
}
_COLOURS = {"info": "#1d4ed8", "warning": "#b45309", "critical": "#b91c1c"}
_WITHDRAWN = "#475569"
_SUBJECT_MOST = 200  # characters
_LISTED = 10  # further alerts that are named; the rest is counted


@dataclass(frozen=True, slots=True)
class Message:
    """The same in three forms."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Line:
    """A further alert of a group."""

    time: str
    plate: str
    camera: str


@dataclass(frozen=True, slots=True)
class Shown:
    """An alert in words."""

    heading: str
    subject: str
    colour: str
    kind: str
    severity: str
    rule: str
    description: str
    message: str
    what: str
    """What ``plate`` is: ``Plate``, or ``About`` for a camera or a group."""
    plate: str
    read_as: str
    was: str
    place: str
    camera: str
    time: str
    confidence: str
    watched: str
    reason: str
    count: int
    others: tuple[Line, ...]
    more: int
    page_url: str
    picture_url: str


def show(delivery: Delivery) -> Shown:
    """The words for an alert; nothing in them is escaped yet."""
    alert, kind = delivery.alert, delivery.kind
    watched = alert["watched"]
    plate = alert["plate"] or ""
    heading = _HEADINGS.get(kind, kind.capitalize())
    about = line(plate or alert["subject"] or alert["camera_id"] or "")
    place = " · ".join(line(part) for part in (alert["site"], alert["zone"]) if part)
    listed = delivery.others[:_LISTED]
    more = delivery.more + len(delivery.others) - len(listed)
    grouped = len(delivery.others) + delivery.more
    return Shown(
        heading=heading,
        subject=f"{heading}: {about} – {line(alert['rule'])}"
        + (f" (and {grouped} more)" if grouped else ""),
        colour=_WITHDRAWN if kind == "withdrawn" else _COLOURS.get(alert["severity"], _WITHDRAWN),
        kind=kind,
        severity=line(alert["severity"]),
        rule=line(alert["rule"]),
        description=line(delivery.rule_description),
        message=line(alert["message"]),
        what="Plate" if plate else "About",
        plate=about,
        read_as=line(alert["text"]) if alert["text"] and alert["text"] != plate else "",
        was=", ".join(line(text) for text in alert["was"]),
        place=place,
        camera=line(alert["camera_id"] or ""),
        time=moment(alert["at"], alert["timezone"]),
        confidence=_percent(alert["confidence"]) if plate else "",
        watched=_watched(watched) if watched else "",
        reason=line(alert["reason"] or ""),
        count=alert["count"],
        others=tuple(_line(other, alert) for other in listed),
        more=more,
        page_url=delivery.page_url,
        picture_url=delivery.picture_url,
    )


def message(delivery: Delivery, picture: str = "") -> Message:
    """Subject, text and HTML, by the action's own ``subject`` and ``body`` where it has them.

    ``picture`` is what the HTML shows as the picture: ``cid:NAME`` or a URL. Raises OptionsError
    for a template of the action that cannot be filled.
    """
    shown = show(delivery)
    values = fields(delivery, shown)
    own = delivery.options.get("subject")
    subject = fill("subject", own, values) if own else shown.subject
    body = own_body(delivery, shown)
    subject = line(subject)
    if len(subject) > _SUBJECT_MOST:
        subject = subject[: _SUBJECT_MOST - 1] + "…"
    templates = _templates()
    text = templates.get_template("message.txt").render(s=shown, body=body)
    html = templates.get_template("message.html").render(s=shown, body=body, picture=picture)
    return Message(subject, text.strip() + "\n", html)


def own_body(delivery: Delivery, shown: Shown) -> str:
    """The action's own text, filled; '' where it has none."""
    own = delivery.options.get("body")
    return fill("body", own, fields(delivery, shown)) if own else ""


def fields(delivery: Delivery, shown: Shown) -> dict[str, str]:
    """The values of FIELDS."""
    return {
        "plate": shown.plate,
        "camera": shown.camera,
        "time": shown.time,
        "rule": shown.rule,
        "zone": line(delivery.alert["zone"]),
        "site": line(delivery.alert["site"]),
        "message": shown.message,
        "link": shown.page_url or shown.picture_url,
        "kind": shown.kind,
        "severity": shown.severity,
        "confidence": shown.confidence,
        "count": str(shown.count),
    }


def fill(name: str, template: str, values: Mapping[str, str]) -> str:
    """A user's template with its fields' values; ``{{`` and ``}}`` are braces.

    Nothing but plain names is understood, and what a value holds is never looked at again. Raises
    OptionsError for another name.
    """

    def value(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        field = (found[1] or "").strip()
        if field not in values:
            raise OptionsError(
                f"{name}: there is no field {found[0][:80]!r}; there are "
                f"{', '.join('{' + known + '}' for known in FIELDS)}; write a brace twice"
            )
        return values[field]

    return _FIELD.sub(value, template)


def check_template(name: str, template: str) -> None:
    """Raise OptionsError for a template that ``fill`` would not take."""
    fill(name, template, dict.fromkeys(FIELDS, ""))


def moment(at: int, timezone: str) -> str:
    """``Sat 21 Nov 2026, 18:57:42 (Europe/Istanbul)``; UTC where the zone is not known."""
    when = _local(at, timezone)
    if when is None:
        return "at an unknown time"
    return f"{when:%a} {when.day} {when:%b %Y, %H:%M:%S} ({when.tzinfo})"


def line(text: str) -> str:
    """Text on one line: what would break it, or is invisible and turns it, is a space."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _local(at: int, timezone: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(at / 1e6, UTC).astimezone(_zone(timezone))
    except (OverflowError, ValueError, OSError):
        return None


@lru_cache(256)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        return UTC


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("notify"),
        autoescape=select_autoescape(["html"], default=False),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def _percent(confidence: float) -> str:
    return f"{100 * confidence:.0f} %"


def _line(alert: AlertEvent, first: AlertEvent) -> Line:
    when, then = (_local(one["at"], one["timezone"]) for one in (alert, first))
    same_day = when and then and (when.date(), when.tzinfo) == (then.date(), then.tzinfo)
    return Line(
        f"{when:%H:%M:%S}" if same_day else moment(alert["at"], alert["timezone"]),
        line(alert["plate"] or alert["subject"]),
        line(alert["camera_id"] or ""),
    )


def _watched(hit: Any) -> str:
    told = f"{hit['watchlist']}: {hit['plate']} ({hit['kind']}"
    if hit["match"] != "exact" or hit["confidence"] < 1:
        told += f", {hit['match']} match, {_percent(hit['confidence'])}"
    told += ")"
    if hit["reason"]:
        told += f" – {hit['reason']}"
    if hit["owner"]:
        told += f"; owner {hit['owner']}"
    return line(told)
