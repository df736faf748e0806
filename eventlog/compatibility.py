"""Whether two Avro schemas read each other's records (Confluent's FULL), told strictly."""

import json
from typing import Any

_NAMED = ("record", "enum", "fixed")


def difference(old: str, new: str) -> str | None:
    """Why records of one schema cannot be read with the other; None if they can, both ways.

    A field that only one of them has needs a default; all else must be equal but for
    documentation. So widenings that Avro would allow one way (int to long) are refused.
    """
    types: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    roots = [
        _shape(json.loads(text), "", named) for text, named in zip((old, new), types, strict=True)
    ]
    if roots[0] != roots[1]:
        return f"it is about {roots[1]}, not {roots[0]}"
    for name in sorted(types[0].keys() & types[1].keys()):
        before, after = types[0][name], types[1][name]
        if not isinstance(before, dict) or not isinstance(after, dict):
            if before != after:
                return f"{name} changed from {before} to {after}"
            continue
        for field in before.keys() | after.keys():
            if field not in before or field not in after:
                if not (before.get(field) or after[field])[1]:
                    return f"{name}.{field} is in only one of them and has no default"
            elif before[field][0] != after[field][0]:
                return f"{name}.{field} changed from {before[field][0]} to {after[field][0]}"
    return None


def _shape(node: Any, namespace: str, named: dict[str, Any]) -> Any:
    """A type with each named type by its full name; ``named`` gets what it is made of.

    For a record that is {field: (type, has a default)}, for an enum or a fixed a list.
    """
    if isinstance(node, list):
        return [_shape(item, namespace, named) for item in node]
    if isinstance(node, str):
        return node if f"{namespace}.{node}" not in named else f"{namespace}.{node}"
    kind = node["type"]
    if kind not in _NAMED:
        keep = ("items", "values", "logicalType", "precision", "scale")
        inner = {key: _shape(node[key], namespace, named) for key in keep if key in node}
        return (
            {"type": _shape(kind, namespace, named), **inner}
            if inner
            else (_shape(kind, namespace, named))
        )
    space = node.get("namespace", namespace)
    name = node["name"] if "." in node["name"] or not space else f"{space}.{node['name']}"
    if kind == "enum":
        named[name] = [*node["symbols"], node.get("default")]
    elif kind == "fixed":
        named[name] = [node["size"]]
    else:
        named[name] = fields = {}
        for field in node["fields"]:
            fields[field["name"]] = (_shape(field["type"], space, named), "default" in field)
    return name
