"""What alerts are told, to whom, and what is never told."""

import time

import psycopg2
import pytest

from eventlog.log import Append
from eventlog.sqlite import SqliteLog
from notify.channel import Outcome
from notify.store import begin
from projections.errors import ViewMismatch
from schemas.topics import ALERTS, partition_of
from tests.notify.queue_world import (
    HOOK,
    NOON,
    PARTITIONS,
    SECOND,
    World,
    alert,
    email,
    forget,
    rule,
    webhook,
)


@pytest.fixture
def world(tmp_path, postgres_url):
    forget(postgres_url)
    made = World(tmp_path, postgres_url)
    yield made
    made.close()


def kinds(deliveries):
    return [delivery.kind for delivery in deliveries]


# What is told.


def test_a_raised_alert_is_told_to_everyone_its_rule_names(world):
    world.put(rule(f"[{{type: webhook, url: '{HOOK}'}}, {{type: email, to: guard@example.com}}]"))
    sent = world.tell(alert())
    assert [(d.kind, d.attempt, d.rule_description) for d in sent] == [
        ("raised", 1, "stolen cars"),
        ("raised", 1, "stolen cars"),
    ]
    assert {tuple(d.options) for d in sent} == {("url",), ("to",)}
    assert sent[0].alert == alert(rule_version=world.version)
    assert sent[0].page_url == f"https://alpr.example/alerts/{alert()['alert_id']}"
    assert {(a["outcome"], a["channel"], a["target"], a["attempt"]) for a in world.attempts} == {
        ("sent", "webhook", HOOK, 1),
        ("sent", "email", "guard@example.com", 1),
    }
    assert {a["notification_id"] for a in world.attempts} == {d.notification_id for d in sent}


def test_the_version_that_the_alert_names_says_who_is_told(world):
    world.put(rule(webhook()))
    old = world.version
    world.put(rule(email()))
    world.now = NOON + 5 * SECOND
    (delivery,) = world.tell(alert(rule_version=old))
    assert "url" in delivery.options


def test_without_that_version_the_one_in_force_says_it(world):
    world.put(rule(webhook()))
    world.now = 4 * NOON  # in force by the wall's clock, which the log's is not
    (delivery,) = world.tell(alert(rule_version="of another log", at=world.now))
    assert delivery.options == {"url": HOOK}


def test_an_alert_of_a_rule_that_nobody_knows_is_told_to_nobody(world):
    assert world.tell(alert(rule="Gone", rule_version="gone")) == []


def test_only_what_an_action_asks_for_is_told(world):
    asks = ", on: [raised, updated, acknowledged, resolved, commented]"
    world.put(rule(webhook(asks)))
    world.tell(alert())
    sent = world.tell(
        alert(kind="updated", revision=2, plate="ABC999"),
        alert(kind="commented", at=NOON + 1, actor="ann", comment="a"),
        alert(kind="commented", at=NOON + 2, actor="ann", comment="b"),
        alert(kind="acknowledged", at=NOON + 3, actor="ann"),
        alert(kind="resolved", at=NOON + 4, actor="ann"),
    )
    told = ["updated", "commented", "commented", "acknowledged", "resolved"]
    assert kinds(sent) == told
    assert len({delivery.notification_id for delivery in sent}) == len(told)
    assert world.tell(alert(kind="withdrawn", revision=3)) == []


def test_what_happens_to_an_alert_is_told_only_to_those_who_heard_of_it(world):
    world.put(rule(webhook(", on: [updated, withdrawn]")))
    assert world.tell(alert(), alert(kind="updated", revision=2), alert(kind="withdrawn")) == []


# Once.


def test_what_comes_again_is_not_told_again(world):
    world.put(rule(webhook()))
    assert len(world.tell(alert())) == 1
    assert world.tell(alert(), alert(revision=2)) == []
    assert world.outcomes == ["sent"]


def test_whatever_is_read_again_is_queued_once(world):
    world.put(rule(webhook()))
    world.say(alert(), alert(2))
    with psycopg2.connect(world.url) as connection:
        connection.cursor().execute("UPDATE alpr_notify.positions SET next_offset = 0")
        connection.cursor().execute("DELETE FROM alpr_notify.alerts")
    world.consumer.close()
    world.start()
    world.read()
    assert world.work() == 2
    assert world.ask("SELECT count(*) FROM deliveries") == [(2,)]


def test_an_alert_that_is_raised_anew_after_its_withdrawal_is_told_anew(world):
    world.put(rule(webhook()))
    sent = world.tell(alert(), alert(kind="withdrawn", revision=2), alert(revision=3))
    assert kinds(sent) == ["raised"]  # what nobody had heard of was dropped
    assert kinds(world.tell(alert(kind="withdrawn", revision=4))) == ["withdrawn"]
    assert kinds(world.tell(alert(revision=5))) == ["raised"]


# Withdrawn.


