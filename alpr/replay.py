"""``alpr replay``: rebuild a view from the log beside the live one, compare, swap."""

import argparse
import sys

from alpr.settings import Settings
from alpr.wiring import open_codec, open_database, open_log


def configure(parser: argparse.ArgumentParser) -> None:
    """What `alpr replay` takes."""
    parser.add_argument(
        "--view", choices=["timescale"], default="timescale", help="the view to rebuild"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="rebuild and compare, leave the live view in place"
    )
    parser.add_argument(
        "--drop-old", action="store_true", help="only remove what an earlier replay replaced"
    )


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Rebuild, tell the differences by the hour, swap; exit code 0. May be interrupted."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from projections.rebuild import Replayed, drop_old, rebuild

    console = Console()
    database = open_database(settings)
    try:
        if arguments.drop_old:
            drop_old(database.url)
            console.print("The view that the last replay replaced is removed.")
            return 0
        log, codec = open_log(settings), open_codec(settings)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
        with bar:
            task = bar.add_task("replaying", total=None)

            def told(at: Replayed) -> None:
                bar.update(task, completed=at.done, total=at.total)

            result = rebuild(database.url, log, codec, told, swap=not arguments.dry_run)
    finally:
        database.stop()
    console.print(f"{result.rows} sightings rebuilt from the log.")
    if result.refused:
        console.print(f"{result.refused} records could not be shown; they are on alpr.dlq.")
    if result.differences is None:
        console.print("There was no live view of this log to compare with.")
    elif not result.differences:
        console.print("The live view was equal, hour by hour.")
    else:
        console.print(f"The live view differed in {len(result.differences)} hours:")
        for hour in result.differences:
            console.print(
                f"  {hour.hour:%Y-%m-%d %H:00} UTC: {hour.live_rows} rows live,"
                f" {hour.rebuilt_rows} rebuilt"
            )
    if arguments.dry_run:
        console.print("Nothing was swapped.")
    else:
        console.print("Swapped; `alpr replay --drop-old` removes the view it replaced.")
    sys.stdout.flush()
    return 0
