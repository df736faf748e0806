"""One readable log of many processes."""

import io
import re
from datetime import datetime

from alpr.logs import Lines, Printer


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def noon() -> datetime:
    return datetime(2026, 11, 21, 12, 4, 5, 678_900)


def test_a_line_is_time_process_level_message():
    out = io.StringIO()
    Printer(out, noon)("dedup", "WARNING", "late")
    assert out.getvalue() == "12:04:05.678 dedup    WARNING late\n"


def test_colours_are_for_terminals():
    out = Terminal()
    Printer(out, noon)("dedup", "WARNING", "late")
    assert "\033[33mWARNING\033[0m" in out.getvalue()
    assert re.sub(r"\033\[[\d;]*m", "", out.getvalue()) == "12:04:05.678 dedup    WARNING late\n"


def test_a_childs_level_is_taken_from_its_line():
    fed = Lines().feed(b"WARNING edge: slow\nplain\nERROR: bad\n  more of it\nplain again\n")
    assert fed == [
        ("WARNING", "edge: slow"),
        ("INFO", "plain"),
        ("ERROR", "bad"),
        ("ERROR", "  more of it"),
        ("INFO", "plain again"),
    ]


def test_a_traceback_is_an_error_up_to_its_exception():
    text = b'Traceback (most recent call last):\n  File "a.py"\nValueError: x\nnext\n'
    levels = [level for level, _ in Lines().feed(text)]
    assert levels == ["ERROR", "ERROR", "ERROR", "INFO"]


def test_lines_are_whole_however_the_bytes_arrive():
    lines, text = Lines(), "INFO Fahrspur süd\nzweite".encode()
    pieces = [lines.feed(text[i : i + 1]) for i in range(len(text))]
    assert [line for piece in pieces for line in piece] == [("INFO", "Fahrspur süd")]
    assert lines.feed(b"", last=True) == [("INFO", "zweite")]


def test_a_line_without_end_is_cut_not_kept():
    lines = Lines()
    fed = lines.feed(b"x" * 100_000)
    assert len(fed) == 6
    assert max(len(message) for _, message in fed) == Lines.LONGEST


def test_what_was_read_cannot_steer_the_terminal():
    assert Lines().feed(b"plate \033[2J\a\r\n") == [("INFO", r"plate \x1b[2J\x07")]
