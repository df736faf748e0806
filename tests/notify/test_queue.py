"""The queue: who is due, who waits, who is left alone, what is told together."""

import threading
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.channel import OptionsError, Outcome
from notify.limits import Rate, pace, rate_of
from notify.patience import Patience
from notify.worker import backoff
from tests.notify.queue_world import (
    HOOK,
    NOON,
    SECOND,
    World,
    alert,
    email,
    forget,
    rule,
    webhook,
)

FAILED = Outcome("failed", "no answer")
OTHER = "https://other.example/b"


@pytest.fixture
def world(tmp_path, postgres_url):
    forget(postgres_url)
    made = World(tmp_path, postgres_url)
    yield made
    made.close()


# Tried again.


def test_a_failure_is_tried_again_under_the_same_id_until_it_goes_through(world):
    world.put(rule(webhook()))
    world.channel.answers[HOOK] = [FAILED, FAILED]
    world.tell(alert())
    assert world.work() == 0
    world.wait(2)
    assert world.work() == 1
    world.wait(4)
    assert world.work() == 1
    assert world.outcomes == ["failed", "failed", "sent"]
    assert [a["attempt"] for a in world.attempts] == [1, 2, 3]
    assert len({a["notification_id"] for a in world.attempts}) == 1
    assert world.attempts[0]["detail"] == "no answer"


def test_what_is_due_again_survives_a_restart(world):
    world.put(rule(webhook()))
    world.channel.answers[HOOK] = [FAILED]
    world.tell(alert())
    world.worker.close()
    world.consumer.close()
    world.start()
    assert world.work() == 0
    world.wait(2)
    assert world.work() == 1


def test_a_receiver_says_how_long_to_wait(world):
    world.put(rule(webhook()))
    world.channel.answers[HOOK] = [Outcome("failed", "429", retry_after=120.0)]
    world.tell(alert(), alert(2))
    tried = len(world.channel.sent)
    world.wait(119)
    assert world.work() == 0
    world.wait(1)
    assert world.work() == 2
    assert tried == 1


def test_after_an_hour_it_is_given_up_and_kept_as_a_dead_letter(world):
    world.put(rule(webhook()))
    world.channel.always[HOOK] = FAILED
    world.tell(alert())
    for _ in range(1000):
        world.wait(10)
        world.work()
    attempts = world.attempts
    assert {a["outcome"] for a in attempts[:-1]} == {"failed"}
    assert attempts[-1]["outcome"] == "given up"
    assert 15 <= len(attempts) <= 60
    assert 3590 <= (attempts[-1]["at"] - attempts[0]["at"]) / SECOND <= 3660
    (letter,) = world.letters
    assert (letter["step"], letter["reason"], letter["detail"]) == (
        *("notify", "given up", "no answer"),
    )
    entry = world.log.read(letter["topic"], letter["partition"], letter["offset"], 1)[0]
    assert (letter["key"], letter["value"]) == (entry.key, entry.value)
    assert world.ask("SELECT value, options FROM deliveries") == [(None, None)]


def test_what_is_refused_is_not_tried_again(world):
    world.put(rule(webhook()))
    world.channel.answers[HOOK] = [Outcome("refused", "404 Not Found")]
    world.tell(alert())
    world.wait(4000)
    assert world.work() == 0
    assert world.outcomes == ["refused"]
    assert [letter["reason"] for letter in world.letters] == ["refused"]


def test_what_its_target_never_let_through_is_given_up_too(world):
    world.put(rule(webhook()))
    world.channel.always[HOOK] = FAILED
    world.tell(*[alert(n) for n in range(10)])
    tried = len({d.alert["alert_id"] for d in world.channel.sent})
    assert tried < 10  # the target is left alone
    world.wait(4000)
    world.work()
    assert world.outcomes.count("given up") == 10
    assert len(world.letters) == 10


@given(st.integers(1, 60), st.integers())
def test_pauses_grow_from_a_second_or_two_to_five_minutes(failures, seed):
    pause = backoff(failures, Random(seed))
    assert 1 <= pause <= min(300, 2**failures)


