"""Encoders and decoders made for one schema each: Python source that takes its fields in order.

Looking at the schema for every record is what costs; here it is looked at once, and what is left
is one expression that joins the bytes of all fields, and one pass over the bytes. What they give
is what fastavro gives, to the byte; what does not fit is refused, numbers of too many bits and
bytes left over too, so that what was decoded can be encoded.
"""

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, cast

from schemas.numbers import (
    NUMBERS,
    SMALL,
    count_at,
    int_at,
    int_bytes,
    long_at,
    long_bytes,
    size_at,
    time_at,
    time_bytes,
)

Schema = Any
_DOUBLE = Struct("<d")
_REMEMBERED = 32_768
"""Strings whose bytes are remembered: ids, names and addresses recur."""


def encoder(schema: Schema) -> Callable[[Any], bytes]:
    """A function from a value to its bytes, for a schema as JSON gives it.

    It raises ValueError, TypeError, KeyError, AttributeError, OverflowError or struct.error for
    what does not fit. A record must have all its fields and no others.
    """
    return _Encoder().function_of(schema)


def decoder(schema: Schema) -> Callable[[bytes, int], tuple[Any, int]]:
    """A function from bytes and a place to the value that begins there and the place behind it.

    It raises some Exception for bytes that are none. Where they end early the place may be
    beyond their end: the caller compares.
    """
    return _Decoder().function_of(schema)


class _Strings(dict[str, bytes]):
    """The bytes of strings, made when they are first asked for."""

    def __init__(self, before: bytes) -> None:
        super().__init__()
        self._before = before

    def __missing__(self, text: str) -> bytes:
        encoded = text.encode()
        if len(self) >= _REMEMBERED:
            self.clear()
        made = self[text] = self._before + long_bytes(len(encoded)) + encoded
        return made


def _boolean(value: bool) -> bytes:
    if value is not True and value is not False:
        raise TypeError(f"{value!r} is neither true nor false")
    return b"\1" if value else b"\0"


def _blob(value: bytes) -> bytes:
    return long_bytes(len(value)) + bytes(memoryview(value))


