"""``alpr dlq``: what could not be processed; list it, look into it, send it again."""

import argparse
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from alpr.dlq import Dead, DeadLetters, DlqError, Found, Redrive, Wanted
from alpr.dlq_told import decoded, encoded, everything, pretended, summary
from alpr.errors import ConfigError
from alpr.moments import moment, shown
from alpr.settings import Settings
from alpr.sighted import asking_the_view
from alpr.spoilt import hexdump, reading, reencoded
from alpr.wiring import open_codec, open_log
from dataflows.dead_letters import Place, place
from eventlog.log import Log
from schemas.codec import Codec, DecodeError, EncodeError
from schemas.topics import RAW

LIMIT = 50
MOST = 100
"""Records sent again by one command unless told otherwise."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Three commands in one."""
    commands = parser.add_subparsers(dest="what", required=True, metavar="list|show|redrive")

    listing = commands.add_parser("list", help="the newest dead letters, one a line")
    _filters(listing)
    listing.add_argument("--limit", type=_count, default=LIMIT, help=f"at most so many ({LIMIT})")
    listing.add_argument("--json", action="store_true", help="a JSON object a line")

    show = commands.add_parser("show", help="one dead letter: what it holds, what is wrong, where")
    show.add_argument("place", metavar="TOPIC/PARTITION/OFFSET")
    form = show.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="all of it as a JSON object")
    form.add_argument("--raw", action="store_true", help="the record's bytes, to a file or a pipe")

    redrive = commands.add_parser("redrive", help="send records again, as they were or mended")
    redrive.add_argument("place", metavar="TOPIC/PARTITION/OFFSET", nargs="?")
    _filters(redrive)
    redrive.add_argument("--max", type=_count, default=MOST, help=f"at most so many ({MOST})")
    redrive.add_argument("--dry-run", action="store_true", help="only say what would be sent")
    redrive.add_argument("--again", action="store_true", help="also what was sent again before")
    redrive.add_argument(
        "--anyway", action="store_true", help="also reads of cars that the view shows already"
    )
    mended = redrive.add_mutually_exclusive_group()
    mended.add_argument("--value", metavar="FILE", help="send these bytes instead")
    mended.add_argument(
        "--json", metavar="FILE", help="send this record instead, mended in the output of show"
    )


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit code 0; 1 where something asked for could not be done."""
    log, codec = open_log(settings), open_codec(settings)
    now_us = time.time_ns() // 1000
    if arguments.what == "list":
        found = DeadLetters(log, codec).newest(_wanted(arguments, now_us), arguments.limit)
        _list(found, arguments.json)
        return 0
    if arguments.what == "show":
        return _show(arguments, log, codec)
    return _redrive(arguments, settings, log, codec, now_us)


# list


def _list(found: Found, as_json: bool) -> None:
    for dead in found.letters:
        letter = dead.letter
        if as_json:
            print(json.dumps(summary(dead)))
            continue
        again = f", sent again as {dead.sent}" if dead.sent else ""
        came = f", came back after {letter['redriven']} times" if letter["redriven"] else ""
        print(
            f"{shown(dead.at)}  {dead.place}  {_plain(letter['step'])}/{_plain(letter['reason'])}"
            f"{again}{came}: {_plain(letter['detail'])}"
        )
    if not found.letters:
        print("no dead letters", file=sys.stderr)
    if found.more:
        print("there are more; --limit or the filters show them", file=sys.stderr)
    if found.strange:
        print(f"{found.strange} records of alpr.dlq are no dead letters", file=sys.stderr)


# show


def _show(arguments: argparse.Namespace, log: Log, codec: Codec) -> int:
    letters = DeadLetters(log, codec)
    found = letters.at(_place(arguments.place))
    dead = found[0]
    try:
        value = letters.record(dead).value
    except DlqError:
        value = dead.letter["value"]  # the part that is left
    if arguments.raw:
        if value is None:
            raise DlqError(f"{dead.place} has no value")
        sys.stdout.buffer.write(value)
        return 0
    name, record, error = decoded(codec, value)
    if arguments.json:
        print(json.dumps(everything(dead, value, codec), indent=1))
        return 0
    letter = dead.letter
    print(dead.place)
    for one in found:
        steps = f"{_plain(one.letter['step'])}, {_plain(one.letter['reason'])}"
        print(f"  buried    {shown(one.at)} by {steps}: {_plain(one.letter['detail'])}")
    print(f"  appended  {shown(letter['appended_at'])}")
    print(f"  key       {_bytes(letter['key'])}")
    for header, held in sorted(letter["headers"].items()):
        print(f"  header    {_plain(header)}: {_bytes(held)}")
    print(f"  redriven  {letter['redriven']} times before; {_fate(dead)}")
    if value is None:
        print("  value     none")
        return 0
    print(f"  value     {len(value)} bytes" + (f" of {dead.whole[0]}" if dead.whole else ""))
    if error is None:
        print(f"\nIt reads as a {name}:")
        print(json.dumps(record, indent=1, default=encoded))
        return 0
    _show_spoilt(dead, value, error)
    return 0


def _show_spoilt(dead: Dead, value: bytes, error: DecodeError) -> None:
    print(f"\nIt cannot be read: {_plain(str(error))}")
    best = reading(dead.place.topic, value, error)
    at = 0 if error.reason == "magic" else 1 if error.reason == "schema" else None
    if best is not None:
        if best.complete:
            print(
                f"Its body, from byte 5 on, is a whole {best.record} by today's schema: only what "
                "stands before it (a 0 and the schema's number in 4 bytes) is wrong. `--json` shows"
                " the record, and `alpr dlq redrive … --json FILE` sends it."
            )
        else:
            at = best.ends if at is None else at
            print(f"As a {best.record}, expected here, by today's schema:")
        for read in best.fields:
            told = _plain(json.dumps(read.value, default=encoded, ensure_ascii=False))
            cut = told if len(told) <= 100 else told[:99] + "…"
            print(f"  {read.start:6d}  {read.name} ({read.type}): {cut}")
        if best.failed is not None:
            print(f"> {best.ends:6d}  {best.failed[0]} ({best.failed[1]}): cannot be read")
        elif best.left:
            print(f"> {best.ends:6d}  {best.left} bytes are left over: a length before is wrong")
    print("\nBytes:")
    for line in hexdump(value, at):
        print(line)


# redrive


def _redrive(
    arguments: argparse.Namespace, settings: Settings, log: Log, codec: Codec, now_us: int
) -> int:
    found = _chosen(arguments, DeadLetters(log, codec), now_us)
    mended = _mended(arguments, codec, found)
    with ExitStack() as stack:
        redrive = Redrive(log, codec, again=arguments.again)
        if not arguments.anyway and any(x.place.topic == RAW.name for x in found.letters):
            sighted = stack.enter_context(asking_the_view(settings, _say))
            redrive = Redrive(log, codec, again=arguments.again, sighted=sighted)
        if arguments.dry_run:
            done = pretended(redrive, found.letters, mended)
        else:
            done = redrive.run(found.letters, mended)
    for where, sent in done.sent.items():
        print(f"{where}: would be sent" if arguments.dry_run else f"{where}: sent as {sent}")
    for where, sent in done.already.items():
        print(f"{where}: had been sent as {sent} by a run that was cut off")
    for where, why in done.refused.items():
        print(f"{where}: not sent, {_plain(why)}", file=sys.stderr)
    if not found.letters:
        print("no dead letters to send", file=sys.stderr)
    if found.more:
        print(f"there are more than {arguments.max}: run it again, or raise --max", file=sys.stderr)
    return 1 if done.refused else 0


def _chosen(arguments: argparse.Namespace, letters: DeadLetters, now_us: int) -> Found:
    """The letters that a command line names, by place or by what they have in common."""
    wanted = _wanted(arguments, now_us)
    if arguments.place is not None:
        if wanted != Wanted():
            raise ConfigError(f"{arguments.place} names one record; leave the filters out")
        return Found(letters.at(_place(arguments.place))[:1], False, 0)
    if arguments.value or arguments.json:
        raise ConfigError("--value and --json mend one record: say which, TOPIC/PARTITION/OFFSET")
    if wanted == Wanted():
        raise ConfigError(
            "say which: TOPIC/PARTITION/OFFSET, or --topic, --step, --reason, --since, --until"
        )
    return letters.oldest(wanted, arguments.max)


def _mended(arguments: argparse.Namespace, codec: Codec, found: Found) -> bytes | None:
    """The bytes to send in a record's stead, if any were given."""
    if arguments.value:
        return Path(arguments.value).read_bytes()
    if not arguments.json:
        return None
    path = Path(arguments.json)
    try:
        told = json.loads(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON: {error}") from error
    shown = isinstance(told, dict) and "buried_at" in told
    if shown and (told.get("failed_field") or told.get("left_over")):
        raise ConfigError(
            f"{path} shows {told['place']} only as far as it can be read: mend its bytes, "
            f"`alpr dlq show {told['place']} --raw`, and send them with --value"
        )
    record = told["record"] if shown else told
    topic = found.letters[0].place.topic
    try:
        return reencoded(codec, topic, record)
    except EncodeError as error:
        raise ConfigError(
            f"{path} is no record of {topic}: {error}; `alpr dlq show --json` has the schema"
        ) from error


# What they share


def _filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--topic", help="of the record")
    parser.add_argument("--step", help="that failed: decode, dedup, project, index …")
    parser.add_argument("--reason", help="the word: magic, schema, unreadable, refused, poison …")
    parser.add_argument("--since", metavar="TIME", help="buried from then on: ISO 8601, or 2h")
    parser.add_argument("--until", metavar="TIME", help="buried before")


def _wanted(arguments: argparse.Namespace, now_us: int) -> Wanted:
    since, until = (
        None if text is None else moment(flag, text, now_us)
        for flag, text in (("--since", arguments.since), ("--until", arguments.until))
    )
    return Wanted(arguments.topic, arguments.step, arguments.reason, since, until)


def _place(text: str) -> Place:
    try:
        return place(text)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no place: give TOPIC/PARTITION/OFFSET such as {RAW.name}/3/1290, as "
            "`alpr dlq list` prints it"
        ) from None


def _say(line: str) -> None:
    print(_plain(line), file=sys.stderr)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def _fate(dead: Dead) -> str:
    if dead.sent:
        return f"sent again as {dead.sent}"
    if dead.started:
        return "sending it again was cut off; the next redrive finds out how far it came"
    return "not sent again"


def _bytes(value: bytes | None) -> str:
    """Bytes as text where they are text."""
    if value is None:
        return "none"
    text = value.decode("utf-8", "replace")
    return text if text.isprintable() and "\ufffd" not in text else f"0x{value.hex()}"


def _plain(text: str) -> str:
    """Text without what would steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
