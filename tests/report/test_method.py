"""How it was measured: what the page says of machine, metrics, headers, and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import METRIC, MadeUpRun, usual_run

from codecbench.report import markup, method
from codecbench.report.context import Context
from codecbench.report.tables import Table


def context(run: MadeUpRun) -> Context:
    return Context(run.store, run.store.path / "drawn")


def cells(sheet: Table, head: str) -> list[str]:
    (row,) = [row for row in sheet.rows if row.head == head]
    return [cell.text for cell in row.cells]


def test_the_page_tells_the_command_the_machine_and_what_failed(tmp_path: Path) -> None:
    run = usual_run(tmp_path)
    run.failure("mnist", "lossy", "ValueError: <b>no</b>", {"quality": 3})
    drawn = context(run)
    section = method.section(drawn)
    assert section is not None
    for fact in ("codecbench run --codecs all", "Test CPU", "print-lossy", "pixels of stl10", "0123456789ab"):
        assert fact in section.html
    assert "ValueError: &lt;b&gt;no&lt;/b&gt;" in section.html
    text = section.markdown
    assert "`codecbench run --codecs all`" in text
    assert "ValueError: &lt;b>no&lt;/b>" in text


def test_signs_are_explained_where_they_occur(tmp_path: Path) -> None:
    told = " ".join(method.reading(context(usual_run(tmp_path / "usual"))))
    assert "**†**" in told
    assert "**~**" in told
    assert "**‡**" not in told
    plain = MadeUpRun(tmp_path / "plain", {"data": (8, 8, 1)}, ["lossy"])
    plain.point("data", "lossy", {"quality": 1})
    assert "**" not in " ".join(method.reading(context(plain))[3:])


def test_plugin_metrics_stand_with_what_they_exactly_are(tmp_path: Path) -> None:
    record = METRIC | {"description": "likeness of | things", "variants": {"data": "two scales"}}
    run = MadeUpRun(tmp_path, {"data": (8, 8, 1)}, ["lossy"], metrics={"like": record})
    run.point("data", "lossy", {"quality": 1})
    sheet = method.metrics(run.store.manifest, context(run).points)
    assert cells(sheet, "like")[:2] == ["Likeness", "likeness of | things (on data: two scales)"]
    assert "| like | Likeness | likeness of \\| things (on data: two scales) |" in sheet.markdown()
    assert {row.head for row in sheet.rows} >= {"psnr_db", "ssim", "mse"}


def test_headers_are_told_at_the_point_near_the_usual_quality(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": (8, 8, 1)}, ["jpeg", "silent"])
    for quality, mse, size, header in ((1, 1e-2, 100, 40), (2, 1e-3, 200, 50), (3, 1e-4, 400, 60)):
        run.point("data", "jpeg", {"quality": quality}, num_bytes=size, mse=mse, container_bytes=header)
    run.point("data", "silent", {"quality": 1})
    sheet = method.headers(context(run))
    assert sheet is not None
    found = cells(sheet, "jpeg")
    assert found[2:] == ["50.0", "200", "25\N{NO-BREAK SPACE}%", "40.0", "60.0"]
    assert sheet.lacking == ("Unknown for `silent`: only the size of whole files is known.",)


def test_without_headers_and_times_the_page_says_less(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": (8, 8, 1)}, ["lossy"])
    run.point("data", "lossy", {"quality": 1})
    drawn = context(run)
    assert method.headers(drawn) is None
    assert "No times were taken." in method.measuring(drawn.points)


def test_a_run_that_measured_nothing_has_this_section(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": (8, 8, 1)}, absent=[], codecs=["lossy"])
    assert method.section(context(run)) is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", "a\\|b"),
        ("*x* _y_ lossy_ae", "\\*x\\* \\_y\\_ lossy_ae"),
        ("[l](u) `c`", "\\[l\\](u) \\`c\\`"),
        ("<b>&amp;", "&lt;b>&amp;amp;"),
        ("two\nlines\t", "two lines"),
        ("@all", "&#64;all"),
        ("back\\slash", "back\\\\slash"),
    ],
)
def test_texts_are_escaped_for_markdown(text: str, expected: str) -> None:
    assert markup.markdown(text) == expected


def test_sentences_keep_their_code_and_their_strong_words() -> None:
    sentence = "**Take `a|b`** at <30> dB, a*b"
    assert markup.prose_markdown(sentence) == "**Take `a\\|b`** at &lt;30> dB, a\\*b"
    assert str(markup.prose(sentence)) == "<strong>Take <code>a|b</code></strong> at &lt;30&gt; dB, a*b"
