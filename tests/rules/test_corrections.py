"""What stands of what people said: the last word on each aspect that nobody took back."""

from typing import Any, cast
from uuid import NAMESPACE_URL, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.confusions import Judged, aligned, report
from rules.corrections import CorrectionError, Folded, checked, fold
from schemas.records import Correction


def name(number: int) -> str:
    return str(uuid5(NAMESPACE_URL, f"said {number}"))


SIGHTING, OTHER = name(1000), name(1001)


def said(number: int, kind: str = "text", **more: Any) -> Correction:
    """The correction of a number, at second ``number``."""
    whole: dict[str, Any] = {
        "correction_id": name(number),
        "event_id": SIGHTING,
        "at": number * 1_000_000,
        "actor": "ayse",
        "kind": kind,
        "text": "ABC123" if kind == "text" else None,
        "other": OTHER if kind == "merge" else None,
        "comment": "",
    }
    return cast("Correction", whole | more)


def undo(number: int, of: int) -> Correction:
    return said(number, "undo", other=name(of))


def standing(*corrections: Correction) -> tuple[str | None, bool, str | None] | None:
    found = fold(corrections).standing
    return None if found is None else (found.text, found.hidden, found.merged_into)


def test_nothing_said_is_as_it_was_read():
    assert fold([]) == Folded(None, {})


@pytest.mark.parametrize(
    ("corrections", "expected"),
    [
        ([said(1)], ("ABC123", False, None)),
        ([said(1, text="34 abc-1")], ("34ABC1", False, None)),
        ([said(1), said(2, text="XYZ9")], ("XYZ9", False, None)),
        ([said(1, "no plate")], (None, True, None)),
        ([said(1, "merge")], (None, True, OTHER)),
        ([said(1, "merge"), said(2, "no plate")], (None, True, None)),
        ([said(1), said(2, "merge")], ("ABC123", True, OTHER)),
        ([said(1), undo(2, of=1)], None),
        ([said(1), said(2, text="XYZ9"), undo(3, of=2)], ("ABC123", False, None)),
        ([said(1), said(2, text="XYZ9"), undo(3, of=1)], ("XYZ9", False, None)),
        ([said(1, "no plate"), said(2), undo(3, of=1)], ("ABC123", False, None)),
    ],
)
def test_the_last_word_on_each_aspect_stands_unless_it_is_taken_back(corrections, expected):
    assert standing(*corrections) == expected


def test_an_undo_of_what_is_unknown_or_of_an_undo_does_nothing():
    assert standing(said(1), undo(2, of=7)) == ("ABC123", False, None)
    assert standing(said(1), undo(2, of=1), undo(3, of=2)) is None


def test_the_first_to_take_back_is_named():
    assert fold([said(1), undo(2, of=1), undo(3, of=1)]).undone == {name(1): name(2)}


KINDS = st.sampled_from(["text", "merge", "no plate"])


@st.composite
def lives(draw: st.DrawFn) -> list[Correction]:
    """What people say of a sighting, undos of earlier and of unknown corrections among it."""
    life: list[Correction] = []
    for number in range(draw(st.integers(0, 8))):
        if draw(st.booleans()):
            life.append(undo(number, of=draw(st.integers(0, 9))))
        else:
            text = draw(st.sampled_from(["A1", "B2", "C3"]))
            kind = draw(KINDS)
            life.append(said(number, kind, **({"text": text} if kind == "text" else {})))
    return life


@given(lives(), KINDS)
def test_taking_back_the_last_word_restores_exactly_what_stood(life, kind):
    after = [*life, said(100, kind), undo(101, of=100)]
    assert fold(after).standing == fold(life).standing


@given(lives(), st.data())
def test_repeats_do_not_show(life, data):
    again = list(life)
    for one in data.draw(st.lists(st.sampled_from(life), max_size=4)) if life else []:
        again.insert(data.draw(st.integers(again.index(one) + 1, len(again))), one)
    assert fold(again) == fold(life)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (said(1, "other"), "kind='other' is unknown"),
        (said(1, text="- . -"), "no letter and no digit"),
        (said(1, text="A" * 17), "17 characters"),
        (said(1, "merge", other=SIGHTING), "the sighting itself"),
        (said(1, "merge", other=None), "no UUID"),
        (said(1, "no plate", text="AB1"), "says nothing beside"),
        (said(1, other=OTHER), "says nothing beside"),
        (said(1, correction_id="one"), "correction_id='one' is no UUID"),
    ],
)
def test_what_means_nothing_is_named(wrong, told):
    with pytest.raises(CorrectionError, match=told):
        checked(wrong)


def test_ids_and_text_come_in_one_form():
    given = said(1, text="34 a-1", event_id=SIGHTING.upper(), correction_id="{" + name(1) + "}")
    assert checked(given) == said(1, text="34A1")


PLATES = st.text("ABC018", max_size=8)


@given(PLATES, PLATES)
def test_an_alignment_has_both_texts_in_their_order(read, was):
    pairs = list(aligned(read, was))
    assert "".join(one for one, _ in pairs) == read
    assert "".join(one for _, one in pairs) == was
    assert ("", "") not in pairs


@pytest.mark.parametrize(
    ("read", "was", "wrong"),
    [
        ("ABC8", "ABCB", [("8", "B")]),
        ("A8C1", "A8CI1", [("", "I")]),
        ("XABC", "ABC", [("X", "")]),
        ("ABC", "ABC", []),
        ("O0", "00", [("O", "0")]),
    ],
)
def test_characters_are_compared_where_they_stand(read, was, wrong):
    assert [pair for pair in aligned(read, was) if pair[0] != pair[1]] == wrong


def test_the_report_counts_confusions_by_camera_reader_and_country():
    def judged(number: int, read: str, was: str | None, camera: str, **more: Any) -> Judged:
        whole = {"hidden": False, "merged": False, "second": False} | more
        return Judged(name(number), read, was, camera=camera, region="DE", reader="r1", **whole)

    found = report(
        [
            judged(1, "AB8", "ABB", "GATE", second=True),
            judged(2, "C8", "CB", "YARD"),
            judged(3, "X1", "X1", "GATE"),
            judged(4, "SIGN1", None, "GATE", hidden=True),
            judged(5, "AB8", None, "YARD", hidden=True, merged=True),
        ]
    )
    assert (found.corrected, found.confirmed, found.no_plate, found.merged, found.second) == (
        *(2, 1, 1, 1, 1),
    )
    (confusion,) = found.confusions
    assert (confusion.read, confusion.was, confusion.count) == ("8", "B", 2)
    assert confusion.cameras == {"GATE": 1, "YARD": 1}
    assert confusion.event_ids == [name(1), name(2)]
    assert [(s.name, s.corrected, s.no_plate, s.merged) for s in found.cameras] == [
        ("GATE", 1, 1, 0),
        ("YARD", 1, 0, 1),
    ]