def test_a_withdrawal_follows_what_was_sent(world):
    world.put(rule(webhook()))
    world.tell(alert())
    assert kinds(world.tell(alert(kind="withdrawn", revision=2))) == ["withdrawn"]


def test_a_withdrawal_takes_what_still_waits_out_of_the_queue_and_is_not_told(world):
    world.put(rule(webhook()))
    assert world.tell(alert(), alert(kind="withdrawn", revision=2)) == []
    assert world.outcomes == ["withdrawn", "withdrawn"]


def test_a_withdrawal_comes_after_a_raise_that_is_being_tried(world):
    world.put(rule(webhook()))
    world.channel.answers[HOOK] = [Outcome("failed", "no answer")]
    world.tell(alert())
    assert world.tell(alert(kind="withdrawn", revision=2)) == []
    world.wait(3)
    assert world.work() == 2
    assert kinds(world.channel.sent) == ["raised", "raised", "withdrawn"]


def test_a_withdrawal_waits_for_a_raise_that_another_worker_is_sending(world):
    world.put(rule(webhook()))
    world.say(alert())
    taken = world.deliveries.take()
    world.say(alert(kind="withdrawn", revision=2))
    world.deliveries.settle(taken, "sent")
    assert world.work() == 1
    assert kinds(world.channel.sent) == ["withdrawn"]


# Too old, or of no use.


def test_an_alert_older_than_ten_minutes_is_recorded_as_stale_once_and_not_sent(world):
    world.put(rule(f"[{{type: webhook, url: '{HOOK}'}}, {{type: email, to: guard@example.com}}]"))
    world.now = NOON + 601 * SECOND
    assert world.tell(alert()) == []
    assert world.tell(alert(), alert(kind="withdrawn", revision=2)) == []
    assert world.outcomes == ["stale", "stale"]
    assert world.tell(alert(2, at=NOON + 2 * SECOND)) != []


def test_an_action_that_cannot_be_used_is_refused_and_kept_as_a_dead_letter(world):
    world.put(rule("[{type: webhook, url: 'https://broken.example/'}, " + email()[1:]))
    assert len(world.tell(alert(), alert())) == 1
    assert sorted(world.outcomes) == ["refused", "sent"]
    (letter,) = world.letters
    assert (letter["step"], letter["reason"]) == ("notify", "refused")
    assert letter["topic"] == ALERTS.name
    assert letter["detail"] == "url: this one cannot be used"


def test_what_is_no_alert_is_kept_as_a_dead_letter_and_the_next_is_told(world):
    world.put(rule(webhook()))
    world.log.append(ALERTS.name, 0, [Append(b"x", b"garbage"), Append(b"y", b"")])
    long_id = alert(alert_id="x" * 500)
    nul = alert(2, alert_id="a\0b")
    never = [alert(4, at=1 << 62), alert(5, first_at=-(1 << 62)), alert(6, last_at=1 << 62)]
    assert len(world.tell(long_id, nul, *never, alert(3))) == 1
    assert sorted(one["reason"] for one in world.letters) == [
        *("magic", "magic", "refused", *(4 * ["unreadable"])),
    ]


def test_rules_that_nobody_knows_hold_nobody_up(world):
    world.put(rule(webhook()))
    unknown = [alert(n, rule=f"Gone {n}", rule_version="gone") for n in range(2, 30)]
    began = time.monotonic()
    assert len(world.tell(*unknown, alert(1))) == 1
    assert time.monotonic() - began < 10


def test_a_tombstone_takes_an_alert_out_of_the_queue(world):
    world.put(rule(webhook()))
    world.say(alert())
    key = alert()["alert_id"].encode()
    world.log.append(ALERTS.name, partition_of(key, PARTITIONS), [Append(key, None)])
    world.read()
    assert world.work() == 0
    assert world.ask("SELECT count(*) FROM alerts") == [(0,)]


def test_what_was_given_up_and_sent_again_by_hand_is_tried_again_under_its_id(world):
    world.put(rule(webhook()))
    world.channel.answers[HOOK] = [Outcome("refused", "410 Gone")]
    (first,) = world.tell(alert())
    world.now += 3600 * SECOND
    world.say(alert(), headers={"redriven": f"1 {ALERTS.name}/0/0".encode()})
    assert world.work() == 1
    assert world.channel.sent[-1].notification_id == first.notification_id
    assert world.outcomes == ["refused", "sent"]


# Replays.


def test_without_stored_progress_reading_starts_at_the_end(tmp_path, postgres_url):
    forget(postgres_url)
    world = World(tmp_path, postgres_url)
    world.put(rule(webhook()))
    assert len(world.tell(alert())) == 1
    forget(postgres_url)
    begin(postgres_url, world.log)
    world.close()
    again = World(tmp_path, postgres_url)
    again.version = world.version
    assert again.tell() == []
    assert len(again.tell(alert(2))) == 1
    again.close()


