"""The tables of a report: numbers that are known, best values marked, signs explained, odd runs told."""

from __future__ import annotations

import functools
import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest
from pages import Opened, context, made
from runs import METRIC, MadeUpRun

from codecbench.analysis import bd_rate
from codecbench.report import ranked, rankings
from codecbench.report.context import Context
from codecbench.report.tables import Cell, Row, Table, number, with_best, words
from codecbench.store.folder import RunFolder

SHAPE = (16, 16, 1)
SPACE = "\N{NO-BREAK SPACE}"


def curve(factor: float = 1.0) -> dict[float, float]:
    """Bytes at four levels of PSNR in dB, times a factor."""
    return {25.0: 100 * factor, 30.0: 200 * factor, 35.0: 400 * factor, 40.0: 800 * factor}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """jpeg, one that needs a tenth less, one lossless, one of a single point, one trained elsewhere."""
    path = tmp_path_factory.mktemp("ranked")
    run = MadeUpRun(path, {"data": SHAPE}, ["jpeg", "tenth", "more", "exact", "single"], {"net": ("other",)})
    run.curve("data", "jpeg", curve(), container_bytes=50)
    run.curve("data", "tenth", curve(0.9), container_bytes=0)
    run.curve("data", "more", curve(1.2))
    run.curve("data", "net", curve(0.1), container_bytes=0)
    run.point("data", "exact", num_bytes=900, mse=0.0, lossless=True, encode_s=(1e-3,) * 5)
    run.point("data", "single", num_bytes=100, mse=10**-3.2)
    return context(run)


@pytest.fixture
def usual(usual_folder: Path, tmp_path: Path) -> Context:
    return Context(RunFolder.existing(usual_folder), tmp_path)


@functools.cache
def tables(drawn: Context) -> tuple[Table, ...]:
    return tuple(rankings.ranking(drawn, "data").tables)


def sheet(drawn: Context, title: str) -> Table:
    (found,) = [one for one in tables(drawn) if one.title.startswith(title)]
    return found


def row(one: Table, head: str) -> Row:
    (found,) = [row for row in one.rows if row.head == head]
    return found


def column(one: Table, title: str) -> int:
    return [column.title for column in one.columns].index(title) - 1


def test_a_tenth_less_is_a_bd_rate_of_minus_ten(drawn: Context) -> None:
    one = sheet(drawn, "BD-rate against jpeg")
    cell = row(one, "tenth").cells[0]
    assert cell.value == pytest.approx(-10.0, abs=0.01)
    assert cell.text == f"−10.0{SPACE}% [−10.0, −10.0]"
    assert cell.best
    assert "PCHIP" in one.about
    assert row(one, "tenth").cells[-1].text == "25.0 dB to 40.0 dB"
    assert one.lacking == ("Not here: `exact` (restores every pixel).",)


def test_the_tables_are_those_of_the_analysis(drawn: Context) -> None:
    one = sheet(drawn, "BD-rate against jpeg")
    kinds = [(quality, rate) for quality in ("psnr_db", "ssim") for rate in ("whole", "payload")]
    for place, (quality, rate) in enumerate(kinds):
        table = bd_rate.table(drawn.of("data"), "jpeg", quality=quality, rate=rate)
        for codec, value in table[~table["single"]].set_index("codec")["bd_rate_percent"].items():
            if codec in ("tenth", "net") and not math.isnan(value):
                assert row(one, codec).cells[place].value == pytest.approx(value)


def test_an_anchor_that_is_asked_for_is_taken(drawn: Context, tmp_path: Path) -> None:
    one = sheet(Context(drawn.store, tmp_path, "tenth"), "BD-rate against tenth")
    assert row(one, "jpeg").cells[0].value == pytest.approx(100 / 0.9 - 100, abs=0.01)


def test_a_codec_off_its_ground_is_marked_and_never_best(drawn: Context) -> None:
    one = sheet(drawn, "BD-rate against jpeg")
    net = row(one, "net")
    assert net.mark == "†"
    assert not any(cell.best for cell in net.cells)
    assert any("trained on data of another kind" in key for key in one.keys)
    assert not any(cell.best for cell in row(sheet(drawn, "Savings"), "net").cells)


