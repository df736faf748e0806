"""A log, a queue and a channel to deliver with, stepped by hand at a time of the test's choice."""

import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, cast
from uuid import NAMESPACE_URL, uuid5

import psycopg2

from dataflows.dead_letters import dead_letter
from eventlog.log import Append
from eventlog.redriven import redriven
from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from images.store import FolderStore
from notify.channel import Channel, Delivery, OptionsError, Outcome
from notify.consumer import Consumer
from notify.deliveries import Deliveries, Upkeep
from notify.ledger import DeadLetters, Ledger
from notify.limits import Lanes
from notify.patience import Patience
from notify.pictures import Pictures
from notify.queue import Queue
from notify.store import SCHEMA, Session, begin
from notify.worker import Worker, gave_up
from projections.rulebook import RulebookFollower
from projections.statements import Statements
from rules.alerts.parse import parse
from rules.alerts.rule import Rule
from schemas.codec import Codec
from schemas.records import AlertEvent, NotificationAttempt
from schemas.topics import ALERTS, DLQ, NOTIFICATIONS, partition_of

SECOND = 1_000_000
NOON = 1_795_000_000 * SECOND
PARTITIONS = 2
HOOK = "https://hook.example/a"


def rule(actions: str, *, name: str = "Wanted", escalate: str = "") -> Rule:
    """A rule with the actions of some YAML."""
    text = (
        f"rules:\n  - name: {name}\n    description: stolen cars\n"
        f"    conditions: {{plates: [ABC123]}}\n    actions: {actions}\n"
    )
    if escalate:
        text += f"    escalate: {escalate}\n"
    return parse(text, "rules.yaml").rules[0]


def webhook(more: str = "") -> str:
    """YAML of actions: one webhook."""
    return f"[{{type: webhook, url: '{HOOK}'{more}}}]"


def email(more: str = "") -> str:
    """YAML of actions: one email."""
    return f"[{{type: email, to: guard@example.com{more}}}]"


def alert(number: int = 1, kind: str = "raised", **said: Any) -> AlertEvent:
    """An alert event about sighting ``number``."""
    event_id = str(uuid5(NAMESPACE_URL, f"sighting {number}"))
    whole: dict[str, Any] = {
        "alert_id": str(uuid5(NAMESPACE_URL, f"alert {number}")),
        "kind": kind,
        "at": NOON,
        "rule": "Wanted",
        "rule_version": "",
        "event_id": event_id,
        "revision": 1,
        "subject": f"ABC{number:03}",
        "plate": f"ABC{number:03}",
        "camera_id": "CAM-001",
        "severity": "warning",
        "message": "a wanted plate",
        "actor": None,
        "comment": None,
        "count": 1,
        "event_ids": [event_id],
        "first_at": NOON,
        "last_at": NOON,
        "text": f"ABC{number:03}",
        "confidence": 0.97,
        "site": "north",
        "zone": "gate",
        "timezone": "Europe/Istanbul",
        "images": None,
        "watched": None,
        "was": [],
        "reason": None,
        "near_change": False,
    }
    return cast("AlertEvent", whole | said)


class Recorder:
    """A channel that keeps what it is given and answers as it is told to, ``sent`` by default."""

    def __init__(self) -> None:
        self.sent: list[Delivery] = []
        self.answers: dict[str, list[Outcome]] = {}
        self.always: dict[str, Outcome] = {}

    def target(self, options: Mapping[str, Any]) -> str:
        if "broken" in options.get("url", ""):
            raise OptionsError("url: this one cannot be used")
        return options.get("url") or options["to"]

    def send(self, delivery: Delivery) -> Outcome:
        target = self.target(delivery.options)
        self.sent.append(delivery)
        answers = self.answers.get(target)
        return answers.pop(0) if answers else self.always.get(target, Outcome("sent"))


