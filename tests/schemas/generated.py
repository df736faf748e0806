"""Records drawn from their schemas, for tests that hold for every record there can be."""

import json
from typing import Any

from hypothesis import strategies as st

INT = st.integers(-(2**31), 2**31 - 1)
LONG = st.integers(-(2**63), 2**63 - 1)
PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": INT,
    "long": LONG,
    "double": st.floats(allow_nan=False),
    "string": st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
    "bytes": st.binary(max_size=12),
}


def records(schema: str) -> st.SearchStrategy[Any]:
    """Values of a schema's JSON text."""
    return _values(json.loads(schema), {})


def _values(node: Any, named: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    if isinstance(node, list):
        return st.one_of([_values(branch, named) for branch in node])
    if isinstance(node, str):
        return PRIMITIVES[node] if node in PRIMITIVES else named[node]
    kind = node["type"]
    if kind == "array":
        return st.lists(_values(node["items"], named), max_size=3)
    if kind == "map":
        return st.dictionaries(PRIMITIVES["string"], _values(node["values"], named), max_size=3)
    if kind == "enum":
        made: st.SearchStrategy[Any] = st.sampled_from(node["symbols"])
    elif kind == "record":
        made = st.fixed_dictionaries({f["name"]: _values(f["type"], named) for f in node["fields"]})
    else:
        return _values(kind, named)
    named[f"{node['namespace']}.{node['name']}"] = made
    return made
