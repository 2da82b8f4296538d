"""A tab of Chromium with a report; its tests are skipped, with the reason, without a browser."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

from chromium import MISSING, executable
from chromium import chromium as launch


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser, ended afterwards."""
    pytest.importorskip("playwright", reason="playwright is not installed")
    if executable() is None:
        pytest.skip(MISSING)
    with launch() as browser:
        yield browser


class Reader:
    """A tab with one report: opens its views and remembers what it should not have seen."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.file = file
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.faults: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: (self.faults.append("dialog"), dialog.dismiss()))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda message: self.faults.append(message.text))
        self.open()

    def open(self, view: str = "") -> None:
        """Load the report at a view, afresh."""
        self.page.goto("about:blank")
        self.page.goto(self.file.as_uri() + view)
        self.page.wait_for_selector("html[data-ready]")

    def go(self, view: str) -> None:
        """Change the view by the address, as a link would."""
        self.page.evaluate("view => { location.hash = view }", view)
        name = view.lstrip("#").partition("?")[0]
        self.page.wait_for_selector(f'[data-view="{name}"]:not([hidden])')

    def until(self, condition: str, limit_s: float = 10.0) -> None:
        """Wait for an expression to hold; Playwright's own way is refused by the page's policy."""
        end = time.monotonic() + limit_s
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, f"never came true: {condition}"
            self.page.wait_for_timeout(10)

    def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in self.page.locator(selector).all_inner_texts()]
