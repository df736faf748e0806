"""What every client of Kafka here has in common: its settings, and its errors in our words."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from eventlog.kafka_url import KafkaAddress
from eventlog.log import LogError, LogUnavailable, RecordTooLarge

# How long a call waits for a broker: longer than a restart of one takes.
PATIENCE_S = 30.0
REPEAT_S = 60.0  # the same trouble is logged as often as this
LOOK_S = 0.5  # how often it is asked whether a broker that was away is back

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
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
)
# These come once and tell why all that follows only times out.
_TELLING = (*_AUTHENTICATION, KafkaError._SSL, KafkaError._RESOLVE)
# One connection of several may break at any time; that all are gone is another code.
_PASSING = (KafkaError._TRANSPORT, KafkaError._TIMED_OUT)


class Trouble:
    """What librdkafka says of its connections, instead of its lines on stderr.

    The latest is kept for error messages. With ``answers``, which asks the cluster, one line is
    logged when it does not answer any more and one when it does again; without, who gets the
    error tells it.
    """

    def __init__(
        self,
        address: KafkaAddress,
        answers: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._answers = answers
        self._clock = clock
        self._logged: dict[int, float] = {}
        self._telling: KafkaError | None = None
        self._latest: KafkaError | None = None
        self._lock = threading.Lock()
        self._watched = False
        self._closed = threading.Event()

    def __call__(self, error: KafkaError) -> None:
        """librdkafka's ``error_cb``."""
        code, now = error.code(), self._clock()
        if code in _TELLING:
            self._telling = error
        if code in _PASSING:
            self._latest = error
        elif code in _TELLING or code == KafkaError._ALL_BROKERS_DOWN:
            self._watch()
        elif now - self._logged.get(code, -REPEAT_S) >= REPEAT_S:
            self._logged[code] = now
            _log.warning("Kafka at %s: %s", self._address.shown, error.str())

    def close(self) -> None:
        """Nobody waits for the broker any more."""
        self._closed.set()

    def _watch(self) -> None:
        with self._lock:
            if self._answers is None or self._watched or self._closed.is_set():
                return
            self._watched = True
        threading.Thread(target=self._follow, name="kafka away", daemon=True).start()

    def _follow(self) -> None:
        """Tell that the broker is away, unless it is there after all, and that it is back."""
        assert self._answers is not None
        since, told = self._clock(), False
        while not (there := self._answers()) and not self._closed.wait(LOOK_S):
            if not told:
                told = True
                latest = self._latest or KafkaError(KafkaError._TRANSPORT)
                _log.warning("waiting: %s", self.error(latest, "the log"))
        with self._lock:
            self._watched = False
        if told and there:
            _log.warning(
                "going on: Kafka at %s answers again after %.0f s",
                self._address.shown, self._clock() - since,
            )  # fmt: skip

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
            cure = (
                f"grant the user {self._address.user!r} what docs/kafka.md lists: topics alpr.*, "
                "groups and transactional ids alpr-*"
            )
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
