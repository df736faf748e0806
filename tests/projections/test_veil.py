"""Who may not see plates gets pseudonyms, whatever is asked; and what was told is known."""

from contextvars import copy_context

import pytest

from projections import veil
from rules.pseudonym import Pseudonyms

NAMES = Pseudonyms(b"k" * 32)
PLATE, OTHER = "34A36837", "51F12345"
NAME = NAMES.of(PLATE)


def covered(rows):
    def ask():
        veil.cover(NAMES.of)
        return veil.told(rows)

    return copy_context().run(ask)


def test_rows_are_as_they_stand_for_who_may_see_plates():
    rows = [{"plate_text": PLATE}]
    assert veil.told(rows) is rows


def test_plates_are_pseudonyms_in_every_column_and_depth():
    (row,) = covered(
        [
            {
                "plate_text": "34A-368.37",
                "plate_normalized_text": PLATE,
                "was": [OTHER],
                "watched": {"plate": PLATE, "confidence": 0.9},
                "event_id": "6f1c2c52",
                "camera_id": "CAM-001",
                "reads": 4,
            }
        ]
    )
    assert row == {
        "plate_text": NAME,
        "plate_normalized_text": NAME,
        "was": [NAMES.of(OTHER)],
        "watched": {"plate": NAME, "confidence": 0.9},
        "event_id": "6f1c2c52",
        "camera_id": "CAM-001",
        "reads": 4,
    }


def test_pictures_evidence_votes_and_alternatives_are_withheld():
    (row,) = covered(
        [
            {
                "plate_image_url": "images/1.jpg",
                "frame_image_url": "images/2.jpg",
                "images": {"plate_url": "images/1.jpg", "frame_url": ""},
                "alternatives": [{"text": OTHER, "confidence": 0.1}],
                "evidence": {
                    "positions": [[{"character": "3", "weight": 1}]],
                    "reads": [{"text": PLATE}],
                    "texts": 1,
                },
            }
        ]
    )
    assert row == {
        "plate_image_url": "",
        "frame_image_url": "",
        "images": {"plate_url": "", "frame_url": ""},
        "alternatives": [],
        "evidence": {"positions": [], "reads": [], "texts": 1},
    }


@pytest.mark.parametrize("written", ["34A36837", "34A-368.37", "34a 368 37"])
def test_a_rules_message_names_the_pseudonym_however_the_plate_is_written(written):
    (row,) = covered([{"plate": PLATE, "message": f"{written} at CAM-001 is on the list stolen"}])
    assert row["message"] == f"{NAME} at CAM-001 is on the list stolen"


def test_what_looks_like_a_plate_in_peoples_words_is_hidden():
    (row,) = covered(
        [{"comment": "looked for 51F12345 at noon, case 2025", "tags": ["51F-123.45"]}]
    )
    assert OTHER not in row["comment"]
    assert row["comment"].endswith("at noon, case 2025")
    assert row["tags"] == [NAMES.of(OTHER)]


def test_a_veiled_row_stays_as_it_is():
    rows = covered([{"plate": PLATE, "message": f"{PLATE} seen", "was": [OTHER]}])
    assert covered(rows) == rows


def test_what_was_told_is_noted_once():
    shown = veil.Shown()

    def ask():
        veil.note(shown)
        veil.told([{"plate_normalized_text": PLATE}, {"plate_normalized_text": OTHER}])
        veil.told([{"plate": PLATE}, {"plate": None}])

    copy_context().run(ask)
    assert shown.take() == [PLATE, OTHER]
    assert shown.take() == []


def test_what_goes_back_to_the_log_is_neither_veiled_nor_noted():
    shown = veil.Shown()

    def ask():
        veil.note(shown)
        veil.cover(NAMES.of)
        with veil.lifted():
            rows = veil.told([{"plate": PLATE}])
        return rows, veil.told([{"plate": PLATE}])

    lifted, veiled = copy_context().run(ask)
    assert lifted == [{"plate": PLATE}]
    assert veiled == [{"plate": NAME}]


def test_patterns_are_refused_to_who_could_guess_by_them():
    def ask():
        veil.refuse_guessing("34A*")
        veil.cover(NAMES.of)
        veil.refuse_guessing(PLATE)
        veil.refuse_guessing(None)
        with pytest.raises(veil.Veiled, match="guessed letter by letter"):
            veil.refuse_guessing("34A*")

    copy_context().run(ask)
