"""Watchlists as CSV: what goes out comes back, what is wrong is told by line and column."""

import csv
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.alerts.watch_csv import CsvError, read, write
from rules.alerts.watch_entry import KINDS, EntryError, entry

HEADER = "watchlist,plate,kind,match,reason,owner,valid_from,valid_to,tags\n"
DAY = 86_400_000_000

_text = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("=+-@',;\""), max_size=30
)
_tag = st.text(st.sampled_from("abc=+-@', \"é"), max_size=10)
_time = st.none() | st.integers(-(10**15), 10**17)
_entries = st.lists(
    st.builds(
        lambda plate, match, times, **rest: entry(
            plate=plate,
            match=match,
            **rest,
            valid_from=times[0],
            valid_to=times[1],
            actor="me",
            at=5,
        ),
        watchlist=st.sampled_from(["Staff", "stolen cars", "x-1"]),
        plate=st.text("ABC123", min_size=1, max_size=8),
        kind=st.sampled_from(KINDS),
        match=st.sampled_from(["exact", "fuzzy"]),
        reason=_text,
        owner=_text,
        times=st.tuples(_time, _time).filter(lambda t: t[0] is None or t[1] is None or t[0] < t[1]),
        tags=st.lists(_tag, max_size=3),
    ),
    unique_by=lambda one: (one["watchlist"], one["plate"]),
    max_size=5,
)


@given(_entries)
def test_what_is_written_is_read_back_equal(entries: list):
    assert list(read("".join(write(entries)), actor="me", at=5)) == entries


@given(_entries)
def test_no_cell_that_is_written_is_a_formula(entries: list):
    for row in csv.reader(StringIO("".join(write(entries)), newline="")):
        assert not any(cell[:1] in ("=", "+", "-", "@", "\t", "\r") for cell in row)


def test_a_column_of_plates_is_enough():
    made = read("plate\n34 abc 123\n\n06-*\n", watchlist="gate", actor="me", at=7)
    assert [(m["plate"], m["kind"], m["match"]) for m in made] == [
        ("34ABC123", "notify", "exact"),
        ("06*", "notify", "wildcard"),
    ]
    assert {(m["watchlist"], m["actor"], m["effective_from"]) for m in made} == {("gate", "me", 7)}


def test_what_european_spreadsheets_write_is_read():
    content = '\ufeffPlate;Watchlist;Tags\r\nABC1;Staff;"a;b"\r\n'.encode()
    (made,) = read(content, actor="me", at=0)
    assert made["tags"] == ["a", "b"]


def test_a_day_alone_begins_and_ends_with_that_day():
    row = "s,ABC1,,,,,1970-01-02,1970-01-02,\n"
    (made,) = read(HEADER + row, actor="me", at=0)
    assert (made["valid_from"], made["valid_to"]) == (DAY, 2 * DAY)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: there is no header"),
        ("plate\nABC1\n", "line 1, watchlist: is missing"),
        ("plat,watchlist\nABC1,s\n", "line 1, plat: there is no column 'plat'"),
        ("plate,plate,watchlist\n", "line 1, plate: is there twice"),
        (HEADER + "s,,,,,,,,\n", "line 2, plate: '' holds no letter or digit"),
        (HEADER + "s,A1,maybe,,,,,,\n", "line 2, kind: 'maybe' is none of allow, deny, notify"),
        (HEADER + "s,A1,,regex,,,,,\n", "line 2, match: 'regex' is none of"),
        (HEADER + "s,A*,,exact,,,,,\n", "line 2, plate: 'A*' holds * or ?"),
        (HEADER + "s,**,,,,,,,\n", "line 2, plate: '**' holds no letter or digit"),
        (HEADER + "s,A1,,,,,soon,,\n", "line 2, valid_from: 'soon' is no time"),
        (HEADER + "s,A1,,,,,2026-02-01,2026-01-01,\n", "line 2, valid_to: is not after"),
        (HEADER + "../s,A1,,,,,,,\n", "line 2, watchlist: '../s' is no name"),
        (HEADER + 's,A1,,,"two\nlines",,,,\ns,A2,no,,,,,,\n', "line 4, kind:"),
        (HEADER + "s,A1,,,,,,,\ns,a-1,,,,,,,\n", "line 3, plate: A1 is on s by line 2 already"),
        (HEADER + "s,A1,,,a,b,,,t,more\n", "line 2: has 10 columns"),
        (HEADER + 's,"A1"x,,,,,,,\n', "line 2: is no CSV"),
        (HEADER + "s,A1,,,\0,,,,\n", "line 2"),
        (HEADER + f"s,A1,,,{'x' * 501},,,,\n", "line 2, reason: is longer than 500"),
    ],
)
def test_what_is_wrong_is_told_by_line_and_column(text: str, told: str):
    with pytest.raises(CsvError) as error:
        read(text, actor="me", at=0)
    assert told in str(error.value)


def test_bytes_that_are_no_utf8_are_told_by_line():
    with pytest.raises(CsvError, match="line 2: is no UTF-8"):
        read(b"plate\n\xfc\n", watchlist="s", actor="me", at=0)


def test_every_problem_is_told_at_once_and_a_flood_is_cut():
    with pytest.raises(CsvError) as error:
        read("plate\n" + "-\n" * 500, watchlist="s", actor="me", at=0)
    assert len(error.value.problems) == 100
    assert str(error.value).endswith("and more: mend these first")


def test_more_entries_than_may_be_are_refused():
    assert len(read("plate\nA1\nA2\n", watchlist="s", actor="me", at=0, most=2)) == 2
    with pytest.raises(CsvError, match="line 4: there are more than 2 entries"):
        read("plate\nA1\nA2\nA3\n", watchlist="s", actor="me", at=0, most=2)


@pytest.mark.parametrize("at", ["0001-01-01T00:00+23:59", "9999-12-31T23:59-23:59", "9999-12-31"])
def test_a_time_outside_the_calendar_is_told(at: str):
    with pytest.raises(EntryError, match="is no time"):
        entry("s", "A1", valid_to=at, actor="me", at=0)


def test_an_entry_names_all_that_is_wrong_with_it():
    with pytest.raises(EntryError) as error:
        entry("", "?", kind="x", match="y", tags=["a;b"], valid_to="z", actor="", at=0)
    assert [field for field, _ in error.value.problems] == [
        *("watchlist", "kind", "match", "plate", "tags", "valid_to")
    ]
