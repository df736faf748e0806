"""What the channels on Apprise share: its settings, its complaints, pictures, memory."""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable

from apprise import AppriseAsset, AppriseAttachment
from apprise.attachment.memory import AttachMemory

from notify.channel import Outcome, Picture
from notify.channels.answers import quoted
from notify.channels.environment import Environment

_CODE = re.compile(r"error=(\d{3,6})\b")
_LATER = frozenset({401, 403, 408, 425, 429})
_REMEMBERED = 4096  # messages whose recipients are remembered


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


def is_final(code: int) -> bool:
    """Whether an HTTP status says that another try is of no use."""
    # A wrong key or password is the operator's to mend, and the message may wait for that.
    return 300 <= code < 500 and code not in _LATER


def outcome_of(
    heard: list[str],
    where: str,
    environment: Environment,
    final: Callable[[int], bool] = is_final,
) -> Outcome:
    """What Apprise's complaints mean: it tells a status or the service's own code, or nothing."""
    told = quoted("; ".join(heard), environment)
    codes = [int(code) for text in heard for code in _CODE.findall(text)]
    return Outcome("refused" if any(map(final, codes)) else "failed", f"{where} was not told{told}")


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
