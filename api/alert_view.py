"""Alerts, rules and watchlists as what the pages show: pure, and all text still to be escaped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from api.view import Moment, moment, percent, picture
from projections.queries import Row

_KINDS = {
    "raised": "Raised",
    "updated": "Updated",
    "withdrawn": "Withdrawn",
    "acknowledged": "Acknowledged",
    "resolved": "Resolved",
    "commented": "Commented",
    "escalated": "Escalated: nobody had acknowledged",
}


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert among others."""

    id: str
    rule: str
    rule_url: str
    severity: str
    state: str
    title: str
    plate: str
    subject: str
    message: str
    place: tuple[str, ...]
    at: Moment
    crop: str
    count: int
    who: str
    comments: int
    near_change: bool


@dataclass(frozen=True, slots=True)
class Deed:
    """A line of an alert's history."""

    what: str
    kind: str
    by: str
    said: str
    at: Moment


def alert(row: Row) -> Alert:
    """A row of any list."""
    who = ""
    if row["resolved_by"]:
        who = f"resolved by {row['resolved_by']}"
    elif row["acknowledged_by"]:
        who = f"acknowledged by {row['acknowledged_by']}"
    images: Mapping[str, str] = row["images"] or {}
    place = (row["camera_id"], row["zone"], row["site"])
    return Alert(
        id=str(row["alert_id"]),
        rule=row["rule"],
        rule_url=named("/rules", row["rule"]),
        severity=row["severity"],
        state=row["state"],
        title=row["plate"] or row["subject"],
        plate=row["plate"] or "",
        subject=row["subject"],
        message=row["message"],
        place=tuple(part for part in place if part and part != row["subject"]),
        at=moment(row["raised_at"], row["timezone"]),
        crop=picture(images.get("plate_url") or ""),
        count=row["count"],
        who=who,
        comments=row["comments"],
        near_change=row["near_change"],
    )


def watched(row: Row) -> dict[str, Any] | None:
    """The watchlist's entry that matched."""
    hit = row["watched"]
    if not hit:
        return None
    return {
        **hit,
        "percent": percent(hit["confidence"]),
        "url": named("/watchlists", hit["watchlist"]),
    }


def deeds(history: Sequence[Row], timezone: str) -> list[Deed]:
    """The history of an alert in the camera's zone, as it came."""
    return [
        Deed(
            what=_KINDS.get(row["kind"]) or row["kind"],
            kind=row["kind"],
            by=row["actor"] or "",
            said=row["comment"] or row["reason"] or "",
            at=moment(row["at"], timezone),
        )
        for row in history
    ]


def attempts(rows: Sequence[Row], timezone: str) -> list[dict[str, Any]]:
    """Attempts to tell somebody in the camera's zone, the first one first."""
    return [{**row, "at": moment(row["at"], timezone)} for row in rows]


def told(at: datetime | None) -> Moment | None:
    """A time in UTC."""
    return moment(at, "") if at else None


def named(folder: str, name: str) -> str:
    """The address of what has a name that people gave."""
    return f"{folder}/{quote(name, safe='')}"
