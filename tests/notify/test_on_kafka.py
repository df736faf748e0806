"""Deliveries where the log is Kafka's: two processes, an escalation, a kill."""

import secrets
import signal
from contextlib import closing

import pytest

from alpr.settings import load
from alpr.wiring import open_codec, open_log
from eventlog.kafka_cluster import Cluster
from eventlog.kafka_url import KafkaAddress
from schemas.topics import ALERTS
from tests.alpr.system import alpr, environ
from tests.notify.queue_world import forget
from tests.notify.receiver import Notify, Said, receiving, within

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(kafka, registry, postgres_url, tmp_path):
    forget(postgres_url)
    joint = "&" if "?" in kafka else "?"
    made = load(
        {
            "ALPR_HOME": str(tmp_path / "home"),
            "ALPR_LOG_URL": f"{kafka}{joint}prefix=t{secrets.token_hex(6)}.",
            "ALPR_LOG_PARTITIONS": "4",
            "ALPR_REGISTRY_URL": registry,
            "ALPR_DATABASE_URL": postgres_url,
            "ALPR_NOTIFY_ALLOW": "127.0.0.0/8",
        },
        None,
    )
    assert alpr(made, "topics", "create")[0] == 0
    yield made
    Cluster(KafkaAddress.parse(made.log_url)).drop()


def test_alerts_on_kafka_arrive_and_are_escalated_once_whoever_is_killed(settings, tmp_path):
    with receiving(5, failing=0.0) as receiver, closing(open_log(settings)) as log:
        action = f"{{type: webhook, url: '{receiver.url}'}}"
        boss = f"{{type: webhook, url: '{receiver.url}/boss'}}"
        actions = f"[{action}]\n    escalate: {{after: 3s, actions: [{boss}]}}"
        said = Said(log, open_codec(settings), settings.database_url, actions)
        processes = [Notify(tmp_path, environ(settings), number) for number in range(2)]
        try:
            for number in range(20):
                said.say(number)
            assert within(60, lambda: receiver.alerts == set(said.said))
            processes[0].kill()
            assert within(30, lambda: len(receiver.taken) == 40)
            assert processes[1].kill(signal.SIGTERM) == 0
        finally:
            for process in processes:
                process.close()
        kinds = [event["kind"] for event in said.records(ALERTS.name)]
        assert kinds.count("escalated") == 20
        assert {attempt["outcome"] for attempt in said.attempts()} == {"sent"}
        took = sorted(
            at - said.said[alert_id] for some in receiver.taken.values() for alert_id, at in some
        )
        print(f"appended to received, processes starting: {took[0]:.1f} to {took[19]:.1f} s")
