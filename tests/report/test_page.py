"""The page as a whole, in a real browser: tables, theme, keyboard, phone, texts from plugins."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from pages import DESKTOP, NASTY, PHONE, Opened, large_run, open_details, quick_report, varied_run, wait_until_ready
from playwright.sync_api import Page
from runs import MadeUpRun

from codecbench.errors import UsageError
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


def test_what_has_no_number_stays_behind_both_ways(open_page: Opened, varied: Path) -> None:
    page = open_page(varied)
    order = page.evaluate("""() => {
      const table = document.createElement("table");
      table.innerHTML = "<thead><tr><th scope=col>A</th></tr></thead><tbody>" +
        ["9", null, "10", "-1"].map((v) => `<tr><td>${v === null ? "–" : `<data value="${v}">~</data>`}</td></tr>`)
          .join("") + "</tbody>";
      document.getElementById("main").append(table);
      codecbench.enhance(table);
      const seen = [];
      for (let click = 0; click < 2; click += 1) {
        table.querySelector("button").click();
        seen.push([...table.tBodies[0].rows].map((row) => (row.querySelector("data") || {value: "–"}).value));
      }
      return seen;
    }""")
    assert order == [["-1", "9", "10", "–"], ["10", "9", "-1", "–"]]


def test_long_tables_are_made_when_somebody_opens_them(varied: Path, open_page: Opened) -> None:
    page = open_page(varied)
    table = page.get_by_label("All points of jpeg", exact=True).first.locator("table")
    assert table.count() == 0
    page.locator("#rankings summary", has_text="All points").first.click()
    page.locator("#rankings details details summary", has_text="jpeg").first.click()
    table.wait_for()
    assert table.locator("button.sorter").count() > 10, "it sorts as all tables do"


def test_the_filter_hides_rows_and_counts_them(varied: Path, open_page: Opened) -> None:
    page = open_page(varied)
    open_details(page)
    frame = page.get_by_label("All points of jpeg", exact=True).first
    tools = frame.locator("xpath=following-sibling::div[1]")
    field = tools.get_by_role("searchbox")
    field.fill("4:4:4 QUALITY=50")
    shown = frame.locator("tbody tr:not([hidden]) th")
    assert shown.all_inner_texts() == ["quality=50,subsampling=4:4:4"]
    assert tools.locator(".hits").inner_text() == "1 of 6"
    field.fill("")
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
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.startsWith('| Codec |'))")
    lines = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert set(lines[1]) <= set("|:- ")
    assert len(lines) == 2 + len(rows)
    assert len({line.count("|") for line in lines}) == 1


def test_a_browser_that_refuses_the_clipboard_shows_the_text(varied: Path, open_page: Opened) -> None:
    page = open_page(varied)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    tools = page.locator(SPEED).first.locator("xpath=ancestor::div[1]/following-sibling::div[1]")
    tools.get_by_role("button", name="Copy as CSV").click()
    area = page.get_by_label("Text to copy")
    assert area.input_value().startswith("Codec,Settings,")
    assert page.evaluate("document.activeElement.value.length") == len(area.input_value())


def test_dark_and_light_follow_the_system_and_the_button(varied: Path, open_page: Opened) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = "document.querySelector('#curves .xtick text').style.fill"
    page = open_page(varied, "#curves", color_scheme="dark")
    page.wait_for_selector("#curves .xtick")
    dark, dark_ink = page.evaluate(paper), page.evaluate(ink)
    page.get_by_role("button", name="Light colours").click()
    assert page.evaluate(paper) != dark
    page.wait_for_function(f"{ink} !== {dark_ink!r}")
    page.reload()
    wait_until_ready(page)
    assert page.evaluate(paper) != dark, "the choice is kept"
    assert page.get_by_role("button", name="Dark colours").is_visible()
    fresh = open_page(varied, color_scheme="light")
    assert fresh.evaluate(paper) != dark


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_nothing_is_wider_than_the_screen(varied: Path, open_page: Opened, viewport: dict[str, int]) -> None:
    page = open_page(varied, viewport=viewport)
    open_details(page)
    for section in page.locator("main > section").all():
        section.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    small = page.evaluate("""() => [...document.querySelectorAll("button, select, input, a")]
      .filter((node) => node.offsetParent && node.getBoundingClientRect().right > innerWidth + 1
        && !node.closest(".scroll, nav, .plot")).map((node) => node.outerHTML.slice(0, 90))""")
    assert small == []


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


def test_texts_of_plugins_and_folders_are_texts(tmp_path: Path, open_page: Opened) -> None:
    label = f"folder:/{NASTY}"
    run = MadeUpRun(tmp_path, {label: (16, 16, 1)}, ["a", "b"], {"c": (NASTY,)}, notes=[NASTY])
    for codec in ("a", "b", "c"):
        run.store.manifest["codecs"][codec]["about"] = NASTY
        for quality in (1, 2, 3):
            settings = {"quality": quality, "text": NASTY}
            run.point(label, codec, settings, num_bytes=40 * quality, mse=0.01 / quality, encode_s=(1e-3,) * 5)
    run.failure(label, "b", NASTY, {"quality": 9})
    page = open_page(quick_report(run))
    for anchor in ("curves", "speed"):
        page.locator(f"#{anchor} .plot").first.scroll_into_view_if_needed()
        page.wait_for_selector(f"#{anchor} .plot .xtick")
    page.locator("#curves .plot .point").first.hover(force=True)
    assert page.evaluate("document.querySelectorAll('[onerror]').length") == 0
    assert page.locator("#curves .field, #curves .said, h3").get_by_text(NASTY).count() >= 1


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


def odd_runs(path: Path) -> dict[str, MadeUpRun]:
    """Runs that lack something, by what they lack."""
    shape = {"a": (16, 16, 1)}
    runs = {
        name: MadeUpRun(path / name, shape, ["c", "d"]) for name in ("failed", "image", "codec", "lossless", "apart")
    }
    runs["failed"].failure("a", "c", "it broke")
    runs["image"].point("a", "c", {"q": 1}, indices=[0])
    for q in (1, 2):
        runs["codec"].point("a", "c", {"q": q}, num_bytes=q, mse=0.01 / q, encode_s=(1e-3,) * 5)
        runs["apart"].point("a", "c", {"q": q}, num_bytes=q, mse=0.05 / q, encode_s=(1e-3,) * 5)
        runs["apart"].point("a", "d", {"q": q}, num_bytes=9 * q, mse=1e-6 / q, encode_s=(1e-3,) * 5)
    runs["lossless"].point("a", "c", mse=0.0, lossless=True, encode_s=(1e-3,) * 5)
    runs["nothing"] = MadeUpRun(path / "nothing", shape, ["c"], absent=["c"])
    return runs


SAID = {
    "failed": "No codec has a result on this data yet",
    "nothing": "No codec has a result on this data yet",
    "image": "no times were measured here",
    "lossless": "Every codec here restores every pixel",
    "codec": "All points",
    "apart": "All points",
}


@pytest.mark.slow
def test_odd_runs_have_a_page_that_says_what_is_not_there(tmp_path: Path, open_page: Opened) -> None:
    runs = odd_runs(tmp_path)
    assert set(runs) == set(SAID)
    for name, run in runs.items():
        page = open_page(quick_report(run))
        for plot in page.locator(".plot").all():
            plot.scroll_into_view_if_needed()
        assert SAID[name] in page.locator("main").inner_text(), name


def test_written_elsewhere_the_run_stays_as_it_was(tmp_path: Path) -> None:
    run = varied_run(tmp_path / "run")
    before = sorted(file.relative_to(tmp_path) for file in tmp_path.rglob("*"))
    assert quick_report(run, out=tmp_path / "out") == tmp_path / "out" / "report.html"
    assert sorted(file.relative_to(tmp_path) for file in (tmp_path / "run").rglob("*")) == before[1:]
    assert (tmp_path / "out" / "summary.csv").is_file()
    with pytest.raises(UsageError, match="no codec 'jpg' in this run to compare with; it has: jpeg, net, none, png"):
        quick_report(run, anchor="jpg")


@pytest.mark.slow
def test_the_page_of_thirty_codecs_stays_small(tmp_path: Path) -> None:
    html = quick_report(large_run(tmp_path)).read_text(encoding="utf-8")
    figures = html.count("<figure>") * MOST_STATIC_BYTES * 4 / 3  # stubs here, at most as large in a real page
    assert len(html.encode()) + figures < 12_000_000
    assert html.count(assembler.plotly_bundle()[:60]) == 1


def test_thirty_codecs_look_different_and_are_seen_on_both_papers() -> None:
    from codecbench.figures.style import CODEC_STYLES, codec_styles

    names = [*CODEC_STYLES, *(f"plugin_{number}" for number in range(30))][:30]
    for codecs in (names, [f"other_{number}" for number in range(30)]):
        styles = codec_styles(codecs)
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
