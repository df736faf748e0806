"""A Kafka cluster as its administrators' API shows it: topics, offsets, groups."""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar
from uuid import UUID, uuid5

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka import admin as kafka_admin
from confluent_kafka.admin import AdminClient

from eventlog import kafka_topics
from eventlog.kafka_client import PATIENCE_S, Trouble, config
from eventlog.kafka_url import KafkaAddress
from eventlog.log import LogError, LogMismatch, LogUnavailable
from schemas.topics import DETECTED, RAW, TOPICS

_api: Any = kafka_admin  # its stubs leave most names out
# Names of logs: uuid5 of the cluster's id and the ids of the topics whose offsets are kept.
_NAMES = UUID("6f0f4b5e-5c0f-4f0e-9d0a-6b6c61a9f1a7")
SLICE_S = 1.0  # so that a refused password is told at once, not after all patience

_MOVING = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)
T = TypeVar("T")


class Cluster:
    """Questions to and changes of one cluster's topics.

    Every method waits ``patience_s`` at most, then raises LogUnavailable. With ``tells`` it is
    logged when the cluster goes away and when it is back.
    """

    def __init__(
        self, address: KafkaAddress, patience_s: float = PATIENCE_S, tells: bool = False
    ) -> None:
        self.address = address
        self.patience_s = patience_s
        self.trouble = Trouble(address, self._answers if tells else None)
        self._admin = AdminClient(config(address, self.trouble, {}))

    def topics(self) -> dict[str, int]:
        """How many partitions each of our topics has; those that are not there are left out."""
        ours, found = kafka_topics.names(self.address.prefix), self._metadata()
        return {name: len(found[real].partitions) for name, real in ours.items() if real in found}

    def _metadata(self) -> Mapping[str, Any]:
        deadline = time.monotonic() + self.patience_s
        while True:
            try:
                found = self._admin.list_topics(timeout=min(SLICE_S, self.patience_s)).topics
            except KafkaException as error:
                self._admin.poll(0)
                if self.trouble.hopeless or time.monotonic() >= deadline:
                    raise self.trouble.error(error, "listing the topics") from error
            else:
                self.trouble.forget()
                return found

    def _answers(self) -> bool:
        try:
            self._admin.list_topics(timeout=SLICE_S)
        except KafkaException:
            return False
        return True

    def uuid(self) -> str:
        """Identity of the log: of the cluster, and of the topics that positions speak of.

        Topics made anew have other ids, so that it is another log then.
        """
        names = [self.address.prefix + name for name in (RAW.name, DETECTED.name)]
        doing = "asking for the cluster's id"
        cluster = self._result(self._admin.describe_cluster(), doing).cluster_id
        futures = self._admin.describe_topics(TopicCollection(names))
        ids = [str(self._result(futures[name], doing).topic_id) for name in names]
        return str(uuid5(_NAMES, "/".join([cluster, *ids])))

    def check(self, partitions: int | None) -> dict[str, int]:
        """The partitions of every topic; LogError where one is missing, LogMismatch where one has
        another number than ``partitions``.
        """
        found = self.topics()
        missing = [name for name in TOPICS if name not in found]
        if missing:
            raise LogError(
                f"Kafka at {self.address.shown} lacks the topics {', '.join(missing)}: "
                "make them with `alpr topics create`"
            )
        wanted = found[RAW.name] if partitions is None else partitions
        for name, count in found.items():
            right = kafka_topics.partitions(TOPICS[name], wanted)
            if count != right:
                raise LogMismatch(
                    f"{name} on Kafka at {self.address.shown} has {count} partitions, {right} are "
                    f"asked for: set ALPR_LOG_PARTITIONS to the number that the log was made with; "
                    "partitions are never added, as that moves cameras between them"
                )
        return found

    def lowest(
        self, topic: str, partitions: Iterable[int], patience_s: float | None = None
    ) -> dict[int, int]:
        """First offsets that are left."""
        return self._offsets(topic, partitions, _api.OffsetSpec.earliest(), patience_s)

    def ends(
        self, topic: str, partitions: Iterable[int], patience_s: float | None = None
    ) -> dict[int, int]:
        """Offsets that the next records get."""
        return self._offsets(topic, partitions, _api.OffsetSpec.latest(), patience_s)

    def since(self, topic: str, partitions: Iterable[int], at_us: int) -> dict[int, int]:
        """First offsets with log times of ``at_us`` or later; the ends where there are none."""
        numbers = list(partitions)
        # Kafka's times are whole milliseconds.
        spec = _api.OffsetSpec.for_timestamp(max(0, -(-at_us // 1000)))
        ends = self.ends(topic, numbers)
        found = self._offsets(topic, numbers, spec)
        return {p: ends[p] if found[p] < 0 else found[p] for p in numbers}  # -1: none

    def trim(self, topic: str, partitions: Iterable[int], before_us: int) -> int:
        """Drop records with log times below ``before_us``; how many offsets that were."""
        numbers = list(partitions)
        first = self.lowest(topic, numbers)
        targets = self.since(topic, numbers, before_us)
        chosen = [self._place(topic, p, at) for p, at in targets.items() if at > first[p]]
        if not chosen:
            return 0
        for future in self._admin.delete_records(chosen, request_timeout=self.patience_s).values():
            self._result(future, f"dropping old records of {topic}")
        return sum(place.offset - first[place.partition] for place in chosen)

    def mark(self, group: str, topic: str, positions: Mapping[int, int]) -> None:
        """Commit offsets under a group's name; returns before that is done."""
        places = [self._place(topic, p, offset) for p, offset in positions.items()]
        self._admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])

    def marks(self, group: str, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """The offsets that were last committed under a group's name."""
        places = [self._place(topic, partition) for partition in partitions]
        (future,) = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, places)], request_timeout=self.patience_s
        ).values()
        found = self._result(future, f"asking for the offsets of {group}").topic_partitions
        return {p.partition: p.offset for p in found if p.offset >= 0}

    def create(self, partitions: int, replication: int, kept: Mapping[str, int]) -> list[str]:
        """Make the topics that are missing and set those that are there; what was done, in words.

        Raises LogMismatch where a topic has another number of partitions: nothing is done then.
        """
        there = self.topics()
        for name, count in there.items():
            right = kafka_topics.partitions(TOPICS[name], partitions)
            if count != right:
                raise LogMismatch(
                    f"{name} on Kafka at {self.address.shown} has {count} partitions, {right} are "
                    "asked for: set ALPR_LOG_PARTITIONS to the number that it was made with"
                )
        new = [
            _api.NewTopic(
                self.address.prefix + topic.name,
                num_partitions=kafka_topics.partitions(topic, partitions),
                replication_factor=replication,
                config=kafka_topics.settings(topic, kept),
            )
            for topic in TOPICS.values()
            if topic.name not in there
        ]
        if new:
            futures = self._admin.create_topics(new, operation_timeout=self.patience_s)
            for name in new:
                self._result(futures[name.topic], f"making {name.topic}")
            self._await([name.topic for name in new])
        made = [f"made {name.topic} with {name.num_partitions} partitions" for name in new]
        return made + self._alter(self.differences(kept) if there else {})

    def _await(self, names: Sequence[str]) -> None:
        """Until every broker asked knows the new topics and their leaders."""
        deadline = time.monotonic() + self.patience_s
        while time.monotonic() < deadline:
            found = self._metadata()
            if all(
                name in found and all(p.leader >= 0 for p in found[name].partitions.values())
                for name in names
            ):
                return
            time.sleep(0.05)
        raise LogError(
            f"Kafka at {self.address.shown} made topics and gave them no leaders within "
            f"{self.patience_s:.0f} s: look at its own log, then run it again"
        )

    def differences(self, kept: Mapping[str, int]) -> dict[str, dict[str, tuple[str, str]]]:
        """Settings of our topics that are not the design's: by topic, (what is, what should be)."""
        found: dict[str, dict[str, tuple[str, str]]] = {}
        resources = {
            name: _api.ConfigResource(_api.ResourceType.TOPIC, self.address.prefix + name)
            for name in self.topics()
        }
        if not resources:
            return {}
        futures = self._admin.describe_configs(
            list(resources.values()), request_timeout=self.patience_s
        )
        for name, resource in resources.items():
            entries = self._result(futures[resource], f"asking for the settings of {name}")
            wanted = kafka_topics.settings(TOPICS[name], kept)
            other = {
                key: (entries[key].value, value)
                for key, value in wanted.items()
                if entries[key].value != value
            }
            if other:
                found[name] = other
        return found

    def _alter(self, differences: Mapping[str, Mapping[str, tuple[str, str]]]) -> list[str]:
        done: list[str] = []
        for name, other in differences.items():
            resource = _api.ConfigResource(
                _api.ResourceType.TOPIC,
                self.address.prefix + name,
                incremental_configs=[
                    _api.ConfigEntry(key, value, incremental_operation=_api.AlterConfigOpType.SET)
                    for key, (_, value) in other.items()
                ],
            )
            (future,) = self._admin.incremental_alter_configs(
                [resource], request_timeout=self.patience_s
            ).values()
            self._result(future, f"setting {name}")
            done += [
                f"set {key} of {name} to {new}, was {old}" for key, (old, new) in other.items()
            ]
        return done

    def drop(self) -> None:
        """Delete our topics with everything in them."""
        names = [self.address.prefix + name for name in self.topics()]
        if names:
            for future in self._admin.delete_topics(names).values():
                self._result(future, "deleting the topics")

    def _offsets(
        self,
        topic: str,
        partitions: Iterable[int],
        spec: Any,
        patience_s: float | None = None,
    ) -> dict[int, int]:
        asked = {self._place(topic, partition): spec for partition in partitions}
        patience = self.patience_s if patience_s is None else patience_s
        deadline = time.monotonic() + patience
        while True:
            futures = self._admin.list_offsets(asked, request_timeout=max(0.1, patience))
            try:
                return {
                    place.partition: self._result(future, f"asking for offsets of {topic}").offset
                    for place, future in futures.items()
                }
            except LogUnavailable as error:
                # A partition that moves to another broker is back in a moment, but librdkafka
                # goes on asking where it was until it has seen all topics anew.
                if _code(error) not in _MOVING or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
                self._metadata()

    def _place(self, topic: str, partition: int, offset: int = -1001) -> TopicPartition:
        return TopicPartition(self.address.prefix + topic, partition, offset)

    def _result(self, future: "Future[T]", doing: str) -> Any:
        try:
            found = future.result(self.patience_s + 5.0)
        except KafkaException as error:
            raise self.trouble.error(error, doing) from error
        except FutureTimeout as error:
            late = KafkaError(KafkaError._TIMED_OUT)
            raise self.trouble.error(late, doing) from error
        self.trouble.forget()
        return found


def _code(error: LogError) -> int | None:
    cause = error.__cause__
    return cause.args[0].code() if isinstance(cause, KafkaException) else None


def create_topics(
    address: KafkaAddress, partitions: int, replication: int, kept: Mapping[str, int]
) -> list[str]:
    """Make the design's topics on a cluster, idempotently; what was done, in words.

    ``kept`` is how long topics keep their records, in microseconds, where other than
    ``schemas.topics`` says. Raises LogMismatch, LogUnavailable.
    """
    return Cluster(address).create(partitions, replication, kept)
