"""The dead letters of a log: what there is, one by one, and sent again."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from operator import itemgetter
from typing import Any, NamedTuple

from alpr.errors import AlprError
from alpr.sighted import Sighted
from dataflows.dead_letters import CUT, NOTE, Place, note, place
from eventlog.log import Append, Entry, Log
from eventlog.redriven import REDRIVEN
from eventlog.span import span
from schemas.codec import Codec, DecodeError
from schemas.records import DeadLetter
from schemas.topics import DLQ, RAW, TOPICS

CHUNK = 100
"""Records sent again at once, and noted before and after."""
ONCE = 1
"""How often a record is sent again unless asked for: what dies twice dies thrice."""


class DlqError(AlprError):
    """A dead letter that is not there, or cannot be sent again; the text says why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters: all that agree with everything given. Times are of the burial, in
    microseconds UTC, from ``since`` on and before ``until``.
    """

    topic: str | None = None
    step: str | None = None
    reason: str | None = None
    since: int | None = None
    until: int | None = None
    places: frozenset[Place] = frozenset()


@dataclass(frozen=True, slots=True)
class Dead:
    """A dead letter. ``at`` is when it was buried, ``whole`` None or the (length, SHA-256) of a
    value of which only the first part is here; ``sent`` is where its record went when it was
    sent again, ``started`` from which place on it may be, if that was cut off.
    """

    place: Place
    at: int
    letter: DeadLetter
    whole: tuple[int, str] | None = None
    sent: Place | None = None
    started: Place | None = None


class Found(NamedTuple):
    """The letters found, whether there are more, and how many records are no dead letters."""

    letters: list[Dead]
    more: bool
    strange: int


@dataclass(slots=True)
class _Noted:
    """What the notes under a letter's key say so far."""

    started: Place | None = None
    sent: Place | None = None


class DeadLetters:
    """The dead letters of a log; each step's letter of a record is one, however often told."""

    def __init__(self, log: Log, codec: Codec) -> None:
        self._log = log
        self._codec = codec

    def newest(self, wanted: Wanted, limit: int) -> Found:
        """The letters buried last, newest first; memory does not grow with the topic."""
        found: list[Dead] = []
        more, strange = False, 0
        for partition in self._partitions(wanted):
            latest: dict[tuple[Place, str], Dead] = {}
            for dead in self._letters(partition, wanted):
                if dead is None:
                    strange += 1
                    continue
                key = dead.place, dead.letter["step"]
                latest.pop(key, None)
                latest[key] = dead
                if len(latest) > limit:
                    del latest[next(iter(latest))]
                    more = True
            found = sorted([*found, *latest.values()], key=_newest_first)
            more |= len(found) > limit
            del found[limit:]
        return Found(found, more, strange)

    def tally(self) -> list[tuple[tuple[str, str, str], int]]:
        """How many letters there are of each topic, step and reason, as often as told, without
        those sent again; most first.
        """
        counts = Counter[tuple[str, str, str]]()
        for partition in self._partitions(Wanted()):
            for dead in self._letters(partition, Wanted()):
                if dead is not None and dead.sent is None:
                    letter = dead.letter
                    counts[letter["topic"], letter["step"], letter["reason"]] += 1
        return counts.most_common()

    def oldest(self, wanted: Wanted, limit: int) -> Found:
        """The letters buried first, by partition, one a record, without those sent again."""
        found: dict[Place, Dead] = {}
        strange = 0
        for partition in self._partitions(wanted):
            for dead in self._letters(partition, wanted):
                if dead is None:
                    strange += 1
                elif dead.sent is None and dead.place not in found:
                    if len(found) == limit:
                        return Found(list(found.values()), True, strange)
                    found[dead.place] = dead
        return Found(list(found.values()), False, strange)

    def at(self, where: Place) -> list[Dead]:
        """Each step's letter of one record, the last first. Raises DlqError if there is none."""
        found = self.newest(Wanted(places=frozenset([where])), 100).letters
        if not found:
            raise DlqError(
                f"there is no dead letter of {where}: `alpr dlq list` shows those there are"
            )
        return found

    def record(self, dead: Dead) -> Append:
        """The record as it was; one too large for a letter is read at its place.

        Raises DlqError where it is gone from there.
        """
        if dead.whole is None:
            return Append(dead.letter["key"], dead.letter["value"], dead.letter["headers"])
        for entry in span(self._log, *dead.place, dead.place.offset + 1):
            if sha256(entry.value or b"").hexdigest() == dead.whole[1]:
                return Append(entry.key, entry.value, entry.headers)
        raise DlqError(
            f"{dead.place}: the letter holds the first part of {dead.whole[0]} bytes, and the whole"
            " is gone from its topic: give a mended record by --value or --json"
        )

    def _partitions(self, wanted: Wanted) -> Iterable[int]:
        if wanted.places:
            return sorted({where.partition for where in wanted.places})
        return range(self._log.partitions(DLQ.name))

    def _letters(self, partition: int, wanted: Wanted) -> Iterator[Dead | None]:
        """The letters of one partition that are wanted, in order; None for what is none."""
        keys = {str(where).encode() for where in wanted.places}
        notes = self._notes(partition)
        for entry in self._entries(partition):
            if (
                (keys and entry.key not in keys)
                or (wanted.since is not None and entry.appended_at < wanted.since)
                or (wanted.until is not None and entry.appended_at >= wanted.until)
            ):
                continue
            if NOTE in entry.headers:
                if _told(entry.headers[NOTE]) is None:
                    yield None
                continue
            dead = self._dead(entry, notes)
            if dead is None or _agrees(dead.letter, wanted):
                yield dead

    def _dead(self, entry: Entry, notes: dict[bytes, _Noted]) -> Dead | None:
        try:
            name, letter = self._codec.decode(entry.value or b"")
        except DecodeError:
            return None
        if name != "DeadLetter":
            return None
        noted = notes.get(entry.key or b"", _Noted())
        whole = None
        if CUT in entry.headers:
            cut = re.fullmatch(rb"([0-9]{1,18}) ([0-9a-f]{64})", entry.headers[CUT])
            if cut is None:
                return None
            whole = int(cut[1]), cut[2].decode()
        where = Place(letter["topic"], letter["partition"], letter["offset"])
        return Dead(where, entry.appended_at, letter, whole, noted.sent, noted.started)

    def _notes(self, partition: int) -> dict[bytes, _Noted]:
        notes: dict[bytes, _Noted] = {}
        for entry in self._entries(partition):
            told = _told(entry.headers[NOTE]) if NOTE in entry.headers else None
            if told is not None:
                word, where = told
                noted = notes.setdefault(entry.key or b"", _Noted())
                if word == "done":
                    noted.sent, noted.started = where, None
                else:
                    noted.started = where
        return notes

    def _entries(self, partition: int) -> Iterator[Entry]:
        return span(self._log, DLQ.name, partition, 0, self._log.end(DLQ.name, partition))


