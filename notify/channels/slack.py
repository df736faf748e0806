"""Slack: blocks to an incoming webhook.

https://api.slack.com/reference/block-kit/blocks has the bounds.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import orjson

from notify.channel import Delivery, OptionsError, Outcome
from notify.channels.answers import outcome_of
from notify.channels.environment import Environment, Unset
from notify.channels.options import check
from notify.channels.quiet import overheard
from notify.net import Answer, Post, Unreachable, Unusable, is_public
from notify.render import Shown, fields, fill, show

_HEADER, _TEXT, _FIELD, _URL = 150, 2900, 1900, 3000  # characters that Slack takes
_URL_ENV = "SLACK_WEBHOOK_URL"


class Slack:
    """Posts to the webhook that a variable names; it may lead anywhere, as its setter decided."""

    def __init__(self, environment: Environment, post: Post) -> None:
        self._environment = environment
        self._post = post

    def target(self, options: Mapping[str, Any]) -> str:
        """The Slack channel, or the variable of the webhook, which belongs to one."""
        check("slack", options)
        return options.get("channel") or options.get("url_env", _URL_ENV)

    def send(self, delivery: Delivery) -> Outcome:
        """Post once; again without the picture where Slack cannot fetch it and so takes nothing."""
        try:
            self.target(delivery.options)
            name = delivery.options.get("url_env", _URL_ENV)
            url = self._environment.need(name, "the URL of a Slack webhook")
            picture = delivery.picture_url if _reachable(delivery.picture_url) else ""
            answer = self._told(url, payload(delivery, picture))
            if picture and answer.status == 400:
                answer = self._told(url, payload(delivery, ""))
        except Unreachable as error:
            return Outcome("failed", self._environment.hide(str(error)))
        except (OptionsError, Unset, Unusable) as error:
            return Outcome("refused", self._environment.hide(str(error)))
        return outcome_of(answer, urlsplit(url).hostname or name, self._environment)

    def _told(self, url: str, body: Mapping[str, Any]) -> Answer:
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "ovr-alpr"}
        with overheard():
            return self._post(url, orjson.dumps(body), headers, trusted=True)


def payload(delivery: Delivery, picture: str) -> dict[str, Any]:
    """The message: ``text`` for notifications, ``blocks`` for the channel."""
    shown = show(delivery)
    own = delivery.options.get("body")
    if own:
        # The rule's own text is Slack's markup, what fills it is not.
        values = {k: escaped(v) for k, v in fields(delivery, shown).items()}
        body = fill("body", own, values)
    else:
        body = escaped(shown.message)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(f"{shown.heading}: {shown.plate}", _HEADER)}
    ]
    if body:
        blocks.append({"type": "section", "text": _markup(body, _TEXT)})
    blocks.append({"type": "section", "fields": _fields(shown)})
    if others := _others(shown):
        blocks.append({"type": "section", "text": _markup(others, _TEXT)})
    if picture:
        alt = f"Picture of {shown.plate}"[:_HEADER]
        blocks.append({"type": "image", "image_url": picture, "alt_text": alt})
    if context := _context(shown):
        blocks.append({"type": "context", "elements": [_markup(context, _FIELD)]})
    if 0 < len(shown.page_url) <= _URL:
        button = {"type": "button", "text": _plain("Open the alert", 75), "url": shown.page_url}
        blocks.append({"type": "actions", "elements": [button]})
    message: dict[str, Any] = {"text": _cut(escaped(shown.subject), _TEXT), "blocks": blocks}
    if "channel" in delivery.options:
        message["channel"] = delivery.options["channel"]
    return message


def escaped(text: str) -> str:
    """Text that Slack shows as it is: no link, no mention.

    https://api.slack.com/reference/surfaces/formatting#escaping
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _fields(shown: Shown) -> list[dict[str, Any]]:
    read = f" (read as {shown.read_as})" if shown.read_as else ""
    told = (
        (shown.what, shown.plate + read),
        ("Time", shown.time),
        ("Camera", shown.camera),
        ("Place", shown.place),
        ("Confidence", shown.confidence),
        ("Before", shown.was),
        ("Rule", f"{shown.rule} ({shown.severity})"),
    )
    return [_markup(f"*{name}*\n{escaped(value)}", _FIELD) for name, value in told if value]


def _others(shown: Shown) -> str:
    lines = [
        escaped(" · ".join(part for part in (o.plate, o.camera, o.time) if part))
        for o in shown.others
    ]
    if shown.more:
        lines.append(f"and {shown.more} more")
    return "\n".join(lines)


def _context(shown: Shown) -> str:
    told = (shown.description, shown.watched, shown.reason)
    counted = f"{shown.count} matches" if shown.count > 1 else ""
    return " · ".join(escaped(part) for part in (*told, counted) if part)


def _plain(text: str, most: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": _cut(text, most), "emoji": False}


def _markup(text: str, most: int) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": _cut(text, most), "verbatim": True}


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    kept = text[: most - 1]
    # No half of an &amp; at the end.
    start = kept.rfind("&")
    return (kept[:start] if start >= 0 and ";" not in kept[start:] else kept) + "…"


def _reachable(url: str) -> bool:
    """Whether Slack's servers could fetch a picture there: TLS, and no host of a private net."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" or len(url) > _URL:
        return False
    try:
        return is_public(ip_address(host))
    except ValueError:
        return "." in host and not host.endswith((".local", ".internal", ".lan", ".home.arpa"))
