"""The live page in Chromium on a slow processor: from navigation until its first card is painted.

`alpr api`'s application over a view in PostgreSQL, with pictures; the processor of the page is
slowed down by Chromium's own throttle. ``cold`` is a browser that never was here, ``warm`` one
that has the style, the scripts and the pictures. One JSON line a size of screen.

    python -m benchmarks.live_page [--events 5000] [--rounds 10] [--slower 4]
"""

import argparse
import json
import socket
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psycopg2
from playwright.sync_api import Browser, Page, sync_playwright

from api.app import create_app
from benchmarks.api import process, run, sightings
from images.store import FolderStore
from projections.embedded import EmbeddedPostgres
from projections.queries import SightingQueries
from projections.view import SightingsView

CHROMIUM = "/usr/bin/chromium"
SCREENS = {"wide": (1280, 900), "phone": (390, 844)}
_PICTURED = 60  # of the latest sightings: more than a page shows

# Looked for before every frame. A frame in which a card is laid out is painted right after its
# callbacks, so that the next one's time is the first when it can be seen.
_WATCH = """
window.firstCard = new Promise((done) => {
  function look() {
    const card = document.querySelector(".wall .card");
    const seen = card && card.getBoundingClientRect();
    if (seen && seen.height > 0 && seen.top < innerHeight)
      requestAnimationFrame(() => done(performance.now()));
    else requestAnimationFrame(look);
  }
  requestAnimationFrame(look);
});
"""


def serve(url: str, folder: Path, listener: socket.socket) -> None:
    """The API over a view and pictures, until the process is ended."""
    run(create_app(SightingQueries(url), FolderStore(folder)), listener)


def fill(url: str, folder: Path, count: int) -> None:
    """Sightings, the latest with a picture of about 5 kB each."""
    store, noise = FolderStore(folder), np.random.default_rng(0)
    events = list(sightings(count))
    for event in events[-_PICTURED:]:
        crop = noise.integers(60, 200, (12, 36, 3), np.uint8)
        done, jpeg = cv2.imencode(".jpg", cv2.resize(crop, (288, 96)))
        assert done
        store.put(event["images"]["plate_url"].removeprefix("images/"), jpeg.tobytes())
    view = SightingsView(url, "benchmark")
    view.apply(0, 0, events, count)
    view.close()
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("ANALYZE alpr.plate_events")


def measure(browser: Browser, port: int, rounds: int, slower: float) -> Iterator[dict[str, Any]]:
    """Milliseconds from navigation, the median and the worst of the rounds."""
    for screen, (width, height) in SCREENS.items():
        took: dict[str, list[float]] = {"cold": [], "warm": []}
        answered: list[float] = []
        for _ in range(rounds):
            context = browser.new_context(viewport={"width": width, "height": height})
            page = context.new_page()
            session = context.new_cdp_session(page)
            session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
            page.add_init_script(_WATCH)
            for spent in took.values():
                spent.append(_first_card(page, f"http://127.0.0.1:{port}/"))
                answered.append(_answered(page))
            context.close()
        yield {
            "benchmark": "live_page",
            "screen": screen,
            "slower": slower,
            "answered_ms": round(statistics.median(answered)),
            **{f"{state}_ms": round(statistics.median(all_)) for state, all_ in took.items()},
            **{f"{state}_worst_ms": round(max(all_)) for state, all_ in took.items()},
        }


def _first_card(page: Page, address: str) -> float:
    page.goto("about:blank")
    page.goto(address, wait_until="commit")
    return page.evaluate("window.firstCard")


def _answered(page: Page) -> float:
    """When the first byte of the page's answer came."""
    return page.evaluate("performance.getEntriesByType('navigation')[0].responseStart")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.live_page")
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--slower", type=float, default=4.0)
    given = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="alpr-bench-") as folder,
        EmbeddedPostgres(Path(folder) / "postgres") as server,
    ):
        pictures = Path(folder) / "images"
        fill(server.url, pictures, given.events)
        with (
            process(serve, server.url, pictures) as port,
            sync_playwright() as playwright,
        ):
            flags = ["--no-sandbox", "--disable-gpu"]
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
            for figure in measure(browser, port, given.rounds, given.slower):
                print(json.dumps({"events": given.events, **figure}), flush=True)
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
