from __future__ import annotations

import base64
import csv
import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from pages import Opened, context, draw_plots, figures_as_stubs, quick_report
from runs import INVOCATION, MadeUpRun

from codecbench import figures
from codecbench.analysis import summary
from codecbench.cli.main import main
from codecbench.errors import StoreError
from codecbench.figures import style
from codecbench.report import markup, method, speed, write_report
from codecbench.report.context import STATIC, safe_name
from codecbench.report.page import plotly_bundle
from codecbench.store.folder import RunFolder
from codecbench.store.latents import Latents
from codecbench.store.manifest import Addition
from codecbench.text import format_memory, format_significant, format_span, format_ssim

TIMES = {"encode_s": (1e-3,) * 5}
VOID = {"meta", "img", "br", "link", "input", "hr", "wbr"}


class Page(HTMLParser):
    """Checks that tags nest, and collects them with their attributes, and texts with the tag that they are in."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[tuple[str, dict[str, Any]]] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.texts: list[tuple[str, dict[str, Any], str]] = []
        self.feed(html)
        self.close()
        assert not self.open
        attributes = [(name, value) for _, found in self.tags for name, value in found.items()]
        assert not [name for name, _ in attributes if name.startswith("on")]
        ids = [value for name, value in attributes if name == "id"]
        assert len(ids) == len(set(ids))
        self.loads = [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]
        self.values = [found["value"] for tag, found in self.tags if tag == "data"]
        texts = [data for tag, _, data in self.texts if tag not in ("script", "style")]
        self.text = " ".join(" ".join(texts).split())
        scripts = [(found, data) for tag, found, data in self.texts if tag == "script"]
        self.blocks = {found["id"]: data for found, data in scripts if found.get("type") == "application/json"}
        self.scripts = [data for found, data in scripts if found.get("id") not in self.blocks]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(self.tags[-1])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.append((*self.open[-1], data))


def page_of(run: MadeUpRun) -> Page:
    path = quick_report(run)
    assert path == run.store.path / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "summary.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def figures_in(folder: Path, pattern: str = "*") -> set[str]:
    return {file.name for file in (folder / "figures").glob(pattern)} - {"written.json"}


def small(path: Path, codecs: tuple[str, ...] = ("c",), **more: Any) -> MadeUpRun:
    """A run without points on one dataset, ``a``, of small grey images."""
    return MadeUpRun(path, {"a": (8, 8, 1)}, codecs, **more)


# ---- the usual run --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(drawn_folder: Path) -> Page:
    return Page((drawn_folder / "report.html").read_text(encoding="utf-8"))


def test_the_page_loads_nothing_and_runs_nothing_but_its_own(page: Page) -> None:
    assert page.loads
    assert all(link.startswith(("data:image/", "#")) for link in page.loads)
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "base", "form"}
    (policy,) = (found["content"] for _, found in page.tags if found.get("http-equiv") == "Content-Security-Policy")
    rules, _, allowed = policy.partition("; script-src ")
    assert rules == "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'"
    hashes = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts}
    assert {f"'sha256-{value}'" for value in hashes} == set(allowed.split())
    for file in STATIC.glob("*.css"):
        style = file.read_text(encoding="utf-8")
        assert "@import" not in style
        assert "url(" not in style
    assert {"codecbench-data", "curves-data", "speed-data"} <= set(page.blocks)
    for text in page.blocks.values():
        assert not set("<>&") & set(text)
        assert json.loads(text) is not None


def test_the_page_names_every_dataset_codec_and_where_it_comes_from(page: Page, drawn_folder: Path) -> None:
    manifest = RunFolder.existing(drawn_folder).manifest
    for name in [*manifest["datasets"], *manifest["codecs"], "net (trained on mnist)"]:
        assert name in page.text
    for fact in ("Test CPU", "0123456789ab", "codecbench run --codecs all", "print-lossy", "pixels of stl10", "†"):
        assert fact in page.text
    assert "`codecbench run --codecs all`" in (drawn_folder / "report.md").read_text(encoding="utf-8")


def test_numbers_on_the_page_are_those_of_the_summary(page: Page, drawn_folder: Path) -> None:
    read = pd.read_csv(drawn_folder / "summary.csv", keep_default_na=True)
    made = summary.summarise(RunFolder.existing(drawn_folder))
    assert list(read.columns) == list(made.columns)
    shown = {float(value) for value in page.values}
    assert not any(math.isnan(value) for value in shown)
    for column in ("bits_per_pixel", "bits_per_image", "compression_ratio", "mse", "psnr_db", "ssim", "encode_s"):
        pd.testing.assert_series_equal(read[column], made[column], check_exact=True)
        assert set(read[column].dropna()) <= shown


def test_drawn_again_every_file_is_the_same(drawn_folder: Path, copied: Callable[[Path], Path]) -> None:
    kinds = ("rate-distortion", "rate-ssim", "speed-encode", "speed-decode", "images")
    names = ["rate-distortion", *(f"{kind}-{label}" for kind in kinds for label in ("mnist", "stl10"))]
    again = copied(drawn_folder)
    shutil.rmtree(again / "figures")
    assert main(["report", str(again)]) == 0
    assert figures_in(again) == figures_in(drawn_folder) == {f"{n}.{kind}" for n in names for kind in ("svg", "png")}
    for name in ("report.html", "summary.csv", *(f"figures/{name}" for name in figures_in(again))):
        assert (again / name).read_bytes() == (drawn_folder / name).read_bytes(), name


def test_a_report_never_holds_all_rows(usual_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    tables = RunFolder.tables

    def counted(self: RunFolder, columns: list[str] | None = None) -> Any:
        reads.append(columns)
        return tables(self, columns)

    monkeypatch.setattr(RunFolder, "tables", counted)
    with figures_as_stubs():
        write_report(RunFolder.existing(usual_folder), out=tmp_path)
    assert 1 <= len(reads) <= 3, "a pass for the sums, one for the bootstrap, one for single images"
    assert None not in reads


# ---- texts, notes, machines -----------------------------------------------------------------------------------------


NASTY = "<img src=x onerror=alert(1)>\"&'</script>|*x*"
"""What no page may take for markup, wherever it stands."""


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with such texts in all places."""
    label = f"folder:/{NASTY}"
    notes = [f"give `--images <n>` {NASTY}"]
    path = tmp_path_factory.mktemp("nasty")
    run = MadeUpRun(path, {label: (16, 16, 1)}, ["a", "b", "single"], {"c": (NASTY,)}, notes=notes)
    for codec in ("a", "b", "c"):
        run.store.manifest["codecs"][codec]["about"] = f"As wide as ``latent`` says. {NASTY}"
        for quality in (1, 2, 3):
            settings = {"quality": quality, "text": NASTY}
            run.point(label, codec, settings, num_bytes=40 * quality, mse=0.01 / quality, **TIMES)
    run.point(label, "single", {"quality": 50, "chroma": "4:2:0"})
    run.failure(label, "b", f"ValueError: {NASTY}", {"quality": 9})
    return quick_report(run)


