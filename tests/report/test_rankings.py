"""The tables of a report: numbers that are known, best values marked, signs explained, odd runs told."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from runs import METRIC, MadeUpRun, usual_run

from codecbench.analysis import bd_rate
from codecbench.analysis.per_image import contrasts
from codecbench.report import ranked, rankings
from codecbench.report.context import Context
from codecbench.report.tables import Cell, Column, Row, Table, number, with_best

SHAPE = (16, 16, 1)
SPACE = "\N{NO-BREAK SPACE}"


def context(run: MadeUpRun, anchor: str | None = None) -> Context:
    return Context(run.store, run.store.path / "drawn", anchor)


def curve(run: MadeUpRun, codec: str, factor: float, header: float = math.nan) -> None:
    """Four points at 25, 30, 35 and 40 dB, of 100, 200, 400 and 800 bytes times a factor."""
    for number_, db in enumerate((25.0, 30.0, 35.0, 40.0)):
        size = round(100 * 2**number_ * factor)
        run.point("data", codec, {"quality": number_}, num_bytes=size, mse=10 ** (-db / 10), container_bytes=header)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """jpeg, one that needs a tenth less, one lossless, one of a single point, one trained elsewhere."""
    path = tmp_path_factory.mktemp("ranked")
    run = MadeUpRun(path, {"data": SHAPE}, ["jpeg", "tenth", "more", "exact", "single"], {"net": ("other",)})
    curve(run, "jpeg", 1.0, 50)
    curve(run, "tenth", 0.9, 0)
    curve(run, "more", 1.2)
    curve(run, "net", 0.1, 0)
    run.point("data", "exact", num_bytes=900, mse=0.0, lossless=True, encode_s=(1e-3,) * 5)
    run.point("data", "single", num_bytes=100, mse=10**-3.2)
    return context(run)


def sheet(drawn: Context, title: str) -> Table:
    (found,) = [one for one in rankings.ranking(drawn, "data").tables if one.title.startswith(title)]
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
    for place, (quality, rate) in enumerate(
        (quality, rate) for quality in ("psnr_db", "ssim") for rate in ("whole", "payload")
    ):
        table = bd_rate.table(drawn.of("data"), "jpeg", quality=quality, rate=rate)
        for codec, value in table[~table["single"]].set_index("codec")["bd_rate_percent"].items():
            if codec in ("tenth", "net") and not math.isnan(value):
                assert row(one, codec).cells[place].value == pytest.approx(value)


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


def test_a_single_point_is_matched_at_its_quality(drawn: Context) -> None:
    one = sheet(drawn, "Single points")
    cells = row(one, "single").cells
    assert cells[0].text == "32.0"
    assert cells[1].value == pytest.approx(100 * (100 / (200 * 2**0.4) - 1))


def test_the_overview_has_every_codec(drawn: Context) -> None:
    one = sheet(drawn, "Overview")
    assert {row.head for row in one.rows} == {"jpeg", "tenth", "more", "exact", "single", "net"}
    at = column(one, "bpp at 30 dB")
    assert row(one, "tenth").cells[at].value == pytest.approx(180 * 8 / 256)
    assert row(one, "tenth").cells[at].best
    assert row(one, "exact").cells[column(one, "bpp lossless")].value == pytest.approx(900 * 8 / 256)
    assert row(one, "exact").cells[column(one, "PSNR dB")].text == "exact"
    assert row(one, "exact").cells[column(one, "Encode")].text == "1 ms"


def test_images_are_compared_one_by_one(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": SHAPE}, ["jpeg", "other"])
    for quality, db, size in ((1, 25.0, 100), (2, 35.0, 200)):
        run.point("data", "jpeg", {"quality": quality}, num_bytes=size, mse=10 ** (-db / 10))
        sizes = [size * (2 if image == 1 else 1) // 2 * 2 - size // 10 * (image != 1) for image in range(8)]
        run.point("data", "other", {"quality": quality}, num_bytes=sizes, mse=10 ** (-db / 10))
    one = sheet(context(run), "Image by image")
    cells = row(one, "other").cells
    assert cells[0].value == 8
    assert cells[column(one, "Smaller on")].value == pytest.approx(7 / 8)
    assert cells[column(one, "Loses most on")].text == f"1 (+100{SPACE}%)"
    assert cells[column(one, "Look")].jump == {"dataset": "data", "image": 1, "a": "other", "b": "jpeg"}
    assert "│" in cells[column(one, "Spread")].text


def test_buttons_carry_their_detail_as_json(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": SHAPE}, ["jpeg", "tenth"])
    curve(run, "jpeg", 1.0)
    curve(run, "tenth", 0.9)
    section = rankings.section(context(run))
    assert section is not None
    (found,) = set(re.findall(r'data-jump="([^"]*)"', section.html))
    detail = json.loads(found.replace("&#34;", '"'))
    assert (detail["dataset"], detail["a"], detail["b"]) == ("data", "tenth", "jpeg")
    assert detail["image"] in (0, 1)


def test_other_metrics_have_a_table_of_their_own(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": SHAPE}, ["jpeg", "tenth"], metrics={"like_ssim": METRIC})
    for codec, factor in (("jpeg", 1.0), ("tenth", 0.9)):
        for number_, value in enumerate((0.5, 0.8, 0.95)):
            run.point(
                "data",
                codec,
                {"quality": number_},
                num_bytes=round(100 * 2**number_ * factor),
                mse=10 ** (-2.5 - number_ / 2),
                metrics={"like_ssim": value},
            )
    one = sheet(context(run), "BD-rate on other measures")
    assert not one.open
    assert row(one, "tenth").cells[0].value == pytest.approx(-10.0, abs=0.01)


def test_text_of_plugins_is_escaped(tmp_path: Path) -> None:
    label = "folder:/x/<script>alert(1)</script>|"
    run = MadeUpRun(tmp_path, {label: SHAPE}, ["jpeg", "other"])
    for codec in ("jpeg", "other"):
        run.point(label, codec, {"text": '"><b>|'}, mse=1e-3)
        run.point(label, codec, {"text": "a"}, mse=1e-2, num_bytes=10)
    drawn = context(run)
    section = rankings.section(drawn)
    assert section is not None
    assert "<script>" not in section.html
    assert '"><b>' not in section.html
    text = rankings.section(drawn).markdown
    assert "<script>" not in text
    for line in (line for line in text.splitlines() if line.startswith("| jpeg")):
        assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", _rule_of(text, line)))


def _rule_of(text: str, line: str) -> str:
    """The line of dashes of the table that a line is in."""
    before = text[: text.index(line)].splitlines()
    return next(found for found in reversed(before) if found.startswith("| :--"))


def test_an_anchor_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": SHAPE}, ["jpeg", "tenth"])
    curve(run, "jpeg", 1.0)
    curve(run, "tenth", 0.9)
    one = sheet(context(run, "tenth"), "BD-rate against tenth")
    assert row(one, "jpeg").cells[0].value == pytest.approx(100 / 0.9 - 100, abs=0.01)


# ---- odd runs -------------------------------------------------------------------------------------------------------


def lacking(run: MadeUpRun) -> list[str]:
    drawn = context(run)
    assert rankings.section(drawn) is not None
    assert "## Rankings" in rankings.section(drawn).markdown
    return rankings.ranking(drawn, "data").lacking


def test_one_codec_compares_with_nothing(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": SHAPE}, ["jpeg"])
    curve(run, "jpeg", 1.0)
    assert lacking(run) == ["Only one codec was measured here: there is nothing to compare it with."]


def test_failures_alone(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": SHAPE}, ["jpeg"])
    run.failure("data", "jpeg", "no")
    assert lacking(run) == ["Nothing was measured here yet: there is nothing to compare."]


def test_lossless_codecs_alone(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": SHAPE}, ["a", "b"])
    for codec in ("a", "b"):
        run.point("data", codec, mse=0.0, lossless=True)
    assert lacking(run) == ["Every codec here restores every pixel: there are no qualities to compare at."]


def test_a_mean_over_a_sliver_of_the_range_is_not_marked_as_the_best(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": SHAPE}, ["jpeg", "tenth", "more", "sliver"])
    for codec, factor in (("jpeg", 1.0), ("tenth", 0.9), ("more", 1.2)):
        curve(run, codec, factor)
    for quality, db in ((1, 26.0), (2, 29.0)):
        run.point("data", "sliver", {"quality": quality}, num_bytes=10 * quality, mse=10 ** (-db / 10))
    one = sheet(context(run), "BD-rate")
    assert row(one, "sliver").cells[0].value < row(one, "tenth").cells[0].value
    assert not row(one, "sliver").cells[0].best
    assert row(one, "tenth").cells[0].best


def test_all_columns_of_a_bd_rate_have_one_base(tmp_path: Path) -> None:
    """Of an anchor with two lines the better one on PSNR is the base of SSIM too, where the other would be better."""
    run = MadeUpRun(tmp_path, {"data": SHAPE}, ["jpeg", "tenth"])
    for chroma, size, far in (("4:2:0", 1.0, 1.0), ("4:4:4", 0.8, 4.0)):
        for quality, db in ((1, 25.0), (2, 30.0), (3, 35.0), (4, 40.0)):
            settings = {"quality": quality, "subsampling": chroma}
            mse = 10 ** (-db / 10)
            run.point("data", "jpeg", settings, num_bytes=round(size * 100 * quality), mse=mse, ssim=1 - far * mse)
    for quality, db in ((1, 25.0), (2, 30.0), (3, 35.0), (4, 40.0)):
        mse = 10 ** (-db / 10)
        run.point("data", "tenth", {"quality": quality}, num_bytes=90 * quality, mse=mse, ssim=1 - mse)
    one = sheet(context(run), "BD-rate")
    assert "the curve subsampling=4:4:4" in one.about
    other = row(one, "jpeg").cells
    assert other[0].value > 0 > other[column(one, "SSIM, whole files")].value, "both against 4:4:4"
    assert "(subsampling=4:4:4)" in one.columns[column(one, "SSIM, whole files") + 1].hint


def test_ranges_that_do_not_meet_say_so(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": SHAPE}, ["jpeg", "far"])
    curve(run, "jpeg", 1.0)
    for quality, db in ((1, 50.0), (2, 60.0)):
        run.point("data", "far", {"quality": quality}, num_bytes=1000 * quality, mse=10 ** (-db / 10))
    drawn = context(run)
    one = sheet(drawn, "BD-rate")
    assert one.rows == ()
    assert any("`far` (0 % overlap)" in line for line in one.lacking)


def test_one_image(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": SHAPE}, ["jpeg", "tenth"])
    for codec, size in (("jpeg", 100), ("tenth", 90)):
        for quality, db in ((1, 25.0), (2, 35.0)):
            run.point("data", codec, {"quality": quality}, num_bytes=size * quality, mse=10 ** (-db / 10), indices=[0])
    one = sheet(context(run), "BD-rate")
    assert row(one, "tenth").cells[0].text == f"−10.0{SPACE}%"  # no interval from one image


def test_the_usual_run_has_tables_for_every_dataset(tmp_path: Path) -> None:
    drawn = context(usual_run(tmp_path))
    text = rankings.section(drawn).markdown
    assert "### mnist" in text
    assert "### stl10" in text
    assert "#### Rate against time, lossless" not in text  # one lossless codec is on no front


# ---- whole sets -----------------------------------------------------------------------------------------------------


def test_whole_sets_stand_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"dataset": "data", "images": 8, "bits_per_image": 800.0, "encode_s": 1.0, "decode_s": 0.5, "status": ""}
    made = pd.DataFrame(
        [
            record | {"codec": "lzma", "settings": "level=9", "set_bytes": 800.0, "bits_per_pixel": 3.1},
            record | {"codec": "bz2", "settings": "level=9", "set_bytes": 700.0, "bits_per_pixel": 2.7},
        ]
    )
    monkeypatch.setattr("codecbench.analysis.sets.table", lambda store: made)
    one = rankings.sets_table(context(usual_run(tmp_path)))
    assert one is not None
    assert [row.head for row in one.rows] == ["bz2", "lzma"]
    assert one.rows[0].cells[4].best
    assert "none of these figures compares with those of single images" in one.about


# ---- cells ----------------------------------------------------------------------------------------------------------


def test_the_best_is_among_comparable_rows_and_never_alone() -> None:
    rows = [Row(name, (number(value, str),), mark=mark) for name, value, mark in (("a", 2.0, ""), ("b", 1.0, "†"))]
    assert not any(row.cells[0].best for row in with_best(rows, 0))
    rows.append(Row("c", (number(3.0, str),)))
    assert [row.cells[0].best for row in with_best(rows, 0)] == [True, False, False]
    assert [row.cells[0].best for row in with_best(rows, 0, lowest=False)] == [False, False, True]


def test_rows_and_columns_agree() -> None:
    with pytest.raises(ValueError, match="2 cells in a row of 1 columns"):
        Table("t", (Column("a"),), (Row("a", (Cell("1"),)),))


@pytest.mark.parametrize(
    ("value", "text"), [(-38.21, "−38.2"), (1234.5, "+1,234"), (0.04, "0.0"), (-0.04, "0.0"), (99.96, "+100")]
)
def test_percentages_have_their_sign(value: float, text: str) -> None:
    assert ranked.signed(value) == f"{text}{SPACE}%"


def test_bars_are_one_block_a_bin() -> None:
    found = ranked.bars([0] * 23 + [1, 8] + [0] * 23)
    assert len(found) == 25
    assert found.count("█") == 1
    assert ranked.bars([0] * 48) == ""


@pytest.mark.parametrize(("value", "text"), [(1.0, "100"), (0.9997, "99.9"), (0.5, "50"), (0.0001, "0.1"), (0.0, "0")])
def test_shares_are_whole_only_where_they_are(value: float, text: str) -> None:
    assert ranked.share(value) == f"{text}{SPACE}%"


def test_buttons_do_not_stand_in_markdown(drawn: Context) -> None:
    text = sheet(drawn, "Image by image").markdown()
    assert "Look" not in text
    assert "Loses most on" in text


def test_contrasts_name_every_image(drawn: Context) -> None:
    (tenth,) = [
        one for one in contrasts(drawn.store, drawn.of("data"), "data", "jpeg", count=1 << 62) if one.codec == "tenth"
    ]
    assert len(tenth.best) == 8


# ---- in a browser ---------------------------------------------------------------------------------------------------


def test_a_click_on_an_image_opens_the_image_browser_there(open_page: Callable[..., Any], varied: Path) -> None:
    page = open_page(varied)
    page.locator("#rankings summary", has_text="Image by image").first.click()
    button = page.locator("#rankings button.jump").first
    detail = json.loads(button.get_attribute("data-jump"))
    button.click()
    page.wait_for_function("location.hash.startsWith('#look')")
    shown = page.locator("#look").inner_text()
    assert f"{detail['image']}" in shown
    assert detail["a"] in shown
    assert detail["b"] in shown
