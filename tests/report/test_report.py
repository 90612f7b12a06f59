from __future__ import annotations

import base64
import csv
import hashlib
import json
import math
import re
from collections.abc import Iterator
from contextlib import nullcontext
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pages import figures_as_stubs
from runs import INVOCATION, MadeUpRun, usual_run

from codecbench.analysis import summary
from codecbench.errors import StoreError
from codecbench.report import markup, write_report
from codecbench.report.context import STATIC, safe_name
from codecbench.report.page import plotly_bundle
from codecbench.store.folder import RunFolder
from codecbench.store.latents import Latents
from codecbench.store.manifest import Addition
from codecbench.text import format_memory, format_significant, format_span, format_ssim

VOID = {"meta", "img", "br", "link", "input", "hr", "wbr"}


class Page(HTMLParser):
    """Checks that tags nest, and collects what a page loads and its tables of points."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.values: list[str] = []
        self.words: list[str] = []
        self.blocks: dict[str, str] = {}
        self.scripts: list[str] = []
        self.policy = ""
        self.feed(html)
        self.close()
        assert not self.open
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.loads += [found[key] for key in ("src", "href", "srcset", "data", "action") if key in found]
        assert not [key for key in found if key.startswith("on")]
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"]
        self.block = found.get("id", "") if tag == "script" else ""
        if tag == "data":
            self.values.append(found["value"])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            if self.block and self.block != "plotly":  # a script in waiting
                self.blocks[self.block] = self.blocks.get(self.block, "") + data
            else:
                self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def drawn() -> None:
    """For tests of what static figures show."""


@pytest.fixture(autouse=True)
def stubs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Static figures are stubs where nothing is asserted of them."""
    with nullcontext() if "drawn" in request.fixturenames else figures_as_stubs():
        yield


def page_of(run: MadeUpRun) -> Page:
    path = write_report(run.store)
    assert path == run.store.path / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def table_of(run: MadeUpRun) -> list[dict[str, str]]:
    with (run.store.path / "summary.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> tuple[MadeUpRun, Page]:
    run = usual_run(tmp_path_factory.mktemp("usual"))
    return run, page_of(run)


def test_the_page_loads_nothing_and_runs_nothing_but_its_own(usual: tuple[MadeUpRun, Page]) -> None:
    _, page = usual
    assert page.loads
    assert all(link.startswith(("data:image/", "#")) for link in page.loads)
    assert not page.tags & {"link", "iframe", "object", "embed", "base", "form"}
    assert page.policy.startswith(
        "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'sha256-"
    )
    hashes = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts}
    assert {f"'sha256-{value}'" for value in hashes} == set(page.policy.partition("script-src ")[2].split())
    for file in STATIC.glob("*.css"):
        style = file.read_text(encoding="utf-8")
        assert "@import" not in style
        assert "url(" not in style


def test_what_scripts_read_is_json_without_a_sign_of_markup(usual: tuple[MadeUpRun, Page]) -> None:
    _, page = usual
    assert {"codecbench-data", "curves-data", "speed-data"} <= set(page.blocks)
    for text in page.blocks.values():
        assert not set("<>&") & set(text)
        assert json.loads(text) is not None


def test_the_page_names_every_dataset_codec_and_where_it_comes_from(usual: tuple[MadeUpRun, Page]) -> None:
    run, page = usual
    for name in [*run.datasets, *run.store.manifest["codecs"], "net (trained on mnist)"]:
        assert name in page.text
    for fact in ("Test CPU", "0123456789ab", "codecbench run --codecs all", "print-lossy", "pixels of stl10", "†"):
        assert fact in page.text


def test_the_summary_file_is_the_summary_to_the_last_digit(usual: tuple[MadeUpRun, Page]) -> None:
    run, _ = usual
    read = pd.read_csv(run.store.path / "summary.csv", keep_default_na=True)
    made = summary.summarise(run.store)
    assert list(read.columns) == list(made.columns)
    for column in ("bits_per_pixel", "mse", "psnr_db", "ssim", "encode_s"):
        pd.testing.assert_series_equal(read[column], made[column], check_exact=True)


