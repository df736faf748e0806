"""The fields that a rule may ask for, by each of their names."""

import pytest

from rules.alerts.examples import event_of
from rules.alerts.fields import FIELDS, FieldError, canonical, getter

EVENT = event_of(
    {
        "plate.normalized_text": "34ABC12",
        "plate.text": "34 ABC 12",
        "plate_confidence": 0.9,
        "region": "TR",
        "vehicle.color": "red",
        "camera_id": "CAM-9",
        "site": "DC1",
        "zone": "entrance",
        "direction": "approaching",
        "quality_score": 0.7,
        "latency_ms": 12,
        "stay_seconds": 90,
        "at": 1_000_000,
    }
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plate.text", "34 ABC 12"),
        ("plate_text", "34 ABC 12"),
        ("plate.normalized_text", "34ABC12"),
        ("plate_normalized_text", "34ABC12"),
        ("normalized_text", "34ABC12"),
        ("plate", "34ABC12"),
        ("plate_confidence", 0.9),
        ("plate.confidence", 0.9),
        ("confidence", 0.9),
        ("Plate_Confidence", 0.9),
        ("plate_region", "TR"),
        ("vehicle_color", "red"),
        ("vehicle.colour", "red"),
        ("vehicle_type", None),
        ("camera_id", "CAM-9"),
        ("site", "DC1"),
        ("site_id", "DC1"),
        ("node.site", "DC1"),
        ("node_zone", "entrance"),
        ("extras.direction", "approaching"),
        ("quality_score", 0.7),
        ("extras.quality_score", 0.7),
        ("extras.box.width", 100),
        ("box_height", 30),
        ("latency_ms", 12),
        ("captured_at", 1_000_000),
        ("stay_seconds", 90.0),
        ("latitude", None),
    ],
)
def test_a_field_is_read_by_flat_and_nested_names(name: str, expected: object) -> None:
    assert getter(name)(EVENT) == expected
    assert getter(canonical(name))(EVENT) == expected


def test_every_single_value_of_a_sighting_is_a_field() -> None:
    def leaves(value: object, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
        if isinstance(value, dict):
            return {leaf for key, one in value.items() for leaf in leaves(one, (*path, key))}
        return set() if isinstance(value, list) else {path}

    evidence = {("evidence", "texts")}
    assert leaves(EVENT) - evidence == {field.path for field in FIELDS.values() if field.path}


def test_every_field_has_the_kind_of_its_value() -> None:
    for field in FIELDS.values():
        value = getter(field.name)(EVENT)
        if value is not None:
            assert isinstance(value, str) == (field.kind == "text"), field


def test_a_canonical_name_is_its_own() -> None:
    assert all(canonical(name) == name for name in FIELDS)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("plate_confidnce", "plate_confidence"),
        ("vehicel_type", "vehicle_type"),
        ("zzz", "there are plate.text"),
        ("", "there are"),
        ("x" * 10_000, "there are"),
    ],
)
def test_an_unknown_field_is_told_with_near_ones(name: str, near: str) -> None:
    with pytest.raises(FieldError, match=near) as caught:
        canonical(name)
    assert len(str(caught.value)) < 1000