# Two at once.


def test_what_one_sends_no_other_takes(world):
    world.put(rule(webhook()))
    world.say(alert(), alert(2))
    first = world.deliveries.take()
    one = world.worker
    world.start()
    second, other = world.deliveries.take(), world.deliveries
    assert first.row.notification_id != second.row.notification_id
    world.start()
    assert world.deliveries.take() is None
    one.close()
    other.leave()
    assert world.work() == 2  # both are free again: one was let go, one's connection ended


def test_no_more_than_some_are_sent_to_one_target_at_once_and_others_are_not_held_up(world):
    more = f", {{type: webhook, url: '{OTHER}'}}]"
    world.put(rule(webhook()[:-1] + more))
    world.say(*[alert(n) for n in range(10)])
    holding = []
    taken = []
    while (one := world.deliveries.take()) is not None:
        taken.append(one.row.target)
        holding.append(world.worker)
        world.start()
    assert sorted(taken) == [HOOK] * 4 + [OTHER] * 4
    for worker in holding:
        worker.close()


def test_where_the_connection_broke_the_end_is_written_by_another(world):
    world.put(rule(webhook()))
    world.say(alert())
    taken = world.deliveries.take()
    world.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE state = 'idle in transaction' AND datname = current_database()"
    )
    Patience(threading.Event()).until(lambda: world.deliveries.settle(taken, "sent"))
    assert world.ask("SELECT state, outcome, attempts FROM deliveries") == [("done", "sent", 1)]


def test_where_it_broke_and_another_was_quicker_nothing_is_changed(world):
    world.put(rule(webhook()))
    world.say(alert())
    taken = world.deliveries.take()
    world.deliveries.close()
    world.channel.answers[HOOK] = [FAILED]
    world.work()
    world.deliveries.settle(taken, "sent")
    assert world.ask("SELECT state, attempts FROM deliveries") == [("waiting", 1)]


# Left alone.


def test_after_five_failures_a_target_is_left_alone_and_probed_by_one(world):
    world.put(rule(webhook()))
    world.channel.always[HOOK] = FAILED
    assert len(world.tell(*[alert(n) for n in range(20)])) == 5
    world.wait(29)
    assert world.work() == 0
    world.wait(1)
    assert world.work() == 1
    world.wait(30)
    del world.channel.always[HOOK]
    assert world.work() == 20


def test_a_dead_target_holds_up_nobody_else(world):
    more = f", {{type: webhook, url: '{OTHER}'}}]"
    world.put(rule(webhook()[:-1] + more))
    world.channel.always[HOOK] = FAILED
    sent = world.tell(*[alert(n) for n in range(20)])
    assert sum(d.options["url"] == OTHER for d in sent) == 20


def test_whether_a_target_is_left_alone_is_known_to_every_process(world):
    world.put(rule(webhook()))
    world.channel.always[HOOK] = FAILED
    world.tell(*[alert(n) for n in range(6)])
    world.worker.close()
    world.consumer.close()
    world.start()
    assert world.work() == 0


def test_one_line_tells_when_a_trouble_begins_and_one_when_it_ends(world, caplog):
    world.put(rule(webhook()))
    world.channel.answers[HOOK] = [FAILED] * 3
    world.tell(alert(), alert(2))
    for _ in range(10):
        world.wait(5)
        world.work()
    said = [r.getMessage() for r in caplog.records if r.name == "notify.limits"]
    assert said == [
        f"webhook to {HOOK} fails and is tried again: no answer",
        f"webhook to {HOOK} answers again after 3 failures",
    ]


def test_losses_to_one_target_are_one_line_now_and_then_with_their_number(world, caplog):
    world.put(rule(webhook()))
    world.channel.always[HOOK] = Outcome("refused", "401 Unauthorized")
    world.tell(*[alert(n) for n in range(5)])
    world.wait(600)
    world.tell(alert(6, at=world.now))
    assert [r.getMessage() for r in caplog.records if r.name == "notify.limits"] == [
        f"webhook to {HOOK}: refused, 1 kept in alpr.dlq: 401 Unauthorized",
        f"webhook to {HOOK}: refused, 5 kept in alpr.dlq: 401 Unauthorized",
    ]