def test_numbers_on_the_page_are_those_of_the_summary(usual: tuple[MadeUpRun, Page]) -> None:
    run, page = usual
    shown = {float(value) for value in page.values}
    assert not any(math.isnan(value) for value in shown)
    for row in table_of(run):
        for column in ("bits_per_image", "bits_per_pixel", "compression_ratio", "mse", "psnr_db", "ssim", "encode_s"):
            assert not row[column] or float(row[column]) in shown


def test_figures_are_there_as_svg_and_png(usual: tuple[MadeUpRun, Page]) -> None:
    run, _ = usual
    names = {file.name for file in (run.store.path / "figures").iterdir()}
    kinds = ("rate-distortion", "rate-ssim", "speed-encode", "speed-decode")
    both = [f"{kind}-{label}" for kind in kinds for label in run.datasets] + ["rate-distortion"]
    assert names == {f"{name}.{kind}" for name in both for kind in ("svg", "png")} | {
        f"images-{label}.{kind}" for label in run.datasets for kind in ("svg", "png")
    }


def test_drawn_again_every_file_is_the_same(tmp_path: Path, drawn: None) -> None:
    run = MadeUpRun(tmp_path, {"mnist": (8, 8, 1)}, ["lossy", "exact"], {"net": ("stl10",)}).usual()
    contents = []
    for _ in range(2):
        write_report(run.store)
        files = [tmp_path / "report.html", tmp_path / "summary.csv", *sorted((tmp_path / "figures").iterdir())]
        contents.append({file.name: file.read_bytes() for file in files})
    assert contents[0] == contents[1]


def test_text_from_plugins_and_folders_is_escaped(tmp_path: Path) -> None:
    label = 'folder:/a/<img src="http://x">,crop=8'
    bad = "<script>alert(1)</script>"
    run = MadeUpRun(tmp_path, {label: (8, 8, 1)}, ["broken", "c"], notes=[f"note {bad}"])
    run.store.manifest["codecs"]["c"]["about"] = f"about {bad}"
    run.point(label, "c")
    run.failure(label, "broken", f"ValueError: {bad}", {"text": '"><b>'})
    page = page_of(run)
    assert "<script>alert" not in "".join(page.blocks.values()) + "".join(page.scripts)
    assert "b" in page.tags  # our own
    assert page.text.count(bad) >= 4  # failure (twice), note and description
    assert f"ValueError: {bad}" in page.text
    assert all(link.startswith(("data:image/", "#")) for link in page.loads)
    assert all(re.fullmatch(r"[A-Za-z0-9._=-]+", file.name) for file in (tmp_path / "figures").iterdir())


def test_safe_names_stay_apart() -> None:
    assert safe_name("mnist") == "mnist"
    names = [safe_name(label) for label in ("folder:/a/b", "folder:/a_b", "../..", "x" * 300, "写真", "")]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._=-]{1,80}", name) for name in names)


def test_notes_say_what_is_missing_and_why(tmp_path: Path) -> None:
    skip = {"dataset": "a", "codec": "net", "images": 8, "reason": "takes 28×28×1 only"}
    run = MadeUpRun(
        tmp_path,
        {"a": (8, 8, 1)},
        ["c", "d", "gone"],
        {"net": ("mnist",)},
        [skip],
        ["digits stands in for mnist"],
        absent=["gone"],
    )
    run.point("a", "c", encode_s=(1.0, 1.0, 2.0, 9.0, 9.0))
    damaged = run.point("a", "c", {"q": 2})
    run.point("a", "d", indices=range(5))
    part = tmp_path / "parts" / f"{damaged.id}.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    text = page_of(run).text
    assert "takes 28×28×1 only" in text
    assert "digits stands in for mnist" in text
    assert "1 part of this run was found damaged and set aside" in text
    assert "gone on a: 1 point" in text
    assert "d on a: 1 point with fewer" in text
    assert "(at least 5)" in text
    assert "1 of 2 points have no timings" in text
    assert "the machine was not quiet" in text