def test_savings_are_bytes_at_the_levels(drawn: Context) -> None:
    one = sheet(drawn, "Savings at 30, 35, 40 dB")
    assert [cell.text for cell in row(one, "tenth").cells] == [
        text for size in ("180", "360", "720") for text in (size, f"−10.0{SPACE}%")
    ]
    assert [cell.text for cell in row(one, "jpeg").cells[1::2]] == ["anchor"] * 3
    assert row(one, "tenth").cells[0].best
    assert any("`single` (one point, at 32.0 dB)" in line for line in one.lacking)
    cells = row(sheet(drawn, "Single points"), "single").cells
    assert cells[0].text == "32.0"
    assert cells[1].value == pytest.approx(100 * (100 / (200 * 2**0.4) - 1))


def test_the_overview_has_every_codec(drawn: Context) -> None:
    one = sheet(drawn, "Overview")
    assert {row.head for row in one.rows} == {"jpeg", "tenth", "more", "exact", "single", "net"}
    at = column(one, "bpp at 30 dB")
    assert row(one, "tenth").cells[at].value == pytest.approx(180 * 8 / 256)
    assert row(one, "tenth").cells[at].best
    exact = row(one, "exact").cells
    assert exact[column(one, "bpp lossless")].value == pytest.approx(900 * 8 / 256)
    assert exact[column(one, "PSNR dB")].text == "exact"
    assert exact[column(one, "Encode")].text == "1 ms"


def test_images_are_compared_one_by_one(tmp_path: Path) -> None:
    """Seven of them with a tenth less, the second with twice the bytes."""
    factors = [0.9, 2.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]
    other = {db: [size * factor for factor in factors] for db, size in ((25, 100), (35, 200))}
    one = sheet(context(made(tmp_path, {"jpeg": {25: 100, 35: 200}, "other": other})), "Image by image")
    cells = row(one, "other").cells
    assert cells[0].value == 8
    assert cells[column(one, "Smaller on")].value == pytest.approx(7 / 8)
    assert cells[column(one, "Loses most on")].text == f"1 (+100{SPACE}%)"
    assert cells[column(one, "Look")].jump == {"dataset": "data", "image": 1, "a": "other", "b": "jpeg"}
    assert "│" in cells[column(one, "Spread")].text


def test_buttons_carry_their_detail_as_json_and_do_not_stand_in_markdown(drawn: Context) -> None:
    found = re.findall(r'data-jump="([^"]*)"', rankings.section(drawn).html)
    details = [json.loads(text.replace("&#34;", '"')) for text in found]
    assert {("data", "tenth", "jpeg")} < {(detail["dataset"], detail["a"], detail["b"]) for detail in details}
    assert all(detail["image"] in (0, 1) for detail in details)
    text = sheet(drawn, "Image by image").markdown()
    assert "Look" not in text
    assert "Loses most on" in text


def test_other_metrics_have_a_table_of_their_own(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": SHAPE}, ["jpeg", "tenth"], metrics={"like_ssim": METRIC})
    for codec, factor in (("jpeg", 1.0), ("tenth", 0.9)):
        for db, likeness in ((25, 0.5), (30, 0.8), (35, 0.95)):
            run.curve("data", codec, {db: curve(factor)[db]}, metrics={"like_ssim": likeness})
    one = sheet(context(run), "BD-rate on other measures")
    assert not one.open
    assert row(one, "tenth").cells[0].value == pytest.approx(-10.0, abs=0.01)


# ---- odd runs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codecs", "lacking"),
    [
        ({"jpeg": curve()}, "Only one codec was measured here: there is nothing to compare it with."),
        ({"a": 100, "b": 100}, "Every codec here restores every pixel: there are no qualities to compare at."),
        ({"jpeg": "ValueError: no"}, "Nothing was measured here yet: there is nothing to compare."),
    ],
    ids=["one codec", "lossless codecs", "failures"],
)
def test_what_cannot_be_compared_is_said(tmp_path: Path, codecs, lacking: str) -> None:
    drawn = context(made(tmp_path, codecs))
    assert "## Rankings" in rankings.section(drawn).markdown
    assert rankings.ranking(drawn, "data").lacking == [lacking]


def test_a_mean_over_a_sliver_of_the_range_is_not_marked_as_the_best(tmp_path: Path) -> None:
    codecs = {"jpeg": curve(), "tenth": curve(0.9), "more": curve(1.2), "sliver": {26: 10, 29: 20}}
    one = sheet(context(made(tmp_path, codecs)), "BD-rate")
    assert row(one, "sliver").cells[0].value < row(one, "tenth").cells[0].value
    assert not row(one, "sliver").cells[0].best
    assert row(one, "tenth").cells[0].best


