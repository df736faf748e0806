"""Sightings to subscribers: signed, in order, none lost, whatever is killed or fails."""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg2
import pytest

from images.links import secret_of
from notify.channels.webhook import signature
from notify.net import Answer, Post, Unreachable
from notify.sightings import FAILING_DAYS, Follower, Sender, secret_for
from projections.subscribed import Subscribed
from projections.subscriptions import SCHEMA, Subscriptions
from projections.view import SightingsView
from projections.wanted import Wanted, plate_of
from rules.pseudonym import Pseudonyms
from tests.notify.receiver import ROOT, Notify, within
from tests.projections.sightings import LOG, event_id, sighting

URL = "http://192.0.2.7/sightings?token=hidden"
EVERYTHING = Wanted()
SECONDS = float(os.environ.get("ALPR_TEST_KILLING_S", "10"))


class Posts:
    """Stands for the net: keeps what was posted, and answers as it is told."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.raw: list[bytes] = []
        self.status = 200
        self.then: Any = None

    def __call__(self, url: str, content: bytes, headers: Any, *, trusted: bool = False) -> Answer:
        if self.status == 0:
            raise Unreachable("192.0.2.7 did not answer in time")
        self.raw.append(content)
        self.bodies.append(json.loads(content))
        self.headers.append(dict(headers))
        if self.then is not None:
            self.then()
        return Answer(self.status, None, "", "")

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for body in self.bodies for event in body["events"]]


class Out:
    """A view, who is subscribed, and the steps that tell them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        self.execute("DROP SCHEMA IF EXISTS alpr CASCADE")
        self.view = SightingsView(url, LOG)
        self.store = Subscriptions(url)
        self.queries = Subscribed(url)
        self.posts = Posts()
        self.follower = Follower(url, self.queries)
        self.sender = self.new_sender(1)
        self.at = 0
        self.follower.step()

    def new_sender(self, seed: int, name: Any = None) -> Sender:
        post: Any = self.posts
        return Sender(self.url, self.queries, post, b"k" * 32, random.Random(seed), name=name)

    def write(self, *events: Any) -> None:
        assert self.view.apply(0, self.at, events, self.at + len(events)) == []
        self.at += len(events)

    def tell(self) -> None:
        """Follow to the end, and send all that is due."""
        while self.follower.step() == 0.0:
            pass
        while self.sender.step() == 0.0:
            pass

    def execute(self, statement: str) -> list[Any]:
        with (
            closing(psycopg2.connect(self.url)) as connection,
            connection,
            connection.cursor() as c,
        ):
            c.execute(statement)
            return c.fetchall() if c.description else []

    def close(self) -> None:
        for one in (self.view, self.store, self.queries, self.follower, self.sender):
            one.close()


@pytest.fixture
def out(postgres_url: str) -> Iterator[Out]:
    with closing(Out(postgres_url)) as made:
        yield made


def ended(number: int, **changed: Any) -> Any:
    return sighting(number, 1, status="ended", **changed)


def numbers(out: Out) -> list[str]:
    return [event["sighting"]["event_id"] for event in out.posts.events]


def test_who_wants_what_has_ended_is_told_each_sighting_once(out: Out):
    out.store.create("parking", URL, Wanted(ended=True), "local")
    out.write(sighting(1), sighting(2))
    out.tell()
    assert out.posts.bodies == []
    out.write(ended(1), ended(2))
    out.tell()
    assert sorted(numbers(out)) == sorted([event_id(1), event_id(2)])
    out.tell()
    assert len(out.posts.bodies) == 1


def test_who_wants_everything_is_told_each_change_in_its_order(out: Out):
    out.store.create("", URL, EVERYTHING, "local")
    for number in range(250):
        out.write(sighting(number))
    out.tell()
    changes = [event["change"] for event in out.posts.events]
    assert changes == sorted(changes)
    assert numbers(out) == [event_id(number) for number in range(250)]
    assert [len(body["events"]) for body in out.posts.bodies] == [100, 100, 50]


def test_a_sighting_that_changes_while_it_waits_is_told_once_as_it_is(out: Out):
    out.store.create("", URL, EVERYTHING, "local")
    out.write(sighting(1))
    out.follower.step()
    out.write(sighting(2))
    out.write(ended(1))
    out.tell()
    assert numbers(out) == [event_id(2), event_id(1)]
    assert out.posts.events[1]["sighting"]["status"] == "ended"


def test_a_change_during_a_post_is_told_after_it(out: Out):
    out.store.create("", URL, EVERYTHING, "local")
    out.write(sighting(1))
    follower = Follower(out.url, out.queries)

    def meanwhile() -> None:
        out.posts.then = None
        out.write(ended(1))
        follower.step()

    out.posts.then = meanwhile
    out.tell()
    follower.close()
    assert [event["sighting"]["status"] for event in out.posts.events] == ["confirmed", "ended"]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Wanted(cameras=frozenset({"CAM-002"})), [2]),
        (Wanted(sites=frozenset({"south"})), [3]),
        (Wanted(plate=plate_of("ABC000?")), [1, 2, 3]),
        (Wanted(plate=plate_of("abc-0002")), [2]),
        (Wanted(cameras=frozenset({"CAM-002"}), sites=frozenset({"south"})), []),
    ],
)
def test_only_what_was_asked_for_is_told(out: Out, wanted: Wanted, told: list[int]):
    out.store.create("", URL, wanted, "local")
    out.write(sighting(1), sighting(2, camera_id="CAM-002"), sighting(3, site="south"))
    out.tell()
    assert sorted(numbers(out)) == sorted(event_id(number) for number in told)


