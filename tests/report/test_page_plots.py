"""The plots in a real browser: curves are what was measured, controls do what they say, times are of one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pages import Opened, context, made, quick_report
from playwright.sync_api import Page
from runs import MadeUpRun

from codecbench.report import rates, speed
from codecbench.report.context import Context
from codecbench.store.folder import RunFolder


def drawn(page: Page, section: str = "curves", number: int = 0) -> dict[str, dict[str, Any]]:
    """Plotly's own data by trace: its numbers as lists."""
    plot = page.locator(f"#{section} .plot").nth(number)
    plot.scroll_into_view_if_needed()
    plot.locator(".xtick").first.wait_for()
    traces = plot.evaluate("""(plot) => plot.data.map((trace) => ({
      name: trace.name, x: [...trace.x], y: [...trace.y], axis: trace.yaxis, dash: trace.line?.dash, mode: trace.mode,
      symbol: trace.marker?.symbol, text: trace.text && [...trace.text], hover: trace.hovertext,
      bars: trace.error_x?.array && [[...trace.error_x.array], [...trace.error_x.arrayminus]],
    }))""")
    return {f"{trace['name']}{' exact' if trace['axis'] == 'y2' else ''}": trace for trace in traces}


def axis(page: Page, name: str, field: str) -> Any:
    return page.evaluate(f'document.querySelector("#curves .plot").layout.{name}.{field}')


def press(page: Page, name: str) -> None:
    page.locator("#curves").get_by_role("button", name=name, exact=True).click()


@pytest.fixture(scope="module")
def summary(varied: Path) -> pd.DataFrame:
    return pd.read_csv(varied.with_name("summary.csv"), keep_default_na=False, na_values=[""])


def test_the_curves_are_the_summary(varied: Path, summary: pd.DataFrame, open_page: Opened) -> None:
    page = open_page(varied)
    traces = drawn(page)
    assert set(traces) == {
        "jpeg subsampling=4:2:0", "jpeg subsampling=4:4:4", "webp", "net", "png exact", "none exact",
    }  # fmt: skip
    for chroma in ("4:2:0", "4:4:4"):
        rows = summary[(summary["dataset"] == "mnist") & summary["settings"].str.contains(chroma)]
        rows = rows.sort_values("bits_per_pixel")
        trace = traces[f"jpeg subsampling={chroma}"]
        np.testing.assert_allclose(trace["x"], rows["bits_per_pixel"], rtol=1e-5)
        np.testing.assert_allclose(trace["y"], rows["psnr_db"], rtol=1e-5)
    first, second = (traces[f"jpeg subsampling={chroma}"] for chroma in ("4:2:0", "4:4:4"))
    assert first["dash"] != second["dash"], "two curves of a codec differ by more than their name"
    assert first["symbol"] == second["symbol"]
    assert traces["net"]["mode"] == "markers", "a single point has no line"
    assert "quality=10,subsampling=4:2:0" in first["text"][0]
    assert "8 images" in first["text"][0]
    # The legend hides, shows and isolates.
    everything = set(traces)
    legend = page.locator("#curves .legend-list")
    entry = legend.locator(".entry", has_text="webp")
    entry.click()
    assert entry.get_attribute("aria-pressed") == "false"
    assert set(drawn(page)) == everything - {"webp"}
    entry.click()
    assert set(drawn(page)) == everything
    legend.get_by_role("button", name="Only jpeg subsampling=4:4:4").click()
    assert set(drawn(page)) == {"jpeg subsampling=4:4:4"}
    for kind, shown in (("Lossless", {"png exact", "none exact"}), ("Learned", {"net"}), ("All", everything)):
        press(page, kind)
        assert set(drawn(page)) == shown


def test_controls_change_what_they_name_and_nothing_else(
    varied: Path, summary: pd.DataFrame, open_page: Opened
) -> None:
    page = open_page(varied)
    before = drawn(page)["webp"]
    assert before["bars"] is None
    page.get_by_label("95 % intervals").check()
    (above, *_), (below, *_) = drawn(page)["webp"]["bars"]
    found = Context(RunFolder.existing(varied.parent))
    points = found.points[(found.points["dataset"] == "mnist") & (found.points["codec"] == "webp")]
    point = points.sort_values("bits_per_pixel").iloc[0]
    low, high = found.resampled.interval(("mnist", "webp", point["settings"]), "bits_per_pixel")
    assert low < point["bits_per_pixel"] < high, "those of the bootstrap"
    np.testing.assert_allclose(above, high - point["bits_per_pixel"], rtol=1e-3)
    np.testing.assert_allclose(below, point["bits_per_pixel"] - low, rtol=1e-3)
    page.get_by_label("95 % intervals").uncheck()
    controls = page.locator("#curves .controls")
    controls.get_by_label("Rate").select_option("bytes")
    assert axis(page, "xaxis", "title.text") == "Bytes per image"
    rows = summary[(summary["dataset"] == "mnist") & (summary["codec"] == "webp")].sort_values("bits_per_image")
    np.testing.assert_allclose(drawn(page)["webp"]["x"], rows["bits_per_image"] / 8, rtol=1e-5)
    assert drawn(page)["webp"]["y"] == before["y"]
    controls.get_by_label("Rate").select_option("bpi")
    np.testing.assert_allclose(drawn(page)["webp"]["x"], rows["bits_per_image"], rtol=1e-5)
    press(page, "linear")
    assert axis(page, "xaxis", "type") == "linear"
    press(page, "SSIM")
    stretched = -np.log10(1 - rows["ssim"].to_numpy(float))
    np.testing.assert_allclose(drawn(page)["webp"]["y"], stretched, rtol=1e-4)
    press(page, "Likeness")
    assert axis(page, "yaxis", "title.text") == "Likeness"
    press(page, "stl10")
    rows = summary[(summary["dataset"] == "stl10") & (summary["codec"] == "webp")].sort_values("bits_per_image")
    np.testing.assert_allclose(drawn(page)["webp"]["x"], rows["bits_per_image"], rtol=1e-5)
    net = drawn(page)["net (trained on mnist)"]
    assert net["symbol"].endswith("-open"), "out of its domain: hollow"


