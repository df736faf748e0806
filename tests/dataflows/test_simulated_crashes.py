"""Deterministic simulation: dedup, its logs and a view, crashed and rolled back at any step.

CI or HYPOTHESIS_PROFILE=ci makes it thousands of lives, else it is some hundreds.
"""

import os
import pickle
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from dataflows.dedup import Dedup
from eventlog.log import Append
from rules.grammar import grammar
from rules.settings import DedupSettings
from schemas.codec import Codec
from schemas.topics import DETECTED, DLQ, RAW, REJECTED
from tests.dataflows.logs import MemoryLog, raw_records, view_of
from tests.schemas.memory import MemoryRegistry

CODEC = Codec(MemoryRegistry())
CODEC.register()
CITIES = {seed: raw_records(CODEC, seed) for seed in (11, 12, 13)}
GARBAGE = [
    Append(b"gate", b"", {}, 1),
    Append(b"gate", None, {}, 1),
    Append(b"gate", b"\x00", {"traceparent": b"00-1"}, 1),
    Append(None, b"not avro at all", {}, 1),
    Append(b"gate", b"\x00\x7f\xff\xff\xff" + b"rest", {}, 1),  # a schema nobody knows
    Append(b"gate", CITIES[11][0].value[:-1], {}, 1),  # truncated
    Append(b"gate", CITIES[11][0].value + b"\x00", {}, 1),  # left over
    Append(
        b"gate",
        CODEC.encode(
            DETECTED.name,
            "Progress",
            {"partition": 0, "revision": 1, "watermark": 1, "clock": 0, "cameras": 1},
        ),
        {},
        1,
    ),  # of another topic
]


def dedup(state=None):
    return Dedup(CODEC, DedupSettings(), grammar(), state)


def dead_letters(log):
    return [CODEC.decode(entry.value)[1] for entry in log.entries.get(DLQ.name, [])]


def said(log, topic):
    """Every different record of a topic."""
    return {(entry.key, entry.value) for entry in log.entries.get(topic, [])}


class CrashingDedup(RuleBasedStateMachine):
    """A dedup that is never spared, beside a clean one that reads the same log at the end."""

    @initialize(seed=st.sampled_from(sorted(CITIES)), start=st.integers(0, 600))
    def begin(self, seed, start):
        self.log = MemoryLog()
        self.city = CITIES[seed]
        self.next = start
        self.garbage = []
        self.running = dedup()
        self.position = 0
        self.snapshots = [(0, None)]

    # What happens to the log

    @rule(count=st.integers(1, 120))
    def append(self, count):
        self.log.append(RAW.name, 0, self.city[self.next : self.next + count])
        self.next += count

    @rule(which=st.sampled_from(GARBAGE))
    def append_garbage(self, which):
        (offset,) = self.log.append(RAW.name, 0, [which])
        self.garbage.append((offset, which))

    @rule(count=st.integers(1, 30), back=st.one_of(st.integers(1, 20), st.integers(1, 300)))
    def append_again(self, count, back):
        """An edge that forwards what it had forwarded."""
        first = max(0, self.next - back)
        self.log.append(RAW.name, 0, self.city[first : min(first + count, self.next)])

    @rule(count=st.integers(1, 20), seconds=st.integers(-4000, 4000), chance=st.integers(0, 99))
    def append_with_a_bad_clock(self, count, seconds, chance):
        """Reads and heartbeats whose captured_at is off, as from a wrong clock."""
        rng = Random(chance)
        for record in self.city[self.next : self.next + count]:
            name, value = CODEC.decode(record.value)
            if "captured_at" in value and rng.random() < 0.5:
                value["captured_at"] += seconds * 1_000_000
            encoded = CODEC.encode(RAW.name, name, value)
            self.log.append(RAW.name, 0, [Append(record.key, encoded, {}, record.appended_at)])
        self.next += count

    # What happens to the process

    @rule(most=st.integers(1, 200))
    def process(self, most):
        entries = self.log.read(RAW.name, 0, self.position, most)
        self._write(self.running.batch(entries))
        if entries:
            self.position = entries[-1].offset + 1

    @rule(most=st.integers(1, 200), written=st.integers(0, 2))
    def process_and_crash_while_writing(self, most, written):
        """Only some of the outputs were written; no snapshot was."""
        entries = self.log.read(RAW.name, 0, self.position, most)
        self._write(self.running.batch(entries), written)
        self._resume(*self.snapshots[-1])

    @rule()
    def snapshot(self):
        if self.position:
            state = pickle.loads(pickle.dumps(self.running.snapshot()))
            self.snapshots.append((self.position, state))

    @rule()
    def crash(self):
        self._resume(*self.snapshots[-1])

    @rule(back=st.integers(0, 10))
    def roll_back(self, back):
        """Restore an older recovery store; what it held later is gone."""
        del self.snapshots[max(1, len(self.snapshots) - back) :]
        self._resume(*self.snapshots[-1])

    # What must hold

    def teardown(self):
        if not hasattr(self, "log"):
            return
        while self.position < self.log.end(RAW.name, 0):
            self.process(1000)
        clean = MemoryLog()
        decided = dedup().batch(self.log.entries.get(RAW.name, []))
        _write(clean, decided, 3)
        for topic in (DETECTED.name, REJECTED.name, DLQ.name):
            # Repeats are allowed, and repeat to the byte.
            assert said(self.log, topic) == said(clean, topic)
        rows = view_of(CODEC, self.log.entries.get(DETECTED.name, []))
        assert rows == view_of(CODEC, clean.entries.get(DETECTED.name, []))
        letters = {letter["offset"]: letter for letter in dead_letters(self.log)}
        assert set(letters) == {offset for offset, _ in self.garbage}
        for offset, record in self.garbage:
            letter = letters[offset]
            assert (letter["key"], letter["value"]) == (record.key, record.value)
            assert letter["headers"] == dict(record.headers)
            assert (letter["topic"], letter["partition"]) == (RAW.name, 0)
            assert letter["step"] == "decode"

    def _write(self, decided, written=3):
        _write(self.log, decided, written)

    def _resume(self, position, state):
        self.position = position
        self.running = dedup(pickle.loads(pickle.dumps(state)))


def _write(log, decided, written):
    outputs = (
        (REJECTED.name, decided.rejected),
        (DLQ.name, decided.dead),
        (DETECTED.name, decided.detected),
    )
    for topic, records in outputs[:written]:
        if records:
            log.append(topic, 0, records)


LONG = bool(os.environ.get("CI")) or os.environ.get("HYPOTHESIS_PROFILE") == "ci"

TestCrashingDedup = CrashingDedup.TestCase
TestCrashingDedup.settings = settings(
    max_examples=2000 if LONG else 300,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
