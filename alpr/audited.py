"""Commands that show plates, or act on them, are in the audit as requests of the API are."""

import argparse
import re
import time
import uuid
from collections.abc import Mapping
from contextlib import closing

from alpr.person import actor
from alpr.settings import Settings
from schemas.records import AuditEntry
from schemas.topics import AUDIT, partition_of

_DEEDS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("alerts", "list"): ("list", "alerts"),
    ("alerts", "show"): ("view", "alert:{id}"),
    ("alerts", "ack"): ("acknowledge", "alert:{id}"),
    ("alerts", "resolve"): ("resolve", "alert:{id}"),
    ("alerts", "comment"): ("comment", "alert:{id}"),
    ("watchlist", "list"): ("list", "watchlist:{list}"),
    ("watchlist", "export"): ("export", "watchlist:{list}"),
    ("watchlist", "add"): ("put on a list", "plate:{plate}"),
    ("watchlist", "remove"): ("take off a list", "plate:{plate}"),
    ("watchlist", "import"): ("import", "watchlist:{list}"),
    ("dlq", "list"): ("list", "dead letters"),
    ("dlq", "show"): ("view", "dead letter:{place}"),
    ("dlq", "redrive"): ("redrive", "dead letters"),
    ("rules", "backtest"): ("backtest", "rules"),
    ("replay", "dedup"): ("compare", "history"),
    ("correct", ""): ("correct", "sighting:{event_id}"),
}
"""By command and what it is to do: action and subject, which names arguments in braces."""
_BRACES = re.compile(r"\{(\w+)\}")
_LONGEST = 300  # characters of a subject


def tell(command: str, arguments: argparse.Namespace, settings: Settings) -> None:
    """Write what a command is about to show or do, where it is one of those that are audited.

    Raises as the log does: then nothing is shown.
    """
    what = getattr(arguments, "what", None) or getattr(arguments, "flow", None) or ""
    if (deed := _DEEDS.get((command, what))) is not None:
        action, subject = deed
        write(settings, action, _subject(subject, vars(arguments), settings))


def write(settings: Settings, action: str, subject: str, reason: str = "") -> None:
    """An entry in the name of the operating system's user. Raises as the log does."""
    from alpr.wiring import open_codec, open_log
    from eventlog.log import Append

    entry: AuditEntry = {
        "audit_id": str(uuid.uuid4()),
        "at": time.time_ns() // 1000,
        "actor": actor(),
        "action": action,
        "subject": subject,
        "reason": " ".join(reason.split())[:200],
        "found": [],
    }
    key = entry["actor"].encode()
    with closing(open_log(settings)) as log:
        value = open_codec(settings).encode(AUDIT.name, "AuditEntry", entry)
        log.append(AUDIT.name, partition_of(key, log.partitions(AUDIT.name)), [Append(key, value)])


def _subject(subject: str, given: Mapping[str, object], settings: Settings) -> str:
    if typed := given.get("plate") or given.get("search"):
        from alpr.wiring import open_pseudonyms
        from api.audited import plate_named

        return plate_named(str(typed), open_pseudonyms(settings))
    told = _BRACES.sub(lambda found: str(given.get(found[1]) or "all"), subject)
    return told[:_LONGEST]
