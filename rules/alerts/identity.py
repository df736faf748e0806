"""What an alert is called: always the same for the same match, so that a replay makes none anew."""

from uuid import UUID, uuid5

NAMESPACE = UUID("2c7d5f0e-9a41-5d0b-8f63-7b1e4a90c3d2")
"""Of every alert_id: never to be changed."""


def alert_id(rule: str, *parts: str | int) -> str:
    """The id of the alert of a rule, by its name, about ``parts``: a sighting, or a subject and
    the start of its window. A UUID version 5 (RFC 9562, section 5.5).
    """
    return str(uuid5(NAMESPACE, "\x1f".join((rule, *map(str, parts)))))
