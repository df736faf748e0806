"""``alpr replay``: rebuild a view from the log beside the live one, compare, swap.

``--flow`` replays history through a flow instead: alpr/commands/history.py.
Exit code 0 where the views were identical or nothing was there to compare, 3 where they differed.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from alpr.commands import history
from alpr.errors import ConfigError
from alpr.moments import moment, shown
from alpr.settings import Settings
from alpr.wiring import open_codec, open_database, open_log

if TYPE_CHECKING:
    from projections.rebuild import Rebuilt
    from projections.topic_rebuild import RebuiltTopics

DIFFERENT = 3
_LISTED = 50  # hours that are printed; a view that lost a year has thousands


class View(NamedTuple):
    """What can be done with a view: rebuild it, remove what the last swap replaced."""

    rebuild: "Callable[..., Rebuilt | RebuiltTopics]"
    drop_old: Callable[[], bool]


def configure(parser: argparse.ArgumentParser) -> None:
    """What `alpr replay` takes."""
    view = parser.add_argument_group("a view", "rebuilt from the log beside the live one")
    view.add_argument(
        "--view",
        choices=["timescale", "opensearch", "alerts", "people"],
        help="which one; timescale unless given",
    )
    view.add_argument(
        "--from",
        dest="start",
        metavar="TIME",
        help="rebuild what was captured from then on (ISO 8601, or 2h); take over what is older",
    )
    view.add_argument(
        "--dry-run", action="store_true", help="rebuild and compare, leave the live view in place"
    )
    view.add_argument(
        "--drop-old", action="store_true", help="only remove what an earlier replay replaced"
    )
    history.configure(parser)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Rebuild, tell the differences by the hour, swap. May be interrupted, and goes on then."""
    about_views = ("view", "start", "dry_run", "drop_old")
    if arguments.flow is not None:
        if any(getattr(arguments, name) for name in about_views):
            raise ConfigError(
                "--flow replays a flow, and --view, --from, --dry-run and --drop-old"
                " are about a view: give one or the other"
            )
        return history.run(arguments, settings)
    start = None
    if arguments.start is not None:
        if arguments.view in {"alerts", "people"}:
            raise ConfigError(
                "--from is about sightings: other records are few,"
                f" `alpr replay --view {arguments.view}` does all"
            )
        start = moment("--from", arguments.start, time.time_ns() // 1000)
    with _view(arguments.view or "timescale", settings) as view:
        if arguments.drop_old:
            print(
                "The view that the last replay replaced is removed."
                if view.drop_old()
                else "There is no replaced view to remove."
            )
            return 0
        try:
            result = _rebuilt(view, settings, start, swap=not arguments.dry_run)
        except KeyboardInterrupt:
            print("stopped; the same command goes on where it was", file=sys.stderr)
            raise
    _tell(result, start)
    if arguments.dry_run:
        print("Nothing was swapped.")
    else:
        which = "" if arguments.view in {None, "timescale"} else f" --view {arguments.view}"
        print(f"Swapped; `alpr replay{which} --drop-old` removes the view it replaced.")
    sys.stdout.flush()
    return DIFFERENT if result.differences else 0


@contextmanager
def _view(name: str, settings: Settings) -> Iterator[View]:
    if name == "opensearch":
        from projections.search_rebuild import drop_old_search, rebuild_search

        if not settings.search_url:
            raise ConfigError(
                "--view opensearch: ALPR_SEARCH_URL names no OpenSearch; without it search is in "
                "the database, which `alpr replay --view timescale` rebuilds"
            )
        url = settings.search_url
        yield View(partial(rebuild_search, url), partial(drop_old_search, url))
        return
    database = open_database(settings)
    try:
        if name == "alerts":
            from projections.alert_rebuild import drop_old_alerts, rebuild_alerts

            yield View(
                partial(rebuild_alerts, database.url), partial(drop_old_alerts, database.url)
            )
        elif name == "people":
            from projections.people_rebuild import drop_old_people, rebuild_people

            yield View(
                partial(rebuild_people, database.url), partial(drop_old_people, database.url)
            )
        else:
            from projections.rebuild import drop_old, rebuild

            yield View(partial(rebuild, database.url), partial(drop_old, database.url))
    finally:
        database.stop()


def _rebuilt(
    view: View, settings: Settings, start: int | None, swap: bool
) -> "Rebuilt | RebuiltTopics":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from projections.rebuild import Replayed

    log, codec = open_log(settings), open_codec(settings)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
    with bar:
        task = bar.add_task("replaying" if start is None else "taking over", total=None)

        def told(at: Replayed) -> None:
            bar.update(task, description="replaying", completed=at.done, total=at.total)

        begin = {} if start is None else {"start": start}
        return view.rebuild(log, codec, told, swap=swap, **begin)


def _tell(result: "Rebuilt | RebuiltTopics", start: int | None) -> None:
    from projections.rebuild import Rebuilt
    from projections.topic_rebuild import TableDifference

    of = "sightings" if isinstance(result, Rebuilt) else result.of
    since = "" if start is None else f"; what was captured before {shown(start)} was taken over"
    print(f"{result.rows} {of} rebuilt from the log{since}.")
    if result.refused:
        print(f"{result.refused} records could not be shown; they are on alpr.dlq.")
    if result.differences is None:
        print("There was no live view of this log to compare with.")
    elif not result.differences:
        print("The live view and the rebuilt one are identical, hour by hour.")
    else:
        print(f"The live view differed in {len(result.differences)} hours:")
        for hour in result.differences[:_LISTED]:
            rows = f"{hour.live_rows} rows live, {hour.rebuilt_rows} rebuilt"
            if hour.live_rows == hour.rebuilt_rows:
                rows += ", not the same"
            table = f" in {hour.table}" if isinstance(hour, TableDifference) else ""
            print(f"  {hour.hour:%Y-%m-%d %H:00} UTC{table}: {rows}")
        if len(result.differences) > _LISTED:
            print(f"  and {len(result.differences) - _LISTED} more")
