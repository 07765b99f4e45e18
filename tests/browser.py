"""Debian's Chromium through Playwright, which pages are tried in; its absence is a reason to skip."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

PLACES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium(*options: str) -> Iterator[Any]:
    """Start the browser, without a sandbox where root runs it, as it refuses to start with one."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    found = next(filter(None, map(shutil.which, PLACES)), None)
    if found is None:
        pytest.skip("needs Chromium: apt install chromium")
    arguments = [*options, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Watch:
    """Keeps what a page said on its console and asked of the network."""

    def __init__(self, page: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def assert_quiet(self, host: str) -> None:
        """Fail on any word on the console and on any request to another host."""
        assert self.said == []
        elsewhere = [url for url in self.asked if urlsplit(url).scheme != "data" and urlsplit(url).netloc != host]
        assert self.asked and elsewhere == []
