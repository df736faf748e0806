"""The typed dictionaries say what the .avsc files say, field by field."""

import json
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from schemas import records
from schemas.codec import schema_text
from schemas.topics import TOPICS

RECORDS = sorted({name for topic in TOPICS.values() for name in topic.records})
PLAIN = {str: {"string"}, int: {"int", "long"}, float: {"double"}, bool: {"boolean"}}
PLAIN |= {bytes: {"bytes"}, NoneType: {"null"}}


def named_types(node: Any, found: dict[str, Any]) -> dict[str, Any]:
    """Every record and enum of a schema by its full name."""
    if isinstance(node, list):
        for item in node:
            named_types(item, found)
    elif isinstance(node, dict):
        if node.get("type") in ("record", "enum"):
            found[f"{node['namespace']}.{node['name']}"] = node
        for part in ("type", "items", "values", "fields"):
            named_types(node.get(part), found)
    return found


def disagreement(  # noqa: PLR0911 (a case a type)
    hint: Any, node: Any, named: dict[str, Any], where: str
) -> str | None:
    """Where a Python type and an Avro type differ; None if they agree."""
    if isinstance(node, str) and node in named:
        node = named[node]
    while isinstance(node, dict) and isinstance(node["type"], dict):
        node = node["type"]
    wrong = f"{where}: {hint} in records.py, {node} in the schema"
    if get_origin(hint) is UnionType:
        branches = get_args(hint)
        if not isinstance(node, list) or len(node) != len(branches):
            return wrong
        inner = [h for h in branches if h is not NoneType]
        if node[0] != "null" or len(inner) != 1:
            return wrong
        return disagreement(inner[0], node[1], named, where)
    if is_typeddict(hint):
        if not isinstance(node, dict) or node["type"] != "record" or node["name"] != hint.__name__:
            return wrong
        hints = get_type_hints(hint)
        if list(hints) != [field["name"] for field in node["fields"]]:
            return f"{where}: {list(hints)} in records.py, {[f['name'] for f in node['fields']]}"
        found = (
            disagreement(hints[f["name"]], f["type"], named, f"{where}.{f['name']}")
            for f in node["fields"]
        )
        return next((one for one in found if one), None)
    if not isinstance(node, dict):
        return None if node in PLAIN.get(hint, ()) else wrong
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is list and node["type"] == "array":
        return disagreement(arguments[0], node["items"], named, f"{where}[]")
    if origin is dict and node["type"] == "map":
        return disagreement(arguments[1], node["values"], named, f"{where}{{}}")
    if origin is Literal and node["type"] == "enum":
        return None if list(arguments) == node["symbols"] else wrong
    return None if node["type"] in PLAIN.get(hint, ()) else wrong


@pytest.mark.parametrize("record", RECORDS)
def test_a_typed_dictionary_has_the_fields_and_types_of_its_schema(record):
    schema = json.loads(schema_text(record))
    hint = getattr(records, record)
    assert disagreement(hint, schema, named_types(schema, {}), record) is None


@pytest.mark.parametrize("record", RECORDS)
def test_every_time_is_in_microseconds_utc(record):
    for node in named_types(json.loads(schema_text(record)), {}).values():
        for field in node.get("fields", ()):
            kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
            logical = {
                k["logicalType"] for k in kinds if isinstance(k, dict) and "logicalType" in k
            }
            assert logical <= {"timestamp-micros"}
            if field["name"].endswith("_at") or field["name"] in ("first_seen", "last_seen"):
                assert logical == {"timestamp-micros"}, f"{node['name']}.{field['name']}"


@pytest.mark.parametrize("record", RECORDS)
def test_every_field_says_what_it_means(record):
    for node in named_types(json.loads(schema_text(record)), {}).values():
        assert node["doc"]
        assert all(field["doc"] for field in node.get("fields", ()))


def test_each_record_is_on_the_topics_of_the_design():
    assert {name: topic.records for name, topic in TOPICS.items()} == {
        "alpr.reads.raw": ("PlateRead", "CameraHeartbeat", "SourceEnded", "Tick", "Gap"),
        "alpr.reads.rejected": ("ReadRejected",),
        "alpr.plates.detected": ("PlateEvent", "Progress", "CameraState"),
        "alpr.alerts": ("AlertEvent",),
        "alpr.notifications": ("NotificationAttempt",),
        "alpr.metrics": ("MetricPoint",),
        "alpr.dlq": ("DeadLetter",),
        "alpr.rules": ("RuleVersion",),
        "alpr.watchlist": ("WatchlistEntry",),
        "alpr.cameras": ("CameraChanged",),
        "alpr.corrections": ("Correction",),
        "alpr.audit": ("AuditEntry",),
    }