def test_an_erased_sighting_is_told_by_its_id(out: Out):
    out.store.create("", URL, EVERYTHING, "local")
    out.write(sighting(1))
    out.tell()
    out.write(("erase", event_id(1)))
    out.tell()
    told = out.posts.events[-1]
    assert (told["kind"], told["event_id"]) == ("erased", event_id(1))
    assert "sighting" not in told


def test_posts_are_signed_with_a_secret_of_the_subscription_alone(out: Out):
    one = out.store.create("", URL, EVERYTHING, "local")
    out.write(sighting(1))
    out.tell()
    headers, body = out.posts.headers[0], out.posts.raw[0]
    secret = secret_for(b"k" * 32, one.subscription_id)
    assert headers["X-ALPR-Signature"] == signature(secret, headers["X-ALPR-Timestamp"], body)
    assert headers["Idempotency-Key"] == out.posts.bodies[0]["id"]
    found = out.execute(f"SELECT * FROM {SCHEMA}.subscriptions")
    assert secret not in str(found)


def test_what_fails_is_tried_again_later_with_the_same_key(out: Out):
    one = out.store.create("", URL, EVERYTHING, "local")
    out.write(sighting(1))
    for status in (500, 404, 302, 0):
        out.posts.status = status
        out.tell()
        assert out.sender.step() > 0, "not at once"
        out.execute(f"UPDATE {SCHEMA}.subscriptions SET due = now()")
    (now,) = out.store.all()
    assert (now.failures, now.waiting, now.sent) == (4, 1, 0)
    assert now.failing_since is not None
    assert "hidden" not in now.last_error
    out.posts.status = 200
    out.tell()
    assert len({headers["Idempotency-Key"] for headers in out.posts.headers}) == 1
    (now,) = out.store.all()
    assert (now.failures, now.waiting, now.sent, now.failing_since) == (0, 0, 1, None)
    assert now.subscription_id == one.subscription_id


def test_one_that_fails_does_not_hold_up_another(out: Out):
    out.store.create("bad", URL, EVERYTHING, "local")
    out.store.create("good", "http://192.0.2.8/", EVERYTHING, "local")
    out.posts.status = 500
    out.write(sighting(1))
    out.follower.step()
    out.sender.step()
    out.posts.status = 200
    out.tell()
    assert [(one.name, one.sent) for one in out.store.all()] == [("bad", 0), ("good", 1)]


def test_after_days_of_failures_it_is_paused_and_says_so(out: Out):
    out.store.create("", URL, EVERYTHING, "local")
    out.write(sighting(1))
    out.posts.status = 503
    out.tell()
    out.execute(
        f"UPDATE {SCHEMA}.subscriptions SET due = now(), "
        f"failing_since = now() - interval '{FAILING_DAYS} days 1 minute'"
    )
    out.tell()
    (now,) = out.store.all()
    assert now.paused_at is not None
    assert "failed for 3 days" in now.why
    assert now.waiting == 0


def test_a_receiver_that_is_gone_is_not_asked_again(out: Out):
    out.store.create("", URL, EVERYTHING, "local")
    out.write(sighting(1))
    out.posts.status = 410
    out.tell()
    assert out.store.all()[0].paused_at is not None


def test_who_was_paused_is_told_that_something_is_missing_and_goes_on(out: Out):
    key = out.store.create("", URL, EVERYTHING, "local").subscription_id
    assert out.store.pause(key, "by local")
    out.write(sighting(1))
    out.tell()
    assert out.store.resume(key)
    out.write(sighting(2))
    out.tell()
    gap, after = out.posts.events
    assert (gap["kind"], gap["why"]) == ("gap", "it was paused")
    assert gap["since"].endswith("Z")
    assert after["sighting"]["event_id"] == event_id(2)


def test_who_fell_behind_what_is_remembered_is_told_of_the_gap(out: Out):
    out.store.create("", URL, EVERYTHING, "local")
    out.write(sighting(1))
    out.tell()
    out.write(sighting(2), sighting(3))
    out.execute("DELETE FROM alpr.view_changes")
    out.execute("UPDATE alpr.view_state SET changes = changes + 1")
    out.tell()
    assert [event["kind"] for event in out.posts.events] == ["sighting", "gap"]
    out.write(sighting(4))
    out.tell()
    assert out.posts.events[-1]["sighting"]["event_id"] == event_id(4)