def test_texts_of_plugins_and_folders_are_escaped(nasty: Path) -> None:
    html = nasty.read_text(encoding="utf-8")
    page = Page(html)
    assert page.text.count(NASTY) >= 4
    assert f"ValueError: {NASTY}" in page.text
    assert "<img" not in "".join(page.blocks.values())
    assert all(link.startswith(("data:image/", "#")) for link in page.loads)
    assert all(re.fullmatch(r"[A-Za-z0-9._=-]+", name) for name in figures_in(nasty.parent))
    assert "As wide as <code>latent</code> says." in html
    assert "give <code>--images &lt;n&gt;</code>" in html
    assert "`" not in page.text
    assert "quality=50,<wbr>chroma=4:2:0" in html
    text = nasty.with_name("report.md").read_text(encoding="utf-8")
    assert "<img" not in text
    assert "### folder:/&lt;img src=x onerror=alert(1)>\"&amp;'&lt;/script>\\|\\*x\\*" in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) >= 4
    for lines in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1, "as many cells in each row"


def test_texts_of_plugins_and_folders_are_texts_in_a_browser(nasty: Path, open_page: Opened) -> None:
    page = open_page(nasty)
    draw_plots(page)
    page.locator("#curves .plot .point").first.hover(force=True)
    assert page.evaluate("document.querySelectorAll('[onerror]').length") == 0
    assert page.locator("#curves .field, #curves .said, h3").get_by_text(NASTY).count() >= 1


