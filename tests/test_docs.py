"""The examples in docs/ work as they stand: each is cut out of the Markdown, written to a file and run."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import json
import math
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from unittest import mock

import pytest
import torch

import codecbench as cb
from codecbench.learned.training import checkpoint, job
from codecbench.testing import CHECKS, damage

ROOT = Path(__file__).resolve().parents[1]
CODEC_DOC = ROOT / "docs" / "adding-a-codec.md"
DATASET_DOC = ROOT / "docs" / "adding-a-dataset.md"
METRIC_DOC = ROOT / "docs" / "adding-a-metric.md"
LEARNED_DOC = ROOT / "docs" / "learned-codecs.md"
README = ROOT / "README.md"


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def example(document: Path, name: str) -> str:
    """The Python block whose first line is the comment ``# NAME``."""
    (found,) = [block for block in blocks(document, "python") if block.startswith(f"# {name}\n")]
    return found


def write_example(folder: Path, document: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(example(document, name), encoding="utf-8")
    return file


def call(*command: object, cwd: Path, **variables: object) -> str:
    """Runs a command of Python's in another folder, with some environment variables, and returns what it printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CODECBENCH_")}
    environment |= {name: str(value) for name, value in variables.items()}
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def summary(run: Path) -> list[dict[str, str]]:
    with (run / "summary.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


RUN = ("-m", "codecbench", "run", "--no-timing", "--workers", 1)


def test_the_codec_runs_from_a_folder(tmp_path):
    write_example(tmp_path / "my_codecs", CODEC_DOC, "quantised_zlib.py")
    codecs = ("--codecs", "quantised_zlib,png:compress_level=9", "--codec-dir", "my_codecs")
    call(*RUN, *codecs, "--datasets", "digits", "--images", 20, "--out", "out", cwd=tmp_path)
    rows = [row for row in summary(tmp_path / "out") if row["codec"] == "quantised_zlib"]
    assert {row["settings"] for row in rows} == {f"step={2**power},effort=6" for power in range(7)}
    assert all(row["dataset"] == "digits" and row["images"] == "20" and row["failed"] == "0" for row in rows)
    (exact,) = [row for row in rows if row["lossless"] == "True"]
    assert exact["settings"].startswith("step=1,")
    assert float(exact["mse"]) == 0.0
    assert all(float(row["container_bytes"]) == 15 for row in rows)


def test_the_metric_runs_from_a_folder(tmp_path):
    write_example(tmp_path / "my_metrics", METRIC_DOC, "worst_block_mse.py")
    chosen = ("--codecs", "jpeg:quality=50", "--metrics", "worst_block_mse", "--metric-dir", "my_metrics")
    call(*RUN, *chosen, "--datasets", "digits", "--images", 5, "--out", "out", cwd=tmp_path)
    (row,) = summary(tmp_path / "out")
    assert float(row["worst_block_mse"]) > float(row["mse"]) > 0
    assert "ms_ssim" not in row
    (told,) = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["metrics"].values()
    assert told["description"] == "Largest mean squared error of any 8×8 block, levels scaled to [0, 1]."
    assert told["variants"] == {"digits": "worst of 3×3 blocks"}


def test_the_codec_passes_the_conformance_suite_as_the_page_says(tmp_path):
    write_example(tmp_path / "my_codecs", CODEC_DOC, "quantised_zlib.py")
    test = write_example(tmp_path, CODEC_DOC, "test_quantised_zlib.py")
    places = {"CODECBENCH_CODEC_PATH": tmp_path / "my_codecs"}
    said = call("-m", "pytest", "-q", "-p", "no:cacheprovider", test.name, cwd=tmp_path, **places)
    assert "4 passed" in said


def test_the_page_describes_every_check():
    page = CODEC_DOC.read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z_ ]+)` \|", page, re.MULTILINE) == [check.name for check in CHECKS]
    assert f"within {damage.MAX_DECODE_S:g} s and {damage.MAX_GROWTH_BYTES >> 30} GiB" in page


def test_new_codecs_are_written_and_checked_as_the_page_says(tmp_path):
    (block,) = [block for block in blocks(CODEC_DOC, "sh") if "codecbench new" in block]
    for line in block.splitlines():
        call("-m", *shlex.split(line, comments=True), cwd=tmp_path)
    assert {file.stem for file in (tmp_path / "my_codecs").glob("*.py")} == {"my_codec", "my_torch_codec"}


def test_the_codec_runs_as_an_installed_package(tmp_path):
    """What pip makes of the pyproject fragment: the module and a dist-info folder with its entry points."""
    site = tmp_path / "site"
    write_example(site, CODEC_DOC, "quantised_zlib.py")
    (project,) = [tomllib.loads(block) for block in blocks(CODEC_DOC, "toml")]
    name, version = project["project"]["name"], project["project"]["version"]
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["include"] == ["quantised_zlib.py"]
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    lines = []
    for group, points in project["project"]["entry-points"].items():
        lines += [f"[{group}]", *(f"{key} = {target}" for key, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert "quantised_zlib" in call("-m", "codecbench", "list", "--names", cwd=tmp_path, PYTHONPATH=site).split()
    options = ("--codecs", "quantised_zlib:step=8/1", "--datasets", "digits", "--images", 3, "--out", "out")
    call(*RUN, *options, cwd=tmp_path, PYTHONPATH=site)
    settings = [row["settings"] for row in summary(tmp_path / "out") if row["failed"] == "0"]
    assert sorted(settings) == ["step=1,effort=6", "step=8,effort=6"]


def test_the_learned_codec_trains_and_runs(tmp_path):
    folder = write_example(tmp_path / "my_codecs", CODEC_DOC, "tiny_ae.py").parent
    train = ("-m", "codecbench", "train", "tiny_ae", "--codec-dir", "my_codecs", "--epochs", 1, "--install")
    said = call(*train, "--device", "cpu", cwd=tmp_path, OMP_NUM_THREADS=1)
    assert "best epoch 1" in said
    assert sorted(file.name for file in (folder / "weights").iterdir()) == [
        "tiny_ae.csv",
        "tiny_ae.json",
        "tiny_ae.safetensors",
    ]
    options = ("--codecs", "tiny_ae", "--codec-dir", "my_codecs", "--device", "cpu")
    call(*RUN, *options, "--datasets", "digits", "--images", 5, "--out", "out", cwd=tmp_path)
    (row,) = summary(tmp_path / "out")
    assert (row["failed"], row["bits_per_image"], row["out_of_domain"]) == ("0", "256.0", "False")


EXACT = """
import torch
import codecbench as cb
codec, images = cb.open_codec("tiny_lossless"), cb.open_dataset("digits").read(range(5))
torch.set_num_threads(1)
streams = codec.encode(images)
torch.set_num_threads(2)
assert [codec.encode(image[None])[0] for image in images] == streams
torch.set_num_threads(1)
assert (codec.decode(streams[:1])[0] == images[0]).all()
assert (codec.decode(streams) == images).all()
try:
    codec.decode([streams[0][:-1]])
except cb.BitstreamError:
    print(sum(map(len, streams)))
"""


def test_the_lossless_learned_codec_trains_and_is_exact(tmp_path):
    folder = write_example(tmp_path / "my_codecs", LEARNED_DOC, "tiny_lossless.py").parent
    train = ("-m", "codecbench", "train", "tiny_lossless", "--codec-dir", "my_codecs", "--epochs", 1, "--install")
    said = call(*train, "--device", "cpu", cwd=tmp_path, OMP_NUM_THREADS=1)
    assert "held-out bits per pixel" in said
    options = ("--codecs", "tiny_lossless", "--codec-dir", "my_codecs", "--device", "cpu")
    call(*RUN, *options, "--datasets", "digits", "--images", 5, "--out", "out", cwd=tmp_path)
    (row,) = summary(tmp_path / "out")
    assert (row["failed"], row["lossless"], row["exact_images"]) == ("0", "True", "5")
    assert 0 < float(row["bits_per_pixel"]) < 8
    assert int(call("-c", EXACT, cwd=tmp_path, CODECBENCH_CODEC_PATH=folder)) > 0


def test_the_override_of_the_sweep(tmp_path):
    """The indented block about ``default_points``, put into the example's class."""
    (override,) = [block for block in blocks(CODEC_DOC, "python") if block.startswith("    @classmethod")]
    file = write_example(tmp_path, CODEC_DOC, "quantised_zlib.py")
    file.write_text(file.read_text(encoding="utf-8").rstrip("\n") + "\n\n" + override, encoding="utf-8")
    code = "from codecbench.plugins.registry import CODECS; print(len(CODECS.get('quantised_zlib').default_points((8, 8, 1))))"  # noqa: E501
    assert call("-c", code, cwd=tmp_path, CODECBENCH_CODEC_PATH=tmp_path) == "7\n"


def test_the_dataset_runs(tmp_path):
    write_example(tmp_path / "my_datasets", DATASET_DOC, "checkerboards.py")
    options = ("--codecs", "png:compress_level=9", "--datasets", "checkerboards:cell=4", "--images", 10, "--out", "out")
    call(*RUN, *options, cwd=tmp_path, CODECBENCH_DATASET_PATH=tmp_path / "my_datasets")
    (row,) = summary(tmp_path / "out")
    assert (row["dataset"], row["images"], row["failed"]) == ("checkerboards:cell=4", "10", "0")


def test_the_short_codec_of_the_readme(tmp_path):
    write_example(tmp_path / "my_codecs", README, "zlib28.py")
    call("-m", "codecbench", "check", "zlib28", "--codec-dir", "my_codecs", cwd=tmp_path)
    options = ("--codecs", "zlib28", "--codec-dir", "my_codecs", "--datasets", "digits", "--images", 5, "--out", "out")
    call(*RUN, *options, cwd=tmp_path)
    (row,) = summary(tmp_path / "out")
    assert (row["exact_images"], row["failed"]) == ("5", "0")


def test_the_python_lines_of_the_readme(tmp_path):
    """As they stand, in a script."""
    (code,) = [block for block in blocks(README, "python") if "cb.run(" in block]
    code += "assert set(df['codec']) == {'jpeg', 'png'}\nassert len(rows) == 100 * len(df)\n"
    (tmp_path / "script.py").write_text(code, encoding="utf-8")
    assert "report.html" in call("script.py", cwd=tmp_path)


def test_a_missing_data_set_names_the_command_that_gets_it_as_the_readme_says(tmp_path):
    with pytest.raises(cb.DatasetError, match="`codecbench data get mnist`"):
        cb.run("png", "mnist", out=tmp_path / "out", data_dir=tmp_path / "nothing")


def test_training_writes_what_the_page_on_it_names():
    section = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for name in (checkpoint.CHECKPOINT, checkpoint.LOG, checkpoint.BEST, checkpoint.LAST, "best.json"):
        assert f"`{name}`" in section
    assert job.make_job("lossy_ae", device="cpu").out.as_posix() == "training/lossy_ae-fast"
    assert "`training/NAME-RECIPE`" in section


@pytest.mark.parametrize("document", [README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.stem)
def test_the_examples_are_formatted_like_the_code(document, tmp_path):
    for number, block in enumerate(blocks(document, "python")):
        if not block.startswith("    "):
            (tmp_path / f"block{number}.py").write_text(block, encoding="utf-8")
    options = ("--config", ROOT / "pyproject.toml", "--no-cache")
    call("-m", "ruff", "format", "--check", *options, tmp_path, cwd=tmp_path)
    call("-m", "ruff", "check", "--ignore", "D,RUF012", *options, tmp_path, cwd=tmp_path)


# ---- what docs/ablations.py trains ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ablations():
    """The script; it takes a module of the same folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        yield importlib.import_module("ablations")


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.mark.parametrize("name", ["digits", "colour", "ar_lossless", "res_lossless"])
def test_the_variants_of_the_ablations_can_be_trained_and_judged(ablations, name):
    family = ablations.FAMILIES[name]
    images = noise(2, 1, 28, 28) if name in ("digits", "ar_lossless") else noise(2, 3, 32, 32)
    found = []
    for called, variant in {ablations.WHOLE: ablations.Variant(), **family.variants}.items():
        recipe = dataclasses.replace(family.recipe, **variant.changes)
        with mock.patch.dict(vars(family.module), variant.constants), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = (variant.network or family.network)()
            if "start" in variant.changes:
                recipe.start(network, noise(1600, *images.shape[1:]) if name == "digits" else images)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.bfloat16):
                loss = recipe.loss(network, images.float() / 255)
            loss.backward()
            rows = [
                ablations.judge(network.eval(), images.float() / 255, quality)
                for quality in (variant.qualities or family.qualities)[:1]
            ]
        found.append((float(loss.detach()), sum(parameter.numel() for parameter in network.parameters())))
        assert math.isfinite(found[-1][0]), called
        assert rows[0]["bits_per_image"] > 0
    assert len(set(found)) == len(found), "two variants are the same"


def test_a_trial_of_an_ablation_writes_rows_and_does_not_train_them_again(ablations, tmp_path, monkeypatch):
    rows = [{"quality": "1", "bits_per_image": "90", "mse": "0.01", "steps": "2"}]
    monkeypatch.setattr(ablations, "run", lambda *_: rows)
    arguments = ["--data-dir", str(tmp_path), "--out", str(tmp_path / "out"), "--only", "digits", "--steps", "2"]
    assert ablations.main(arguments) == 0
    written = ablations.read(tmp_path / "out" / "digits.csv")
    assert list(written) == [ablations.WHOLE, *ablations.FAMILIES["digits"].variants]
    assert written[ablations.WHOLE][0]["bits_per_image"] == "90"
    monkeypatch.setattr(ablations, "run", lambda *_: pytest.fail("trained again"))
    assert ablations.main(arguments) == 0
    with pytest.raises(SystemExit):
        ablations.main(["--only", "digit"])
