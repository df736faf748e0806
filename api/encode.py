"""JSON answers by orjson: several times faster than FastAPI's own encoding of rows."""

from typing import Any

import orjson
from starlette.responses import Response

OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


def dumps(content: Any) -> bytes:
    """UTF-8 JSON; datetimes become ISO 8601, in UTC with a Z."""
    return orjson.dumps(content, option=OPTIONS)


class Json(Response):
    """An ``application/json`` answer from plain dictionaries, lists and datetimes."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The body."""
        return dumps(content)
