"""The threads of ``alpr notify``: one reads alerts, some deliver, one keeps the queue in order."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from eventlog.log import Log
from notify.channel import Channel
from notify.consumer import Consumer
from notify.deliveries import Deliveries, Upkeep
from notify.ledger import DeadLetters, Ledger
from notify.limits import Lanes
from notify.patience import Ending, Patience
from notify.pictures import Pictures
from notify.queue import Queue
from notify.store import SCHEMA, Session, begin
from notify.worker import Worker, gave_up
from projections.rulebook import RulebookFollower
from schemas.codec import Codec

_log = logging.getLogger(__name__)

WORKERS = 16
"""Deliveries at once; each takes a connection to the database while there are any."""
LOOK_S = 0.2
"""How often it is looked what has become due, by others or by time."""
GRACE_S = 5.0
"""How long deliveries in work may go on at the end; one that is cut off is repeated."""
_PRUNE_S = 3600.0
_IDLE_S = 60.0  # after which a worker gives its connection back


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service works with. ``clock`` gives microseconds UTC of the wall; ``page`` is where
    people open the API, without a / at its end, '' for nowhere. ``beside`` are steps of other
    deliveries by the name of their thread; each gives the seconds until its next.
    """

    url: str
    log: Log
    codec: Codec
    channels: Mapping[str, Channel]
    pictures: Pictures
    dead: DeadLetters
    page: str = ""
    clock: Callable[[], int] = lambda: time.time_ns() // 1000
    revive: Callable[[], object] = lambda: None
    schema: str = SCHEMA
    workers: int = WORKERS
    beside: Mapping[str, Callable[[], float]] = field(default_factory=dict)


class Bell:
    """Wakes as many waiting threads as there is work for."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rung = 0

    def ring(self, times: int = 1) -> None:
        """There is work for so many more."""
        with self._condition:
            self._rung = min(self._rung + times, WORKERS)
            self._condition.notify(times)

    def wait(self, timeout: float) -> bool:
        """True when it rang, for one of those who wait; False after ``timeout`` s."""
        with self._condition:
            if not self._condition.wait_for(lambda: self._rung > 0, timeout):
                return False
            self._rung -= 1
            return True


class Service:
    """Delivers from ``start`` until the event is set; any number of processes may do so."""

    def __init__(self, parts: Parts, stop: threading.Event, chance: Random) -> None:
        self._parts = parts
        self._stop = stop
        self._chance = chance
        self._patience = Patience(stop, parts.revive)
        self._bell = Bell()
        self._failure: BaseException | None = None
        self._threads: list[threading.Thread] = []

    def run(self) -> None:
        """Deliver until the event is set. Raises what waiting does not mend."""
        parts = self._parts
        try:
            self._patience.until(
                lambda: begin(parts.url, parts.log, parts.schema, now=parts.clock())
            )
        except Ending:
            return
        lanes = Lanes(self._session(), parts.clock)
        ledger = Ledger(parts.log, parts.codec, parts.dead, parts.clock)
        self._start("reader", lambda: self._read(ledger))
        self._start("upkeep", lambda: self._keep(lanes, ledger))
        for number in range(parts.workers):
            self._start(f"worker {number}", lambda: self._work(lanes, ledger))
        for name, step in parts.beside.items():
            self._start(name, lambda step=step: self._repeat(step))
        self._stop.wait()
        until = time.monotonic() + GRACE_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if self._failure is not None:
            raise self._failure

    def _session(self) -> Session:
        return Session(self._parts.url, self._parts.schema)

    def _start(self, name: str, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Ending:
                pass
            except BaseException as error:
                self._failure = self._failure or error
                self._stop.set()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _repeat(self, step: Callable[[], float]) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            pause = self._patience.until(step)

    def _read(self, ledger: Ledger) -> None:
        parts = self._parts
        consumer = Consumer(
            parts.log,
            parts.codec,
            Queue(self._session(), parts.log.uuid),
            follower=RulebookFollower(parts.log, parts.codec),
            channels=parts.channels,
            ledger=ledger,
            dead=parts.dead,
            clock=parts.clock,
            ring=self._bell.ring,
        )
        pause = 0.0
        while not self._stop.wait(pause):
            pause = self._patience.until(consumer.step)
        consumer.close()

    def _keep(self, lanes: Lanes, ledger: Ledger) -> None:
        upkeep = Upkeep(self._session(), self._parts.clock)

        def look() -> None:
            upkeep.gather()
            upkeep.expired(lambda rows: ledger.write(gave_up(ledger, lanes, rows)))
            if upkeep.ready():
                self._bell.ring()

        pruned = 0.0
        while not self._stop.wait(LOOK_S):
            self._patience.until(look)
            if time.monotonic() - pruned > _PRUNE_S:
                pruned = time.monotonic()
                self._patience.until(upkeep.prune)
        upkeep.close()

    def _work(self, lanes: Lanes, ledger: Ledger) -> None:
        parts = self._parts
        worker = Worker(
            Deliveries(self._session(), lanes, parts.clock),
            lanes,
            parts.codec,
            channels=parts.channels,
            pictures=parts.pictures,
            ledger=ledger,
            patience=self._patience,
            clock=parts.clock,
            chance=self._chance,
            page=parts.page,
        )
        idle = time.monotonic()
        while not self._stop.is_set():
            if self._bell.wait(0.5):
                while worker.one() and not self._stop.is_set():
                    # What came while this one was busy may be for more than one.
                    self._bell.ring()
                idle = time.monotonic()
            elif time.monotonic() - idle > _IDLE_S:
                worker.close()
                idle = time.monotonic()
        worker.close()
