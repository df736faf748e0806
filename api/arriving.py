"""Bodies that other programs send: bounded while they arrive, read without guessing."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.errors import ApiError, BadInput, TooLarge, TooMany

MOST_BYTES = 16 * 1024 * 1024  # of one request: some pictures, or a thousand reads without
_FORM_FIELD = 4 * 1024 * 1024
_SLOWEST_S = 30.0  # for a body to arrive
_DEEPEST = 64  # levels of JSON; ours have five, vendors' eight
_MOST_VALUES = 500_000  # of JSON: as objects each takes a hundred bytes; 1,000 reads have 100,000


class Slow(ApiError):
    """The body did not arrive in time."""

    status = 408
    error = "too_slow"


class Pressed(TooMany):
    """More is sent than is taken at once."""

    error = "too_many_requests"


async def whole_body(request: Request, more: Callable[[int], bool]) -> bytes:
    """The body, as far as there is room for it. Raises TooLarge, Pressed, Slow."""
    given = request.headers.get("content-length", "")
    if given.isdigit() and int(given) > MOST_BYTES:
        raise TooLarge(f"the body has {given} bytes: send at most {MOST_BYTES:,}")
    body = bytearray()
    try:
        async with asyncio.timeout(_SLOWEST_S):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES:
                    raise TooLarge(f"the body is larger than {MOST_BYTES:,} bytes: send less")
                if not more(len(part)):
                    raise Pressed(
                        "more is being sent than is taken at once: send this again in a second",
                        {"retry-after": "1"},
                    )
    except TimeoutError:
        raise Slow(f"the body did not arrive within {_SLOWEST_S:g} s") from None
    return bytes(body)


def strict_json(body: bytes) -> Any:
    """JSON of which no part is ambiguous. Raises BadInput.

    orjson refuses what is no JSON (NaN, halves of surrogate pairs, what is no UTF-8); names that
    stand twice in an object, of which readers take either, are refused besides.
    """
    if not body.strip():
        raise BadInput("the body is empty: send JSON")
    # Signs within texts are counted as well; those of pictures hold none.
    if sum(body.count(sign) for sign in b"[{,") > _MOST_VALUES:
        raise BadInput(f"the JSON has more than {_MOST_VALUES:,} values: send fewer at once")
    try:
        orjson.loads(body)
        found = json.loads(body, object_pairs_hook=_once)
    except (orjson.JSONDecodeError, ValueError, RecursionError) as error:
        raise BadInput(f"the body is no JSON: {str(error)[:200]}") from None
    if _deeper(found, _DEEPEST):
        raise BadInput(f"the JSON is nested more than {_DEEPEST} deep")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{twice[:40]!r} stands twice in an object")
    return found


def _deeper(value: Any, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def form_of(body: bytes, boundary: bytes) -> dict[str, bytes]:
    """The fields of a form, by name. Raises BadInput for a broken one, or one that is cut off."""
    found: dict[str, bytes] = {}
    header, value, part = bytearray(), bytearray(), bytearray()
    headers: dict[str, bytes] = {}
    ended = False

    def on_part_begin() -> None:
        headers.clear()
        part.clear()

    def on_header_end() -> None:
        headers[bytes(header).decode("latin-1").lower()] = bytes(value)
        header.clear()
        value.clear()

    def on_part_data(data: bytes, start: int, end: int) -> None:
        part.extend(data[start:end])
        if len(part) > _FORM_FIELD:
            raise BadInput(f"a field of the form has more than {_FORM_FIELD:,} bytes")

    def on_part_end() -> None:
        _, options = parse_options_header(headers.get("content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name in found:
            raise BadInput(f"the form has {name[:40]!r} twice")
        if len(found) >= 20:
            raise BadInput("the form has more than 20 fields")
        found[name] = bytes(part)

    def on_end() -> None:
        nonlocal ended
        ended = True

    if not boundary:
        raise BadInput("the form names no boundary in its Content-Type")
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": on_part_begin,
                "on_header_field": lambda data, start, end: header.extend(data[start:end]),
                "on_header_value": lambda data, start, end: value.extend(data[start:end]),
                "on_header_end": on_header_end,
                "on_part_data": on_part_data,
                "on_part_end": on_part_end,
                "on_end": on_end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise BadInput(f"the form is broken: {str(error)[:200]}") from None
    if not ended:
        raise BadInput("the form is cut off before its end")
    return found
