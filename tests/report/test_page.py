"""The page as a whole, in a real browser: tables, theme, keyboard, phone, texts from plugins."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from pages import (
    DESKTOP,
    PHONE,
    Opened,
    draw_plots,
    large_run,
    open_details,
    quick_report,
    wait_until_ready,
)
from playwright.sync_api import Page
from processes import wait_until

from codecbench.figures import style as palette
from codecbench.report import page as assembler
from codecbench.report.context import MOST_STATIC_BYTES

SPEED = "table.speed.sortable"


def first_cells(page: Page, table: str = SPEED) -> list[str]:
    rows = page.locator(table).first.locator("tbody tr:not([hidden]) th")
    return [text.rstrip("†‡ ") for text in rows.all_inner_texts()]


def test_sorting_goes_up_and_down_and_back_to_the_order_of_the_page(varied: Path, open_page: Opened) -> None:
    page = open_page(varied)
    table = page.locator(SPEED).first
    as_written = first_cells(page)
    head = table.locator("thead tr").last.locator("th", has_text="decode").first
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"

    def numbers() -> list[float]:
        cells = table.locator("tbody tr td:nth-child(5) data").evaluate_all("cells => cells.map(c => c.value)")
        return [float(value) for value in cells]

    assert numbers() == sorted(numbers())
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert numbers() == sorted(numbers(), reverse=True)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") is None
    assert first_cells(page) == as_written
    table.locator("thead th", has_text="Codec").get_by_role("button").click()
    assert first_cells(page) == sorted(as_written)
    overview = page.locator("table[data-name=Overview]").first
    lossless = overview.locator("thead th", has_text="bpp lossless")
    place = lossless.evaluate("cell => cell.cellIndex + 1")
    for order in ("ascending", "descending"):
        lossless.get_by_role("button").click()
        assert lossless.get_attribute("aria-sort") == order
        absent = [text == "–" for text in overview.locator(f"tbody td:nth-child({place})").all_inner_texts()]
        assert {*absent} == {False, True}
        assert absent == sorted(absent), "what has no number stays behind both ways"


def test_long_tables_are_made_when_somebody_opens_them_and_can_be_filtered(varied: Path, open_page: Opened) -> None:
    page = open_page(varied)
    frame = page.get_by_label("All points of jpeg", exact=True).first
    table = frame.locator("table")
    assert table.count() == 0
    page.locator("#rankings summary", has_text="All points").first.click()
    page.locator("#rankings details details summary", has_text="jpeg").first.click()
    table.wait_for()
    assert table.locator("button.sorter").count() > 10, "it sorts as all tables do"
    tools = frame.locator("xpath=following-sibling::div[1]")
    tools.get_by_role("searchbox").fill("4:4:4 QUALITY=50")
    shown = frame.locator("tbody tr:not([hidden]) th")
    assert shown.all_inner_texts() == ["quality=50,subsampling=4:4:4"]
    assert tools.locator(".hits").inner_text() == "1 of 6"
    tools.get_by_role("searchbox").fill("")
    assert shown.count() == 6


def test_tables_are_copied_as_csv_and_markdown(varied: Path, open_page: Opened) -> None:
    page = open_page(varied)
    tools = page.locator(SPEED).first.locator("xpath=ancestor::div[1]/following-sibling::div[1]")
    tools.get_by_role("button", name="Copy as CSV").click()
    page.get_by_role("status").get_by_text("Copied").wait_for()
    rows = list(csv.DictReader(io.StringIO(page.evaluate("navigator.clipboard.readText()"))))
    assert [row["Codec"] for row in rows] == first_cells(page)
    (jpeg,) = [row for row in rows if row["Codec"] == "jpeg"]
    assert float(jpeg["One image encode"] or 0) >= 0
    assert float(jpeg["Images / s encode"]) == pytest.approx(1000.0)
    tools.get_by_role("button", name="Copy as Markdown").click()
    page.wait_for_function("() => navigator.clipboard.readText().then((text) => text.startsWith('| Codec |'))")
    lines = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert set(lines[1]) <= set("|:- ")
    assert len(lines) == 2 + len(rows)
    assert len({line.count("|") for line in lines}) == 1
    # A browser that refuses the clipboard shows the text, selected.
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    tools.get_by_role("button", name="Copy as CSV").click()
    area = page.get_by_label("Text to copy")
    assert area.input_value().startswith("Codec,Settings,")
    assert page.evaluate("document.activeElement.value.length") == len(area.input_value())


def test_dark_and_light_follow_the_system_and_the_button(varied: Path, open_page: Opened) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = "document.querySelector('#curves .xtick text')?.style.fill"
    page = open_page(varied, "#curves", color_scheme="light")
    page.wait_for_selector("#curves .xtick")
    light, light_ink = page.evaluate(paper), page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"() => ![undefined, {light_ink!r}].includes({ink})")
    assert page.evaluate(paper) != light
    page.get_by_role("button", name="Light colours").click()
    page.wait_for_function(f"() => {ink} === {light_ink!r}")
    assert page.evaluate(paper) == light

    def is_kept() -> bool:
        page.reload()
        wait_until_ready(page)
        return page.evaluate(paper) == light

    wait_until(is_kept)  # Chromium hands what was stored to the page's next process in its own time
    assert page.get_by_role("button", name="Dark colours").is_visible()


def test_nothing_is_wider_than_the_screen(varied: Path, open_page: Opened) -> None:
    page = open_page(varied, viewport=PHONE)
    open_details(page)
    draw_plots(page)
    for viewport in (PHONE, DESKTOP):
        page.set_viewport_size(viewport)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        outside = page.evaluate("""() => [...document.querySelectorAll("button, select, input, a")]
          .filter((node) => node.offsetParent && node.getBoundingClientRect().right > innerWidth + 1
            && !node.closest(".scroll, nav, .plot")).map((node) => node.outerHTML.slice(0, 90))""")
        assert outside == []


def test_the_keyboard_reaches_everything_and_shows_where_it_is(varied: Path, open_page: Opened) -> None:
    page = open_page(varied)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    bare = page.evaluate("""() => [...document.querySelectorAll("main button, main select, main input")]
      .filter((node) => !(node.textContent.trim() || node.getAttribute("aria-label") || node.labels?.length))
      .map((node) => node.outerHTML.slice(0, 90))""")
    assert bare == [], "every control has a name"
    choice = page.locator("#curves .choice button").nth(1)
    choice.focus()
    page.keyboard.press("Space")
    assert choice.get_attribute("aria-pressed") == "true"
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_json_for_scripts_is_compact_and_harmless() -> None:
    text = str(assembler.embedded({"a": [1 / 3, 2.0, float("nan"), 1e-12, True, None, "</script><!-- \u2028 &"]}))
    assert text == '{"a":[0.333333,2,null,1e-12,true,null,"\\u003c/script\\u003e\\u003c!-- \\u2028 \\u0026"]}'
    assert json.loads(text)["a"][-1] == "</script><!-- \u2028 &"
    with pytest.raises(TypeError, match="plain JSON, not set"):
        assembler.embedded({1, 2})


def test_without_scripts_tables_and_figures_remain(varied: Path, open_page: Opened) -> None:
    page = open_page(varied, java_script_enabled=False)
    assert page.locator("#curves noscript img, #curves figure img").first.is_visible()
    assert page.locator(SPEED).first.is_visible()
    assert page.locator("#theme").is_hidden()
    assert page.locator(".plotting").is_hidden()


def test_before_printing_everything_is_drawn(varied: Path, open_page: Opened) -> None:
    page = open_page(varied, viewport=PHONE)
    assert page.locator("#speed .xtick").count() == 0
    assert page.evaluate("window.Plotly === undefined"), "it comes with the first plot that is seen"
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_selector("#speed .xtick", state="attached")
    page.emulate_media(media="print")
    assert page.locator(".bar").is_hidden()


@pytest.mark.slow
def test_the_page_of_thirty_codecs_stays_small(tmp_path: Path) -> None:
    html = quick_report(large_run(tmp_path)).read_text(encoding="utf-8")
    figures = html.count("<figure>") * MOST_STATIC_BYTES * 4 / 3  # stubs here, at most as large in a real page
    assert len(html.encode()) + figures < 12_000_000
    assert html.count(assembler.plotly_bundle()[:60]) == 1


def test_thirty_codecs_look_different_and_are_seen_on_both_papers() -> None:
    names = [*palette.CODEC_STYLES, *(f"plugin_{number}" for number in range(30))][:30]
    for codecs in (names, [f"other_{number}" for number in range(30)]):
        styles = palette.codec_styles(codecs)
        assert len({(style.color, style.marker) for style in styles.values()}) == 30
        for style in styles.values():
            assert style.marker in palette.SYMBOLS
            for theme, paper in palette.PAPER.items():
                seen = palette.on_paper(style.color, theme)
                assert palette.contrast(seen, paper) >= palette.LEAST_CONTRAST[theme]


def test_contrast_is_that_of_the_guidelines() -> None:
    assert palette.contrast("#ffffff", "#000000") == pytest.approx(21.0)
    assert palette.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert palette.mixed("#000000", "#ffffff", 0.5) == "#808080"