def test_times_of_several_hosts_stand_apart_and_are_named(tmp_path: Path, drawn: None) -> None:
    run = MadeUpRun(tmp_path, {"a": (8, 8, 1), "b": (8, 8, 1)}, ["c", "d", "e"])
    for label in run.datasets:
        run.point(label, "c", encode_s=(1e-3,) * 5, timing={"host": "aaaa1111"})
        run.point(label, "d", encode_s=(1e-4,) * 5, timing={"host": "bbbb2222"})
    run.point("a", "e", encode_s=(1e-4,) * 5, timing={"host": "aaaa1111"})
    run.point("b", "e", encode_s=(1e-4,) * 5, timing={"host": "bbbb2222"})
    page = page_of(run)
    assert "Times were taken on 2 machines: c, e on a on aaaa1111; d, e on b on bbbb2222." in page.text
    assert "One row per codec and machine" in page.text
    names = {file.name for file in (tmp_path / "figures").glob("speed-encode-a*.svg")}
    assert names == {"speed-encode-a-aaaa1111.svg", "speed-encode-a-bbbb2222.svg"}
    drawn = (tmp_path / "figures" / "speed-encode-a-aaaa1111.svg").read_text(encoding="utf-8")
    assert "<!-- c, 30.0 dB -->" in drawn
    assert "<!-- d, 30.0 dB -->" not in drawn


def test_one_host_needs_no_name(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (8, 8, 1)}, ["c", "d"])
    for cores, codec in ((2, "c"), (4, "d")):  # a machine that was given more cores, or another command's record
        run.point("a", codec, encode_s=(1e-3,) * 5, timing={"host": "aaaa1111"})
        call = INVOCATION | {"timing_threads": 1, "machine": INVOCATION["machine"] | {"cores": cores}}
        run.store.join(Addition({}, {}, {}, [], call))
    text = page_of(run).text
    assert "machines" not in text
    assert {file.name for file in (tmp_path / "figures").glob("speed-*.svg")} == {
        "speed-encode-a.svg",
        "speed-decode-a.svg",
    }


def test_the_table_of_speed_has_what_was_recorded(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (100, 100, 1)}, ["c", "none"])
    own = {"encode_peak_bytes": 64 * 2**20, "decode_peak_bytes": 48 * 2**20}
    run.point("a", "none", mse=0.0, lossless=True, encode_s=(1e-6,) * 5, timing=own)
    first = {"cold_encode_s": 0.75, "cold_decode_s": 0.5, "encode_peak_bytes": 3 * 2**29, "encode_cpu_s": (4e-3,) * 5}
    run.point("a", "c", {"q": 1}, mse=0.1, encode_s=(1e-3,) * 5, timing=first)
    later = {"encode_cpu_s": (8e-3,) * 5, "shape": (100, 100, 1)}
    run.point("a", "c", {"q": 2}, encode_s=(2e-3, 2e-3, 4e-3, 9e-3, 9e-3), timing=later)
    page = page_of(run)
    begin = page.text.index("One row per codec")
    table = page.text[begin : page.text.index("What the columns mean", begin)]
    assert "none compresses nothing: its row shows the overhead of the harness itself" in table
    assert table.index("c q=2") < table.index("none –"), "the harness stands last, however fast"
    for words in ("~ 250", "2.50", "1.50 GiB", "64.0 MiB", "750 ms", "2.00"):  # of q=2, but for what is taken once
        assert words in table
    assert "GPU memory" not in table
    assert "Transfer" not in table


