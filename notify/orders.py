"""What an alert event is to tell, over which channel and to whom: from its rule's actions."""

import json
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid5

from notify.channel import Channel, OptionsError
from notify.limits import OWN_OPTIONS, pace
from notify.queue import Order
from rules.alerts.rule import Action, Rule
from schemas.records import AlertEvent

_IDS = UUID("6f1d8f0e-7a53-5b0c-9a44-0d1f5d0c2a6b")
# Said once for each revision of a sighting; the others as often as somebody says them.
_ONCE = ("raised", "withdrawn", "escalated")
_TARGET = 300  # characters; it is part of an index


def actions(rule: Rule) -> list[tuple[str, Action]]:
    """A rule's actions, each with a name that stays its own while the rule does."""
    return [(str(number), action) for number, action in enumerate(rule.actions)]


def further(rule: Rule) -> list[tuple[str, Action]]:
    """Those of its escalation, as ``actions``."""
    if rule.escalation is None:
        return []
    return [(f"escalation {n}", action) for n, action in enumerate(rule.escalation.actions)]


def order(
    event: AlertEvent, rule: Rule, name: str, action: Action, channels: Mapping[str, Channel]
) -> Order:
    """The delivery of an event by an action. Raises OptionsError where it cannot be used."""
    channel = channels.get(action.type)
    if channel is None:
        raise OptionsError(
            f"there is no channel {action.type!r}; there are {', '.join(sorted(channels))}"
        )
    options = {key: value for key, value in action.options.items() if key not in OWN_OPTIONS}
    target = channel.target(options)[:_TARGET]
    rate, window_us = pace(action.type, action.options)
    return _order(event, rule, name, action, target, options, rate, window_us)


def unusable(event: AlertEvent, rule: Rule, name: str, action: Action) -> Order:
    """What stands for a delivery whose action cannot be used."""
    return _order(event, rule, name, action, "", {}, "none", 0)


def _order(  # noqa: PLR0917
    event: AlertEvent,
    rule: Rule,
    name: str,
    action: Action,
    target: str,
    options: Mapping[str, object],
    rate: str,
    window_us: int,
) -> Order:
    kind = event["kind"]
    what: list[object] = [event["alert_id"], kind, event["event_id"], event["revision"]]
    if kind not in _ONCE:
        what += [event["at"], event["count"]]
    whom = [name, action.type, target]
    storm = [event["rule"], kind, *whom]
    return Order(
        notification_id=_id(what + whom),
        kind=kind,
        channel=action.type[:40],
        target=target,
        options=options,
        rate=rate,
        storm=_id(storm),
        window_us=0 if kind == "escalated" else window_us,
        description=rule.description,
    )


def _id(parts: Sequence[object]) -> str:
    return str(uuid5(_IDS, json.dumps(parts)))
