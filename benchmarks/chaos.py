"""Chaos: the production system on real servers, killed at random moments, then counted by id.

    python -m benchmarks.chaos [--reads 20000] [--seconds 90] [--seed 1] [--home FOLDER]

Kafka, registry, PostgreSQL, OpenSearch, an edge, its forwarder, two dedup processes, project,
index, metrics, ticker and API. At random moments one of them gets a SIGKILL (servers too), the
registry stays away, one dedup process is cut off from the broker by its network namespace, the
recovery store's disk fills up, and records of every poisonous kind are sent. When all is over the
accounts are made from the logs: every read is in a sighting, rejected or a dead letter, exactly
once; the live view equals the rebuilt one, and OpenSearch equals both. The exit code is 1 if not.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from benchmarks.chaos_settle import settle
from benchmarks.chaos_stack import NAMES, SERVER_NAMES, Stack

POISONED = 6  # records of each poisonous kind
DRAIN_S = 3600.0
SHORT_S = 300.0  # a longer run is disturbed as often as this one, so that it gets on


def disturb(stack: Stack, chance: random.Random, seconds: float) -> Counter[str]:
    """Kill and cut until the time is over; what was done how often."""
    done: Counter[str] = Counter()
    slower = max(1.0, seconds / SHORT_S)
    special = ["registry away", "cut off", "disk full"] * round(slower)
    chance.shuffle(special)
    moments = sorted(chance.uniform(0.15, 0.85) * seconds for _ in special)
    began = time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        if special and now > moments[0]:
            moments.pop(0)
            what = special.pop()
            why_not = stack.trouble(what, chance.uniform(8, 20))
            done[what if why_not is None else f"{what}: not tried, {why_not}"] += 1
        else:
            # A flow dies more often than a server, as its code is younger.
            names = NAMES * 2 + SERVER_NAMES
            victim = chance.choice(names)
            stack.kill(victim, chance.uniform(0.0, 4.0))
            done[f"kill {victim}"] += 1
        time.sleep(slower * chance.uniform(0.5, 4.0))
    return done


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reads", type=int, default=20_000, help="about so many reads")
    parser.add_argument("--seconds", type=float, default=90.0, help="how long to kill")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--home", type=Path, help="keep logs and output there")
    given = parser.parse_args()
    home = given.home or Path(tempfile.mkdtemp(prefix="alpr-chaos-"))
    chance = random.Random(given.seed)
    print(f"chaos in {home}", file=sys.stderr)
    with Stack(home, seed=given.seed, reads=given.reads, seconds=given.seconds) as stack:
        stack.start()
        poison = threading.Thread(target=stack.poison, args=(POISONED, given.seconds), daemon=True)
        poison.start()
        done = disturb(stack, chance, given.seconds)
        poison.join()
        for what, times in sorted(done.items()):
            print(f"{times:4} × {what}", file=sys.stderr)
        stack.calm()
        began = time.monotonic()
        stack.wait_drained(DRAIN_S)
        drained_s = time.monotonic() - began
        accounts = settle(stack)
        accounts["drained_s"] = round(drained_s, 1)
        accounts["killed"] = sum(n for what, n in done.items() if what.startswith("kill"))
        accounts["restarts"] = stack.restarts
        memory = stack.peak_memory()
    print(json.dumps({"benchmark": "chaos", "seed": given.seed, **accounts, "rss_mib": memory}))
    if given.home is None and accounts["closed"]:
        shutil.rmtree(home, ignore_errors=True)
    return 0 if accounts["closed"] else 1


if __name__ == "__main__":
    sys.exit(main())
