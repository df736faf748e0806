"""``alpr layout``: from one dedup process to many and back, with their state."""

import argparse
from contextlib import closing, nullcontext

from alpr.layout import Stores, listed
from alpr.settings import Settings
from alpr.up import locked
from alpr.wiring import open_log


def configure(parser: argparse.ArgumentParser) -> None:
    """The partitions of each process."""
    parser.add_argument(
        "partitions",
        nargs="*",
        help="all for one process, or those of each: 0-15 16-31; none prints the stores there are",
    )


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Move the state to one store a process, print each one's partitions and store; exit code 0."""
    layout = [settings.changed(partitions=text).own_partitions for text in arguments.partitions]
    settings.home.mkdir(parents=True, exist_ok=True)
    held = locked(settings.home / "up.lock") if layout else nullcontext()  # to print needs none
    with held, closing(open_log(settings)) as log:
        for store in Stores(settings, log.uuid).change(layout):
            print(f"ALPR_PARTITIONS={listed(store.partitions)}  -r {store.folder}")
    return 0
