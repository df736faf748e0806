"""Sends what is due, one at a time, and says what became of it."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import cast

from eventlog.log import Entry
from eventlog.tracing import tracing
from notify.channel import Channel, Delivery, OptionsError, Outcome
from notify.deliveries import Deliveries, Row, Taken
from notify.ledger import Ledger, Told
from notify.limits import SECOND, Lanes
from notify.patience import Patience
from notify.pictures import PATIENCE_S, Pictures
from schemas.codec import Codec
from schemas.records import AlertEvent

_log = logging.getLogger(__name__)

OTHERS = 20
"""Further alerts that a message tells of one by one; the rest is counted."""
LONGEST_S = 300.0
GRACE = 60 * SECOND
"""How long before a delivery expires it is tried for the last time."""


class Worker:
    """Takes and sends; for one thread. ``clock`` gives microseconds UTC of the wall."""

    def __init__(
        self,
        deliveries: Deliveries,
        lanes: Lanes,
        codec: Codec,
        *,
        channels: Mapping[str, Channel],
        pictures: Pictures,
        ledger: Ledger,
        patience: Patience,
        clock: Callable[[], int],
        chance: Random,
        page: str,
    ) -> None:
        self._deliveries = deliveries
        self._lanes = lanes
        self._codec = codec
        self._channels = channels
        self._pictures = pictures
        self._ledger = ledger
        self._patience = patience
        self._clock = clock
        self._chance = chance
        self._page = page

    def one(self) -> bool:
        """Send what is longest due; False where there is nothing. Raises Ending.

        The attempt is on the log before it is in the queue: killed between the two, or where the
        database goes away, it is sent again under the same id.
        """
        taken = self._patience.until(self._deliveries.take)
        if taken is None:
            return False
        row = taken.row
        began = self._clock()
        outcome = self._send(taken)
        took = self._clock() - began
        self._trace(row, began, outcome)
        end, due = self._verdict(row, outcome)
        told = self._told(taken, end or "failed", outcome.detail, took)
        self._patience.until(lambda: self._ledger.write(told))
        self._patience.until(lambda: self._deliveries.settle(taken, end, due))
        self._patience.until(lambda: self._lanes.told(row.lane, outcome))
        if end in ("given up", "refused"):
            self._lanes.lost(row.lane, end, outcome.detail, len(taken.rows))
        return True

    def close(self) -> None:
        """End the connection; what is being sent will be sent again."""
        self._deliveries.close()

    def _send(self, taken: Taken) -> Outcome:
        row = taken.row
        channel = self._channels.get(row.channel)
        if channel is None:
            return Outcome("refused", f"there is no channel {row.channel!r} any more")
        alert = self._alert(row.entry)
        waited = (self._clock() - row.queued_at) / SECOND
        delivery = Delivery(
            notification_id=row.notification_id,
            kind=row.kind,
            alert=alert,
            options=row.options,
            attempt=row.attempts + 1,
            rule_description=row.description,
            others=tuple(self._alert(member.entry) for member in taken.members[:OTHERS]),
            more=max(0, len(taken.members) - OTHERS),
            page_url=f"{self._page}/alerts/{row.alert_id}" if self._page else "",
            picture_url=self._pictures.url(alert),
            picture=self._pictures.attached(
                row.channel, row.options, alert, max(0.0, PATIENCE_S - waited)
            ),
        )
        try:
            return channel.send(delivery)
        except OptionsError as error:
            return Outcome("refused", str(error))
        except Exception as error:  # its text may hold a secret, so that only its place is told
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
            _log.error(
                "channel %s has a defect: %s at %s", row.channel, type(error).__name__, where
            )
            return Outcome("failed", f"the channel has a defect: {type(error).__name__}")

    def _trace(self, row: Row, began: int, outcome: Outcome) -> None:
        traces = tracing()
        event_id = self._alert(row.entry)["event_id"] if traces is not None else None
        if traces is not None and event_id:
            traces.step(
                *("deliver", event_id, began, self._clock()),
                channel=row.channel,
                outcome=outcome.result,
                alert=row.alert_id,
            )

    def _alert(self, entry: Entry) -> AlertEvent:
        return cast("AlertEvent", self._codec.decode(entry.value or b"")[1])

    def _verdict(self, row: Row, outcome: Outcome) -> tuple[str | None, int]:
        """How a delivery ended, or None and when it is due again."""
        if outcome.result != "failed":
            return outcome.result, 0
        now, last = self._clock(), row.expires - GRACE
        if now >= last:
            return "given up", 0
        pause_s = max(backoff(row.attempts + 1, self._chance), outcome.retry_after or 0.0)
        return None, min(now + int(pause_s * SECOND), last)

    def _told(self, taken: Taken, outcome: str, detail: str, took: int) -> Told:
        ledger, first, told = self._ledger, taken.row, Told()
        rows = taken.rows if outcome != "failed" else (first,)
        for row in rows:
            word, said = outcome, detail
            if row is not first and outcome == "sent":
                word, said = "grouped", f"told in message {first.notification_id}"
            told.attempts.append(
                ledger.attempt(
                    *(row.notification_id, row.alert_id, row.channel, row.target, word, said),
                    attempt=first.attempts + 1,
                    duration_us=took,
                )
            )
            if outcome in ("given up", "refused"):
                told.letters.append(ledger.letter(row.entry, outcome, detail))
        return told


def backoff(failures: int, chance: Random) -> float:
    """Seconds until the next try: by chance from 1 to 2 s, then to 4, 8 … 300 s ("full jitter").

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return chance.uniform(1.0, min(LONGEST_S, 2.0 ** min(failures, 16)))


def gave_up(ledger: Ledger, lanes: Lanes, rows: Sequence[Row]) -> Told:
    """What is to be written of deliveries whose time is over."""
    detail = "its target was not to be reached in time"
    told = Told()
    for row in rows:
        attempt = ledger.attempt(
            *(row.notification_id, row.alert_id, row.channel, row.target, "given up", detail),
            attempt=row.attempts + 1,
        )
        told.attempts.append(attempt)
        told.letters.append(ledger.letter(row.entry, "given up", detail))
    for lane, count in Counter(row.lane for row in rows).items():
        lanes.lost(lane, "given up", detail, count)
    return told
