"""Dead letters for the API: what `alpr dlq` does, as JSON."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from alpr.dlq import Dead, DeadLetters, DlqError, Found, Redrive, Wanted
from alpr.dlq_told import everything, pretended, summary
from alpr.errors import ConfigError
from alpr.moments import moment
from alpr.settings import Settings
from alpr.sighted import asking_the_view
from alpr.spoilt import hexdump
from alpr.wiring import open_codec, open_log
from api.errors import BadInput, Conflict, NotFound
from dataflows.dead_letters import Place, place
from eventlog.log import Log, LogError, LogUnavailable
from schemas.codec import Codec
from schemas.topics import RAW

_PATIENCE_S = 5.0
_SHOWN_BYTES = 4096
"""Of a record's bytes, around where it cannot be read on, that are shown in hexadecimal."""


class DlqDesk:
    """The dead letters of the settings' log, which is opened when somebody first asks.

    Any number of threads may share it; they take turns. Every method raises LogError,
    RegistryUnavailable, BadInput, NotFound. ``clock`` gives microseconds UTC.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], int],
        open_both: Callable[[], tuple[Log, Codec]] | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._open = open_both or (lambda: (open_log(settings), open_codec(settings)))
        self._both: tuple[Log, Codec] | None = None
        self._turn = threading.Lock()
        self._redriving = threading.Lock()

    def listing(self, given: Mapping[str, str | None], limit: int) -> dict[str, Any]:
        """The letters buried last that agree with ``topic``, ``step``, ``reason``, ``since`` and
        ``until``, and how many there are of each kind.
        """
        wanted = self._wanted(given)
        with self._my_turn() as (log, codec):
            letters = DeadLetters(log, codec)
            found, counts = letters.newest(wanted, limit), letters.tally()
        return {
            "count": len(found.letters),
            "more": found.more,
            "strange": found.strange,
            "waiting": [
                {"topic": topic, "step": step, "reason": reason, "letters": number}
                for (topic, step, reason), number in counts
            ],
            "letters": [summary(dead) for dead in found.letters],
        }

    def one(self, where: str) -> dict[str, Any]:
        """All that is known of one record, of the step that failed last; ``burials`` are all."""
        with self._my_turn() as (log, codec):
            letters = DeadLetters(log, codec)
            found = self._at(letters, where)
            dead = found[0]
            try:
                value = letters.record(dead).value
            except DlqError:
                value = dead.letter["value"]  # the part that is left
            told = everything(dead, value, codec)
            refused = pretended(Redrive(log, codec), [dead]).refused.get(dead.place)
        ends = told.get("ends_at_byte")
        spoilt = dict.fromkeys(("error", "ends_at_byte", "failed_field", "left_over", "schema"))
        return (
            spoilt
            | told
            | {
                "burials": [summary(one) for one in found],
                "bytes": len(value or b""),
                "whole_bytes": dead.whole[0] if dead.whole else len(value or b""),
                "hex": hexdump((value or b"")[: (ends or 0) + _SHOWN_BYTES], ends),
                "refused": refused,
            }
        )

    def redrive(
        self, chosen: Mapping[str, Any], *, dry_run: bool, again: bool, anyway: bool, most: int
    ) -> dict[str, Any]:
        """Send records again, or only say what would be: ``places``, or those that agree with the
        filters. Raises Conflict while another run goes on.
        """
        if not self._redriving.acquire(blocking=False):
            raise Conflict("dead letters are being sent again at this moment: wait for that to end")
        try:
            with self._my_turn() as (log, codec), ExitStack() as stack:
                letters = DeadLetters(log, codec)
                found = self._chosen(letters, chosen, most)
                told: list[str] = []
                redrive = Redrive(log, codec, again=again)
                if not anyway and any(dead.place.topic == RAW.name for dead in found.letters):
                    sighted = stack.enter_context(asking_the_view(self._settings, told.append))
                    redrive = Redrive(log, codec, again=again, sighted=sighted)
                done = pretended(redrive, found.letters) if dry_run else redrive.run(found.letters)
        finally:
            self._redriving.release()
        return {
            "dry_run": dry_run,
            "sent": {str(where): None if dry_run else str(to) for where, to in done.sent.items()},
            "already": {str(where): str(to) for where, to in done.already.items()},
            "refused": {str(where): why for where, why in done.refused.items()},
            "more": found.more,
            "told": told,
        }

    def _chosen(self, letters: DeadLetters, chosen: Mapping[str, Any], most: int) -> Found:
        places = chosen.get("places")
        wanted = self._wanted(chosen)
        if places is None:
            if wanted == Wanted():
                raise BadInput("say which: places, or topic, step, reason, since, until")
            return letters.oldest(wanted, most)
        if wanted != Wanted():
            raise BadInput("places name the records; leave the filters out")
        if len(places) > most:
            raise BadInput(f"these are {len(places)} places: name at most {most} at once")
        return Found([self._at(letters, where)[0] for where in places], False, 0)

    def _wanted(self, given: Mapping[str, Any]) -> Wanted:
        try:
            since, until = (
                moment(name, given[name], self._clock()) if given.get(name) else None
                for name in ("since", "until")
            )
        except ConfigError as error:
            raise BadInput(str(error)) from None
        topic, step, reason = (given.get(name) or None for name in ("topic", "step", "reason"))
        return Wanted(topic, step, reason, since, until)

    @staticmethod
    def _at(letters: DeadLetters, where: str) -> list[Dead]:
        try:
            named: Place = place(where)
        except ValueError:
            raise BadInput(
                f"{where!r} is no place: give TOPIC/PARTITION/OFFSET such as {RAW.name}/3/1290, as "
                "/dead-letters lists it"
            ) from None
        try:
            return letters.at(named)
        except LogUnavailable:
            raise
        except (DlqError, LogError):  # of a partition that there is not
            raise NotFound(
                f"there is no dead letter of {named}: /dead-letters shows those there are"
            ) from None

    @contextmanager
    def _my_turn(self) -> Iterator[tuple[Log, Codec]]:
        if not self._turn.acquire(timeout=_PATIENCE_S):
            raise LogUnavailable(f"others have been reading dead letters for {_PATIENCE_S:g} s")
        try:
            if self._both is None:
                self._both = self._open()
            yield self._both
        finally:
            self._turn.release()