def _listed(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{value!r} is no list")
    return cast("Any", value)


def _misfit(record: str, value: Mapping[str, Any], names: tuple[str, ...]) -> None:
    lacking = [repr(name) for name in names if name not in value]
    unknown = sorted(repr(name) for name in value if name not in names)
    raise ValueError(
        f"{record} lacks the field {', '.join(lacking)}"
        if lacking
        else f"{record} has no field {', '.join(unknown)}"
    )


def _full_name(node: Mapping[str, Any]) -> str:
    return f"{node['namespace']}.{node['name']}" if "namespace" in node else node["name"]


class _Source:
    """Python source in the making, a function for each type that needs one."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self._scope = scope
        self._named: dict[str, Any] = {}
        self._functions: dict[str, str] = {}
        self._texts: list[str] = []
        self._last = 0

    def function_of(self, schema: Schema) -> Any:
        """Write, compile and return the function of a schema."""
        name = self._function(self._type(schema))
        exec(compile("\n".join(self._texts), "<schema>", "exec"), self._scope)
        return self._scope[name]

    def _body(self, node: Any, name: str) -> list[str]:
        raise NotImplementedError

    def _function(self, node: Any) -> str:
        """The name of a type's function, written now if it is new."""
        named = _kind(node) in ("record", "enum")
        key = _full_name(node) if named else repr(node)
        if key not in self._functions:
            name = self._functions[key] = self._new()
            self._texts.append("\n    ".join(self._body(node, name)))
        return self._functions[key]

    def _new(self) -> str:
        self._last += 1
        return f"_{self._last}"

    def _value(self, value: Any) -> str:
        """A name for a value."""
        name = self._new()
        self._scope[name] = value
        return name

    def _type(self, node: Any) -> Any:
        """A type as it is: by its definition where a name stands for it."""
        if isinstance(node, str):
            return self._named.get(node, node)
        if isinstance(node, list):
            null, *others = cast("list[Any]", node)
            if null != "null" or len(others) != 1:
                raise ValueError(f"a union must be null and another type, not {node}")
            return [null, self._type(others[0])]
        if node["type"] in ("record", "enum"):
            self._named[_full_name(node)] = node
        elif node["type"] not in ("array", "map"):
            return node if "logicalType" in node else self._type(node["type"])
        return node


def _kind(node: Any) -> str:
    if isinstance(node, list):
        return "union"
    return node if isinstance(node, str) else node["type"]


class _Encoder(_Source):
    def __init__(self) -> None:
        super().__init__(
            {
                "NUMBERS": NUMBERS,
                "LONG": long_bytes,
                "INT": int_bytes,
                "TIME": time_bytes,
                "DOUBLE": _DOUBLE.pack,
                "TEXT": _Strings(b""),
                "SOME": _Strings(long_bytes(1)),
                "BOOLEAN": _boolean,
                "BLOB": _blob,
                "LISTED": _listed,
                "MISFIT": _misfit,
                "JOIN": b"".join,
            }
        )

    def _body(self, node: Any, name: str) -> list[str]:
        lines: list[str] = []
        parts = self._parts(node, "v", lines)
        whole = parts[0] if len(parts) == 1 else f"JOIN(({', '.join(parts)}))"
        return [f"def {name}(v):", *lines, f"return {whole}"]

    def _parts(self, node: Any, value: str, lines: list[str]) -> list[str]:
        """Expressions for the bytes of ``value``, one after the other; ``lines`` run before."""
        if _kind(node) != "record":
            return [self._bytes(node, value)]
        names = tuple(field["name"] for field in node["fields"])
        wrong = f"MISFIT({node['name']!r}, {value}, {names!r})"
        lines.append(f"if len({value}) != {len(names)}: {wrong}")
        parts: list[str] = []
        for field in node["fields"]:
            inner, got = self._type(field["type"]), f"{value}[{field['name']!r}]"
            if _kind(inner) == "record":
                name = self._new()
                lines.append(f"{name} = {got}")
                got = name
            parts += self._parts(inner, got, lines)
        return parts

    def _bytes(self, node: Any, value: str) -> str:
        """An expression for the bytes of ``value``, an expression that is written once."""
        kind, n = _kind(node), self._new()
        if kind in ("int", "long") and isinstance(node, str):
            return f"(NUMBERS[{n}] if 0 <= ({n} := {value}) < {SMALL} else {kind.upper()}({n}))"
        if kind == "union":
            there = f"SOME[{n}]" if node[1] == "string" else f"b'\\2' + {self._bytes(node[1], n)}"
            return f"(b'\\0' if ({n} := {value}) is None else {there})"
        if kind in ("array", "map"):
            return self._block(node, value, n)
        if kind == "string":
            return f"TEXT[{value}]"
        if kind == "enum":
            symbols = {symbol: long_bytes(place) for place, symbol in enumerate(node["symbols"])}
            return f"{self._value(symbols)}[{value}]"
        simple = {"long": "TIME", "double": "DOUBLE", "boolean": "BOOLEAN", "bytes": "BLOB"}
        return f"{simple.get(kind) or self._function(node)}({value})"

    def _block(self, node: Any, value: str, n: str) -> str:
        """The items of an array or a map: their number, all of them, and the end."""
        item = self._new()
        if node["type"] == "array":
            given = f"({n} := {value}).__class__ is list and {n} or LISTED({n})"
            each = f"[{self._bytes(self._type(node['items']), item)} for {item} in {n}]"
        else:
            given = f"({n} := {value}).keys()"
            inner = self._bytes(self._type(node["values"]), f"{n}[{item}]")
            each = f"[TEXT[{item}] + {inner} for {item} in {n}]"
        size = self._bytes("long", f"len({n})")
        return f"({size} + JOIN({each}) + b'\\0' if {given} else b'\\0')"


class _Decoder(_Source):
    def __init__(self) -> None:
        super().__init__(
            {
                "LONG_AT": long_at,
                "INT_AT": int_at,
                "TIME_AT": time_at,
                "SIZE_AT": size_at,
                "COUNT_AT": count_at,
                "DOUBLE_AT": _DOUBLE.unpack_from,
                "BOOLEANS": {0: False, 1: True},
            }
        )

    def _body(self, node: Any, name: str) -> list[str]:
        lines: list[str] = []
        value = self._read(node, lines)
        return [f"def {name}(b, i):", *lines, f"return {value}, i"]

    def _read(self, node: Any, lines: list[str]) -> str:
        """Lines that read a value of a type at ``b[i]`` and move ``i``; an expression for it."""
        kind = _kind(node)
        if kind == "record":
            fields = [(f["name"], self._read(self._type(f["type"]), lines)) for f in node["fields"]]
            return "{" + ", ".join(f"{name!r}: {value}" for name, value in fields) + "}"
        x = self._new()
        if kind in ("int", "long"):
            if kind == "long" and isinstance(node, dict):
                lines.append(f"{x}, i = TIME_AT(b, i)")
                return x
            y = self._new()
            lines += [
                f"{x} = b[i]",
                f"if {x} < 128: i += 1; {x} = {x} >> 1 ^ -({x} & 1)",
                f"elif ({y} := b[i + 1]) < 128:",
                f"    i += 2; {x} = ({x} & 127 | {y} << 7) >> 1 ^ -({x} & 1)",
                f"else: {x}, i = {kind.upper()}_AT(b, i)",
            ]
        elif kind in ("string", "bytes"):
            text = ".decode()" if kind == "string" else ""
            lines += [
                f"{x} = b[i]",
                f"if {x} & 129: {x}, i = SIZE_AT(b, i)",
                f"else: i += 1; {x} >>= 1",
                f"{x} = b[i : (i := i + {x})]{text}",
            ]
        elif kind == "double":
            lines += [f"({x},) = DOUBLE_AT(b, i)", "i += 8"]
        elif kind in ("boolean", "enum"):
            known = "BOOLEANS"
            if kind == "enum":
                known = self._value({2 * n: symbol for n, symbol in enumerate(node["symbols"])})
            lines += [f"{x} = {known}[b[i]]", "i += 1"]
        elif kind == "union":
            lines += [f"{x} = b[i]", "i += 1", f"if {x} == 0: {x} = None", f"elif {x} == 2:"]
            inner: list[str] = []
            inner.append(f"{x} = {self._read(node[1], inner)}")
            lines += ["    " + line for line in inner]
            lines += [f"else: raise ValueError(f'branch {{{x}}} of a union')"]
        else:
            lines += self._block(node, x)
        return x

    def _block(self, node: Any, x: str) -> list[str]:
        """Lines that read an array or a map into ``x``."""
        n, inner = self._new(), list[str]()
        if node["type"] == "array":
            value = self._read(self._type(node["items"]), inner)
            empty, put = "[]", f"{x}.append({value})"
        else:
            key = self._read("string", inner)
            empty, put = "{}", f"{x}[{key}] = {self._read(self._type(node['values']), inner)}"
        return [
            f"{x} = {empty}",
            "while b[i]:",
            f"    {n}, i = COUNT_AT(b, i)",
            f"    for _ in range({n}):",
            *["        " + line for line in [*inner, put]],
            "i += 1",
        ]