def test_a_report_never_holds_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = usual_run(tmp_path)
    reads = []
    tables = RunFolder.tables

    def counted(self: RunFolder, columns: list[str] | None = None) -> Any:
        reads.append(columns)
        return tables(self, columns)

    monkeypatch.setattr(RunFolder, "tables", counted)
    assert "28×28×1" in page_of(run).text
    assert 1 <= len(reads) <= 3, "a pass for the sums, one for the bootstrap, one for single images"
    assert None not in reads


def test_a_run_of_failures_only(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (8, 8, 1)}, ["c"])
    run.failure("a", "c", "it broke")
    page = page_of(run)
    assert "it broke" in page.text
    assert "No codec has a result on this data yet" in page.text
    assert "img" not in page.tags
    assert table_of(run)[0]["failed"] == "8"


ODD = {
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
    "nothing": ([], "c on a: 1 point"),
}
"""Points of a codec, and what the page says of them."""


@pytest.mark.parametrize("name", ODD)
def test_what_cannot_be_shown_is_said(tmp_path: Path, name: str) -> None:
    points, said = ODD[name]
    run = MadeUpRun(tmp_path, {"a": (8, 8, 1)}, ["c"], absent=[] if points else ["c"])
    for point in points:
        run.point("a", "c", **point)
    page = page_of(run)
    assert said in page.text
    assert "One row per codec" not in page.text, "no table of speed without times"
    assert len(table_of(run)) == len({str(point.get("settings")) for point in points})


def test_only_lossless_codecs(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (8, 8, 1)}, ["c", "d"])
    run.point("a", "c", mse=0.0, lossless=True)
    run.point("a", "d", mse=0.0, lossless=True, num_bytes=50)
    page = page_of(run)
    assert "Every codec here restores every pixel: there is no PSNR or SSIM to draw" in page.text
    assert {file.name for file in (tmp_path / "figures").iterdir()} == {"images-a.svg", "images-a.png"}
    assert "99" not in " ".join(page.values)


def test_empty_streams(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (8, 8, 1)}, ["c"])
    run.point("a", "c", {"q": 0}, num_bytes=0)
    assert "every lossy stream measured is empty" in page_of(run).text
    run.point("a", "c", {"q": 1}, num_bytes=9)
    assert "1 point with empty streams (0 bits)" in page_of(run).text


def test_no_pictures_kept(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (8, 8, 1)}, ["c"])
    run.point("a", "c", pictures=False)
    for file in (tmp_path / "samples").iterdir():
        file.unlink()
    assert "this run kept no reconstructions" in page_of(run).text


def test_figures_that_no_longer_hold_are_removed_and_others_stay(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (8, 8, 1)}, ["c"])
    run.point("a", "c")
    (tmp_path / "figures").mkdir()
    for name in ("speed-encode-a.svg", "mine.svg"):
        (tmp_path / "figures" / name).write_text("old", encoding="utf-8")
    write_report(run.store)
    assert not (tmp_path / "figures" / "speed-encode-a.svg").exists()
    assert (tmp_path / "figures" / "mine.svg").exists()


def test_a_folder_that_cannot_be_written_is_a_clear_word(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (8, 8, 1)}, ["c"])
    run.point("a", "c")
    (tmp_path / "figures").write_text("in the way", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot write"):
        write_report(run.store)


def test_a_full_disk_is_a_clear_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = MadeUpRun(tmp_path, {"a": (8, 8, 1)}, ["c"])
    run.point("a", "c")

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match="no space left"):
        write_report(run.store)


def test_what_is_skipped_is_in_the_summary_and_not_drawn(tmp_path: Path) -> None:
    skip = {"dataset": "a", "codec": "net", "images": 8, "reason": "takes 28×28×1 only"}
    run = MadeUpRun(tmp_path, {"a": (8, 8, 1)}, ["c"], {"net": ("mnist",)}, [skip])
    run.point("a", "c")
    text = page_of(run).text
    assert "1 codec, 1 point measured" in text
    assert "net (trained on mnist)" not in text
    assert "takes 28×28×1 only" in text
    assert len(table_of(run)) == len(summary.summarise(run.store))


