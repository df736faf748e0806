"""Record the sightings of the golden logs anew: ``python -m tests.golden.record "why"``.

``--logs`` writes the logs too, from the generated city; that is for a change of their schemas.
"""

import argparse
import sys

from tests.golden.logs import HASHES, SEEDS, load, outcome, save, write_log


def main() -> int:
    """Write the hashes and the reason; 1 where the rules still call themselves the same."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.record", description=__doc__)
    parser.add_argument("why", help="what the rules decide differently, in a line")
    parser.add_argument("--logs", action="store_true", help="generate the logs anew as well")
    chosen = parser.parse_args()
    if not chosen.why.strip():
        parser.error("say why")
    if chosen.logs:
        for name, seed in SEEDS.items():
            write_log(name, seed)
    known = load()
    for name in SEEDS:
        before, found = known.get(name, {}), outcome(name)
        if before.get("sightings_sha256") == found["sightings_sha256"]:
            print(f"{name}: unchanged")
            continue
        if before.get("rules_version") == found["rules_version"] and not chosen.logs:
            print(f"{name} changed under the same rules_version: raise RULES in rules/version.py")
            return 1
        print(f"{name}: {found}")
        known[name] = found | {"why": chosen.why.strip()}
    save(known)
    print(f"written to {HASHES}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