@dataclass(slots=True)
class Redriven:
    """What became of the letters that were to be sent again, by place; ``refused`` says why."""

    sent: dict[Place, Place] = field(default_factory=dict)
    already: dict[Place, Place] = field(default_factory=dict)
    refused: dict[Place, str] = field(default_factory=dict)


class Redrive:
    """Sends records again, to their topic and partition with their key and headers; reads in the
    order of their capture, so that dedup can take those of one car together.

    What is sent is noted on alpr.dlq before and after, so that a run that was cut off can be
    repeated: what had been appended is found by its header and not appended again. One run at
    a time; two would send twice, which the flows take as a repeat.
    """

    def __init__(
        self, log: Log, codec: Codec, *, again: bool = False, sighted: Sighted = lambda _: None
    ) -> None:
        self._log = log
        self._codec = codec
        self._again = again
        self._sighted = sighted
        self._letters = DeadLetters(log, codec)

    def ready(self, dead: Dead, mended: bytes | None = None) -> tuple[str, Any]:
        """The name and the record that would be sent; ("", None) for an erasure.

        ``mended`` replaces its bytes. Raises DlqError where it must not be sent: it would come
        straight back, was sent before and ``again`` was not said, or is of a car that is
        ``sighted``.
        """
        if not self._again:
            if dead.sent is not None:
                raise DlqError(
                    f"was sent again already, as {dead.sent}; --again sends it once more"
                )
            if dead.letter["redriven"] >= ONCE:
                raise DlqError(
                    f"was sent again {dead.letter['redriven']} times and came back; --again sends "
                    "it once more"
                )
        topic = TOPICS.get(dead.place.topic)
        if topic is None or topic is DLQ:
            raise DlqError(f"nothing is sent to {dead.place.topic}")
        value = self._letters.record(dead).value if mended is None else mended
        if value is None:
            if topic.compacted:
                return "", None
            raise DlqError("has no value: give a record by --value or --json")
        try:
            name, record = self._codec.decode(value)
        except DecodeError as error:
            raise DlqError(
                f"cannot be read ({error}) and would come straight back: mend it, see `alpr dlq "
                f"show {dead.place}`"
            ) from error
        if name not in topic.records:
            raise DlqError(f"is a {name}, which does not belong on {topic.name}: mend it")
        # What a run that was cut off may have appended is perhaps what is sighted.
        if topic is RAW and name == "PlateRead" and dead.started is None:
            event_id = self._sighted(record)
            if event_id is not None:
                raise DlqError(f"already sighted as {event_id}; --anyway sends it")
        return name, record

    def run(
        self,
        letters: Sequence[Dead],
        mended: bytes | None = None,
        told: Callable[[Place], None] = lambda _: None,
    ) -> Redriven:
        """Send each letter's record, or ``mended`` in its stead; those refused are left out."""
        done = Redriven()
        ready: dict[tuple[str, int], list[tuple[int, Dead]]] = {}
        for dead in letters:
            try:
                name, record = self.ready(dead, mended)
            except DlqError as error:
                done.refused[dead.place] = str(error)
            else:
                captured = record["captured_at"] if name == "PlateRead" else 0
                ready.setdefault(dead.place[:2], []).append((captured, dead))
        for (topic, partition), passed in ready.items():
            passed.sort(key=itemgetter(0))
            waiting = self._finish(topic, partition, [dead for _, dead in passed], done)
            for start in range(0, len(waiting), CHUNK):
                chunk = waiting[start : start + CHUNK]
                self._send(topic, partition, chunk, mended, done)
                for dead in chunk:
                    told(dead.place)
        return done

    def _finish(
        self, topic: str, partition: int, letters: list[Dead], done: Redriven
    ) -> list[Dead]:
        """Note those that a run that was cut off had appended; the others."""
        begun = {_header(dead): dead for dead in letters if dead.started is not None}
        if not begun:
            return letters
        first = min(dead.started.offset for dead in begun.values() if dead.started is not None)
        sent: dict[Place, Place] = {}
        for entry in span(self._log, topic, partition, first, self._log.end(topic, partition)):
            dead = begun.get(entry.headers.get(REDRIVEN, b""))
            if dead is not None:
                sent[dead.place] = Place(topic, partition, entry.offset)
        self._note([dead for dead in letters if dead.place in sent], "done", sent)
        done.already.update(sent)
        return [dead for dead in letters if dead.place not in sent]

    def _send(
        self, topic: str, partition: int, chunk: list[Dead], mended: bytes | None, done: Redriven
    ) -> None:
        end = Place(topic, partition, self._log.end(topic, partition))
        self._note(chunk, "started", {dead.place: end for dead in chunk})
        offsets = self._log.append(topic, partition, [self._again_of(d, mended) for d in chunk])
        sent = {
            dead.place: Place(topic, partition, offset)
            for dead, offset in zip(chunk, offsets, strict=True)
        }
        self._note(chunk, "done", sent)
        done.sent.update(sent)

    def _again_of(self, dead: Dead, mended: bytes | None) -> Append:
        letter = dead.letter
        if mended is None:
            was = self._letters.record(dead)
        else:
            was = Append(letter["key"], mended, letter["headers"])
        return Append(was.key, was.value, {**was.headers, REDRIVEN: _header(dead)})

    def _note(self, letters: list[Dead], word: str, where: dict[Place, Place]) -> None:
        if letters:
            notes = [note(self._codec, dead.letter, word, where[dead.place]) for dead in letters]
            self._log.append(DLQ.name, letters[0].place.partition, notes)


def _told(header: bytes) -> tuple[str, Place] | None:
    """What a note says; None for one that `alpr dlq redrive` did not make."""
    try:
        word, _, where = header.decode().partition(" ")
        return (word, place(where)) if word in ("started", "done") else None
    except ValueError:
        return None


def _newest_first(dead: Dead) -> tuple[int, str, int, int]:
    return -dead.at, dead.place.topic, dead.place.partition, -dead.place.offset


def _header(dead: Dead) -> bytes:
    return f"{dead.letter['redriven'] + 1} {dead.place}".encode()


def _agrees(letter: DeadLetter, wanted: Wanted) -> bool:
    return (
        (wanted.topic is None or letter["topic"] == wanted.topic)
        and (wanted.step is None or letter["step"] == wanted.step)
        and (wanted.reason is None or letter["reason"] == wanted.reason)
    )