class World:
    """The log, the queue and who works on it, at a time that the test moves."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self.folder = folder
        self.now = NOON
        self.log = SqliteLog(folder / "log", PARTITIONS)
        self.codec = Codec(SqliteRegistry(folder / "log"))
        self.codec.register()
        self.channel = Recorder()
        self.channels: dict[str, Channel] = {"webhook": self.channel, "email": self.channel}
        self.images = FolderStore(folder / "images")
        self.version = ""
        self.statements = Statements(self.log, self.codec, self.clock)
        self.dead = DeadLetters(
            lambda entry, reason, detail: dead_letter(self.codec, entry, "notify", reason, detail),
            lambda entry: redriven(entry.topic, entry.headers) > 0,
        )
        self.ledger = Ledger(self.log, self.codec, self.dead, self.clock)
        begin(url, self.log)
        self.start()

    def start(self) -> None:
        """A process begins: everything it holds in memory is new."""
        self.consumer = Consumer(
            self.log,
            self.codec,
            Queue(Session(self.url), self.log.uuid),
            follower=RulebookFollower(self.log, self.codec),
            channels=self.channels,
            ledger=self.ledger,
            dead=self.dead,
            clock=self.clock,
        )
        self.lanes = Lanes(Session(self.url), self.clock)
        self.upkeep = Upkeep(Session(self.url), self.clock)
        self.deliveries = Deliveries(Session(self.url), self.lanes, self.clock)
        self.worker = Worker(
            self.deliveries,
            self.lanes,
            self.codec,
            channels=self.channels,
            pictures=Pictures(self.images, lambda address: f"https://alpr.example/p/{address}"),
            ledger=self.ledger,
            patience=Patience(threading.Event()),
            clock=self.clock,
            chance=Random(5),
            page="https://alpr.example",
        )

    def clock(self) -> int:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)

    def put(self, made: Rule) -> Rule:
        """A rule on the log; alerts made from now on are of its version."""
        self.statements.rule(made, "test")
        self.version = made.version
        return made

    def say(self, *events: AlertEvent, headers: Mapping[str, bytes] | None = None) -> None:
        """Append alert events, and queue what they ask for."""
        for event in events:
            event["rule_version"] = event["rule_version"] or self.version
            key = event["alert_id"].encode()
            value = self.codec.encode(ALERTS.name, "AlertEvent", event)
            partition = partition_of(key, PARTITIONS)
            # The log's own clock is not the test's.
            record = Append(key, value, headers or {}, appended_at=self.now)
            self.log.append(ALERTS.name, partition, [record])
            self.read()

    def read(self) -> None:
        while not self.consumer.step():
            pass

    def work(self) -> int:
        """Do all that is due; how many messages were sent or tried."""
        before = len(self.channel.sent)
        self.upkeep.gather()
        self.upkeep.expired(lambda rows: self.ledger.write(gave_up(self.ledger, self.lanes, rows)))
        while self.worker.one():
            pass
        return len(self.channel.sent) - before

    def tell(self, *events: AlertEvent) -> list[Delivery]:
        """Say and work; what was sent."""
        before = len(self.channel.sent)
        self.say(*events)
        self.work()
        return self.channel.sent[before:]

    @property
    def attempts(self) -> list[NotificationAttempt]:
        """All that alpr.notifications holds, in the order of the clock."""
        found = [self.codec.decode(e.value or b"")[1] for e in self._records(NOTIFICATIONS.name)]
        return sorted(found, key=lambda attempt: attempt["at"])

    @property
    def outcomes(self) -> list[str]:
        return [attempt["outcome"] for attempt in self.attempts]

    @property
    def letters(self) -> list[dict[str, Any]]:
        return [self.codec.decode(entry.value or b"")[1] for entry in self._records(DLQ.name)]

    @property
    def alerts(self) -> list[AlertEvent]:
        return [self.codec.decode(e.value or b"")[1] for e in self._records(ALERTS.name)]

    def _records(self, topic: str) -> list[Any]:
        return [e for p in range(PARTITIONS) for e in self.log.read(topic, p, 0, 100_000)]

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute(f"SET search_path = {SCHEMA}")
            cursor.execute(statement)
            return cursor.fetchall()

    def close(self) -> None:
        self.consumer.close()
        self.worker.close()
        self.upkeep.close()
        self.log.close()


def forget(url: str) -> None:
    """Drop the queue."""
    with closing(psycopg2.connect(url)) as connection, connection:
        connection.cursor().execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
