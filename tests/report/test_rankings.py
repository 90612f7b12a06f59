"""The tables of a report: numbers that are known, best values marked, signs explained, odd runs told."""

from __future__ import annotations

import functools
import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest
from pages import Opened, context, made, row, texts
from runs import METRIC, MadeUpRun

from codecbench.analysis import bd_rate
from codecbench.report import image_by_image, ranked, rankings
from codecbench.report.context import Context
from codecbench.report.tables import Table

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


@functools.cache
def tables(drawn: Context) -> tuple[Table, ...]:
    return tuple(rankings.ranking(drawn, "data").tables)


def sheet(drawn: Context, title: str) -> Table:
    (found,) = [one for one in tables(drawn) if one.title.startswith(title)]
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
    kinds = [(quality, rate) for quality in ("psnr_db", "ssim") for rate in ("whole", "payload")]
    for place, (quality, rate) in enumerate(kinds):
        table = bd_rate.table(drawn.of("data"), "jpeg", quality=quality, rate=rate)
        for codec, value in table.set_index("codec")["bd_rate_percent"].items():
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
    assert texts(one, "tenth") == [text for size in ("180", "360", "720") for text in (size, f"−10.0{SPACE}%")]
    assert texts(one, "jpeg")[1::2] == ["anchor"] * 3
    assert row(one, "tenth").cells[0].best
    assert any("`single` (one point, at 32.0 dB)" in line for line in one.lacking)
    single = row(sheet(drawn, "BD-rate"), "single").cells
    assert single[0].value == pytest.approx(100 * (100 / (200 * 2**0.4) - 1))
    assert single[0].hint == "one point: matched at 32.0 dB"


def test_the_overview_has_every_codec(drawn: Context) -> None:
    one = sheet(drawn, "Overview")
    assert {row.head for row in one.rows} == {"jpeg", "tenth", "more", "exact", "single", "net"}
    at = column(one, "bpp at 30 dB")
    assert row(one, "tenth").cells[at].value == pytest.approx(180 * 8 / 256)
    assert row(one, "tenth").cells[at].best
    exact = row(one, "exact").cells
    lossless = exact[column(one, "bpp lossless")]
    assert lossless.value == pytest.approx(900 * 8 / 256)
    assert not lossless.best, "one alone is not marked"
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


def test_buttons_carry_their_detail_as_json_and_do_not_stand_in_markdown(drawn: Context) -> None:
    section = rankings.section(drawn)
    found = re.findall(r'data-jump="([^"]*)"', section.html)
    details = [json.loads(text.replace("&#34;", '"')) for text in found]
    assert {("data", "tenth", "jpeg")} < {(detail["dataset"], detail["a"], detail["b"]) for detail in details}
    assert all(detail["image"] in (0, 1) for detail in details)
    assert "| Smaller on | Loses most on |\n" in section.markdown
    assert "#### Rate against time, lossless" not in section.markdown, "one lossless codec is on no front"


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
    codecs |= {"far": {50: 1000, 60: 2000}}
    one = sheet(context(made(tmp_path, codecs)), "BD-rate")
    assert row(one, "sliver").cells[0].value < row(one, "tenth").cells[0].value
    assert not row(one, "sliver").cells[0].best
    assert row(one, "tenth").cells[0].best
    assert any("`far` (0 % overlap)" in line for line in one.lacking)


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


def test_whole_sets_stand_apart() -> None:
    record = {"dataset": "data", "images": 8, "bits_per_image": 800.0, "encode_s": 1.0, "decode_s": 0.5, "status": ""}
    record |= {"settings": "level=9"}
    lzma = record | {"codec": "lzma", "set_bytes": 800.0, "bits_per_pixel": 3.1}
    bz2 = record | {"codec": "bz2", "set_bytes": 700.0, "bits_per_pixel": 2.7}
    one = ranked.sets_table(pd.DataFrame([lzma, bz2]))
    assert [row.head for row in one.rows] == ["bz2", "lzma"]
    assert one.rows[0].cells[4].best
    assert "none of these figures compares with those of single images" in one.about


def test_differences_have_their_sign_and_shares_are_whole_only_where_they_are() -> None:
    written = [ranked.signed(value) for value in (-38.21, 1234.5, 0.04, -0.04, 99.96)]
    assert written == [f"{text}{SPACE}%" for text in ("−38.2", "+1,234", "0.0", "0.0", "+100")]
    written = [image_by_image.share(value) for value in (1.0, 0.9997, 0.5, 0.0001, 0.0)]
    assert written == [f"{text}{SPACE}%" for text in ("100", "99.9", "50", "0.1", "0")]


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
