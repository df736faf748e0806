"""The log on Kafka keeps the contract; beyond it, what is Kafka's own."""

import secrets
from collections.abc import Iterator
from functools import partial

import pytest

from eventlog.kafka import KafkaLog
from eventlog.kafka_cluster import Cluster, create_topics
from eventlog.kafka_url import KafkaAddress
from tests.eventlog.contract import LogContract, Opener

PARTITIONS = 4


@pytest.fixture
def address(kafka: str) -> Iterator[KafkaAddress]:
    """Fresh topics on the broker, under a prefix of the test's own."""
    joint = "&" if "?" in kafka else "?"
    address = KafkaAddress.parse(f"{kafka}{joint}prefix=t{secrets.token_hex(6)}.")
    create_topics(address, PARTITIONS, 1, {})
    yield address
    Cluster(address).drop()


class TestKafkaKeepsTheContract(LogContract):
    @pytest.fixture
    def opener(self, address: KafkaAddress) -> Opener:
        return partial(KafkaLog, address, PARTITIONS)