def test_all_columns_of_a_bd_rate_have_one_base(tmp_path: Path) -> None:
    """Of an anchor with two lines the better one on PSNR is the base of SSIM too, where the other would be better."""
    run = MadeUpRun(tmp_path, {"data": SHAPE}, ["jpeg", "tenth"])
    for codec, settings, size, far in (
        ("jpeg", {"subsampling": "4:2:0"}, 1.0, 1.0),
        ("jpeg", {"subsampling": "4:4:4"}, 0.8, 4.0),
        ("tenth", {}, 0.9, 1.0),
    ):
        for quality, db in ((1, 25.0), (2, 30.0), (3, 35.0), (4, 40.0)):
            mse, num_bytes = 10 ** (-db / 10), round(size * 100 * quality)
            run.point("data", codec, {"quality": quality} | settings, num_bytes=num_bytes, mse=mse, ssim=1 - far * mse)
    one = sheet(context(run), "BD-rate")
    assert "the curve subsampling=4:4:4" in one.about
    other = row(one, "jpeg").cells
    assert other[0].value > 0 > other[column(one, "SSIM, whole files")].value, "both against 4:4:4"
    assert "(subsampling=4:4:4)" in one.columns[column(one, "SSIM, whole files") + 1].hint


def test_ranges_that_do_not_meet_say_so(tmp_path: Path) -> None:
    one = sheet(context(made(tmp_path, {"jpeg": curve(), "far": {50: 1000, 60: 2000}})), "BD-rate")
    assert one.rows == ()
    assert any("`far` (0 % overlap)" in line for line in one.lacking)


def test_the_usual_run_has_tables_for_every_dataset(usual: Context) -> None:
    text = rankings.section(usual).markdown
    assert "### mnist" in text
    assert "### stl10" in text
    assert "#### Rate against time, lossless" not in text  # one lossless codec is on no front


def test_whole_sets_stand_apart() -> None:
    record = {"dataset": "data", "images": 8, "bits_per_image": 800.0, "encode_s": 1.0, "decode_s": 0.5, "status": ""}
    record |= {"settings": "level=9"}
    lzma = record | {"codec": "lzma", "set_bytes": 800.0, "bits_per_pixel": 3.1}
    bz2 = record | {"codec": "bz2", "set_bytes": 700.0, "bits_per_pixel": 2.7}
    one = ranked.sets_table(pd.DataFrame([lzma, bz2]))
    assert [row.head for row in one.rows] == ["bz2", "lzma"]
    assert one.rows[0].cells[4].best
    assert "none of these figures compares with those of single images" in one.about


# ---- cells ----------------------------------------------------------------------------------------------------------


def test_the_best_is_among_comparable_rows_and_never_alone() -> None:
    rows = [Row(name, (number(value, str),), mark=mark) for name, value, mark in (("a", 2.0, ""), ("b", 1.0, "†"))]
    assert not any(row.cells[0].best for row in with_best(rows, 0))
    rows.append(Row("c", (number(3.0, str),)))
    assert [row.cells[0].best for row in with_best(rows, 0)] == [True, False, False]
    with pytest.raises(ValueError, match="2 cells in a row of 1 columns"):
        Table("t", (words("a", "a"),), (Row("a", (Cell("1"),)),))


@pytest.mark.parametrize(
    ("write", "texts"),
    [
        (ranked.signed, {-38.21: "−38.2", 1234.5: "+1,234", 0.04: "0.0", -0.04: "0.0", 99.96: "+100"}),
        (ranked.share, {1.0: "100", 0.9997: "99.9", 0.5: "50", 0.0001: "0.1", 0.0: "0"}),
    ],
    ids=["differences have their sign", "shares are whole only where they are"],
)
def test_percentages(write, texts: dict[float, str]) -> None:
    assert {value: write(value) for value in texts} == {value: f"{text}{SPACE}%" for value, text in texts.items()}


def test_bars_are_one_block_a_bin() -> None:
    found = ranked.bars([0] * 23 + [1, 8] + [0] * 23)
    assert len(found) == 25
    assert found.count("█") == 1
    assert ranked.bars([0] * 48) == ""


# ---- in a browser ---------------------------------------------------------------------------------------------------


def test_a_click_on_an_image_opens_the_image_browser_there(open_page: Opened, varied: Path) -> None:
    page = open_page(varied)
    page.locator("#rankings summary", has_text="Image by image").first.click()
    button = page.locator("#rankings button.jump").first
    detail = json.loads(button.get_attribute("data-jump"))
    button.click()
    page.wait_for_function("() => location.hash.startsWith('#look')")
    shown = page.locator("#look").inner_text()
    assert all(f"{detail[name]}" in shown for name in ("image", "a", "b"))