# So many a minute.


def test_a_rate_lets_so_many_through_and_the_rest_when_it_is_their_turn(world):
    world.put(rule(webhook(", rate: 3/m")))
    assert len(world.tell(*[alert(n) for n in range(5)])) == 3
    world.wait(19)
    assert world.work() == 0
    world.wait(1)
    assert world.work() == 1
    world.wait(60)
    assert world.work() == 1
    assert world.tell(*[alert(n, at=world.now) for n in range(10, 15)]) != []
    assert world.outcomes == ["sent"] * len(world.channel.sent)


@given(st.integers(1, 50), st.lists(st.integers(0, 100), min_size=1, max_size=200))
def test_in_no_period_more_than_twice_the_rate_goes_out(most, gaps):
    """What was saved up goes at once, then the even pace: so bounded is what a target can get."""
    rate = Rate(most, 1000)
    paced, now, times = 0, 0, []
    for gap in gaps:
        now += gap
        if paced - rate.tolerance <= now:
            paced = max(paced, now) + rate.interval
            times.append(now)
    for start in times:
        within = sum(start <= time < start + rate.interval * most for time in times)
        assert within <= 2 * most


@pytest.mark.parametrize(
    ("type", "options", "expected"),
    [
        ("webhook", {}, ("none", 0)),
        ("email", {}, ("30/m", 60 * SECOND)),
        ("slack", {"rate": "5/min", "group": "2m"}, ("5/min", 120 * SECOND)),
        ("sms", {"group": False}, ("30/m", 0)),
        ("webhook", {"group": "10s", "rate": "none"}, ("none", 10 * SECOND)),
    ],
)
def test_the_pace_of_an_action(type, options, expected):
    assert pace(type, options) == expected


@pytest.mark.parametrize("options", [{"rate": "often"}, {"rate": "0/m"}, {"group": "soon"}])
def test_a_pace_that_is_none_is_refused(options):
    with pytest.raises(OptionsError, match=next(iter(options))):
        pace("email", options)


def test_rates_by_their_unit():
    assert rate_of("2/h") == Rate(2, 3600 * SECOND)


# Told together.


def storm(first, last):
    return [alert(n, at=NOON) for n in range(first, last)]


def test_of_a_storm_the_first_goes_at_once_and_the_rest_in_one_message(world):
    world.put(rule(email()))
    (first,) = world.tell(*storm(0, 30))
    assert (first.alert["plate"], first.others, first.more) == ("ABC000", (), 0)
    world.wait(59)
    assert world.work() == 0
    world.wait(1)
    assert world.work() == 1
    rest = world.channel.sent[-1]
    assert (rest.alert["plate"], len(rest.others), rest.more) == ("ABC001", 20, 8)
    outcomes = world.outcomes
    assert (outcomes.count("sent"), outcomes.count("grouped")) == (2, 28)
    assert len({a["alert_id"] for a in world.attempts}) == 30


def test_a_storm_that_goes_on_is_told_once_a_minute_and_then_at_once_again(world):
    world.put(rule(email()))
    world.tell(*storm(0, 3))
    world.wait(60)
    world.work()
    assert world.tell(*storm(3, 6)) == []  # the window after the second message
    world.wait(60)
    assert world.work() == 1
    world.wait(61)
    assert len(world.tell(alert(7))) == 1


def test_what_a_message_stands_for_is_the_same_each_time_it_is_tried(world):
    world.put(rule(email()))
    world.tell(*storm(0, 4))
    world.channel.answers["guard@example.com"] = [FAILED]
    world.wait(60)
    world.work()
    world.say(*storm(4, 8))
    world.wait(60)
    world.work()
    world.wait(60)
    world.work()
    failed, again = [d for d in world.channel.sent if len(d.others) == 2]
    assert (failed.notification_id, failed.others) == (again.notification_id, again.others)
    assert sum(1 + len(d.others) for d in world.channel.sent) == 8 + 3


