"""What the channels on Apprise share: its messages kept to ourselves, pictures, memory."""

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from apprise import AppriseAsset, AppriseAttachment
from apprise.attachment.memory import AttachMemory

from notify.channel import Outcome, Picture
from notify.channels.answers import quoted
from notify.channels.environment import Environment

# Its debug lines hold payloads and URLs with tokens; urllib3's hold the paths of those URLs.
_LOGGERS = ("apprise", "urllib3.connectionpool", "urllib3.util.retry")
_CODE = re.compile(r"error=(\d{3,6})\b")
_LATER = frozenset({401, 403, 408, 425, 429})
_REMEMBERED = 4096  # messages whose recipients are remembered


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
        self._threads.heard = heard = []
        try:
            yield heard
        finally:
            self._threads.heard = None


_ear = _Ear()


@contextmanager
def overheard() -> Iterator[list[str]]:
    """What Apprise complains of in this thread, as it comes; none of it reaches a log."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_ear)  # one that is there already is not added again
    with _ear.listening() as heard:
        yield heard


def asset() -> AppriseAsset:
    """Settings of Apprise: no files, no redirects, no threads of its own."""
    return AppriseAsset(
        app_id="OVR-ALPR",
        app_desc="OVR-ALPR alerts",
        app_url="",
        async_mode=False,
        http_redirects=False,
        storage_mode="memory",
    )


def attached(picture: Picture | None) -> AppriseAttachment | None:
    """The picture as Apprise takes it; from memory, never from a file or URL."""
    if picture is None:
        return None
    held = AttachMemory(content=picture.content, name=picture.name, mimetype=picture.media)
    return AppriseAttachment(held)


def outcome_of(heard: list[str], where: str, environment: Environment) -> Outcome:
    """What Apprise's complaints mean: it tells a status or the service's own code, or nothing."""
    told = quoted("; ".join(heard), environment)
    codes = [int(code) for text in heard for code in _CODE.findall(text)]
    # A wrong key or password is the operator's to mend, and the message may wait for that.
    lasting = [code for code in codes if 400 <= code < 500 and code not in _LATER]
    return Outcome("refused" if lasting else "failed", f"{where} was not told{told}")


class Reached:
    """Who has had a message already, so that a second try does not tell them again.

    Of the last few thousand messages of this process; safe for several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_message: OrderedDict[str, frozenset[str]] = OrderedDict()

    def of(self, message: str) -> frozenset[str]:
        """The recipients who had it."""
        with self._lock:
            return self._by_message.get(message, frozenset())

    def add(self, message: str, recipient: str) -> None:
        """Note one more."""
        with self._lock:
            had = self._by_message.pop(message, frozenset())
            self._by_message[message] = had | {recipient}
            while len(self._by_message) > _REMEMBERED:
                self._by_message.popitem(last=False)
