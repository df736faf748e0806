"""What a channel is given and what it answers: the seam between the queue and those who send."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from schemas.records import AlertEvent


class OptionsError(ValueError):
    """An action's options cannot be used; the message names the option, the cause, the cure."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to attach: JPEG or PNG bytes, and a file's name for it."""

    name: str
    media: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one target.

    ``kind`` is raised, updated, withdrawn, escalated or test. ``others`` are further alerts of the
    same rule that this message stands for (a storm); ``more`` counts those beyond them.
    ``page_url`` and ``picture_url`` are links that people may open; '' where there is none.
    """

    notification_id: str
    kind: str
    alert: AlertEvent
    options: Mapping[str, Any]
    attempt: int
    rule_description: str = ""
    others: tuple[AlertEvent, ...] = ()
    more: int = 0
    page_url: str = ""
    picture_url: str = ""
    picture: Picture | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt; ``detail`` is for people and holds no secret.

    ``sent``; ``failed``: may go through later (``retry_after`` seconds where the receiver said
    so); ``refused``: never will, as it is.
    """

    result: Literal["sent", "failed", "refused"]
    detail: str = ""
    retry_after: float | None = field(default=None)


class Channel(Protocol):
    """Sends messages of one type of action; called from several threads at once."""

    def target(self, options: Mapping[str, Any]) -> str:
        """Who is told, in words without secrets: an address, a host, a Slack channel.

        Raises OptionsError for options that cannot be used, as far as no secret is needed.
        """
        ...

    def send(self, delivery: Delivery) -> Outcome:
        """Try once, within about 20 s. Never raises for what the other side or the net does."""
        ...
