"""Sightings to subscribers: signed webhooks, at least once, each subscriber's in order."""

import base64
import hmac
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID, uuid5

import orjson

from notify.channels.quiet import overheard
from notify.channels.webhook import signature
from notify.net import Post, Unreachable, Unusable, shown
from notify.worker import backoff
from projections.errors import ViewMissing
from projections.subscribed import Subscribed
from projections.subscriptions import (
    Subscription,
    Subscriptions,
    Waiting,
    due,
    enqueue,
    failed,
    follower,
    pause,
    sent,
)
from projections.veil import Name, veiled

_log = logging.getLogger(__name__)

BATCH = 100  # sightings of one post
FAILING_DAYS = 3.0  # after which a subscription is paused
_AT_ONCE = 500  # changes
_LOOK_S = 0.5
_UNMADE_S = 2.0  # before the first sighting there is no view to follow
_GONE = 410  # "not again", says RFC 9110


class Follower:
    """Lets what changed wait for those who want it; for one thread. Any number may follow."""

    def __init__(self, url: str, queries: Subscribed) -> None:
        self._subscriptions = Subscriptions(url)
        self._queries = queries

    def step(self) -> float:
        """Take the next changes; seconds until there may be more. Raises ViewUnavailable.

        Killed anywhere, nothing is lost: the position moves with what waits, in one transaction.
        """
        with self._subscriptions.transaction() as cursor:
            at = follower(cursor)
            if at is None:
                return _LOOK_S
            try:
                position = self._queries.latest_change() if at[0] is None else at[0]
                found = self._queries.changes_since(position, _AT_ONCE)
            except ViewMissing:
                return _UNMADE_S
            if at[0] is None or found.rows or not found.complete:
                enqueue(cursor, at, found, datetime.now(UTC))
        return 0.0 if len(found.rows) == _AT_ONCE else _LOOK_S

    def close(self) -> None:
        """Close the connection."""
        self._subscriptions.close()


class Sender:
    """Posts what waits, a batch at a time; for one thread."""

    def __init__(  # noqa: PLR0917 (what a post is made of)
        self,
        url: str,
        queries: Subscribed,
        post: Post,
        secret: bytes,
        chance: Random,
        clock: Callable[[], float] = time.time,
        name: Name | None = None,
    ) -> None:
        """``name`` makes the pseudonyms that those without ``clear`` are told; None: nobody."""
        self._name = name
        self._subscriptions = Subscriptions(url)
        self._queries = queries
        self._post = post
        self._secret = secret
        self._chance = chance
        self._clock = clock

    def step(self) -> float:
        """Post once; seconds until there may be more to post. Raises ViewUnavailable.

        The subscription is held while it is posted to, so that nobody else does, and its order
        stays. Killed before the transaction ends, the same is posted again.
        """
        with self._subscriptions.transaction() as cursor:
            found = due(cursor, BATCH)
            if found is None:
                return _LOOK_S
            subscription, waiting = found
            key = subscription.subscription_id
            try:
                rows = self._queries.rows([one.event_id for one in waiting if one.told is None])
            except ViewMissing:
                return _UNMADE_S
            if (name := self._name) is not None and not subscription.clear:
                rows = {one: veiled(row, name) for one, row in rows.items()}
            why, status, retry = self._send(subscription, waiting, rows)
            if why is None:
                sent(cursor, key, waiting)
                return 0.0
            pause_s = max(backoff(subscription.failures + 1, self._chance), retry)
            over = failed(cursor, key, why, pause_s, FAILING_DAYS)
            if status == _GONE:
                over = pause(cursor, key, "its receiver answered 410: gone")
            if over:
                _log.error("subscription %s is paused: %s", key, why)
            elif subscription.failures == 0:
                _log.warning("subscription %s: %s; it is tried again", key, why)
            return 0.0

    def close(self) -> None:
        """Close the connection."""
        self._subscriptions.close()

    def _send(
        self,
        subscription: Subscription,
        waiting: Sequence[Waiting],
        rows: Mapping[str, Mapping[str, Any]],
    ) -> tuple[str | None, int, float]:
        """Why it failed, the status of the answer or 0, and for how many seconds it asks."""
        key = subscription.subscription_id
        body = payload(key, waiting, rows)
        stamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "ovr-alpr",
            "Idempotency-Key": batch_id(key, waiting),
            "X-ALPR-Subscription": key,
            "X-ALPR-Timestamp": stamp,
            "X-ALPR-Signature": signature(secret_for(self._secret, key), stamp, body),
        }
        try:
            with overheard():
                answer = self._post(subscription.url, body, headers)
        except (Unreachable, Unusable) as error:
            return str(error), 0, 0.0
        if 200 <= answer.status < 300:
            return None, answer.status, 0.0
        # What it said is not repeated: it may have echoed what it was sent.
        told = f"{shown(subscription.url)} answered {answer.status}"
        return told, answer.status, answer.retry_after or 0.0


def payload(key: str, waiting: Sequence[Waiting], rows: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The body of a post: changes in their order, each sighting as it now is."""
    events: list[dict[str, Any]] = []
    for one in waiting:
        row = rows.get(one.event_id)
        if one.told is not None:
            events.append({"change": one.change, "kind": "gap", **one.told})
        elif row is None:
            events.append({"change": one.change, "kind": "erased", "event_id": one.event_id})
        else:
            events.append({"change": one.change, "kind": "sighting", "sighting": row})
    told = {"id": batch_id(key, waiting), "subscription": key, "events": events}
    return orjson.dumps(told, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)


def batch_id(key: str, waiting: Sequence[Waiting]) -> str:
    """The same for the same changes, however often they are sent."""
    return str(uuid5(UUID(key), " ".join(f"{one.event_id} {one.change}" for one in waiting)))


def secret_for(secret: bytes, key: str) -> str:
    """What signs one subscription's posts: it follows from this system's secret, and is not kept.

    >>> secret_for(b"k", "7") == secret_for(b"k", "7") != secret_for(b"k", "8")
    True
    """
    digest = hmac.digest(secret, b"subscription " + key.encode(), "sha256")
    return "whsec_" + base64.b32encode(digest).decode().rstrip("=").lower()
