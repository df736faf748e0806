"""Dead letters told as JSON: by the command and by the API."""

import base64
import json
from collections.abc import Sequence
from typing import Any

from alpr.dlq import Dead, DlqError, Redrive, Redriven
from alpr.moments import shown
from alpr.spoilt import reading
from schemas.codec import Codec, DecodeError, schema_text


def summary(dead: Dead) -> dict[str, Any]:
    """A letter in a list."""
    letter = dead.letter
    return {
        "place": str(dead.place),
        "topic": letter["topic"],
        "partition": letter["partition"],
        "offset": letter["offset"],
        "appended_at": shown(letter["appended_at"]),
        "buried_at": shown(dead.at),
        "step": letter["step"],
        "reason": letter["reason"],
        "detail": letter["detail"],
        "redriven": letter["redriven"],
        "sent_again_as": str(dead.sent) if dead.sent else None,
    }


def everything(dead: Dead, value: bytes | None, codec: Codec) -> dict[str, Any]:
    """All that is known of a letter whose record's bytes, as far as they are there, are ``value``.

    ``record`` is what they read as, as far as they can be read; bytes are in base64.
    """
    letter = dead.letter
    name, record, error = decoded(codec, value)
    told = summary(dead) | {
        "key": encoded(letter["key"]),
        "headers": {header: encoded(held) for header, held in letter["headers"].items()},
        "value": encoded(value),
        "name": name,
        "record": record,
    }
    best = None
    if error is not None and value is not None:
        told["error"] = str(error)
        best = reading(dead.place.topic, value, error)
    if best is not None:
        told["name"] = best.record
        told["record"] = {read.name: read.value for read in best.fields}
        told["ends_at_byte"] = best.ends
        told["failed_field"] = best.failed[0] if best.failed else None
        told["left_over"] = best.left
        told["schema"] = json.loads(schema_text(best.record))
    return json.loads(json.dumps(told, default=encoded))


def pretended(redrive: Redrive, letters: Sequence[Dead], mended: bytes | None = None) -> Redriven:
    """What ``Redrive.run`` would send and refuse, told as if each had gone to where it was."""
    done = Redriven()
    for dead in letters:
        try:
            redrive.ready(dead, mended)
        except DlqError as error:
            done.refused[dead.place] = str(error)
        else:
            done.sent[dead.place] = dead.place
    return done


def decoded(codec: Codec, value: bytes | None) -> tuple[str | None, Any, DecodeError | None]:
    """A record's name and content, or why it has none."""
    if value is None:
        return None, None, None
    try:
        return *codec.decode(value), None
    except DecodeError as error:
        return None, None, error


def encoded(value: Any) -> str | None:
    """Bytes for JSON, in base64."""
    return None if value is None else base64.b64encode(value).decode()
