"""Backtests that the API runs: one at a time, bounded, and ended when nobody waits for it."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from api.errors import ApiError, Conflict, NotFound
from eventlog.log import LogError
from rules.alerts.rule import Rule
from schemas.codec import RegistryUnavailable

_log = logging.getLogger(__name__)

Progress = Callable[[float, str], None]
"""The share that is done, 0 to 1, and words; raises to end what reports it."""
Backtest = Callable[[Sequence[Rule] | None, int, Progress], dict[str, Any]]
"""Tries rules (None: the log's own) on the log since a time (microseconds UTC): plain JSON."""


class _Stopped(Exception):
    """Nobody waits any more, or it takes too long."""


@dataclass(slots=True, eq=False)
class _Job:
    number: str
    began: float
    asked: float
    share: float = 0.0
    told: str = "begins"
    result: dict[str, Any] | None = None
    error: str = ""
    stopped: bool = False
    over: threading.Event = field(default_factory=threading.Event)


class Backtests:
    """Runs ``engine`` in a thread. Times are in seconds.

    A job ends when it takes longer than ``longest``, or when nobody asked how far it is for
    ``patience``: a page that was left asks no more. The last ``kept`` answers stay to be fetched.
    """

    def __init__(
        self,
        engine: Backtest,
        *,
        longest: float = 600.0,
        patience: float = 20.0,
        kept: int = 4,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._longest = longest
        self._patience = patience
        self._kept = kept
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, _Job] = OrderedDict()

    def start(self, rules: Sequence[Rule] | None, since: int) -> dict[str, Any]:
        """A new job. Raises Conflict while another runs."""
        with self._lock:
            if any(not job.over.is_set() for job in self._jobs.values()):
                raise Conflict("another backtest is running: try again when it is done")
            job = _Job(uuid4().hex, self._clock(), self._clock())
            self._jobs[job.number] = job
            while len(self._jobs) > self._kept:
                self._jobs.popitem(last=False)
        threading.Thread(
            target=self._run, args=(job, rules, since), name="backtest", daemon=True
        ).start()
        return self._told(job)

    def look(self, number: str) -> dict[str, Any]:
        """How far a job is, or its result. Raises NotFound."""
        job = self._job(number)
        job.asked = self._clock()
        return self._told(job)

    def stop(self, number: str) -> dict[str, Any]:
        """End a job."""
        job = self._job(number)
        job.stopped = True
        return self._told(job)

    def close(self) -> None:
        """End what runs."""
        for job in tuple(self._jobs.values()):
            job.stopped = True

    def _job(self, number: str) -> _Job:
        job = self._jobs.get(number)
        if job is None:
            raise NotFound(f"there is no backtest {number}: its result was dropped, start it anew")
        return job

    def _told(self, job: _Job) -> dict[str, Any]:
        state = "running"
        if job.over.is_set():
            state = "failed" if job.error else "done"
        return {
            "id": job.number,
            "state": state,
            "progress": round(job.share, 4),
            "told": job.error or job.told,
            "result": job.result,
        }

    def _run(self, job: _Job, rules: Sequence[Rule] | None, since: int) -> None:
        def progress(share: float, told: str) -> None:
            now = self._clock()
            if job.stopped:
                raise _Stopped("it was stopped")
            if now - job.asked > self._patience:
                raise _Stopped("nobody asked for it any more")
            if now - job.began > self._longest:
                raise _Stopped(
                    f"it took longer than {self._longest:g} s: give a later `since`, or use "
                    "`alpr rules backtest`, which has no bound"
                )
            job.share, job.told = share, told

        try:
            job.result = self._engine(rules, since, progress)
            job.share, job.told = 1.0, "done"
        except (_Stopped, ApiError) as error:
            job.error = str(error)
        except (LogError, RegistryUnavailable) as error:
            _log.warning("a backtest cannot read the log: %s", error)
            job.error = "the log cannot be read at the moment: try again"
        except Exception:  # a thread's error reaches nobody else
            _log.exception("a backtest failed")
            job.error = "it failed: the cause is in the server's log"
        finally:
            job.over.set()