def test_safe_names_stay_apart() -> None:
    assert safe_name("mnist") == "mnist"
    names = [safe_name(label) for label in ("folder:/a/b", "folder:/a_b", "../..", "x" * 300, "写真", "")]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._=-]{1,80}", name) for name in names)


def test_notes_say_what_is_missing_and_why(tmp_path: Path) -> None:
    skip = {"dataset": "a", "codec": "net", "images": 8, "reason": "takes 28×28×1 only"}
    notes = ["digits stands in for mnist"]
    learned = {"net": ("mnist",)}
    run = small(tmp_path, ("c", "d", "gone"), trained_on=learned, skipped=[skip], notes=notes, absent=["gone"])
    run.point("a", "c", encode_s=(1.0, 1.0, 2.0, 9.0, 9.0))
    damaged = run.point("a", "c", {"q": 2})
    run.point("a", "d", indices=range(5))
    part = tmp_path / "parts" / f"{damaged.id}.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    text = page_of(run).text
    for words in (
        "takes 28×28×1 only",
        "digits stands in for mnist",
        "1 part of this run was found damaged and set aside",
        "gone on a: 1 point",
        "d on a: 1 point with fewer",
        "(at least 5)",
        "1 of 2 points have no timings",
        "the machine was not quiet",
        "2 codecs, 2 points measured",
    ):
        assert words in text
    assert "net (trained on mnist)" not in text, "what was skipped is not drawn"
    assert len(table_of(tmp_path)) == len(summary.summarise(run.store)) > 2


def test_times_of_several_hosts_stand_apart_and_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = MadeUpRun(tmp_path, {"a": (8, 8, 1), "b": (8, 8, 1)}, ["c", "d", "e"])
    hosts = {"c": ("aaaa1111", "aaaa1111"), "d": ("bbbb2222", "bbbb2222"), "e": ("aaaa1111", "bbbb2222")}
    for codec, timed_on in hosts.items():
        for label, host in zip("ab", timed_on, strict=True):
            run.point(label, codec, encode_s=(1e-3,) * 5, timing={"host": host})
    drawn = context(run)
    (note,) = [note for note in drawn.notes if note.title == "Speed"]
    assert "Times were taken on 2 machines: c, e on a on aaaa1111; d, e on b on bbbb2222." in " ".join(note.lines)
    plotted = []
    with figures_as_stubs():
        draw = lambda points, *_: plotted.append(set(points["timed_on"])) or Figure()  # noqa: E731
        monkeypatch.setattr(figures, "speed", draw)
        assert "One row per codec and machine" in speed.section(drawn).html
    assert len(plotted) == 8
    assert all(len(hosts) == 1 for hosts in plotted)
    assert figures_in(drawn.out, "speed-encode-a*.svg") == {f"speed-encode-a-{host}.svg" for host in hosts["e"]}


def test_one_host_needs_no_name(tmp_path: Path) -> None:
    run = small(tmp_path, ("c", "d"))
    for cores, codec in ((2, "c"), (4, "d")):  # a machine that was given more cores, or another command's record
        run.point("a", codec, encode_s=(1e-3,) * 5, timing={"host": "aaaa1111"})
        call = INVOCATION | {"timing_threads": 1, "machine": INVOCATION["machine"] | {"cores": cores}}
        run.store.join(Addition({}, {}, {}, [], call))
    assert "machines" not in page_of(run).text
    assert figures_in(tmp_path, "speed-*.svg") == {"speed-encode-a.svg", "speed-decode-a.svg"}


def test_the_table_of_speed_has_what_was_recorded(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (100, 100, 1)}, ["c", "none"])
    own = {"encode_peak_bytes": 64 * 2**20, "decode_peak_bytes": 48 * 2**20}
    run.point("a", "none", mse=0.0, lossless=True, encode_s=(1e-6,) * 5, timing=own)
    first = {"cold_encode_s": 0.75, "cold_decode_s": 0.5, "encode_peak_bytes": 3 * 2**29, "encode_cpu_s": (4e-3,) * 5}
    run.point("a", "c", {"q": 1}, mse=0.1, encode_s=(1e-3,) * 5, timing=first)
    later = {"encode_cpu_s": (8e-3,) * 5, "shape": (100, 100, 1)}
    run.point("a", "c", {"q": 2}, encode_s=(2e-3, 2e-3, 4e-3, 9e-3, 9e-3), timing=later)
    with figures_as_stubs():
        table = Page(speed.section(context(run)).html).text.partition("What the columns mean")[0]
    assert "none compresses nothing: its row shows the overhead of the harness itself" in table
    assert table.index("c q=2") < table.index("none –"), "the harness stands last, however fast"
    for words in ("~ 250", "2.50", "1.50 GiB", "64.0 MiB", "750 ms", "2.00"):  # of q=2, but for what is taken once
        assert words in table
    assert "GPU memory" not in table
    assert "Transfer" not in table


