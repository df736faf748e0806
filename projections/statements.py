"""What people say of rules, watchlists, alerts and sightings, as records of the log."""

from collections.abc import Callable, Sequence

from eventlog.log import Append, Log
from rules.alerts.life import Alert
from rules.alerts.rule import Rule
from rules.alerts.watch import entry_key
from schemas.codec import Codec
from schemas.records import AlertEvent, Correction, RuleVersion, WatchlistEntry
from schemas.topics import (
    ALERTS,
    CORRECTIONS,
    RULES,
    WATCHLIST,
    correction_key,
    partition_of,
    placing,
)

BATCH = 1_000


class Statements:
    """Appends them; each is durable when its method returns.

    ``clock`` gives microseconds UTC. Raises LogUnavailable, LogFull, RegistryUnavailable.
    """

    def __init__(self, log: Log, codec: Codec, clock: Callable[[], int]) -> None:
        self._log = log
        self._codec = codec
        self._clock = clock

    def rule(self, rule: Rule, actor: str) -> RuleVersion:
        """A new version of a rule, in force at once; what was written."""
        return self._version(rule.name, rule.definition, actor)

    def remove_rule(self, name: str, actor: str) -> RuleVersion:
        """The end of a rule; what was written."""
        return self._version(name, None, actor)

    def watch(self, entries: Sequence[WatchlistEntry]) -> None:
        """Versions of entries of watchlists, as they are."""
        encode = self._codec.encoder(WATCHLIST.name, "WatchlistEntry")
        records = [
            Append(entry_key(entry["watchlist"], entry["plate"]).encode(), encode(entry))
            for entry in entries
        ]
        for start in range(0, len(records), BATCH):
            self._log.append(WATCHLIST.name, 0, records[start : start + BATCH])

    def alert(self, alert: Alert, kind: str, actor: str, comment: str = "") -> AlertEvent:
        """What somebody did about an alert: acknowledged, resolved, commented; what was written."""
        event: AlertEvent = {
            "alert_id": alert.alert_id,
            "kind": kind,
            "at": self._clock(),
            "rule": alert.rule,
            "rule_version": alert.rule_version,
            "event_id": alert.event_id,
            "revision": alert.revision,
            "subject": alert.subject,
            "plate": alert.plate,
            "camera_id": alert.camera_id,
            "severity": alert.severity,
            "message": alert.message,
            "actor": actor,
            "comment": comment or None,
            "count": alert.count,
            "event_ids": [],
            "first_at": None,
            "last_at": None,
            "text": alert.text,
            "confidence": alert.confidence,
            "site": alert.site,
            "zone": alert.zone,
            "timezone": alert.timezone,
            "images": None,
            "watched": None,
            "was": [],
            "reason": None,
            "near_change": False,
        }
        key = alert.alert_id.encode()
        partition = partition_of(key, self._log.partitions(ALERTS.name))
        value = self._codec.encode(ALERTS.name, "AlertEvent", event)
        self._log.append(ALERTS.name, partition, [Append(key, value)])
        return event

    def correction(self, correction: Correction) -> None:
        """What somebody says of a sighting, as it is."""
        key = correction_key(correction["event_id"], correction["correction_id"])
        where = partition_of(placing(CORRECTIONS.name, key), self._log.partitions(CORRECTIONS.name))
        value = self._codec.encode(CORRECTIONS.name, "Correction", correction)
        self._log.append(CORRECTIONS.name, where, [Append(key, value)])

    def _version(self, name: str, definition: str | None, actor: str) -> RuleVersion:
        version: RuleVersion = {
            "name": name,
            "effective_from": self._clock(),
            "definition": definition,
            "actor": actor,
        }
        value = self._codec.encode(RULES.name, "RuleVersion", version)
        self._log.append(RULES.name, 0, [Append(name.encode(), value)])
        return version
