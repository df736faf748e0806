"""What libraries log while a message is sent, kept out of every log."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Apprise's debug lines hold payloads and URLs with tokens, those of the others the paths of such
# URLs and the headers of answers.
_LOGGERS = (
    *("apprise", "urllib3.connectionpool", "urllib3.util.retry"),
    *("httpcore.connection", "httpcore.http11"),
)


class _Ear(logging.Filter):
    """Takes what a thread that sends says away from all handlers, and keeps it for that thread."""

    def __init__(self) -> None:
        super().__init__()
        self._threads = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        heard = getattr(self._threads, "heard", None)
        if heard is None:
            return True
        if record.levelno >= logging.WARNING:
            heard.append(record.getMessage())
        return False

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        before = getattr(self._threads, "heard", None)
        self._threads.heard = heard = []
        try:
            yield heard
        finally:
            self._threads.heard = before


_ear = _Ear()


@contextmanager
def overheard() -> Iterator[list[str]]:
    """What libraries complain of in this thread, as it comes; none of it reaches a log."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_ear)  # one that is there already is not added again
    with _ear.listening() as heard:
        yield heard
