"""Log lines as people read them: time, process, level, message."""

import contextlib
import json
import logging
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from eventlog.tracing import tracing

Say = Callable[[str, str, str], None]
"""Takes one line: the process's name, its level (INFO, WARNING …) and the message."""

_COLOURS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "31;1"}
_NAME_COLOURS = ("36", "32", "35", "34", "96", "92")
# What children print first: ours (`configure`), Python's own, uvicorn's.
_LEVEL = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b[ :\]]*")
_JSON_LEVEL = re.compile(r'\{"time": "[^"]*", "process": "[^"]*", "level": "(\w+)"')
_FAILURES = ("Traceback (most recent call last)", "thread '")  # Python's, Rust's panic


def configure(
    debug: bool = False, stream: TextIO | None = None, *, form: str = "text", process: str = ""
) -> None:
    """Log to ``stream`` (stderr): with the time to a terminal, without where it is collected.

    Who collects (``alpr up``, journald, docker) stamps each line itself. In the form ``json`` a
    line is an object with its time, process, level, logger, message and, where it belongs to one,
    the trace's ids.
    """
    to = sys.stderr if stream is None else stream
    stamp = "%(asctime)s " if to.isatty() else ""
    handler = logging.StreamHandler(to)
    handler.setFormatter(
        Structured(process)
        if form == "json"
        else logging.Formatter(f"{stamp}%(levelname)s %(name)s: %(message)s", "%H:%M:%S")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request


class Structured(logging.Formatter):
    """Log lines as JSON objects."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        told = _line(record.created, self._process, record.levelname, record.getMessage())
        told["logger"] = record.name
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        told.update(_span())
        return json.dumps(told, ensure_ascii=False)


def _line(at: float, process: str, level: str, message: str) -> dict[str, str]:
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return {"time": moment, "process": process, "level": level, "message": message}


def _span() -> dict[str, str]:
    """The ids of the span that is current here."""
    if tracing() is None:
        return {}
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


class JsonPrinter:
    """One log of several processes on a stream, a JSON object a line; theirs go through."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._now = now

    def __call__(self, name: str, level: str, message: str) -> None:
        """Print a line of a process: as it is with its name, or as the message of one."""
        told: dict[str, str] = {}
        if message.startswith('{"time":'):
            with contextlib.suppress(ValueError):
                told = json.loads(message)
        told = told or _line(self._now(), name, level, message)
        told["process"] = name
        print(json.dumps(told, ensure_ascii=False), file=self._stream, flush=True)


class Printer:
    """One readable log of several processes on a stream; colours on a terminal only."""

    def __init__(
        self, stream: TextIO, now: Callable[[], datetime] = datetime.now, width: int = 8
    ) -> None:
        self._stream = stream
        self._now = now
        self._width = width
        self._colours: dict[str, str] | None = {} if stream.isatty() else None

    def __call__(self, name: str, level: str, message: str) -> None:
        """Print ``12:04:05.678 dedup    WARNING the message``."""
        at = self._now().isoformat(sep=" ", timespec="milliseconds").partition(" ")[2]
        shown, loud = f"{name:<{self._width}}", f"{level:<7}"
        if self._colours is not None:
            tone = _NAME_COLOURS[len(self._colours) % len(_NAME_COLOURS)]
            shown = _painted(shown, self._colours.setdefault(name, tone))
            loud = _painted(loud, _COLOURS.get(level, ""))
        print(f"{at} {shown} {loud} {message}", file=self._stream, flush=True)


class Lines:
    """Cuts a child's output into lines and finds the level of each.

    A line that tells none has the level of the traceback that it continues, or INFO. Control
    characters are shown as escapes, so that nothing that was read can steer the terminal.
    """

    LONGEST = 16_384  # bytes; what is longer is cut into several lines

    def __init__(self) -> None:
        self._rest = b""
        self._level = "INFO"
        self._tracing = False

    def feed(self, data: bytes, last: bool = False) -> list[tuple[str, str]]:
        """The (level, message) of every line that is complete now; of all with ``last``."""
        pieces = (self._rest + data).split(b"\n")
        self._rest = b"" if last else pieces.pop()
        while len(self._rest) > self.LONGEST:
            pieces.append(self._rest[: self.LONGEST])
            self._rest = self._rest[self.LONGEST :]
        texts = (piece.decode("utf-8", "replace").rstrip() for piece in pieces)
        return [self._line(text) for text in texts if text]

    def _line(self, text: str) -> tuple[str, str]:
        told = _LEVEL.match(text) or _JSON_LEVEL.match(text)
        if told and told.re is _JSON_LEVEL:
            self._level, self._tracing = told[1], False
        elif told:
            self._level = told[1]
            text = text[told.end() :]
            self._tracing = False
        elif text.startswith(_FAILURES):
            self._level = "ERROR"
            self._tracing = True
        elif not text.startswith((" ", "\t")):
            self._level = "ERROR" if self._tracing else "INFO"  # a trace ends with its exception
            self._tracing = False
        return self._level, "".join(c if c.isprintable() or c == "\t" else _escape(c) for c in text)


def _escape(control: str) -> str:
    return control.encode("unicode_escape").decode()


def _painted(text: str, code: str) -> str:
    return f"\033[{code}m{text}\033[0m" if code else text
