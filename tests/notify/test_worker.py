"""The service as it runs: threads that send, wait for what is away, and end."""

import threading
import time
from contextlib import contextmanager
from random import Random

import pytest

from eventlog.log import LogUnavailable
from notify.channel import Outcome
from notify.patience import Ending, Patience
from notify.pictures import Pictures
from notify.service import Bell, Parts, Service
from projections.errors import AccessRefused, ViewMissing, ViewUnavailable
from tests.notify.queue_world import HOOK, World, alert, forget, rule, webhook

SECRET = "xoxb-never-to-be-seen"
SLOW = "https://slow.example/s"


@pytest.fixture
def world(tmp_path, postgres_url):
    forget(postgres_url)
    made = World(tmp_path, postgres_url)
    made.consumer.close()  # a service reads here
    yield made
    made.close()


def parts_of(world, **changes):
    values = {
        "url": world.url,
        "log": world.log,
        "codec": world.codec,
        "channels": world.channels,
        "pictures": Pictures(world.images, str),
        "dead": world.dead,
        "clock": world.clock,
    }
    return Parts(**(values | changes))


@contextmanager
def serving(world, **changes):
    """A service in a thread of its own; what it raised is raised at the block's end."""
    stop, raised = threading.Event(), []

    def run():
        try:
            Service(parts_of(world, **changes), stop, Random(1)).run()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
    if raised:
        raise raised[0]


def within(seconds, what):
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        time.sleep(0.01)
    return what()


def say(world, *events):
    """Append without reading: the service does."""
    world.read = lambda: None
    world.say(*events)


def test_what_is_appended_is_sent(world):
    world.put(rule(webhook()))
    with serving(world):
        say(world, *[alert(n) for n in range(30)])
        assert within(10, lambda: len(world.outcomes) == 30)
    assert len({d.alert["alert_id"] for d in world.channel.sent}) == 30


def test_two_processes_share_the_work_and_send_nothing_twice(world):
    world.put(rule(webhook()))
    with serving(world), serving(world):
        say(world, *[alert(n) for n in range(60)])
        assert within(10, lambda: len(world.outcomes) == 60)
    assert len(world.channel.sent) == 60


def test_a_target_that_hangs_holds_up_no_other(world):
    world.put(rule(f"[{{type: webhook, url: '{SLOW}'}}, {{type: webhook, url: '{HOOK}'}}]"))
    hang, plain = threading.Event(), world.channel.send

    def send(delivery):
        if delivery.options["url"] == SLOW:
            hang.wait(20)
        return plain(delivery)

    world.channel.send = send
    with serving(world):
        say(world, *[alert(n) for n in range(20)])
        assert within(10, lambda: len(world.channel.sent) == 20)
        assert {d.options["url"] for d in world.channel.sent} == {HOOK}
        hang.set()
        assert within(10, lambda: len(world.channel.sent) == 40)


def test_a_channel_with_a_defect_is_tried_again_and_its_words_are_kept_from_all_eyes(world, caplog):
    world.put(rule(webhook()))

    def send(delivery):
        raise RuntimeError(f"bad token {SECRET}")

    world.channel.send = send
    with serving(world):
        say(world, alert())
        assert within(10, lambda: world.outcomes == ["failed"])
    assert "RuntimeError" in world.attempts[0]["detail"]
    assert "RuntimeError at" in caplog.text
    assert SECRET not in caplog.text + str(world.attempts)


def test_it_ends_within_seconds_and_what_was_being_sent_is_sent_again_under_its_id(
    world, monkeypatch
):
    monkeypatch.setattr("notify.service.GRACE_S", 0.5)
    world.put(rule(webhook()))
    hang, ids = threading.Event(), []

    def send(delivery):
        ids.append(delivery.notification_id)
        hang.wait(30)
        return Outcome("sent")

    world.channel.send = send
    with serving(world) as stop:
        say(world, alert())
        assert within(10, lambda: len(ids) == 1)
        stop.set()
        began = time.monotonic()
    assert time.monotonic() - began < 3
    # The thread lives on in this process, and its lock with it, as it would not in one that ended.
    hang.set()
    assert within(5, lambda: world.outcomes == ["sent"])


def test_what_waiting_does_not_mend_ends_it(world):
    with pytest.raises(AccessRefused), serving(world, url="postgresql://h:x/y"):
        time.sleep(0.5)


def test_the_queue_that_vanishes_ends_it_so_that_the_next_start_makes_it_anew(world):
    def vanish():
        with serving(world) as stop:
            forget(world.url)
            stop.wait(5)

    with pytest.raises(ViewMissing):
        vanish()


# Waiting.


def test_threads_that_wait_for_the_same_say_so_once(caplog):
    patience, back = Patience(threading.Event()), threading.Event()

    def act():
        if not back.is_set():
            raise ViewUnavailable("no connection to the database")
        return 7

    found = []
    threads = [threading.Thread(target=lambda: found.append(patience.until(act))) for _ in range(5)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    back.set()
    for thread in threads:
        thread.join()
    assert found == [7] * 5
    lines = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert lines[0] == "waiting"
    assert len(lines) == 2
    assert lines[1].startswith("going on after")


def test_who_waits_ends_when_told_to():
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()

    def act():
        raise LogUnavailable("the broker is away")

    with pytest.raises(Ending):
        Patience(stop).until(act)


def test_a_bell_wakes_as_many_as_there_is_work_for():
    bell = Bell()
    bell.ring(2)
    assert [bell.wait(0.01) for _ in range(3)] == [True, True, False]
