"""Pages of reports, opened in the browser of ``tests/conftest.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import DESKTOP, Opened, quick_report, wait_until_ready
from playwright.sync_api import Browser, Page
from runs import METRIC, MadeUpRun


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opened]:
    """Opens a report: ``open_page(path, hash="#curves?...", viewport=PHONE, color_scheme="dark")``.

    Every page must end without a message on the console, an error, a dialogue, or a request for anything. Its policy
    forbids the evaluation of text, so ``wait_for_function`` takes functions: ``"() => ..."``.
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
    """A report on codecs of every kind: two curves of one codec, lossless ones, a learned one, unsteady times."""
    run = MadeUpRun(
        tmp_path_factory.mktemp("varied"),
        {"mnist": (28, 28, 1), "stl10": (32, 32, 3)},
        ["jpeg", "webp", "png", "none"],
        {"net": ("mnist",)},
        metrics={"likeness": METRIC},
    )
    steady, shaky = (1e-3,) * 5, (1e-5, 1e-5, 2e-5, 9e-5, 9e-5)
    for label in run.datasets:
        for chroma, more in (("4:2:0", 1.0), ("4:4:4", 1.3)):
            for quality, size, mse in ((10, 60, 0.01), (50, 90, 0.001), (90, 150, 0.0001)):
                sizes = [round(more * (size + image)) for image in range(8)]
                settings = {"quality": quality, "subsampling": chroma}
                run.point(label, "jpeg", settings, num_bytes=sizes, mse=mse, ssim=1 - 3 * mse, encode_s=steady)
        for quality, size, mse in ((10, 50, 0.008), (50, 80, 0.0008), (90, 140, 0.00009)):
            sizes = [size + 3 * image for image in range(8)]
            run.point(label, "webp", {"quality": quality}, num_bytes=sizes, mse=mse, ssim=1 - 3 * mse, encode_s=shaky)
        run.point(label, "png", num_bytes=300, mse=0.0, lossless=True, encode_s=(2e-3,) * 5)
        run.point(label, "none", num_bytes=800, mse=0.0, lossless=True, encode_s=(1e-6,) * 5)
        run.point(label, "net", {"latent": "int8"}, num_bytes=40, mse=0.004, ssim=0.95, encode_s=(5e-3,) * 5)
    return quick_report(run)