def test_what_waits_for_its_turn_or_for_its_target_is_one_message_in_the_end(world):
    world.put(rule(email(", rate: 1/h")))
    world.tell(*storm(0, 5))
    for number in range(5, 50):
        world.wait(60)
        world.tell(alert(number, at=world.now))
    assert len(world.channel.sent) == 1
    world.wait(900)
    assert world.work() == 1
    assert 1 + len(world.channel.sent[-1].others) + world.channel.sent[-1].more == 49


def test_what_is_withdrawn_while_it_is_held_is_left_out(world):
    world.put(rule(email()))
    world.tell(*storm(0, 4))
    world.say(alert(2, kind="withdrawn", revision=2))
    world.wait(60)
    world.work()
    told = world.channel.sent[-1]
    assert [told.alert["plate"], *(o["plate"] for o in told.others)] == ["ABC001", "ABC003"]


def test_what_is_withdrawn_once_its_message_is_made_up_leaves_the_others_in(world):
    world.put(rule(email()))
    world.tell(*storm(0, 5))
    world.wait(60)
    world.upkeep.gather()
    world.say(alert(1, kind="withdrawn", revision=2), alert(3, kind="withdrawn", revision=2))
    world.work()
    told = world.channel.sent[-1]
    assert [told.alert["plate"], *(o["plate"] for o in told.others)] == ["ABC002", "ABC004"]


def test_webhooks_get_each_alert_by_itself(world):
    world.put(rule(webhook()))
    assert len(world.tell(*storm(0, 10))) == 10


def test_a_group_that_is_given_up_is_given_up_for_each(world):
    world.put(rule(email()))
    world.tell(*storm(0, 4))
    world.channel.always["guard@example.com"] = Outcome("refused", "550 no such user")
    world.wait(60)
    world.work()
    assert world.outcomes.count("refused") == 3
    assert len(world.letters) == 3


# With its picture.


def test_a_picture_is_attached_to_mail_and_linked_everywhere(world):
    world.put(rule(webhook()[:-1] + ", " + email()[1:]))
    address = world.images.put("a/plate.jpg", b"\xff\xd8jpeg")
    images = {"plate_url": address, "vehicle_url": "", "frame_url": ""}
    sent = {d.options.get("to"): d for d in world.tell(alert(images=images))}
    assert sent[None].picture is None
    assert sent["guard@example.com"].picture.content == b"\xff\xd8jpeg"
    assert {d.picture_url for d in sent.values()} == {f"https://alpr.example/p/{address}"}


def test_a_picture_that_comes_a_moment_later_is_waited_for(world):
    world.put(rule(email()))
    images = {"plate_url": "images/a/late.jpg", "vehicle_url": "", "frame_url": ""}
    late = threading.Timer(0.4, lambda: world.images.put("a/late.jpg", b"\x89PNG..."))
    late.start()
    (told,) = world.tell(alert(images=images))
    late.join()
    assert told.picture.media == "image/png"


def test_a_picture_that_never_comes_holds_nothing_up_for_long(world, monkeypatch):
    monkeypatch.setattr("notify.worker.PATIENCE_S", 0.2)
    world.put(rule(email()))
    images = {"plate_url": "images/a/none.jpg", "vehicle_url": "", "frame_url": ""}
    (told,) = world.tell(alert(images=images))
    assert told.picture is None


# Kept in order.


def test_what_ended_a_month_ago_is_forgotten(world):
    world.put(rule(email()))
    world.tell(*storm(0, 1))
    world.wait(31 * 86_400)
    world.upkeep.prune()
    assert world.ask(
        "SELECT (SELECT count(*) FROM deliveries) + (SELECT count(*) FROM alerts)"
    ) == [(0,)]
