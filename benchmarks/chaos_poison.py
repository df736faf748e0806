"""Records that no program of ours would write, as a broken edge or a stranger might."""

import random
import threading
import time
from typing import Any

from confluent_kafka import KafkaException, Producer

from alpr.settings import Settings
from alpr.wiring import open_codec
from benchmarks.site import Site
from eventlog.kafka_url import KafkaAddress
from schemas.topics import DETECTED, RAW

CAMERA = "POISON"
FAR_S = 80 * 365 * 86_400


class Poisoner:
    """Writes to the broker past all checks of ours."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._chance = random.Random(f"{seed} poison")
        self._partitions = settings.log_partitions
        self._codec = open_codec(settings)
        address = KafkaAddress.parse(settings.log_url)
        self._producer = Producer(
            address.config()
            | {"enable.idempotence": True, "message.max.bytes": 8 << 20, "log_level": 0}
        )
        self._read = next(
            item.record
            for item in Site(seed, cameras=8, hours=0.2).records()
            if item.name == "PlateRead"
        )

    def kinds(self) -> dict[str, tuple[str, bytes | None]]:
        """Topic and value of one record of every kind."""
        read = self._codec.encode(RAW.name, "PlateRead", self._fresh())
        junk = self._chance.randbytes(self._chance.randint(1, 300))
        return {
            "truncated": (RAW.name, read[: self._chance.randint(6, len(read) - 1)]),
            "longer": (RAW.name, read + b"\x00"),
            "wrong schema": (RAW.name, b"\x00\x7f\xff\xff\xff" + read[5:]),
            "wrong magic": (RAW.name, b"\x07" + read[1:]),
            "no bytes": (RAW.name, b""),
            "null": (RAW.name, None),
            "junk": (RAW.name, junk),
            "another topic's": (RAW.name, self._codec.encode(DETECTED.name, "Progress", _PROGRESS)),
            "far ahead": (RAW.name, self._timed(FAR_S)),
            "far behind": (RAW.name, self._timed(-FAR_S)),
            "junk on detected": (DETECTED.name, junk),
            "too large": (RAW.name, bytes(6 << 20)),
        }

    def send(self, of_each: int, seconds: float, over: threading.Event) -> None:
        """``of_each`` records of every kind, spread over a time."""
        kinds = [kind for kind in self.kinds() for _ in range(of_each)]
        self._chance.shuffle(kinds)
        for kind in kinds:
            topic, value = self.kinds()[kind]
            partition = self._chance.randrange(self._partitions)
            self._produce(topic, partition, value)
            if over.wait(seconds / len(kinds)):
                break
        self._producer.flush(60)

    def close(self) -> None:
        """Wait for what was sent."""
        self._producer.flush(60)

    def _produce(self, topic: str, partition: int, value: bytes | None) -> None:
        while True:
            try:
                self._producer.produce(topic, value, b"poison", partition)
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.5)
            except KafkaException:
                return  # too large: refused before it is sent

    def _fresh(self) -> dict[str, Any]:
        read_id = f"{self._chance.getrandbits(128):032x}"
        dashed = "-".join(
            (read_id[:8], read_id[8:12], read_id[12:16], read_id[16:20], read_id[20:])
        )
        return self._read | {"read_id": dashed, "camera_group": None}

    def _timed(self, offset_s: int) -> bytes:
        name = self._camera(offset_s)
        captured = int((time.time() + offset_s) * 1e6)
        read = self._fresh() | {"camera_id": name, "session": name, "captured_at": captured}
        return self._codec.encode(RAW.name, "PlateRead", read)

    def _camera(self, sign: int) -> str:
        return f"{CAMERA}-{'AHEAD' if sign > 0 else 'BEHIND'}"


_PROGRESS = {"partition": 0, "revision": 0, "watermark": 0, "clock": 0, "cameras": 1}
