"""The command line: finds a command's module, runs it, tells errors in one line.

A command is a module with ``configure(parser)``, which adds its flags, and
``run(arguments, settings) -> int``, which gives the exit code. It is imported when it is asked
for, so that ``alpr --help`` is quick and a process loads only the rooms it works with.
Exit codes: 2 for usage and configuration, 1 for failures, 130 after Ctrl-C.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import NoReturn

from alpr.errors import AlprError, ConfigError

COMMANDS = {
    "demo": ("alpr.demo", "render a drive-by (or take a video) and show its sightings"),
    "read": ("alpr.read", "pictures, videos, folders to sightings, without any service"),
    "up": ("alpr.up", "edge, flows, deliveries, ticker and API as supervised processes"),
    "edge": ("alpr.commands.edge", "read the cameras into the log"),
    "api": ("alpr.commands.api", "the query API and its pages"),
    "ticker": ("alpr.ticker", "wall time into the log, and its retention"),
    "replay": ("alpr.replay", "rebuild the views from the log, compare, swap"),
    "flow": ("alpr.commands.flow", "one dataflow as this process"),
    "layout": ("alpr.commands.layout", "from one dedup process to many and back, with their state"),
    "dlq": ("alpr.commands.dlq", "what could not be processed: list, show, send again"),
    "log": ("alpr.commands.log", "copy a log into Kafka, once or as it grows; close one"),
    "keys": ("alpr.commands.keys", "who may ask the API: make a key, list all, revoke one"),
    "forget": ("alpr.commands.forget", "erase all that is known of a plate"),
    "users": ("alpr.commands.users", "who logs in: add, list, role, cameras, password, disable"),
    "topics": ("alpr.commands.topics", "make a log's topics on Kafka; list them with their lag"),
    "doctor": ("alpr.commands.doctor", "ask every server of the settings whether it is there"),
    "rules": ("alpr.commands.rules", "alert rules: list, apply, test, try on history"),
    "watchlist": (
        "alpr.commands.watchlist",
        "plates to look for: add, remove, list, CSV in and out",
    ),
    "alerts": ("alpr.commands.alerts", "what rules found: list, acknowledge, resolve, comment"),
    "audit": ("alpr.commands.audit", "who looked at or did what, when and why"),
    "notify": ("alpr.commands.notify", "deliver alerts by mail, chat, webhook, SMS"),
    "keep": ("alpr.commands.keep", "keep what searches and analytics need up to date"),
    "correct": ("alpr.commands.correct", "say what a sighting really was, or take that back"),
    "cameras": ("alpr.commands.cameras", "the cameras that the log knows, as they are set"),
    "subscriptions": (
        "alpr.commands.subscriptions",
        "webhooks of sightings: list, add, remove, pause, resume",
    ),
    "settings": ("alpr.commands.settings", "print the settings in effect, passwords masked"),
}
_ROOMS = (
    *("alpr", "api", "dataflows", "edge", "eventlog", "images"),
    *("notify", "projections", "rules", "schemas"),
)
# Configuration errors of rooms that know nothing of exit codes.
_CONFIGURATION = ("edge.cameras.ConfigError", "rules.settings.SettingsError")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise instead of printing a usage of many lines."""
        raise ConfigError(f"{message}; `{self.prog} --help` shows how")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    command = next((word for word in given if not word.startswith("-")), None)
    try:
        return _run(given, command if command in COMMANDS else None)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Who read us has gone, as `head` does. Nothing more may be written, not at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"alpr: {told(command, error, debug)}", file=sys.stderr)
        return exit_code(error)


def _run(given: list[str], command: str | None) -> int:
    if command is None:
        return _without_command(given)
    given = [word for word in given if word != "--debug"]
    place = given.index(command)
    if place:
        raise ConfigError(
            f"{given[0]} stands before the command; write `alpr {command} {given[0]}`"
        )
    path, text = COMMANDS[command]
    module = import_module(path)
    parser = _Parser(prog=f"alpr {command}", description=text)
    module.configure(parser)
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    parsed = parser.parse_args(given[1:])
    from alpr import audited
    from alpr.settings import load

    settings = load(os.environ)
    audited.tell(command, parsed, settings)
    return module.run(parsed, settings)


def _without_command(given: list[str]) -> int:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    parser = _Parser(
        prog="alpr",
        usage="alpr COMMAND [flags]",
        description=f"Number plates from cameras to sightings.\n\ncommands:\n{listed}",
        epilog="`alpr COMMAND --help` shows a command's flags. Settings are ALPR_* variables.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"alpr {version('ovr-alpr')}")
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    named = parser.parse_known_args(given)[0].command
    if named == "version":
        print(f"alpr {version('ovr-alpr')}")
        return 0
    if named is not None:
        raise ConfigError(f"there is no command {named!r}; there are {', '.join(COMMANDS)}")
    parser.print_help()
    return 0


def ours(error: Exception) -> bool:
    """Whether its text says what to do; else it is a defect, to be seen with its traceback."""
    return type(error).__module__.startswith(_ROOMS)


def told(command: str | None, error: Exception, debug: bool = False) -> str:
    """An error in one line: what command, cause, cure."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = (
            f"{error.filename}: {error.strerror}; it has to be there, writable and with space "
            "left, or set ALPR_HOME to another folder"
        )
    elif not ours(error):
        from eventlog.address import masked

        text = f"{type(error).__name__}: {masked(text)}"
        if not debug:
            text += "; --debug shows where it comes from"
    return f"{command}: {text}" if command in COMMANDS else text


def exit_code(error: Exception) -> int:
    """What a process that fails by an error leaves."""
    if f"{type(error).__module__}.{type(error).__qualname__}" in _CONFIGURATION:
        return 2
    return error.exit_code if isinstance(error, AlprError) else 1
