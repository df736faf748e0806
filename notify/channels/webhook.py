"""Webhook: the whole alert as signed JSON to an address of the rule."""

import hmac
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from notify.channel import Delivery, OptionsError, Outcome
from notify.channels.answers import outcome_of
from notify.channels.environment import Environment, Unset
from notify.channels.options import check
from notify.channels.quiet import overheard
from notify.net import Post, Unreachable, Unusable, shown
from schemas.records import AlertEvent

URL, SECRET, TOKEN = "url_env", "WEBHOOK_SECRET", "WEBHOOK_TOKEN"


class Webhook:
    """Posts what ``payload`` gives; the body is signed as ``signature`` says."""

    def __init__(
        self, environment: Environment, post: Post, clock: Callable[[], float] = time.time
    ) -> None:
        self._environment = environment
        self._post = post
        self._clock = clock

    def target(self, options: Mapping[str, Any]) -> str:
        """``https://host/path``, or the variable that holds the URL."""
        check("webhook", options)
        if URL in options:
            return options[URL]
        try:
            return shown(options["url"])
        except Unusable as error:
            raise OptionsError(f"url: {error}") from None

    def send(self, delivery: Delivery) -> Outcome:
        """Post once."""
        options = delivery.options
        try:
            target = self.target(options)
            trusted = URL in options
            url = self._environment.need(target, "the URL") if trusted else options["url"]
            body = orjson.dumps(payload(delivery))
            headers = self._headers(delivery, body)
            with overheard():
                answer = self._post(url, body, headers, trusted=trusted)
        except Unreachable as error:
            return Outcome("failed", self._environment.hide(str(error)))
        except (OptionsError, Unset, Unusable) as error:
            return Outcome("refused", self._environment.hide(str(error)))
        return outcome_of(answer, target, self._environment)

    def _headers(self, delivery: Delivery, body: bytes) -> dict[str, str]:
        options = delivery.options
        stamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "ovr-alpr",
            "Idempotency-Key": delivery.notification_id,
            "X-ALPR-Timestamp": stamp,
            **options.get("headers", {}),
        }
        secret = self._optional(options, "secret_env", SECRET, "the secret that signs")
        if secret:
            headers["X-ALPR-Signature"] = signature(secret, stamp, body)
        token = self._optional(options, "token_env", TOKEN, "the token")
        if token and "token_header" in options:
            headers[options["token_header"]] = token
        elif token:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _optional(self, options: Mapping[str, Any], option: str, usual: str, meaning: str) -> str:
        """A variable that may be unset, unless the rule names it. Raises Unset."""
        name = options.get(option, usual)
        if option in options:
            self._environment.need(name, meaning)
        value = self._environment.get(name)
        if not (value.isascii() and value.isprintable()):
            raise Unset(f"{name} holds signs that no header takes: correct it")
        return value


def signature(secret: str, stamp: str, body: bytes) -> str:
    """``v1=`` and the hexadecimal HMAC-SHA256 of ``stamp.body``; the stamp is Unix seconds."""
    return "v1=" + hmac.digest(secret.encode(), stamp.encode() + b"." + body, "sha256").hex()


def payload(delivery: Delivery) -> dict[str, Any]:
    """The body: every field of the alert, times as ISO 8601 in UTC."""
    alert = delivery.alert
    return {
        "id": delivery.notification_id,
        "kind": delivery.kind,
        "alert": _plain(alert),
        "rule": {
            "name": alert["rule"],
            "version": alert["rule_version"],
            "description": delivery.rule_description,
        },
        "others": [_plain(other) for other in delivery.others],
        "more": delivery.more,
        "links": {"page": delivery.page_url or None, "picture": delivery.picture_url or None},
    }


def _plain(alert: AlertEvent) -> dict[str, Any]:
    times = {name: _iso(alert[name]) for name in ("at", "first_at", "last_at")}
    return {**alert, **times}


def _iso(at: int | None) -> str | None:
    if at is None:
        return None
    seconds, micros = divmod(at, 1_000_000)
    when = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros, tzinfo=None)
    return when.isoformat(timespec="microseconds") + "Z"
