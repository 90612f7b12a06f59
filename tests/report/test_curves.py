"""The plot of rate against quality: what is drawn is what was measured, and the controls do what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pages import Opened, varied_run
from playwright.sync_api import Page
from runs import MadeUpRun

from codecbench.report import rates
from codecbench.report.context import Context

PLOT = "#curves .plot"


def drawn(page: Page) -> dict[str, dict[str, Any]]:
    """Plotly's own data by trace: its numbers as lists."""
    page.locator(PLOT).scroll_into_view_if_needed()
    page.wait_for_selector(f"{PLOT} .xtick")
    traces = page.evaluate(f"""() => document.querySelector("{PLOT}").data.map((trace) => ({{
      name: trace.name, x: [...trace.x], y: [...trace.y], axis: trace.yaxis, dash: trace.line.dash, mode: trace.mode,
      symbol: trace.marker.symbol, bars: trace.error_y ? [...trace.error_y.array] : null, text: [...trace.text],
    }}))""")
    return {f"{trace['name']}{' exact' if trace['axis'] == 'y2' else ''}": trace for trace in traces}


def axis(page: Page, name: str, field: str) -> Any:
    return page.evaluate(f'document.querySelector("{PLOT}").layout.{name}.{field}')


def press(page: Page, name: str) -> None:
    page.locator("#curves").get_by_role("button", name=name, exact=True).click()


@pytest.fixture(scope="module")
def summary(varied: Path) -> pd.DataFrame:
    return pd.read_csv(varied.with_name("summary.csv"), keep_default_na=False, na_values=[""])


def test_the_curves_are_the_summary(varied: Path, summary: pd.DataFrame, open_page: Opened) -> None:
    traces = drawn(open_page(varied))
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


def test_controls_change_what_they_name_and_nothing_else(
    varied: Path, summary: pd.DataFrame, open_page: Opened
) -> None:
    page = open_page(varied)
    before = drawn(page)["webp"]
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


def test_intervals_are_those_of_the_bootstrap(varied: Path, tmp_path: Path, open_page: Opened) -> None:
    page = open_page(varied)
    assert drawn(page)["webp"]["bars"] is None
    page.get_by_label("95 % intervals").check()
    bars = page.evaluate(f"""() => document.querySelector("{PLOT}").data.find((t) => t.name === "webp").error_x""")
    context = Context(varied_run(tmp_path).store)
    points = context.points[(context.points["dataset"] == "mnist") & (context.points["codec"] == "webp")]
    point = points.sort_values("bits_per_pixel").iloc[0]
    low, high = context.resampled.interval(("mnist", "webp", point["settings"]), "bits_per_pixel")
    assert low < point["bits_per_pixel"] < high
    np.testing.assert_allclose(bars["array"][0], high - point["bits_per_pixel"], rtol=1e-3)
    np.testing.assert_allclose(bars["arrayminus"][0], point["bits_per_pixel"] - low, rtol=1e-3)


def test_the_legend_hides_shows_and_isolates(varied: Path, open_page: Opened) -> None:
    page = open_page(varied)
    everything = set(drawn(page))
    legend = page.locator("#curves .legend-list")
    entry = legend.locator(".entry", has_text="webp")
    entry.click()
    assert entry.get_attribute("aria-pressed") == "false"
    assert set(drawn(page)) == everything - {"webp"}
    entry.click()
    assert set(drawn(page)) == everything
    legend.get_by_role("button", name="Only jpeg subsampling=4:4:4").click()
    assert set(drawn(page)) == {"jpeg subsampling=4:4:4"}
    press(page, "Lossless")
    assert set(drawn(page)) == {"png exact", "none exact"}
    press(page, "Learned")
    assert set(drawn(page)) == {"net"}
    press(page, "All")
    assert set(drawn(page)) == everything


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
        assert (
            other.locator("#curves").get_by_role("button", name=name, exact=True).get_attribute("aria-pressed")
            == "true"
        )
    assert other.evaluate("Math.abs(document.getElementById('curves').getBoundingClientRect().top)") < 500
    damaged = open_page(varied, "#curves?dataset=%E0%A4%A&y=nothing~?~look?x")
    assert set(drawn(damaged)) >= {"webp"}
    page.evaluate("location.hash = '#curves?dataset=mnist'")
    page.wait_for_function("codecbench.state('curves').dataset === 'mnist'")
    assert "net" in drawn(page)


def test_payload_is_drawn_where_codecs_tell_it(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (16, 16, 1)}, ["c", "d"])
    for quality in (1, 2):
        run.point("a", "c", {"q": quality}, num_bytes=100 * quality, container_bytes=60, mse=0.01 / quality)
        run.point("a", "d", {"q": quality}, num_bytes=90 * quality, mse=0.01 / quality)
    data = rates.plot_data(Context(run.store))
    lines = {line["name"]: line["points"] for line in data["datasets"]["a"]["lines"]}
    assert data["payload"]
    assert lines["c"]["pbpi"] == [8 * 40.0, 8 * 140.0]
    assert "pbpi" not in lines["d"]


def test_points_outside_the_first_view_are_there_to_be_found(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (16, 16, 1)}, ["c"])
    run.point("a", "c", {"q": 1}, num_bytes=50, mse=0.01)
    run.point("a", "c", {"q": 2}, num_bytes=9000, mse=0.0001)
    (line,) = rates.plot_data(Context(run.store))["datasets"]["a"]["lines"]
    assert line["points"]["far"] == [0, 1]
