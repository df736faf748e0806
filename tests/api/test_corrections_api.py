"""Corrections over the API: said once, in view at once, taken back; what was read stays."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from schemas.topics import CORRECTIONS
from tests.api.watched import Watched
from tests.api.world import PLAIN
from tests.projections.sightings import event_id


def correct(watch: httpx.Client, number: int, **said) -> httpx.Response:
    return watch.post(f"/sightings/{event_id(number)}/corrections", json=said)


def take_back(watch: httpx.Client, number: int, answer: httpx.Response) -> httpx.Response:
    correction = answer.json()["written"]["correction_id"]
    return watch.delete(f"/sightings/{event_id(number)}/corrections/{correction}")


def plates(watch: httpx.Client, plate: str) -> list[str]:
    return [row["event_id"] for row in watch.get(f"/events/plate/{plate}").json()["events"]]


def test_a_text_is_in_view_when_the_answer_comes_and_what_was_read_stays(watch, watched: Watched):
    answer = correct(watch, 1, kind="text", text="34 a-368.37", comment="mud")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["in_view"]
    assert told["written"]["text"] == "34A36837"
    assert told["written"]["actor"] == "local"
    assert told["corrected"]["text"] == "34A36837"
    row = watch.get(f"/events/{event_id(1)}").json()
    assert (row["plate_normalized_text"], row["plate_shown"]) == ("ABC0001", "34A36837")
    assert plates(watch, "34A36837") == [event_id(1)]
    assert plates(watch, "ABC0001") == []
    assert watched.records(CORRECTIONS.name)[-1]["comment"] == "mud"

    undone = take_back(watch, 1, answer)
    assert undone.json()["corrected"] is None
    assert plates(watch, "ABC0001") == [event_id(1)]
    said = watch.get(f"/sightings/{event_id(1)}/corrections").json()
    assert [one["kind"] for one in said["corrections"]] == ["text", "undo"]
    assert said["corrections"][0]["undone_by"] == said["corrections"][1]["correction_id"]
    assert (said["read"], said["corrected"]) == ("ABC0001", None)


def test_the_same_is_not_said_twice(watch, watched: Watched):
    one, two = (correct(watch, 2, kind="text", text="XY99") for _ in range(2))
    assert one.json()["written"]
    assert two.json()["written"] is None
    assert two.json()["corrected"]["text"] == "XY99"
    assert sum(r["event_id"] == event_id(2) for r in watched.records(CORRECTIONS.name)) == 1
    assert take_back(watch, 2, one).json()["written"]["kind"] == "undo"
    assert take_back(watch, 2, one).json()["written"] is None


def test_an_id_of_the_clients_own_makes_it_once_and_stands_for_nothing_else(watch):
    number = str(uuid4())
    first = correct(watch, 3, kind="text", text="XY98", correction_id=number)
    again = correct(watch, 3, kind="text", text="XY98", correction_id=number)
    other = correct(watch, 3, kind="text", text="XY97", correction_id=number)
    assert first.json()["written"]["correction_id"] == number
    assert again.json()["written"] is None
    assert other.status_code == 409


def test_what_is_no_plate_is_left_out_until_it_is_taken_back(watch):
    answer = correct(watch, 4, kind="no plate")
    assert plates(watch, "ABC0004") == []
    assert watch.get(f"/events/{event_id(4)}").json()["corrected"]["hidden"]
    take_back(watch, 4, answer)
    assert plates(watch, "ABC0004") == [event_id(4)]


def test_a_part_of_another_leads_there_and_never_round(watch):
    assert correct(watch, 5, kind="merge", other=event_id(6)).status_code == 200
    assert correct(watch, 6, kind="merge", other=event_id(7)).status_code == 200
    row = watch.get(f"/events/{event_id(5)}").json()
    assert row["corrected"]["merged_into"] == event_id(6)
    round_about = correct(watch, 7, kind="merge", other=event_id(5))
    assert round_about.status_code == 409
    assert "merged into this one already" in round_about.json()["detail"]


def test_of_two_who_merge_each_into_the_other_at_once_one_is_told(watch):
    pairs = [(10, 11), (11, 10)]
    with ThreadPoolExecutor(2) as both:
        answers = both.map(
            lambda p: correct(watch, p[0], kind="merge", other=event_id(p[1])), pairs
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]


def test_what_was_taken_back_does_not_come_to_stand_in_a_round(watch):
    assert correct(watch, 12, kind="merge", other=event_id(13)).status_code == 200
    over = correct(watch, 12, kind="no plate").json()["written"]["correction_id"]
    assert correct(watch, 13, kind="merge", other=event_id(12)).status_code == 200
    answer = watch.delete(f"/sightings/{event_id(12)}/corrections/{over}")
    assert answer.status_code == 409
    assert "merged into it meanwhile: undo that first" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({}, 422),
        ({"kind": "undo", "other": event_id(1)}, 422),
        ({"kind": "text"}, 422),
        ({"kind": "text", "text": "…"}, 422),
        ({"kind": "text", "text": "A" * 40}, 422),
        ({"kind": "text", "text": "A\0B1"}, 422),
        ({"kind": "text", "text": "AB1", "more": 1}, 422),
        ({"kind": "merge", "other": event_id(8)}, 422),
        ({"kind": "merge", "other": "there"}, 422),
        ({"kind": "merge", "other": str(uuid4())}, 404),
        ({"kind": "no plate", "comment": "x" * 3000}, 422),
    ],
)
def test_what_cannot_be_said_is_named_and_not_written(watch, watched: Watched, said, status):
    before = len(watched.records(CORRECTIONS.name))
    answer = correct(watch, 8, **said)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert len(watched.records(CORRECTIONS.name)) == before


def test_an_unknown_sighting_or_correction_is_not_there(watch):
    assert watch.get(f"/sightings/{uuid4()}/corrections").status_code == 404
    assert correct(watch, 999, kind="no plate").status_code == 404
    assert watch.delete(f"/sightings/{event_id(8)}/corrections/{uuid4()}").status_code == 404


def test_the_list_and_the_report_tell_what_stands(watch):
    correct(watch, 20, kind="text", text="A8C0020", comment="the B is an 8")
    listed = watch.get("/corrections", params={"standing": True, "kind": "text"}).json()
    (row,) = [one for one in listed["corrections"] if one["event_id"] == event_id(20)]
    assert (row["plate_normalized_text"], row["text"]) == ("ABC0020", "A8C0020")
    assert row["camera_id"] == "CAM-001"
    report = watch.get("/corrections/report").json()
    (found,) = [c for c in report["confusions"] if (c["read"], c["was"]) == ("B", "8")]
    assert found["cameras"] == {"CAM-001": 1}
    assert event_id(20) in found["event_ids"]
    assert report["sightings"] > PLAIN
    assert 0 < report["share"] < 1
    assert watch.get("/corrections", params={"nobody": 1}).status_code == 422


def test_who_watches_is_told_of_a_corrected_card(watch):
    with watch.stream("GET", "/live") as stream:
        lines = stream.iter_lines()
        next(line for line in lines if line.startswith("retry"))
        correct(watch, 21, kind="text", text="ZZ2121")
        card = next(line for line in lines if line.startswith("data: ") and "ZZ2121" in line)
    assert event_id(21) in card