def test_commands_with_the_same_surroundings_share_a_block(tmp_path: Path) -> None:
    run = small(tmp_path)
    machine = INVOCATION["machine"] | {"device": "Some GPU", "logical_cores": 8, "virtual": True, "boost": False}
    machine |= {"governor": None}
    conditions = {"load_1min": 0.25, "thread_variables": {"OMP_NUM_THREADS": "2"}}
    gpu = {"command": "codecbench more", "device": "cuda", "machine": machine, "host": "aaaa1111"}
    for call in (INVOCATION | {"seed": 4}, INVOCATION | gpu | {"conditions": conditions}):
        run.store.join(Addition({}, {}, {}, [], call))
    first, second = markup.measured_with(run.store.manifest["invocations"])
    assert [dict(call["facts"]) for call in first["commands"]] == [{"seed": "3"}, {"seed": "4"}]
    facts = dict(second["facts"])
    assert (facts["device"], facts["host"]) == ("Some GPU (cuda)", "aaaa1111")
    assert (facts["cores of the machine"], facts["virtual machine"], facts["boost"]) == ("8", "yes", "no")
    assert "governor" not in facts
    (call,) = second["commands"]
    assert {("load at the start", "0.25"), ("OMP_NUM_THREADS", "2")} <= set(call["facts"])
    html = method.section(context(run)).html
    assert html.count("<dt>device</dt>") == 2
    assert html.count("codecbench run --codecs all") == 2


def test_a_codec_on_its_own_training_images_is_marked(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"mnist": (8, 8, 1)}, ["c"], {"net": ("mnist",)}, training=["mnist"])
    run.point("mnist", "net")
    run.point("mnist", "c")
    text = page_of(run).text
    assert "net (its own training images)" in text
    assert "net ‡" in text
    assert "† trained on data of another kind" not in text


# ---- odd runs -------------------------------------------------------------------------------------------------------


EXACT = {"mse": 0.0, "lossless": True}
ODD: dict[str, tuple[list[dict[str, Any]], str]] = {
    "one image": ([{"indices": [0]}], "Encoding time is not shown: no times were measured here."),
    "no times": ([{}], "No times were measured, so nothing is said about speed."),
    "no SSIM": ([{"ssim": math.nan}], "SSIM is not shown"),
    "high SSIM": (
        [{"settings": {"q": 1}, "num_bytes": 10}, {"settings": {"q": 2}, "num_bytes": 20, "ssim": 0.9999}],
        "1 lossy point with an SSIM above 0.9993 outside the first view of SSIM",
    ),
    "mixed shapes": (
        [{"indices": range(4), "shape": (8, 8, 1)}, {"indices": range(4, 8), "shape": (16, 4, 3)}],
        "8×8×1 and 16×4×3",
    ),
    "empty streams": ([{"num_bytes": 0}], "every lossy stream measured is empty"),
    "an empty stream": ([{"num_bytes": 0}, {"settings": {"q": 1}}], "1 point with empty streams (0 bits)"),
    "lossless": (
        [EXACT, {"codec": "d", "num_bytes": 50} | EXACT],
        "Every codec here restores every pixel: there is no PSNR",
    ),
    "one codec": ([{"settings": {"q": q}, "num_bytes": q, "mse": 0.01 / q} | TIMES for q in (1, 2)], "All points"),
    "far apart": (
        [{"settings": {"q": q}, "num_bytes": q, "mse": 0.05 / q} | TIMES for q in (1, 2)]
        + [{"codec": "d", "settings": {"q": q}, "num_bytes": 9 * q, "mse": 1e-6 / q} | TIMES for q in (1, 2)],
        "All points",
    ),
    "failures": ([{"failed": "it broke"}], "No codec has a result on this data yet"),
    "nothing": ([], "c on a: 1 point"),
}
"""Points of codecs, and what the page says of them."""


