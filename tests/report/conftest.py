"""A real browser for the report's tests: headless Chromium, driven by Playwright; one for all tests of a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import DESKTOP, FLAGS, Opened, chromium, quick_report, varied_run, wait_until_ready
from playwright.sync_api import Browser, Page, sync_playwright


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium), so pages are not opened")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opened]:
    """Opens a report: ``open_page(path, hash="#curves?...", viewport=PHONE, color_scheme="dark")``.

    Every page must end without a message on the console, an error, a dialogue, or a request for anything.
    """
    contexts: list[Any] = []
    complaints: list[str] = []

    def opened(path: Path, hash: str = "", **options: Any) -> Page:
        context = browser.new_context(**({"viewport": DESKTOP} | options))
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (complaints.append(f"dialogue: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request", lambda request: complaints.append(f"request: {request.url}") if _loads(request.url) else None
        )
        page.goto(path.as_uri() + hash)
        if options.get("java_script_enabled", True):
            wait_until_ready(page)
        return page

    def _loads(url: str) -> bool:
        return not url.startswith(("data:", "blob:")) and not url.partition("#")[0].endswith("report.html")

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture(scope="session")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of :func:`varied_run`."""
    return quick_report(varied_run(tmp_path_factory.mktemp("varied")))
