"""Pages as people have them before their eyes: each size and colour, with axe and the console."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.sync_api import Browser, BrowserContext, Page, Request, Response, expect

SIZES = {"wide": (1280, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
# The rules of the Web Content Accessibility Guidelines, levels A and AA.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@dataclass(slots=True)
class Eyes:
    """One size and colour, and what was wrong with what was seen."""

    size: str
    scheme: str
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    expected: int = 200

    @property
    def name(self) -> str:
        """Such as ``phone-dark``."""
        return f"{self.size}-{self.scheme}"

    def see(self, address: str, status: int = 200) -> None:
        """Open a page and wait until it is quiet; an event stream may go on."""
        self.complaints.clear()
        self.expected = status
        self.page.goto(address, wait_until="load")
        # Not by `wait_for_function`, whose second look is an eval that the pages' policy forbids.
        expect(self.page.locator("[aria-busy=true]")).to_have_count(0, timeout=20_000)

    def keep(self, file: Path) -> None:
        """The whole page as a picture, as a screen would show it that is as high."""
        width, height = SIZES[self.size]
        whole = self.page.evaluate("document.documentElement.scrollHeight")
        self.page.set_viewport_size({"width": width, "height": max(height, min(whole, 8000))})
        self.page.screenshot(path=file, animations="disabled")
        self.page.set_viewport_size({"width": width, "height": height})

    def problems(self, *, axe: bool = True) -> list[str]:
        """What is wrong with the page as it is now, a line each."""
        page = self.page
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        found = [f"{wide} px wider than the screen"] if wide > 0 else []
        if not axe:
            return [*found, *self.complaints]
        page.evaluate(AXE)
        told = page.evaluate(
            f"axe.run({{runOnly: {json.dumps(TAGS)}, resultTypes: ['violations']}})"
        )
        return [*found, *self.complaints, *_violations(told)]


@contextmanager
def eyes(browser: Browser, size: str, scheme: str, **options: Any) -> Iterator[Eyes]:
    """A window of a size and colour; ``options`` are a browser context's."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="Europe/Berlin",
        **options,
    )
    seen = Eyes(size, scheme, context, context.new_page())

    def answered(answer: Response) -> None:
        main = answer.request.is_navigation_request()
        if answer.status >= 400 and not (main and answer.status == seen.expected):
            seen.complaints.append(f"{answer.status} for {answer.url}")

    def said(kind: str, text: str) -> None:
        # Chromium says of each failed request that it failed, which `answered` knows already.
        if kind in ("error", "warning") and "Failed to load resource" not in text:
            seen.complaints.append(text)

    seen.page.on("response", answered)

    def failed(request: Request) -> None:
        if request.resource_type != "eventsource":  # a stream ends when its page is left
            seen.complaints.append(f"{request.url} failed: {request.failure}")

    seen.page.on("requestfailed", failed)
    seen.page.on("console", lambda message: said(message.type, message.text))
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    yield seen
    context.close()


def kept_at(default: Path) -> Path:
    """Where screenshots are kept: ALPR_TEST_SCREENSHOTS, or a test's own folder."""
    folder = Path(os.environ.get("ALPR_TEST_SCREENSHOTS") or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def named(address: str) -> str:
    """An address as the name of a file."""
    return re.sub(r"[^A-Za-z0-9]+", "-", address).strip("-")[:80] or "live"


def _violations(told: dict[str, Any]) -> list[str]:
    return [
        f"axe {one['id']}: {node['target']} {' '.join(node['failureSummary'].split())[:300]}"
        for one in told["violations"]
        for node in one["nodes"]
    ]
