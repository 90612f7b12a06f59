"""How it was measured: what the page says of machine, metrics, headers, and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import context, made, texts
from runs import METRIC, MadeUpRun

from codecbench.report import markup, method
from codecbench.report.context import Context
from codecbench.store.folder import RunFolder


def test_signs_are_explained_where_they_occur(usual_folder: Path, tmp_path: Path) -> None:
    told = " ".join(method.reading(Context(RunFolder.existing(usual_folder), tmp_path)))
    assert "**†**" in told
    assert "**~**" in told
    assert "**‡**" not in told
    assert "**" not in " ".join(method.reading(context(made(tmp_path, {"lossy": {30: 100}})))[3:])


def test_plugin_metrics_stand_with_what_they_exactly_are(tmp_path: Path) -> None:
    record = METRIC | {"description": "likeness of | things", "variants": {"data": "two scales"}}
    run = MadeUpRun(tmp_path, {"data": (8, 8, 1)}, ["lossy"], metrics={"like": record})
    run.point("data", "lossy", {"quality": 1})
    sheet = method.metrics(run.store.manifest, context(run).points)
    assert texts(sheet, "like")[:2] == ["Likeness", "likeness of | things (on data: two scales)"]
    assert "| like | Likeness | likeness of \\| things (on data: two scales) |" in sheet.markdown()
    assert {row.head for row in sheet.rows} >= {"psnr_db", "ssim", "mse"}


def test_headers_are_told_at_the_point_near_the_usual_quality(tmp_path: Path) -> None:
    run = made(tmp_path, {"jpeg": {}, "silent": {30: 100}, "net": {}}, {"net": ("other",)})
    run.curve("data", "net", {30: 100}, container_bytes=10)
    for db, size, header in ((20, 100, 40), (30, 200, 50), (40, 400, 60)):
        run.curve("data", "jpeg", {db: size}, container_bytes=header)
    (sheet,) = method.headers(context(run))
    assert texts(sheet, "jpeg")[2:] == ["50.0", "200", "25\N{NO-BREAK SPACE}%", "40.0", "60.0"]
    assert '<abbr title="trained on data of another kind">†</abbr>' in method.section(context(run)).html
    assert sheet.lacking == ("Unknown for `silent`: only the size of whole files is known.",)


def test_without_headers_times_and_results_the_page_says_less(tmp_path: Path) -> None:
    drawn = context(made(tmp_path / "measured", {"lossy": {30: 100}}))
    assert method.headers(drawn) == []
    assert "No times were taken." in method.measuring(drawn.points)
    assert method.section(context(made(tmp_path, {"lossy": {}}))) is not None


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
