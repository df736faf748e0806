"""The picture of an alert: to attach, and where people find it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from images.store import ImageError, ImageStore, NoPicture, StoreBusy
from notify.channel import Picture
from schemas.records import AlertEvent

ATTACHING = ("email", "apprise")
"""Types of actions that attach the picture unless their option ``picture`` is false."""
PATIENCE_S = 3.0
"""How long after it was queued an alert waits for its picture, which the edge stores apart."""
_AGAIN_S = 0.1


class Pictures:
    """Pictures by the addresses that alerts carry. ``link`` gives a URL for one, '' for none."""

    def __init__(self, images: ImageStore, link: Callable[[str], str]) -> None:
        self._images = images
        self._link = link

    def url(self, alert: AlertEvent) -> str:
        """Where people may open it for a while, '' where there is none."""
        address = _address(alert)
        return self._link(address) if address else ""

    def attached(
        self, channel: str, options: Mapping[str, Any], alert: AlertEvent, patience_s: float
    ) -> Picture | None:
        """What is to be attached; None where that is not asked for, or there is no picture."""
        if channel not in ATTACHING or options.get("picture") is False:
            return None
        address = _address(alert)
        content = self._get(address, patience_s) if address else None
        if content is None:
            return None
        png = content.startswith(b"\x89PNG")
        name = f"{alert['plate'] or 'picture'}.{'png' if png else 'jpg'}"
        return Picture(name, "image/png" if png else "image/jpeg", content)

    def _get(self, address: str, patience_s: float) -> bytes | None:
        until = time.monotonic() + patience_s
        while True:
            try:
                return self._images.get(address)
            except (NoPicture, StoreBusy):
                if time.monotonic() >= until:
                    return None
            except ImageError:  # an alert without its picture is better than none
                return None
            time.sleep(_AGAIN_S)


def _address(alert: AlertEvent) -> str:
    images = alert["images"]
    if images is None:
        return ""
    return images["plate_url"] or images["vehicle_url"] or images["frame_url"]