def test_a_codec_on_its_own_training_images_is_marked(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"mnist": (8, 8, 1)}, ["c"], {"net": ("mnist",)}, training=["mnist"])
    run.point("mnist", "net")
    run.point("mnist", "c")
    text = page_of(run).text
    assert "net (its own training images)" in text
    assert "net ‡" in text
    assert "its own training images" in text
    assert "† trained on data of another kind" not in text


def test_commands_with_the_same_surroundings_share_a_block(tmp_path: Path) -> None:
    run = usual_run(tmp_path)
    gpu = {"command": "codecbench more", "device": "cuda", "machine": INVOCATION["machine"] | {"device": "Some GPU"}}
    for call in (INVOCATION | {"seed": 4}, INVOCATION | gpu):
        run.store.join(Addition({}, {}, {}, [], call))
    first, second = markup.measured_with(run.store.manifest["invocations"])
    assert [dict(call["facts"]) for call in first["commands"]] == [{"seed": "3"}, {"seed": "4"}]
    assert ("device", "Some GPU (cuda)") in second["facts"]
    html = write_report(run.store).read_text(encoding="utf-8")
    assert html.count("<dt>device</dt>") == 2
    assert html.count("codecbench run --codecs all") == 2


def test_what_is_told_of_a_machine_and_of_a_command(tmp_path: Path) -> None:
    machine = INVOCATION["machine"] | {"logical_cores": 8, "virtual": True, "boost": False, "governor": None}
    conditions = {"load_1min": 0.25, "thread_variables": {"OMP_NUM_THREADS": "2"}}
    (group,) = markup.measured_with([INVOCATION | {"host": "aaaa1111", "machine": machine, "conditions": conditions}])
    facts = dict(group["facts"])
    assert facts["host"] == "aaaa1111"
    assert (facts["cores of the machine"], facts["virtual machine"], facts["boost"]) == ("8", "yes", "no")
    assert "governor" not in facts
    (call,) = group["commands"]
    assert {("load at the start", "0.25"), ("OMP_NUM_THREADS", "2")} <= set(call["facts"])


def test_code_in_texts_and_settings_of_a_single_point(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (8, 8, 1)}, ["c"], notes=["give `--images <n>`"])
    run.store.manifest["codecs"]["c"]["about"] = "As wide as ``latent`` says."
    run.point("a", "c", {"quality": 50, "chroma": "4:2:0"})
    html = write_report(run.store).read_text(encoding="utf-8")
    assert "As wide as <code>latent</code> says." in html
    assert "give <code>--images &lt;n&gt;</code>" in html
    assert "`" not in Page(html).text
    assert "quality=50,<wbr>chroma=4:2:0" in html


def test_numbers_that_would_mislead_when_rounded() -> None:
    written = [format_significant(value) for value in (0.00123, 1, 9.996, 99.96, 999.6, 12345.0, 1661234.0)]
    assert written == ["0.00123", "1.00", "10.0", "100", "1,000", "12,300", "1,660,000"]
    assert [format_memory(value) for value in (2**20 * 1.5, 2**30)] == ["1.50 MiB", "1.00 GiB"]
    assert format_span(28.41, 28.44, "{:.1f}".format, "dB") == "28.4 dB"
    assert format_span(28.4, 31.0, "{:.1f}".format, "dB") == "28.4 to 31.0 dB"
    assert [format_ssim(value) for value in (0.5, 0.99998, 0.99999997, 1.0)] == [
        "0.5000",
        "0.99998",
        ">0.999999",
        "1.0000",
    ]


# ---- learned codecs ------------------------------------------------------------------------------------------------


