"""Watchlists as CSV: what a spreadsheet writes is read, and what is written runs no formula."""

import csv
import re
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import NamedTuple

from rules.alerts.watch_entry import EntryError, entry, told_time
from schemas.records import WatchlistEntry

COLUMNS = (
    "watchlist",
    "plate",
    "kind",
    "match",
    "reason",
    "owner",
    "valid_from",
    "valid_to",
    "tags",
)
_TOLD = 100  # problems that are told; who has more mends these first
MOST = 1_000_000  # entries of one file
# A spreadsheet takes what begins so for a formula (OWASP, CSV injection).
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"''*[=+\-@\t\r]")


class CsvProblem(NamedTuple):
    """``line`` is from 1, the header's; ``column`` '' where it is the whole line."""

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}{', ' + self.column if self.column else ''}: {self.message}"


class CsvError(ValueError):
    """A file cannot be used. ``problems`` are the first ones; str() has one a line."""

    def __init__(self, problems: Iterable[CsvProblem]) -> None:
        found = tuple(problems)
        self.problems = found[:_TOLD]
        more = ["and more: mend these first"] if len(found) > _TOLD else []
        super().__init__("\n".join([*map(str, self.problems), *more]))


def read(  # noqa: PLR0912 (one a thing that can be wrong)
    content: str | bytes,
    *,
    actor: str,
    at: int,
    watchlist: str = "",
    kind: str = "",
    most: int = MOST,
) -> tuple[WatchlistEntry, ...]:
    """The entries of a file, in its order; all or none.

    The first line names columns of COLUMNS, in any order and case; ``plate`` is needed, and
    ``watchlist`` unless given here, where it is the list of every line that names none, as
    ``kind`` is the kind of every line without one. Columns are parted by commas, semicolons or
    tabs; tags by semicolons; see ``watch_entry.entry`` for values. Raises CsvError
    with every problem up to the hundredth, and for more than ``most`` entries.
    """
    text = _decoded(content)
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    rows = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    problems: list[CsvProblem] = []
    found: dict[tuple[str, str], tuple[int, WatchlistEntry]] = {}
    names: list[str] | None = None
    try:
        began = 1
        for row in rows:
            line, began = began, rows.line_num + 1
            if len(problems) > _TOLD:
                break
            if not any(cell.strip() for cell in row):
                continue
            if names is None:
                names = [cell.strip().lower() for cell in row]
                if wrong := list(_wrong_header(line, names, watchlist)):
                    raise CsvError(wrong)
                continue
            if len(row) > len(names) and any(row[len(names) :]):
                told = f"has {len(row)} columns, the header {len(names)}: quote what holds commas"
                problems.append(CsvProblem(line, "", told))
                continue
            cells = dict(zip(names, map(_unguarded, row), strict=False))
            try:
                made = _entry(cells, actor, at, watchlist, kind)
            except EntryError as error:
                problems += [CsvProblem(line, field, message) for field, message in error.problems]
                continue
            key = made["watchlist"], made["plate"]
            if len(found) >= most:
                told = f"there are more than {most:,} entries, which is the most: split the file"
                problems.append(CsvProblem(line, "", told))
                break
            if key in found:
                told = f"{key[1]} is on {key[0]} by line {found[key][0]} already: keep one of them"
                problems.append(CsvProblem(line, "plate", told))
            else:
                found[key] = line, made
    except csv.Error as error:
        problems.append(CsvProblem(rows.line_num, "", f"is no CSV: {error}"))
    if names is None:
        told = f"there is no header: begin with a line such as {','.join(COLUMNS)}"
        problems.append(CsvProblem(1, "", told))
    if problems:
        raise CsvError(problems)
    return tuple(made for _, made in found.values())


def write(entries: Iterable[WatchlistEntry]) -> Iterator[str]:
    """Lines of a file with a header, which ``read`` reads back equal."""
    buffer = StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for one in entries:
        yield _taken(buffer)
        values = (
            *(one["watchlist"], one["plate"], one["kind"], one["match"]),
            *(one["reason"], one["owner"]),
            *(told_time(one["valid_from"]), told_time(one["valid_to"])),
            ";".join(one["tags"]),
        )
        writer.writerow([f"'{v}" if _FORMULA.match(v) else v for v in values])
    yield _taken(buffer)


def _decoded(content: str | bytes) -> str:
    if isinstance(content, str):
        return content.removeprefix("\ufeff")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        told = "is no UTF-8: save the file as CSV UTF-8"
        raise CsvError([CsvProblem(line, "", told)]) from None


def _entry(cells: dict[str, str], actor: str, at: int, watchlist: str, kind: str) -> WatchlistEntry:
    return entry(
        cells.get("watchlist", "").strip() or watchlist,
        cells.get("plate", ""),
        actor=actor,
        at=at,
        kind=cells.get("kind", "").strip() or kind,
        match=cells.get("match", ""),
        reason=cells.get("reason", ""),
        owner=cells.get("owner", ""),
        valid_from=cells.get("valid_from", ""),
        valid_to=cells.get("valid_to", ""),
        tags=cells.get("tags", "").split(";"),
    )


def _wrong_header(line: int, names: list[str], watchlist: str) -> Iterator[CsvProblem]:
    for name in dict.fromkeys(names):
        if name not in COLUMNS:
            told = f"there is no column {name[:40]!r}: use {', '.join(COLUMNS)}"
            yield CsvProblem(line, name[:40], told)
        elif names.count(name) > 1:
            yield CsvProblem(line, name, "is there twice: keep one of them")
    for needed in ("plate",) if watchlist else ("plate", "watchlist"):
        if needed not in names:
            yield CsvProblem(line, needed, "is missing: the header has to name this column")


def _unguarded(value: str) -> str:
    return value[1:] if _GUARDED.match(value) else value


def _taken(buffer: StringIO) -> str:
    line = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return line
