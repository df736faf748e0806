"""Appends to Kafka exactly once: records and how far their origin was read, in one transaction.

After KIP-98: the positions are offsets of a consumer group that nobody subscribes with; their
numbers are the origin's. Whoever was killed at any moment asks for them and goes on.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from eventlog.kafka_client import Trouble, config
from eventlog.kafka_reader import APPENDED_AT, TIME
from eventlog.kafka_topics import DEAD_BYTES
from eventlog.kafka_url import KafkaAddress
from eventlog.log import Append, Entry, LogError

TIMEOUT_S = 30.0  # as long as a broker may take to answer
OVERHEAD = 192  # bytes of a batch's and a record's own and of the header that a copy has
_FENCED = (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)


class Fenced(LogError):
    """Another process appends under the same name; only the one that came last may."""


class Position(NamedTuple):
    """The next offset to be read of what is copied, and a word about the last one that was."""

    offset: int
    note: str = ""


class ExactlyOnce:
    """Appends under a name that one process at a time holds; for one thread.

    Raises LogUnavailable where the broker cannot be reached, here and in every method: nothing
    of a ``commit`` is there then, or all of it; make another and ask for its ``positions``.
    """

    def __init__(self, address: KafkaAddress, name: str) -> None:
        self._address = address
        self._name = name = address.prefix + name
        self._trouble = Trouble(address)
        membership = {"group.id": name, "enable.auto.commit": False}
        self._consumer = Consumer(config(address, self._trouble, membership))
        self._producer = Producer(
            config(
                address,
                self._trouble,
                {
                    "transactional.id": name,
                    "compression.type": address.compression,
                    "message.max.bytes": DEAD_BYTES + (64 << 10),
                    "linger.ms": 5,
                    "transaction.timeout.ms": int(TIMEOUT_S * 1000),
                },
            )
        )
        try:
            # Waits for a transaction of a killed predecessor, and ends it.
            self._producer.init_transactions(TIMEOUT_S)
        except KafkaException as error:
            raise self._told(error, f"taking up {self._name}") from error

    def positions(self, partitions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Position]:
        """The position of each topic and partition that was ever committed."""
        prefix = self._address.prefix
        asked = [TopicPartition(prefix + topic, partition) for topic, partition in partitions]
        try:
            known = self._consumer.committed(asked, TIMEOUT_S)
        except KafkaException as error:
            raise self._told(error, "asking how far it was copied") from error
        return {
            (at.topic.removeprefix(prefix), at.partition): Position(at.offset, at.metadata or "")
            for at in known
            if at.offset >= 0
        }

    def commit(
        self,
        records: Sequence[tuple[str, int, Append]],
        positions: Mapping[tuple[str, int], Position],
    ) -> None:
        """Append records, each to a topic and partition, and move the positions; all or nothing.

        Raises Fenced when another process took over the name.
        """
        producer, prefix = self._producer, self._address.prefix
        try:
            producer.begin_transaction()
            for topic, partition, record in records:
                while True:
                    try:
                        producer.produce(
                            prefix + topic,
                            value=record.value,
                            key=record.key,
                            partition=partition,
                            headers=_headers(record),
                        )
                        break
                    except BufferError:  # full: wait for the broker
                        producer.poll(0.1)
            producer.send_offsets_to_transaction(
                [
                    TopicPartition(prefix + topic, partition, at.offset, at.note)
                    for (topic, partition), at in positions.items()
                ],
                self._consumer.consumer_group_metadata(),
                TIMEOUT_S,
            )
            producer.commit_transaction(TIMEOUT_S)
        except KafkaException as error:
            raise self._told(error, "appending") from error

    def close(self) -> None:
        """Release the connections; an unfinished transaction is ended by the broker."""
        self._consumer.close()

    def _told(self, error: KafkaException, doing: str) -> LogError:
        if error.args[0].code() == KafkaError._FATAL:
            # It names no cause; the next call of the transaction does.
            try:
                self._producer.abort_transaction(TIMEOUT_S)
            except KafkaException as cause:
                error = cause
        if error.args[0].code() in _FENCED:
            return Fenced(
                f"another process appends as {self._name}: one copy of a log runs at a time; "
                "stop the other one, or leave this one stopped"
            )
        return self._trouble.error(error, doing)


def record_bytes(record: Entry) -> int:
    """Bytes that a copy of a record takes of a topic's ``max.message.bytes``, at most."""
    headers = sum(len(name) + len(value) + 8 for name, value in record.headers.items())
    return OVERHEAD + len(record.key or b"") + len(record.value or b"") + headers


def _headers(record: Append) -> list[tuple[str, bytes | str | None]]:
    headers: list[tuple[str, bytes | str | None]] = list(record.headers.items())
    if record.appended_at is not None:
        headers.append((APPENDED_AT, TIME.pack(record.appended_at)))
    return headers
