"""``alpr cameras``: the cameras that the log knows, as they are set."""

import argparse
import json
from datetime import UTC, datetime, timedelta

from alpr.camera_versions import known
from alpr.commands.table import columns
from alpr.settings import Settings
from alpr.wiring import open_codec, open_log

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def configure(parser: argparse.ArgumentParser) -> None:
    """One command."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="list")
    text = "the cameras and their settings, as an edge last wrote them to the log"
    listing = commands.add_parser("list", help=text, description=text)
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    listing.add_argument("--removed", action="store_true", help="removed ones too")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print them by id; exit code 0."""
    log = open_log(settings)
    try:
        found = sorted(known(log, open_codec(settings)).values(), key=lambda one: one["camera_id"])
    finally:
        log.close()
    rows: list[list[str]] = []
    for one in found:
        told = None if one["settings"] is None else json.loads(one["settings"])
        if told is None and not arguments.removed:
            continue
        since = (_EPOCH + timedelta(microseconds=one["effective_from"])).isoformat(" ", "seconds")
        if arguments.json:
            print(json.dumps({**one, "settings": told, "effective_from": since}))
            continue
        node = one["node"]
        state = "removed" if told is None else "enabled" if told.get("enabled", True) else "off"
        source = "" if told is None else told.get("source", "")
        rows.append([one["camera_id"], node["site"], node["zone"], state, source, since])
    if not arguments.json:
        for line in columns(["CAMERA", "SITE", "ZONE", "STATE", "SOURCE", "SINCE (UTC)"], rows):
            print(line)
    return 0