def add_latents(
    run: MadeUpRun, dataset: str, codec: str, settings: str, *, labels: bool = True, count: int = 40
) -> None:
    """Writes latents of a codec point into a run folder, as a run would."""
    rng = np.random.default_rng(7)
    found = Latents(
        format=Latents.FORMAT,
        dataset=dataset,
        codec=codec,
        settings=settings,
        codec_fingerprint=f"print-{codec}",
        data_fingerprint=f"pixels of {dataset}",
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


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[MadeUpRun, Page, str]:
    run = MadeUpRun(
        tmp_path_factory.mktemp("learned"),
        {"mnist": (28, 28, 1), "digits": (28, 28, 1)},
        [],
        {"net": ("mnist",), "other": ("mnist",), "silent": ("mnist",)},
    )
    for label in run.datasets:
        for codec in ("net", "other", "silent"):
            run.point(label, codec, {"latent": 8}, num_bytes=32, mse=0.004)
        add_latents(run, label, "net", "latent=8")
    run.point("mnist", "net", {"latent": 9}, num_bytes=36, mse=0.003)
    add_latents(run, "mnist", "net", "latent=9", labels=False)
    add_latents(run, "mnist", "other", "latent=8", count=2)
    add_latents(run, "digits", "other", "latent=7")
    add_log(run, "net", "net.safetensors")
    add_log(run, "other", "other-a.safetensors")
    add_log(run, "other", "other-b.safetensors")
    run.store.manifest["codecs"]["silent"]["weights"] = {"silent.safetensors": "0" * 64, "silent.json": "1" * 64}
    page = page_of(run)
    return run, page, (run.store.path / "report.html").read_text(encoding="utf-8")


def test_every_dataset_tells_how_the_autoencoders_see_it(learned: tuple[MadeUpRun, Page, str]) -> None:
    run, page, html = learned
    assert page.text.count("How the autoencoders represent") == 2
    assert page.text.count("An encoder turns each image into a latent") == 1
    for title in (
        "net, latent=8: images, their latents of 32 numbers, and the reconstructions",
        "net, latent=9: images, their latents of 32 numbers, and the reconstructions",
        "net (trained on mnist): images, their latents of 32 numbers, and the reconstructions",
        "net, latent=8: the latents of the 40 images, in a plane that has 75% of their variance",
    ):
        assert html.count(f"<figcaption>{title}</figcaption>") == 1
    names = {file.name for file in (run.store.path / "figures").glob("*.svg")}
    assert {"triples-digits-net.svg", "latents-digits-net.svg", "triples-mnist-other.svg"} <= names
    assert sum(name.startswith("triples-mnist-net-") for name in names) == 2
    assert "latents-mnist-other.svg" not in names


def test_what_cannot_be_shown_of_latents_is_said(learned: tuple[MadeUpRun, Page, str]) -> None:
    _, page, html = learned
    assert "other: too few images for a map of their latents." in page.text
    assert all(link.startswith(("data:image/", "#")) for link in page.loads)
    assert len(html) - len(plotly_bundle()) < 3_000_000
    assert "other (trained on mnist): no reconstructions were kept" in page.text


def test_one_section_tells_how_they_were_trained(learned: tuple[MadeUpRun, Page, str]) -> None:
    run, page, html = learned
    assert page.text.count("How the autoencoders were trained") == 1
    assert 'href="#learned"' in html
    assert {"0.2", "0.21"} <= set(page.values)
    for words in ("net", "other-a", "other-b", "1.5 h", "There is no learning curve of silent"):
        assert words in page.text
    assert (run.store.path / "figures" / "training.svg").is_file()


def test_latents_of_an_edited_codec_do_not_show(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"mnist": (28, 28, 1)}, [], {"net": ("mnist",)})
    run.point("mnist", "net")
    add_latents(run, "mnist", "net", "")
    add_log(run, "net", "net.safetensors")
    assert "How the autoencoders represent" in page_of(run).text
    run.store.manifest["codecs"]["net"]["fingerprint"] = "of an edited source"
    run.store.manifest["codecs"]["net"]["weights"]["net.safetensors"] = "of other weights"
    page = page_of(run)
    assert "How the autoencoders represent" not in page.text
    assert "How the autoencoders were trained" not in page.text
    assert not list((tmp_path / "figures").glob("latents-*"))
