"""``alpr notify`` killed again and again, before a receiver that fails: every alert arrives."""

import os
import random
import signal
import time
from contextlib import closing

import psycopg2
import pytest

from eventlog.registry import SqliteRegistry
from eventlog.sqlite import SqliteLog
from schemas.codec import Codec
from tests.notify.queue_world import forget
from tests.notify.receiver import ROOT, Notify, Said, receiving, within

PARTITIONS = 2
SECONDS = float(os.environ.get("ALPR_TEST_KILLING_S", "15"))
"""How long alerts come and processes are killed; minutes and hours find more."""


@pytest.fixture
def log(tmp_path):
    with closing(SqliteLog(tmp_path / "home" / "log", PARTITIONS)) as log:
        yield log


def said_on(log, folder, url, receiver):
    codec = Codec(SqliteRegistry(folder / "home" / "log"))
    codec.register()
    return Said(log, codec, url, f"[{{type: webhook, url: '{receiver.url}'}}]")


@pytest.fixture
def environ(tmp_path, postgres_url):
    forget(postgres_url)
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("ALPR_")},
        "ALPR_HOME": str(tmp_path / "home"),
        "ALPR_LOG_PARTITIONS": str(PARTITIONS),
        "ALPR_DATABASE_URL": postgres_url,
        "ALPR_NOTIFY_ALLOW": "127.0.0.0/8",
        "PYTHONPATH": str(ROOT),
    }


def test_every_alert_arrives_and_doubles_have_the_same_key(tmp_path, log, environ, postgres_url):
    rng = random.Random(30)
    with receiving(30) as receiver:
        said = said_on(log, tmp_path, postgres_url, receiver)
        processes = [Notify(tmp_path, environ, number) for number in range(2)]
        try:
            number, kills = 0, 0
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                for _ in range(rng.randrange(1, 8)):
                    said.say(number)
                    number += 1
                time.sleep(rng.uniform(0.3, 2.5))
                victim = rng.choice(processes)
                assert victim.running, "it ended by itself, see its text"
                victim.kill()
                kills += 1
                victim.start()
            everyone = set(said.said)
            assert within(90, lambda: receiver.alerts == everyone)
            arrived = {a: {k for k, v in receiver.taken.items() if v[0][0] == a} for a in everyone}
            assert {len(keys) for keys in arrived.values()} == {1}
            assert within(60, lambda: _sent(said) == everyone)
            assert all(process.running for process in processes)
            assert [process.kill(signal.SIGTERM) for process in processes] == [0, 0]
        finally:
            for process in processes:
                process.close()
        attempts = said.attempts()
        assert {a["outcome"] for a in attempts} <= {"sent", "failed"}
        assert {a["notification_id"] for a in attempts} == set(receiver.taken)
        doubles = sum(len(some) - 1 for some in receiver.taken.values())
        print(f"{number} alerts, {kills} kills, {len(attempts)} attempts, {doubles} doubles")


def _sent(said):
    return {a["alert_id"] for a in said.attempts() if a["outcome"] == "sent"}


def test_an_alert_is_with_its_receiver_within_a_moment(tmp_path, log, environ, postgres_url):
    with receiving(1, failing=0.0) as receiver:
        said = said_on(log, tmp_path, postgres_url, receiver)
        process = Notify(tmp_path, environ, 0)
        try:
            said.say(0)
            assert within(30, lambda: len(receiver.alerts) == 1)
            for number in range(1, 41):
                time.sleep(0.05)
                said.say(number)
            assert within(10, lambda: len(receiver.alerts) == 41)
            assert process.kill(signal.SIGTERM, timeout=8.0) == 0
        finally:
            process.close()
        took = sorted(
            at - said.said[alert_id] for some in receiver.taken.values() for alert_id, at in some
        )[:-1]
        print(
            f"appended to received: median {took[20] * 1e3:.0f} ms, worst {took[-1] * 1e3:.0f} ms"
        )


def test_a_database_that_restarts_is_waited_for(tmp_path, log, environ, postgres_url):
    with receiving(2, failing=0.0) as receiver:
        said = said_on(log, tmp_path, postgres_url, receiver)
        process = Notify(tmp_path, environ, 0)
        try:
            for number in range(5):
                said.say(number)
                assert within(30, lambda expected=number + 1: len(receiver.alerts) == expected)
                connection = psycopg2.connect(postgres_url)
                connection.cursor().execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                connection.close()
            assert process.running
            assert process.kill(signal.SIGTERM, timeout=8.0) == 0
        finally:
            process.close()
