"""Watchlists over HTTP: plates on and off, CSV in and out."""

from urllib.parse import quote

import httpx
import pytest

from schemas.topics import WATCHLIST
from tests.api.watched import Watched


def entries(watch: httpx.Client, watched: Watched, name: str, **asked: str) -> list[str]:
    watched.settle()
    found = watch.get(f"/watchlists/{quote(name)}", params=asked).json()["entries"]
    return [one["plate"] for one in found]


def test_a_plate_put_on_a_list_is_an_event_and_stands_there(watch: httpx.Client, watched: Watched):
    body = {
        "kind": "deny",
        "match": "fuzzy",
        "reason": "theft",
        "owner": "police",
        "valid_from": "2025-06-01",
        "valid_to": "2025-06-30",
        "tags": ["red", "van", "red"],
    }
    made = watch.put("/watchlists/stolen cars/34 abc-123", json=body)
    assert made.status_code == 200
    record = watched.records(WATCHLIST.name)[-1]
    assert (record["plate"], record["actor"], record["removed"]) == ("34ABC123", "local", False)
    watched.settle()
    (there,) = watch.get("/watchlists/stolen cars").json()["entries"]
    told = {name: there[name] for name in ("kind", "match", "reason", "owner", "tags")}
    assert told == {**{name: body[name] for name in told}, "tags": ["red", "van"]}
    assert there["valid_to"] == "2025-07-01T00:00:00Z"  # the day is included


def test_a_plate_can_be_changed_and_taken_off_at_once_and_off_stays_off(
    watch: httpx.Client, watched: Watched
):
    watch.put("/watchlists/gate/06XYZ1", json={"kind": "allow"})
    watch.put("/watchlists/gate/06XYZ1", json={"kind": "deny"})
    gone = watch.delete("/watchlists/gate/06xyz1")
    assert (gone.status_code, gone.json()["removed"]) == (200, True)
    assert entries(watch, watched, "gate") == []
    assert watch.delete("/watchlists/gate/06XYZ1").status_code == 404


def test_wildcards_and_slashes_in_an_address_are_told_apart(watch: httpx.Client, watched: Watched):
    assert watch.put(f"/watchlists/wild/{quote('34A?*', safe='')}").json()["match"] == "wildcard"
    assert entries(watch, watched, "wild") == ["34A?*"]
    assert watch.put("/watchlists/wild/34%2F77").json()["plate"] == "3477"


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("gate/---", {}, "plate: '---' holds no letter"),
        ("gate/A1", {"kind": "maybe"}, "kind: 'maybe' is none of"),
        ("gate/A1", {"valid_to": "soon"}, "valid_to: 'soon' is no time"),
        ("gate/A1", {"color": "red"}, "there is no field 'color'"),
        ("gate/A1", {"tags": "red"}, "tags='red' is of another kind"),
        ("gate/A1", {"tags": [1]}, "tags are texts"),
        ("=cmd/A1", {}, "watchlist: '=cmd' is no name"),
    ],
)
def test_an_entry_that_cannot_be_used_is_refused_by_field(
    watch: httpx.Client, path: str, body: dict, told: str
):
    answer = watch.put(f"/watchlists/{path}", json=body)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]


def test_lists_are_told_with_their_numbers_and_searched_by_page(
    watch: httpx.Client, watched: Watched
):
    content = "plate,kind,reason\n" + "".join(f"PAGE{n:03},deny,row {n}\n" for n in range(120))
    watch.post("/watchlists/many/import", content=content)
    watched.settle()
    lists = {one["watchlist"]: one for one in watch.get("/watchlists").json()["watchlists"]}
    assert (lists["many"]["entries"], lists["many"]["kinds"]) == (120, {"deny": 120})
    page = watch.get("/watchlists/many", params={"limit": 50, "offset": 100}).json()
    assert (page["total"], page["count"]) == (120, 20)
    assert entries(watch, watched, "many", q="page-007") == ["PAGE007"]
    assert entries(watch, watched, "many", q="row 11") == [
        *("PAGE011", "PAGE110", "PAGE111", "PAGE112", "PAGE113", "PAGE114"),
        *("PAGE115", "PAGE116", "PAGE117", "PAGE118", "PAGE119"),
    ]


# --- CSV


def test_what_is_exported_is_imported_equal_and_no_cell_is_a_formula(
    watch: httpx.Client, watched: Watched
):
    reason = '=HYPERLINK("http://evil"),"x"'
    watch.put("/watchlists/out/AB1", json={"kind": "deny", "reason": reason, "tags": ["-1", "b"]})
    watch.put("/watchlists/out/AB2*", json={"valid_from": "2025-06-15T12:00:00.5Z"})
    watched.settle()
    answer = watch.get("/watchlists/out.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert 'filename="out.csv"' in answer.headers["content-disposition"]
    assert ",=" not in answer.text
    assert '"=' not in answer.text
    done = watch.post("/watchlists/out/import", content=answer.text).json()
    assert done["entries"] == 2
    before, after = watched.records(WATCHLIST.name)[-4:-2], watched.records(WATCHLIST.name)[-2:]
    for old, new in zip(before, after, strict=True):
        assert {**new, "effective_from": 0} == {**old, "effective_from": 0}
    assert watch.get("/watchlists/nowhere.csv").status_code == 404


def test_an_import_with_one_wrong_line_writes_nothing_and_names_it(
    watch: httpx.Client, watched: Watched
):
    there = len(watched.records(WATCHLIST.name))
    answer = watch.post("/watchlists/bad/import", content="plate,kind\nA1,deny\nA2,maybe\n?,\n")
    assert answer.status_code == 422
    assert [(one["line"], one["column"]) for one in answer.json()["problems"]] == [
        *((3, "kind"), (4, "plate")),
    ]
    other = watch.post("/watchlists/bad/import", content="watchlist,plate\nelse,A1\n")
    assert "holds entries of else" in other.json()["detail"]
    assert len(watched.records(WATCHLIST.name)) == there


def test_a_dry_run_only_says_what_would_be_written(watch: httpx.Client, watched: Watched):
    there = len(watched.records(WATCHLIST.name))
    content = b"\xef\xbb\xbfPlate;Reason\r\nA1;f\xc3\xbcr\r\n"
    told = watch.post("/watchlists/dry/import?dry_run=true", content=content).json()
    assert (told["entries"], told["first"][0]["reason"], told["dry_run"]) == (1, "für", True)
    assert len(watched.records(WATCHLIST.name)) == there


def test_tens_of_thousands_come_in_and_a_page_of_them_stays_fast(
    watch: httpx.Client, watched: Watched
):
    content = "plate,reason\n" + "".join(f"Z{n:06},big\n" for n in range(30_000))
    done = watch.post("/watchlists/big/import", content=content, timeout=120)
    assert done.json()["entries"] == 30_000
    for _ in range(60):
        try:
            watched.settle()
            break
        except AssertionError:
            continue
    for page in (1, 300):
        answer = watch.get(f"/watchlists/big?page={page}", headers={"accept": "text/html"})
        assert answer.status_code == 200
        assert "<td" in answer.text
        assert answer.elapsed.total_seconds() < 3  # a slow machine; 0.1 s is usual
    found = watch.get("/watchlists/big", params={"q": "Z029999"})
    assert found.json()["total"] == 1
    assert found.elapsed.total_seconds() < 3
