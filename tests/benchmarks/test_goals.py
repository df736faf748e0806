"""The rules' promise, counted: what goes wrong with some thousand cars of a generated city."""

from benchmarks.accounting import Ledger
from benchmarks.site import Site
from rules.dedup import Deduplication
from rules.grammar import grammar
from rules.settings import DedupSettings


def test_a_city_is_seen_with_fewer_errors_than_the_goal_allows():
    site = Site(7, cameras=40, hours=1)
    ledger = Ledger(list(site.visits()))
    folds = [Deduplication(p, DedupSettings(), grammar()) for p in range(site.partitions)]
    offsets = [0] * site.partitions
    events = []
    for item in ledger.follow(site.records()):
        fold, offset = folds[item.partition], offsets[item.partition]
        offsets[item.partition] += 1
        told = fold.fold(item.name, item.record, offset, item.appended_at)
        events.extend(out.record for out in told if out.name == "PlateEvent")

    account = ledger.audit(events)

    print(account.row())
    assert account.cars > 7_000
    assert account.beyond() == {}