def odd_run(path: Path, points: list[dict[str, Any]]) -> MadeUpRun:
    run = small(path, ("c", "d"), absent=[] if points else ["c"])
    for point in points:
        if "failed" in point:
            run.failure("a", "c", point["failed"])
        else:
            run.point("a", **{"codec": "c"} | point)
    return run


@pytest.mark.parametrize("name", ODD)
def test_what_cannot_be_shown_is_said(tmp_path: Path, name: str) -> None:
    points, said = ODD[name]
    page = page_of(odd_run(tmp_path, points))
    assert said in page.text
    assert ("One row per codec" in page.text) == any("encode_s" in point for point in points)
    table = table_of(tmp_path)
    assert len(table) == len({(point.get("codec"), str(point.get("settings"))) for point in points})
    if name == "failures":
        assert "it broke" in page.text
        assert "img" not in dict(page.tags)
        assert table[0]["failed"] == "8"
    if name == "lossless":
        assert not figures_in(tmp_path, "rate*")
        assert "99" not in " ".join(page.values)


@pytest.mark.slow
def test_odd_runs_have_a_page_without_errors(tmp_path: Path, open_page: Opened) -> None:
    for name, (points, _) in ODD.items():
        page = open_page(quick_report(odd_run(tmp_path / name, points)))
        for plot in page.locator(".plot").all():
            plot.scroll_into_view_if_needed()
        assert page.locator("main").is_visible()


def test_stale_figures_are_removed_and_what_cannot_be_written_is_a_clear_word(tmp_path: Path) -> None:
    run = small(tmp_path)
    run.point("a", "c")
    (tmp_path / "figures").write_text("in the way", encoding="utf-8")
    with pytest.raises(StoreError, match="figures is a link or no folder"):
        quick_report(run)
    (tmp_path / "figures").unlink()
    (tmp_path / "figures").mkdir()
    for name in ("speed-encode-a.svg", "speed-mine.svg"):
        (tmp_path / "figures" / name).write_text("old", encoding="utf-8")
    (tmp_path / "figures" / "written.json").write_text(
        '{"files": ["speed-encode-a.svg", "../run.json"]}', encoding="utf-8"
    )
    quick_report(run)
    assert "speed-mine.svg" in figures_in(tmp_path)
    assert "speed-encode-a.svg" not in figures_in(tmp_path)
    assert (tmp_path / "run.json").is_file()


def test_numbers_that_would_mislead_when_rounded() -> None:
    written = [format_significant(value) for value in (0.00123, 1, 9.996, 99.96, 999.6, 12345.0, 1661234.0)]
    assert written == ["0.00123", "1.00", "10.0", "100", "1,000", "12,300", "1,660,000"]
    assert [format_memory(value) for value in (2**20 * 1.5, 2**30)] == ["1.50 MiB", "1.00 GiB"]
    assert format_span(28.41, 28.44, "{:.1f}".format, "dB") == "28.4 dB"
    assert format_span(28.4, 31.0, "{:.1f}".format, "dB") == "28.4 to 31.0 dB"
    written = [format_ssim(value) for value in (0.5, 0.99998, 0.99999997, 1.0)]
    assert written == ["0.5000", "0.99998", ">0.999999", "1.0000"]


# ---- learned codecs ------------------------------------------------------------------------------------------------


def add_latents(run: MadeUpRun, dataset: str, codec: str, settings: str, labels: bool = True, count: int = 40) -> None:
    """Writes latents of a codec point into a run folder, as a run would."""
    rng = np.random.default_rng(7)
    found = Latents(
        **run.about(dataset, codec, settings),
        points=rng.normal(size=(count, 2)).astype(np.float32),
        labels=np.arange(count) % 3 if labels else None,
        explained=(0.5, 0.25),
        shown={index: rng.normal(size=(32, 1, 1)).astype(np.float32) for index in (0, 1)},
        shown_labels={0: 4, 1: 9} if labels else {},
    )
    run.store.write_record(f"{len(list(run.store.path.glob('latents/*'))):024x}", found)


