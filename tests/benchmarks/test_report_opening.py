"""How long the page of a large run takes to open: thirty codecs on two datasets, in headless Chromium.

Run with ``pytest --benchmark-enable tests/benchmarks/test_report_opening.py``.
"""

from __future__ import annotations

import time
from pathlib import Path

from pages import large_run, quick_report
from playwright.sync_api import Browser

from codecbench.report.page import plotly_bundle

ROUNDS = 5


def opening_s(browser: Browser, path: Path, *, drawn: bool) -> float:
    """Seconds from going to a page to having it: loaded, and its first plot drawn where it has one."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    began = time.perf_counter()
    page.goto(path.as_uri() + ("#curves" if drawn else ""))
    if drawn:
        page.wait_for_selector("#curves .plot .xtick")
    taken = time.perf_counter() - began
    context.close()
    return taken


def test_the_page_of_thirty_codecs_opens_quickly(benchmark, browser: Browser, tmp_path: Path) -> None:
    report = quick_report(large_run(tmp_path / "run"))
    empty = tmp_path / "empty.html"
    empty.write_text(f"<!DOCTYPE html><title>empty</title><script>{plotly_bundle()}</script>", encoding="utf-8")
    rounds = ROUNDS if benchmark.enabled else 1
    pairs = [  # one after the other, so that a busy machine is busy for both
        (opening_s(browser, report, drawn=True), opening_s(browser, empty, drawn=False)) for _ in range(rounds)
    ]
    benchmark.pedantic(opening_s, (browser, report), {"drawn": True}, rounds=rounds)
    best, bare = (min(times) for times in zip(*pairs, strict=True))
    benchmark.extra_info |= {
        "opened and drawn (s)": round(best, 2),
        "Plotly's bundle alone (s)": round(bare, 2),
        "ratio": round(best / bare, 2),
        "megabytes": round(report.stat().st_size / 1e6, 2),
    }
    print(benchmark.extra_info)
