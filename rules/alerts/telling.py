"""An alert in words: the events that say that it is due, says something else, or is no more."""

from typing import Any

from rules.alerts.patterns.base import Change, Claim
from rules.alerts.rule import Convoy, Count, Dwell, Rule, Sequence, Silent, Travel, Unseen
from rules.alerts.signals import Evidence
from schemas.records import AlertEvent

EXACT = 100
"""Up to here a count is told one by one, then in two figures: a storm is not told car by car."""
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def news(claim: Claim) -> tuple[Any, ...]:
    """What of an alert is worth an event when it changes; how sure the vote is, is not."""
    lead, watched = claim.lead, claim.lead.watched
    return (
        claim.plate,
        _rounded(claim.number),
        lead.event_id,
        lead.status == "tentative",
        claim.others,
        None if watched is None else (watched["watchlist"], watched["plate"]),
    )


def told(change: Change, rule: Rule, reason: str, cause: Evidence | None) -> AlertEvent | None:
    """The event that tells a change, or None where it is not worth one.

    ``reason`` and ``cause`` are why an alert is due no more, as far as that is one sighting.
    """
    before, after = change
    if after is not None:
        if before is None:
            return _event("raised", after, rule, after.at)
        if news(before) == news(after):
            return None
        return _event("updated", after, rule, max(after.last_at, after.lead.last_seen))
    if before is None:
        return None
    own = cause is not None and cause.event_id == before.lead.event_id
    at = before.last_at if cause is None else max(before.last_at, cause.last_seen)
    event = _event("withdrawn", before, rule, at)
    event["reason"] = reason
    if own and cause is not None:
        event["revision"] = cause.revision
    if reason == "erased":
        _forget(event)
    return event


def resolved(claim: Claim, rule: Rule, at: int, comment: str) -> AlertEvent:
    """The event that says that an alert is over by itself."""
    event = _event("resolved", claim, rule, at)
    event["actor"], event["comment"] = "system", comment
    return event


def _event(kind: str, claim: Claim, rule: Rule, at: int) -> AlertEvent:
    lead = claim.lead
    watched = lead.watched
    known_as = claim.plate if watched is None else watched["plate"]
    by_sighting = bool(lead.event_id)
    return {
        "alert_id": claim.alert_id,
        "kind": kind,
        "at": at,
        "rule": rule.name,
        "rule_version": rule.version,
        "event_id": lead.event_id or None,
        "revision": lead.revision if by_sighting else None,
        "subject": claim.subject,
        "plate": claim.plate,
        "camera_id": lead.camera_id,
        "severity": rule.severity,
        "message": message(claim, rule),
        "actor": None,
        "comment": None,
        "count": _rounded(claim.number),
        "event_ids": list(claim.event_ids),
        "first_at": claim.first_at,
        "last_at": claim.last_at,
        "text": lead.text if claim.plate is not None and lead.text != known_as else None,
        "confidence": lead.confidence,
        "site": lead.site,
        "zone": lead.zone,
        "timezone": lead.timezone,
        "images": lead.images if by_sighting else None,
        "watched": watched,
        "was": list(claim.was),
        "reason": None,
        "near_change": lead.near_change,
    }


def message(claim: Claim, rule: Rule) -> str:  # noqa: PLR0911, one a pattern
    """A sentence for people: what, where, why."""
    lead = claim.lead
    place = _place(lead)
    plate = claim.plate or claim.subject
    on = ""
    if lead.watched is not None:
        on = f" on {lead.watched['kind']} list '{lead.watched['watchlist']}'"
    match rule.pattern:
        case None:
            return f"{plate}{on} at {place}" if on else f"{plate} at {place}: {rule.name}"
        case Count():
            return _counted(claim, rule.pattern, place, on)
        case Dwell(longer=longer):
            return f"{plate}{on} entered at {place} and has not left for {span(longer)}"
        case Unseen(longer=None):
            return f"{plate}{on} seen for the first time, at {place}"
        case Unseen(longer=longer):
            return f"{plate}{on} at {place}, not seen for {span(longer or 0)} before"
        case Sequence(within=within):
            steps = len(claim.event_ids)
            return f"{plate}{on} at {place}, the last of {steps} steps within {span(within)}"
        case Convoy():
            plates = ", ".join((claim.subject, *claim.others))
            return f"{1 + len(claim.others)} vehicles together, last at {place}: {plates}"
        case Travel():
            return f"{plate}{on} at {place}, {' '.join(claim.others)}: perhaps a cloned plate"
        case Silent(longer=longer):
            return f"Camera {lead.camera_id} has not been heard for {span(longer)}"


def _counted(claim: Claim, pattern: Count, place: str, on: str) -> str:
    count = str(_rounded(claim.number)) + ("+" if claim.number >= EXACT else "")
    within = "on one day" if pattern.within is None else f"within {span(pattern.within)}"
    what = "plates" if pattern.distinct else "sightings"
    match pattern.by:
        case "plate":
            return f"{claim.plate}{on} seen {count} times {within}, last at {place}"
        case "":
            return f"{count} {what} {within}"
        case by:
            return f"{count} {what} {within} at {by.removesuffix('_id')} {claim.subject}"


def span(microseconds: int) -> str:
    """A length of time in its largest whole unit: 2 hours, 90 minutes."""
    seconds = microseconds / 1_000_000
    for unit, size in _UNITS:
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds:g} seconds"


def _place(lead: Evidence) -> str:
    return ", ".join(dict.fromkeys(part for part in (lead.zone, lead.site) if part)) or (
        lead.camera_id
    )


def _rounded(count: int) -> int:
    if count < EXACT:
        return count
    size = 10 ** (len(str(count)) - 2)
    return count // size * size


def _forget(event: AlertEvent) -> None:
    """Leave nothing in it of a plate that is to be forgotten."""
    event["plate"] = event["text"] = event["images"] = event["watched"] = None
    event["subject"] = ""
    event["was"] = []
    event["message"] = f"{event['rule']}: what this was about was erased"
