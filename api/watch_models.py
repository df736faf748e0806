"""What the answers on alerts, rules and watchlists look like, for OpenAPI."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

_ALERT: dict[str, Any] = {
    "alert_id": "0c6cf2b4-6d2f-5d3c-8f0e-0a4c1f1b2d3e",
    "rule": "stolen cars",
    "rule_version": "3f9ac1d07be2",
    "severity": "critical",
    "state": "open",
    "subject": "34A36837",
    "plate": "34A36837",
    "text": None,
    "confidence": 0.987,
    "camera_id": "CAM-001",
    "site": "DC1",
    "zone": "north",
    "timezone": "America/New_York",
    "message": "34A36837 is on the list stolen",
    "count": 1,
    "event_id": "6f1c2c52-0d4e-5c43-9d6a-2f7f3d0c1a9b",
    "revision": 4711,
    "event_ids": ["6f1c2c52-0d4e-5c43-9d6a-2f7f3d0c1a9b"],
    "first_at": "2025-01-15T12:34:56.120000Z",
    "last_at": "2025-01-15T12:34:56.120000Z",
    "raised_at": "2025-01-15T12:34:56.120000Z",
    "images": None,
    "watched": None,
    "was": [],
    "near_change": False,
    "withdrawn_at": None,
    "reason": None,
    "acknowledged_by": None,
    "acknowledged_at": None,
    "resolved_by": None,
    "resolved_at": None,
    "escalated_at": None,
    "comments": 0,
    "change": 17,
}


class AlertResponse(BaseModel):
    """An alert as it stands. ``raised_at``, ``first_at``, ``last_at`` are times of event."""

    model_config = ConfigDict(json_schema_extra={"example": _ALERT})

    alert_id: UUID
    rule: str
    rule_version: str
    severity: str
    state: str
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
    event_ids: list[str]
    first_at: datetime | None
    last_at: datetime | None
    raised_at: datetime
    images: dict[str, str] | None
    watched: dict[str, Any] | None
    was: list[str]
    near_change: bool
    withdrawn_at: datetime | None
    reason: str | None
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    resolved_by: str | None
    resolved_at: datetime | None
    escalated_at: datetime | None
    comments: int
    change: int


class AlertWithHistory(AlertResponse):
    """An alert with what became of it, and every attempt to tell somebody of it."""

    model_config = ConfigDict(
        json_schema_extra={"example": {**_ALERT, "history": [], "notifications": []}}
    )

    history: list[dict[str, Any]]
    notifications: list[dict[str, Any]]


class AlertsResponse(BaseModel):
    """Alerts, the latest raised first; ``count`` is of this page."""

    count: int
    limit: int
    offset: int
    alerts: list[AlertResponse]


class DeedBody(BaseModel):
    """What somebody says while doing it."""

    comment: str = ""


class DeedResponse(BaseModel):
    """The state of the alert now, and what was written; nothing where it was done before."""

    alert_id: UUID
    state: str
    written: dict[str, Any] | None


class RuleResponse(BaseModel):
    """A rule in force; ``definition`` is in the language of the file of rules."""

    name: str
    version: str | None
    description: str
    severity: str | None
    enabled: bool
    removed: bool
    definition: dict[str, Any] | None
    effective_from: datetime
    appended_at: datetime
    actor: str
    versions: int
    alerts_last_day: int


class RulesResponse(BaseModel):
    """Rules by name."""

    count: int
    rules: list[RuleResponse]


class WrittenRules(BaseModel):
    """Versions that were written, and the names of the rules that were as they are."""

    written: list[dict[str, Any]]
    same: list[str]


class TestedRules(BaseModel):
    """What is wrong with a file of rules, and how its examples went."""

    ok: bool
    problems: list[dict[str, Any]]
    rules: list[dict[str, Any]]
    examples: list[dict[str, Any]]


class BacktestBody(BaseModel):
    """Rules as the text of a file, and how far back: ``30d``, ``12h``, or a time."""

    rules: str = ""
    since: str = "30d"


class BacktestResponse(BaseModel):
    """A backtest: ``running``, ``done`` with its result, or ``failed`` with why in ``told``."""

    id: str
    state: str
    progress: float
    told: str
    result: dict[str, Any] | None


class EntryBody(BaseModel):
    """An entry of a watchlist. Times are ISO 8601, or a day, which ``valid_to`` includes."""

    kind: str = "notify"
    match: str = "exact"
    reason: str = ""
    owner: str = ""
    valid_from: str | None = None
    valid_to: str | None = None
    tags: list[str] = []


class EntryResponse(BaseModel):
    """An entry of a watchlist."""

    watchlist: str
    plate: str
    kind: str
    match: str
    reason: str
    owner: str
    valid_from: datetime | None
    valid_to: datetime | None
    tags: list[str]
    effective_from: datetime
    actor: str


class ListsResponse(BaseModel):
    """Every watchlist with its number of entries, by kind."""

    count: int
    watchlists: list[dict[str, Any]]


class EntriesResponse(BaseModel):
    """Entries by plate; ``total`` is how many there are."""

    watchlist: str
    total: int
    count: int
    limit: int
    offset: int
    entries: list[EntryResponse]


class ImportResponse(BaseModel):
    """What an import wrote, or would write."""

    watchlist: str
    entries: int
    dry_run: bool
    first: list[EntryResponse]
