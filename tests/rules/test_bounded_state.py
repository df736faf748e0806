"""However much is read, the state stays small."""

import os
import pickle
from random import Random

import pytest

from tests.rules.world import Fold, at, box, read

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def parked(n, rng):
    """A car that stands still and is read once a second, each tenth time wrongly."""
    where = {"track_id": f"t{n // 50}", "box": box(50, 50)}
    if rng.random() < 0.9:
        return n, "KAX1234", where
    return n, garbled("KAX1234", rng), where | {"confidence": 0.75}


def tracks(n, rng):
    """A car whose every read is a track of its own."""
    return n, "KAX1234", {"track_id": f"t{n}", "box": box(50 + rng.randrange(900), 50)}


def garbage(n, rng):
    """Other texts all the time: plates, signs, noise."""
    text = "".join(rng.choice(LETTERS) for _ in range(rng.randint(1, 11)))
    return n * 20, text, {"track_id": f"t{n}", "confidence": rng.uniform(0.5, 1)}


def signs(n, rng):
    """Ever other texts that stay put while cars go by, and a car at times."""
    if n % 3:
        number = n // 500
        return n * 10, f"SIGN{number:05d}X", {"track_id": "s", "box": box(number % 30 * 60, 9)}
    return n * 10, garbled("KAX1234", rng), {"track_id": f"t{n}"}


def garbled(text, rng):
    place = rng.randrange(len(text))
    return text[:place] + rng.choice(LETTERS) + text[place + 1 :]


def sizes(story, reads):
    """Bytes of the pickled state at thirty moments."""
    fold, rng, found = Fold(), Random(7), []
    for n in range(1, reads + 1):
        seconds, text, changes = story(n, rng)
        made = read(seconds, text, read_id=f"r{n}", frame_number=n, **changes)
        fold.dedup.fold("PlateRead", made, n, at(seconds))
        if n % (reads // 30) == 0:
            found.append(len(pickle.dumps(fold.dedup.snapshot())))
    return found


STORIES = [(parked, 6_000), (tracks, 60_000), (garbage, 30_000), (signs, 30_000)]
"""Each with as many reads as a test has time for."""


@pytest.mark.parametrize(("story", "reads"), STORIES)
def test_the_state_does_not_grow_with_what_was_read(story, reads):
    found = sizes(story, reads)
    assert max(found[10:]) <= 1.25 * max(found[:10]) + 2_000
    assert max(found) < 200_000


@pytest.mark.skipif(
    not os.environ.get("ALPR_TEST_MILLION"), reason="takes minutes: set ALPR_TEST_MILLION=1"
)
@pytest.mark.parametrize("story", [story for story, _ in STORIES])
def test_the_state_does_not_grow_over_a_million_reads(story):
    found = sizes(story, 1_000_000)
    assert max(found[1:]) <= 1.25 * max(sizes(story, 12_000)) + 2_000
