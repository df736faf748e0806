"""Log lines as people read them: time, process, level, message."""

import logging
import re
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TextIO

Say = Callable[[str, str, str], None]
"""Takes one line: the process's name, its level (INFO, WARNING …) and the message."""

_COLOURS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "31;1"}
_NAME_COLOURS = ("36", "32", "35", "34", "96", "92")
# What children print first: ours (`configure`), Python's own, uvicorn's.
_LEVEL = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b[ :\]]*")
_FAILURES = ("Traceback (most recent call last)", "thread '")  # Python's, Rust's panic


def configure(debug: bool = False, stream: TextIO | None = None) -> None:
    """Log to ``stream`` (stderr): with the time to a terminal, without where it is collected.

    Who collects (``alpr up``, journald, docker) stamps each line itself.
    """
    to = sys.stderr if stream is None else stream
    stamp = "%(asctime)s " if to.isatty() else ""
    handler = logging.StreamHandler(to)
    handler.setFormatter(
        logging.Formatter(f"{stamp}%(levelname)s %(name)s: %(message)s", "%H:%M:%S")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request


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
        time = self._now().isoformat(sep=" ", timespec="milliseconds").partition(" ")[2]
        shown, loud = f"{name:<{self._width}}", f"{level:<7}"
        if self._colours is not None:
            tone = _NAME_COLOURS[len(self._colours) % len(_NAME_COLOURS)]
            shown = _painted(shown, self._colours.setdefault(name, tone))
            loud = _painted(loud, _COLOURS.get(level, ""))
        print(f"{time} {shown} {loud} {message}", file=self._stream, flush=True)


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
        told = _LEVEL.match(text)
        if told:
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