@pytest.mark.slow
def test_a_link_brings_the_view_back(varied: Path, open_page: Opened) -> None:
    page = open_page(varied)
    drawn(page)
    press(page, "stl10")
    press(page, "SSIM")
    press(page, "linear")
    page.locator("#curves .entry", has_text="jpeg").first.click()
    link = page.evaluate("location.hash")
    other = open_page(varied, link)
    assert drawn(other) == drawn(page)
    for name in ("stl10", "SSIM", "linear"):
        button = other.locator("#curves").get_by_role("button", name=name, exact=True)
        assert button.get_attribute("aria-pressed") == "true"
    assert other.evaluate("Math.abs(document.getElementById('curves').getBoundingClientRect().top)") < 500
    damaged = open_page(varied, "#curves?dataset=%E0%A4%A&y=nothing~?~look?x")
    assert set(drawn(damaged)) >= {"webp"}
    page.evaluate("location.hash = '#curves?dataset=mnist'")
    page.wait_for_function("() => codecbench.state('curves').dataset === 'mnist'")
    assert "net" in drawn(page)


def test_payload_and_points_outside_the_first_view_are_there(tmp_path: Path) -> None:
    run = made(tmp_path, {"c": {}, "d": {20: 90, 40: 9000}})
    run.curve("data", "c", {20: 100, 23: 200}, container_bytes=60)
    data = rates.plot_data(context(run))
    lines = {line["name"]: line["points"] for line in data["datasets"]["data"]["lines"]}
    assert data["payload"]
    assert lines["c"]["pbpi"] == [8 * 40.0, 8 * 140.0]
    assert "pbpi" not in lines["d"], "only the size of whole files is known"
    assert lines["d"]["far"] == [0, 1]


# ---- speed ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> MadeUpRun:
    """Three codecs that cross 30 dB: a small slow one, a fast large one, and one that both beat."""
    codecs = ["small", "fast", "beaten", "none", "far"]
    run = MadeUpRun(tmp_path_factory.mktemp("timed"), {"data": (16, 16, 1)}, codecs)
    for name, size, seconds in (("small", 40, 4e-3), ("fast", 90, 1e-3), ("beaten", 95, 8e-3)):
        for db, factor in ((27, 1), (33, 2)):
            times = (seconds * factor,) * 5
            run.curve("data", name, {db: size * factor}, encode_s=times, decode_s=times)
    run.point("data", "none", num_bytes=300, mse=0.0, lossless=True, encode_s=(1e-6,) * 5)
    run.curve("data", "far", {17: 20}, encode_s=(1e-5, 1e-5, 2e-5, 9e-5, 9e-5))
    return run


def test_the_front_is_bold_and_marks_are_named(timed: MadeUpRun, open_page: Opened) -> None:
    page = open_page(quick_report(timed, (speed,)))
    best = page.locator("table.speed td.best").evaluate_all(
        "cells => cells.map((cell) => [cell.cellIndex, cell.parentNode.cells[0].innerText])"
    )
    # `far` is first at encoding, but unsteady; its decoding is not.
    assert [name for _, name in sorted(best)] == ["fast", "far"]
    traces = drawn(page, "speed")
    assert set(traces) == {"front", "small", "fast", "beaten"}
    assert traces["front"]["x"] == [traces["small"]["x"][0], traces["fast"]["x"][0]]
    assert traces["small"]["x"] == pytest.approx([8 * 40 / 256 * 2**0.5], rel=1e-4), "half way, over log rate"
    assert traces["small"]["y"] == pytest.approx([4e-3 * 2**0.5], rel=1e-4)
    assert traces["small"]["text"] == ["small"]
    assert traces["beaten"]["text"] == [""]
    assert "beaten by" in traces["beaten"]["hover"][0]
    assert "far (" in page.locator("#speed .said").inner_text()
    page.locator("#speed").get_by_role("button", name="each nearest to 30 dB").click()
    traces = drawn(page, "speed")
    assert "front" not in traces, "their qualities differ"
    assert traces["far"]["text"] == ["~ "]
    assert page.evaluate("location.hash") == "#speed?at=near"
    notes = page.locator("#speed .plot").first.locator(".annotation").all_text_contents()
    assert notes == ["none: the harness itself"]
    assert set(drawn(page, "speed", 1)) == {"small", "fast", "beaten", "far"}


def test_times_of_machines_are_never_in_one_plot(tmp_path: Path, open_page: Opened) -> None:
    run = MadeUpRun(tmp_path, {"a": (16, 16, 1)}, ["c", "d"])
    run.point("a", "c", encode_s=(1e-3,) * 5, timing={"host": "aaaa1111"})
    run.point("a", "d", encode_s=(1e-4,) * 5, timing={"host": "bbbb2222"})
    page = open_page(quick_report(run, (speed,)))
    assert set(drawn(page, "speed")) == {"c"}
    page.locator("#speed").get_by_label("Machine").select_option(index=1)
    assert set(drawn(page, "speed")) == {"d"}
    again = open_page(tmp_path / "report.html", page.evaluate("location.hash"))
    assert set(drawn(again, "speed")) == {"d"}
