"""The plots of speed: times at equal quality, their front, and one machine at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pages import Opened, quick_report
from playwright.sync_api import Page
from runs import MadeUpRun

from codecbench.report import speed
from codecbench.report.context import Context


def drawn(page: Page, plot: int = 0) -> dict[str, dict[str, Any]]:
    """Plotly's own data by trace."""
    page.locator("#speed .plot").nth(plot).scroll_into_view_if_needed()
    page.wait_for_selector(f"#speed .plot:nth-of-type({plot + 2}) .xtick")
    traces = page.evaluate(f"""() => [...document.querySelectorAll("#speed .plot")][{plot}].data.map((trace) => ({{
      name: trace.name, x: [...trace.x], y: [...trace.y], text: trace.text || null, hover: trace.hovertext || null,
    }}))""")
    return {trace["name"]: trace for trace in traces}


def timed_run(path: Path) -> MadeUpRun:
    """Three codecs that cross 30 dB: a small slow one, a fast large one, and one that both beat."""
    run = MadeUpRun(path, {"a": (16, 16, 1)}, ["small", "fast", "beaten", "none", "far"])
    for name, size, seconds in (("small", 40, 4e-3), ("fast", 90, 1e-3), ("beaten", 95, 8e-3)):
        for quality, factor, mse in ((1, 1, 0.002), (2, 2, 0.0005)):
            times = (seconds * factor,) * 5
            run.point("a", name, {"q": quality}, num_bytes=size * factor, mse=mse, encode_s=times, decode_s=times)
    run.point("a", "none", num_bytes=300, mse=0.0, lossless=True, encode_s=(1e-6,) * 5)
    run.point("a", "far", num_bytes=20, mse=0.02, encode_s=(1e-5, 1e-5, 2e-5, 9e-5, 9e-5))
    return run


def test_at_a_level_rates_and_times_are_read_between_points(tmp_path: Path) -> None:
    data = speed.plot_data(Context(timed_run(tmp_path).store))
    assert [key for key, _ in data["levels"]] == ["30", "near"]
    rows = {row["codec"]: row for row in data["datasets"]["a"]["levels"]["30"]["encode_s"]}
    share = (30 - 26.9897) / (33.0103 - 26.9897)
    assert rows["small"]["bpp"] == pytest.approx(8 * 40 / 256 * 2**share, rel=1e-4)
    assert rows["small"]["cost"] == pytest.approx(4e-3 * 2**share, rel=1e-4)
    assert {name for name, row in rows.items() if row.get("front")} == {"small", "fast"}
    assert rows["beaten"]["by"] in {"small", "fast"}
    assert rows["far"]["status"].startswith("not available: ")
    assert "none" not in rows
    assert data["datasets"]["a"]["harness"]["encode_s"] == [[0, 1e-6]]


def test_the_front_is_bold_and_marks_are_named(tmp_path: Path, open_page: Opened) -> None:
    page = open_page(quick_report(timed_run(tmp_path), (speed,)))
    traces = drawn(page)
    assert set(traces) == {"front", "small", "fast", "beaten"}
    assert traces["front"]["x"] == [traces["small"]["x"][0], traces["fast"]["x"][0]]
    assert traces["small"]["text"] == ["small"]
    assert traces["beaten"]["text"] == [""]
    assert "beaten by" in traces["beaten"]["hover"][0]
    assert "far (" in page.locator("#speed .said").inner_text()
    page.locator("#speed").get_by_role("button", name="each nearest to 30 dB").click()
    traces = drawn(page)
    assert "front" not in traces, "their qualities differ"
    assert traces["far"]["text"] == ["~ "]
    assert page.evaluate("location.hash") == "#speed?at=near"
    notes = page.locator("#speed .plot").first.locator(".annotation").all_text_contents()
    assert notes == ["none: the harness itself"]
    assert set(drawn(page, 1)) == {"small", "fast", "beaten", "far"}


def test_times_of_machines_are_never_in_one_plot(tmp_path: Path, open_page: Opened) -> None:
    run = MadeUpRun(tmp_path, {"a": (16, 16, 1)}, ["c", "d"])
    run.point("a", "c", encode_s=(1e-3,) * 5, timing={"host": "aaaa1111"})
    run.point("a", "d", encode_s=(1e-4,) * 5, timing={"host": "bbbb2222"})
    page = open_page(quick_report(run, (speed,)))
    assert set(drawn(page)) == {"c"}
    page.locator("#speed").get_by_label("Machine").select_option(index=1)
    assert set(drawn(page)) == {"d"}
    again = open_page(tmp_path / "report.html", page.evaluate("location.hash"))
    assert set(drawn(again)) == {"d"}


def test_the_fastest_is_marked_and_an_unsteady_time_is_not(tmp_path: Path, open_page: Opened) -> None:
    page = open_page(quick_report(timed_run(tmp_path), (speed,)), java_script_enabled=False)
    best = page.locator("table.speed td.best").evaluate_all(
        "cells => cells.map((cell) => [cell.cellIndex, cell.parentNode.cells[0].innerText])"
    )
    # `far` is first at encoding, but unsteady; its decoding is not.
    assert [name for _, name in sorted(best)] == ["fast", "far"]