def test_what_the_engine_raises_again_is_told_to_nobody_by_a_queue_that_is_new_as_well(
    tmp_path, postgres_url
):
    forget(postgres_url)
    world = World(tmp_path, postgres_url)
    world.put(rule(webhook(", on: [raised, updated, withdrawn]")))
    told = [alert(n) for n in range(5)]
    assert len(world.tell(*told)) == 5
    forget(postgres_url)
    begin(postgres_url, world.log, now=world.now)
    world.close()
    again = World(tmp_path, postgres_url)
    again.version = world.version
    assert again.tell(*told) == []
    assert again.tell(alert(1, "withdrawn", revision=2)) == []
    assert len(again.tell(alert(7))) == 1
    again.close()


def test_what_comes_after_begin_is_told_whenever_the_process_starts(world):
    world.put(rule(webhook()))
    assert begin(world.url, world.log) == {0: 0, 1: 0}
    world.say(alert())
    stored = begin(world.url, world.log)
    assert sum(stored.values()) == 1


def test_alerts_that_a_replay_makes_again_are_told_to_nobody(world):
    world.put(rule(webhook()))
    told = [alert(n) for n in range(5)]
    assert len(world.tell(*told)) == 5
    assert world.tell(*told) == []
    assert world.outcomes == ["sent"] * 5


def test_the_queue_of_another_log_is_refused(world, tmp_path):
    with pytest.raises(ViewMismatch, match="DROP SCHEMA alpr_notify"):
        begin(world.url, SqliteLog(tmp_path / "other", 1))


def test_an_old_log_copied_elsewhere_is_stale(world, tmp_path, postgres_url):
    world.put(rule(webhook()))
    begin(world.url, world.log)
    world.now = NOON + 86_400 * SECOND
    assert world.tell(*[alert(n) for n in range(3)]) == []
    assert world.outcomes == ["stale"] * 3


def test_only_one_process_reads_and_the_next_takes_over(world):
    world.put(rule(webhook()))
    world.say(alert())
    first = world.consumer
    world.start()
    assert world.consumer.step() == pytest.approx(0.5)
    first.close()
    world.say(alert(2))
    assert world.work() == 2


# Escalation.

ESCALATE = "{after: 5m, actions: [{type: email, to: boss@example.com}]}"


def escalated(world):
    """Let the consumer look whether it is time."""
    world.consumer._escalated = 0.0
    world.read()
    world.read()
    world.work()
    return [event for event in world.alerts if event["kind"] == "escalated"]


def test_others_are_told_when_nobody_acknowledges_in_time(world):
    world.put(rule(webhook(), escalate=ESCALATE))
    world.tell(alert())
    world.wait(299)
    assert escalated(world) == []
    world.wait(2)
    (event,) = escalated(world)
    assert (event["at"], event["plate"]) == (world.now, "ABC001")
    assert kinds(world.channel.sent) == ["raised", "escalated"]
    assert world.channel.sent[-1].options == {"to": "boss@example.com"}
    assert len(escalated(world)) == 1
    assert kinds(world.tell(alert(kind="withdrawn", revision=2))) == ["withdrawn", "withdrawn"]


@pytest.mark.parametrize("kind", ["acknowledged", "resolved", "withdrawn"])
def test_nobody_else_is_told_of_what_somebody_saw_or_what_is_no_more(world, kind):
    world.put(rule(webhook(), escalate=ESCALATE))
    world.tell(alert())
    world.tell(alert(kind=kind, revision=2, at=NOON + SECOND))
    world.wait(400)
    assert escalated(world) == []


def test_an_escalation_says_what_the_alert_says_by_then(world):
    world.put(rule(webhook(), escalate=ESCALATE))
    world.tell(alert(), alert(kind="updated", revision=2, plate="ABC999"))
    world.wait(301)
    assert [event["plate"] for event in escalated(world)] == ["ABC999"]


def test_an_escalation_that_was_appended_before_a_crash_is_not_appended_again(world):
    world.put(rule(webhook(), escalate=ESCALATE))
    world.tell(alert())
    world.wait(301)
    world.consumer._escalated = 0.0
    world.consumer.step()  # appended, and not read back yet
    world.consumer.close()
    world.start()
    assert len(escalated(world)) == 1
    assert kinds(world.channel.sent) == ["raised", "escalated"]


def test_an_acknowledgement_on_the_log_counts_before_it_is_read(world):
    world.put(rule(webhook(), escalate=ESCALATE))
    world.tell(alert())
    world.wait(301)
    seen = alert(kind="acknowledged", rule_version=world.version)
    key = seen["alert_id"].encode()
    value = world.codec.encode(ALERTS.name, "AlertEvent", seen)
    world.log.append(ALERTS.name, partition_of(key, PARTITIONS), [Append(key, value)])
    assert escalated(world) == []


def test_what_was_to_be_escalated_long_ago_is_not(world):
    world.put(rule(webhook(), escalate=ESCALATE))
    world.tell(alert())
    world.wait(3600)
    assert escalated(world) == []