def add_log(run: MadeUpRun, codec: str, file: str) -> None:
    run.store.manifest["codecs"][codec].setdefault("weights", {})[file] = "abcdef0123456789"
    lines = ["epoch,train_loss,held_out_mse,test_mse,seconds", "1,0.5,0.4,0.41,1800", "2,0.3,0.2,0.21,1800"]
    log = "\n".join([*lines, "3,0.2,0.3,0.31,1800", ""])
    run.store.write_file(f"training/{Path(file).stem}-abcdef012345.csv", log.encode())


def test_the_page_tells_how_autoencoders_see_images_and_were_trained(tmp_path: Path) -> None:
    shape = (28, 28, 1)
    learned = dict.fromkeys(("net", "other", "silent"), ("mnist",))
    run = MadeUpRun(tmp_path, {"mnist": shape, "digits": shape}, [], learned)
    for label in run.datasets:
        for codec in learned:
            run.point(label, codec, {"latent": 8}, num_bytes=32, mse=0.004)
        add_latents(run, label, "net", "latent=8")
    run.point("mnist", "net", {"latent": 9}, num_bytes=36, mse=0.003)
    add_latents(run, "mnist", "net", "latent=9", labels=False)
    add_latents(run, "mnist", "other", "latent=8", count=2)
    add_latents(run, "digits", "other", "latent=7")
    for codec, file in (("net", "net"), ("other", "other-a"), ("other", "other-b")):
        add_log(run, codec, f"{file}.safetensors")
    run.store.manifest["codecs"]["silent"]["weights"] = {"silent.safetensors": "0" * 64, "silent.json": "1" * 64}
    page = page_of(run)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.text.count("How the autoencoders represent") == 2
    assert page.text.count("An encoder turns each image into a latent") == 1
    for title in (
        "net, latent=8: images, their latents of 32 numbers, and the reconstructions",
        "net, latent=9: images, their latents of 32 numbers, and the reconstructions",
        "net (trained on mnist): images, their latents of 32 numbers, and the reconstructions",
        "net, latent=8: the latents of the 40 images, in a plane that has 75% of their variance",
    ):
        assert html.count(f"<figcaption>{title}</figcaption>") == 1
    names = figures_in(tmp_path, "*.svg")
    assert {"triples-digits-net.svg", "latents-digits-net.svg", "triples-mnist-other.svg", "training.svg"} <= names
    assert sum(name.startswith("triples-mnist-net-") for name in names) == 2
    assert "latents-mnist-other.svg" not in names
    # What cannot be shown is said.
    assert "other: too few images for a map of their latents." in page.text
    assert "other (trained on mnist): no reconstructions were kept" in page.text
    assert all(link.startswith(("data:image/", "#")) for link in page.loads)
    assert len(html) - len(plotly_bundle()) < 3_000_000
    # How they were trained stands in one section.
    assert page.text.count("How the autoencoders were trained") == 1
    assert 'href="#learned"' in html
    assert {"0.2", "0.21"} <= set(page.values)
    for words in ("net", "other-a", "other-b", "1.5 h", "There is no learning curve of silent"):
        assert words in page.text


def test_latents_of_an_edited_codec_do_not_show(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"mnist": (28, 28, 1)}, [], {"net": ("mnist",)})
    run.point("mnist", "net")
    add_latents(run, "mnist", "net", "")
    assert "How the autoencoders represent" in page_of(run).text
    run.store.manifest["codecs"]["net"]["fingerprint"] = "of an edited source"
    assert "How the autoencoders represent" not in page_of(run).text
    assert not figures_in(tmp_path, "latents-*")


def test_control_characters_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (8, 8, 1)}, ["c\u202ed"], notes=["\x1b]0;title\x07"])
    run.curve("a", "c\u202ed", {30.0: 10, 35.0: 20})
    page = quick_report(run)
    figure = Figure()
    figure.suptitle("e\u2066\x9bf")
    written = [page.read_text("utf-8"), page.with_suffix(".md").read_text("utf-8"), style.save_svg(figure).decode()]
    for text, shown in zip(written, (r"c\u202ed", r"c\\u202ed", r"e\u2066\x9bf"), strict=True):
        assert shown in text
        assert not re.search("[\x1b\x07\x9b\u202e\u2066]", text)
    assert r"\x1b]0;title\x07" in written[0]