def test_a_view_made_anew_from_the_log_notifies_nobody_again(out: Out):
    out.store.create("", URL, Wanted(ended=True), "local")
    history = [ended(number) for number in range(20)]
    out.write(*history)
    out.tell()
    assert len(out.posts.events) == 20
    out.view.close()
    out.execute("DROP SCHEMA alpr CASCADE")
    out.view, out.at = SightingsView(out.url, LOG), 0
    out.follower.step()
    out.write(*history)
    out.write(ended(50))
    out.tell()
    kinds = [event["kind"] for event in out.posts.events[20:]]
    assert kinds == ["gap", "sighting"]
    assert out.posts.events[-1]["sighting"]["event_id"] == event_id(50)


def test_two_processes_tell_each_sighting_once(out: Out):
    out.store.create("", URL, EVERYTHING, "local")
    others = [(Follower(out.url, out.queries), out.new_sender(number)) for number in range(3)]
    stop = threading.Event()

    def run(follower: Follower, sender: Sender) -> None:
        while not stop.is_set():
            follower.step()
            sender.step()

    threads = [threading.Thread(target=run, args=pair) for pair in others]
    for thread in threads:
        thread.start()
    for number in range(300):
        out.write(sighting(number))
    assert within(20, lambda: len(out.posts.events) >= 300)
    stop.set()
    for thread in threads:
        thread.join()
    assert numbers(out) == [event_id(number) for number in range(300)]


def test_an_address_inside_is_refused_where_it_leads(out: Out):
    out.store.create("", "http://127.0.0.1:1/", EVERYTHING, "local")
    out.write(sighting(1))
    out.follower.step()
    Sender(out.url, out.queries, Post(), b"k" * 32, random.Random(1)).step()
    assert "no address of the open internet" in out.store.all()[0].last_error


class Receiver:
    """Takes posts; some it refuses, and some it answers as failed that it has taken."""

    def __init__(self, secret: bytes) -> None:
        self.taken: dict[str, list[int]] = {}
        self.wrong: list[str] = []
        chance = random.Random(5)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if len(body) < int(self.headers["Content-Length"]):
                    return  # who sent it was killed over it
                key = secret_for(secret, self.headers["X-ALPR-Subscription"])
                stamp = self.headers["X-ALPR-Timestamp"]
                if self.headers["X-ALPR-Signature"] != signature(key, stamp, body):
                    outer.wrong.append("signature")
                fails = chance.random() < 0.2
                if not fails or chance.random() < 0.5:
                    for event in json.loads(body)["events"]:
                        one = event["sighting"]["event_id"]
                        outer.taken.setdefault(one, []).append(event["change"])
                self.send_response(503 if fails else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_notify_killed_again_and_again_loses_no_sighting(tmp_path: Any, out: Out):
    home = tmp_path / "home"
    home.mkdir()
    secret = secret_of(home / "link-secret")
    environ = {
        **{k: v for k, v in os.environ.items() if not k.startswith("ALPR_")},
        "ALPR_HOME": str(home),
        "ALPR_DATABASE_URL": out.url,
        "ALPR_NOTIFY_ALLOW": "127.0.0.0/8",
        "PYTHONPATH": str(ROOT),
    }
    rng = random.Random(6)
    with closing(Receiver(secret)) as receiver:
        out.store.create("", receiver.url, Wanted(ended=True), "local")
        process = Notify(tmp_path, environ, 0)
        try:
            number, until = 0, time.monotonic() + SECONDS
            while time.monotonic() < until:
                for _ in range(rng.randrange(1, 30)):
                    out.write(sighting(number), ended(number))
                    number += 1
                time.sleep(rng.uniform(0.2, 2.5))
                assert process.running, "it ended by itself, see its text"
                process.kill()
                process.start()
            everyone = {event_id(one) for one in range(number)}
            assert within(60, lambda: set(receiver.taken) == everyone)
            assert within(30, lambda: out.store.all()[0].waiting == 0)
            assert process.kill(signal.SIGTERM) == 0
        finally:
            process.close()
        assert receiver.wrong == []
        last = [changes[-1] for changes in receiver.taken.values()]
        print(f"{number} sightings, {sum(map(len, receiver.taken.values())) - len(last)} repeats")


def test_where_pseudonyms_are_on_a_subscription_is_told_them_unless_it_is_made_clear(out: Out):
    names = Pseudonyms(b"k" * 32)
    out.store.create("hidden", URL, EVERYTHING, "local")
    out.store.create("seeing", URL, EVERYTHING, "local", clear=True)
    out.follower.step()
    out.write(sighting(1, text="ABC0001"))
    out.follower.step()
    sender = out.new_sender(1, names.of)
    while not sender.step():
        pass
    keys = {one.subscription_id: one.name for one in out.store.all()}
    told = {keys[body["subscription"]]: body["events"][0]["sighting"] for body in out.posts.bodies}
    assert told["seeing"]["plate_normalized_text"] == "ABC0001"
    assert told["hidden"]["plate_normalized_text"] == names.of("ABC0001")
    assert told["hidden"]["camera_id"] == told["seeing"]["camera_id"]
    assert "ABC0001" not in json.dumps(told["hidden"])
