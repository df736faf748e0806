"""What every client of Kafka here has in common: its settings, and its errors in our words."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from eventlog.kafka_url import KafkaAddress
from eventlog.log import LogError, LogUnavailable, RecordTooLarge

# How long a call waits for a broker: longer than a restart of one takes.
PATIENCE_S = 30.0
REPEAT_S = 60.0  # the same trouble is logged as often as this

_log = logging.getLogger(__name__)
_AUTHENTICATION = (
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
)
_FORBIDDEN = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)
# These come once and tell why all that follows only times out.
_TELLING = (*_AUTHENTICATION, KafkaError._SSL, KafkaError._RESOLVE)


class Trouble:
    """What librdkafka says of its connections, instead of its lines on stderr.

    The latest is kept for error messages; a kind of trouble is logged once a minute.
    """

    def __init__(self, address: KafkaAddress, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self._clock = clock
        self._logged: dict[int, float] = {}
        self._telling: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        """librdkafka's ``error_cb``."""
        code, now = error.code(), self._clock()
        if code in _TELLING:
            self._telling = error
        if now - self._logged.get(code, -REPEAT_S) >= REPEAT_S:
            self._logged[code] = now
            _log.warning("%s: %s", self._address.shown, error.str())

    @property
    def hopeless(self) -> bool:
        """Whether waiting longer will not help: the broker was reached and refuses us."""
        return self._telling is not None and self._telling.code() != KafkaError._RESOLVE

    def forget(self) -> None:
        """The broker has answered."""
        self._telling = None

    def error(self, found: KafkaError | KafkaException, doing: str) -> LogError:
        """An error of librdkafka as the log's: the cluster, the cause and the cure."""
        if isinstance(found, KafkaException):
            found = found.args[0]
        assert isinstance(found, KafkaError)
        if found.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return RecordTooLarge(f"{doing}: {found.str()}: raise the topic's max.message.bytes")
        told = self._telling or found
        place = f"Kafka at {self._address.shown}"
        code = told.code()
        if code in _AUTHENTICATION:
            cause = f"{place} refuses the user {self._address.user!r} ({told.str()})"
            cure = "set user, password and mechanism in ALPR_LOG_URL"
        elif code == KafkaError._SSL:
            cause = f"{place}: no TLS with it ({told.str()})"
            cure = "name the file of the authority that signed its certificate by ?ca=FILE"
        elif code in _FORBIDDEN:
            cause = f"{place} forbids it ({told.str()})"
            cure = f"grant the user {self._address.user!r} the topics alpr.* and the groups alpr-*"
        else:
            cause = f"{place} does not answer ({told.str()})"
            cure = "start it, or set ALPR_LOG_URL to where it is (kafka+tls:// where it wants TLS)"
        return LogUnavailable(f"{doing}: {cause}: {cure}")


def config(address: KafkaAddress, trouble: Trouble, more: Mapping[str, Any]) -> dict[str, Any]:
    """A client's configuration for librdkafka; holds the password."""
    return {
        **address.config(),
        "error_cb": trouble,
        "log_level": 0,  # its lines repeat what error_cb gets
        "reconnect.backoff.max.ms": 2000,  # its 10 s are long for a broker that restarted
        "socket.keepalive.enable": True,
        **more,
    }
