"""The examples in README.md and docs/ work as they are: each is cut out of the Markdown, written to a file and run."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import math
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from plugins import install, use_folder
from test_readme import README, ROOT, blocks, script

import codecbench as cb
from codecbench.learned.training import checkpoint, job
from codecbench.testing import CHECKS, check_codec, damage

CODEC_DOC = ROOT / "docs" / "adding-a-codec.md"
DATASET_DOC = ROOT / "docs" / "adding-a-dataset.md"
METRIC_DOC = ROOT / "docs" / "adding-a-metric.md"
LEARNED_DOC = ROOT / "docs" / "learned-codecs.md"


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


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


RUN = ("-m", "codecbench", "run", "--no-timing", "--workers", 1, "--images", 5, "--out", "out")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """One run, as the pages say, of the plugins in them: three codecs (one of them installed), a dataset, a metric."""
    folder = tmp_path_factory.mktemp("plugins")
    for document, kind, name in (
        (CODEC_DOC, "site", "quantised_zlib.py"),
        (CODEC_DOC, "my_codecs", "packed_set.py"),
        (README, "my_codecs", "zlib28.py"),
        (DATASET_DOC, "my_datasets", "checkerboards.py"),
        (METRIC_DOC, "my_metrics", "worst_block_mse.py"),
    ):
        write_example(folder / kind, document, name)
    (project,) = [tomllib.loads(block) for block in blocks(CODEC_DOC, "toml")]
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["include"] == ["quantised_zlib.py"]
    install(folder / "site", project["project"]["name"], project["project"]["entry-points"])
    codecs = ("--codecs", "quantised_zlib,packed_set,zlib28,png:compress_level=9", "--codec-dir", "my_codecs")
    metrics = ("--metrics", "worst_block_mse", "--metric-dir", "my_metrics")
    datasets = ("--datasets", "digits,checkerboards:cell=4")
    places = {"CODECBENCH_DATASET_PATH": folder / "my_datasets", "PYTHONPATH": folder / "site"}
    call(*RUN, *codecs, *metrics, *datasets, cwd=folder, **places)
    return folder / "out"


def rows_of(run: Path, codec: str, dataset: str = "digits") -> list[dict[str, str]]:
    return [row for row in table(run / "summary.csv") if (row["codec"], row["dataset"]) == (codec, dataset)]


def test_the_codecs_and_the_dataset_run(run):
    for dataset in ("digits", "checkerboards:cell=4"):
        rows = rows_of(run, "quantised_zlib", dataset)
        assert {row["settings"] for row in rows} == {f"step={2**power},effort=6" for power in range(7)}
        assert all(row["images"] == "5" and row["failed"] == "0" for row in rows)
        assert all(float(row["container_bytes"]) == 15 for row in rows)
        (exact,) = [row for row in rows if row["lossless"] == "True"]
        assert exact["settings"].startswith("step=1,")
        assert float(exact["mse"]) == 0.0
    (row,) = rows_of(run, "zlib28")
    assert (row["exact_images"], row["failed"]) == ("5", "0")
    sets = [row for row in table(run / "sets.csv") if row["codec"] == "packed_set"]
    assert {(row["dataset"], row["settings"], row["status"]) for row in sets} == {
        ("digits", "effort=9", ""),
        ("checkerboards:cell=4", "effort=9", ""),
    }


def test_the_metric_runs(run):
    (row,) = (row for row in rows_of(run, "quantised_zlib") if row["settings"].startswith("step=64,"))
    assert float(row["worst_block_mse"]) > float(row["mse"]) > 0
    assert "ms_ssim" not in row
    (told,) = json.loads((run / "run.json").read_text(encoding="utf-8"))["metrics"].values()
    assert told["description"] == "Largest mean squared error of any 8×8 block, levels scaled to [0, 1]."
    assert told["variants"] == {"digits": "worst of 3×3 blocks", "checkerboards:cell=4": "worst of 8×8 blocks"}


@pytest.mark.parametrize(("name", "folder"), [("quantised_zlib", "site"), ("packed_set", "my_codecs")])
def test_the_codecs_pass_the_checks(run, name, folder):
    with use_folder(run.parent / folder):
        check_codec(cb.open_codec(name), damages=10)


@pytest.mark.slow
def test_the_codec_of_the_readme_is_checked_measured_and_compared_as_shown(tmp_path):
    file = write_example(tmp_path / "my_codecs", README, "zlib28.py")
    commands = [line for block in blocks(README, "sh") for line in block.splitlines() if "my_codecs" in line]
    (compare,) = (line for line in "\n".join(blocks(README, "sh")).splitlines() if " compare " in line)
    said, codes = "", []
    for command in (*commands, compare):
        if command == commands[-1]:  # zlib's fastest level
            file.write_text(file.read_text(encoding="utf-8").replace("tobytes())", "tobytes(), 1)"), encoding="utf-8")
        line = [sys.executable, "-m", *shlex.split(command)]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        said += done.stdout
        codes.append(done.returncode)
    assert codes == [0, 0, 0, 1]
    told = {" ".join(line.split()) for line in said.splitlines()}
    shown = [block for block in blocks(README, "text") if block.startswith(("settings  ", "A  results"))]
    assert {" ".join(line.split()) for line in "\n".join(shown).splitlines()} - {"…"} <= told


@pytest.mark.slow
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


def trained(folder: Path, document: Path, name: str) -> str:
    """Writes a learned codec of a page, and trains it for one epoch."""
    write_example(folder / "my_codecs", document, f"{name}.py")
    train = ("-m", "codecbench", "train", name, "--codec-dir", "my_codecs", "--epochs", 1, "--install")
    return call(*train, "--device", "cpu", cwd=folder, OMP_NUM_THREADS=1)


@pytest.mark.slow
def test_the_learned_codec_trains_and_runs(tmp_path):
    assert "best epoch 1" in trained(tmp_path, CODEC_DOC, "tiny_ae")
    weights = sorted(file.name for file in (tmp_path / "my_codecs" / "weights").iterdir())
    assert weights == ["tiny_ae.csv", "tiny_ae.json", "tiny_ae.safetensors"]
    options = ("--codecs", "tiny_ae", "--codec-dir", "my_codecs", "--device", "cpu", "--datasets", "digits")
    call(*RUN, *options, cwd=tmp_path)
    (row,) = table(tmp_path / "out" / "summary.csv")
    assert (row["failed"], row["bits_per_image"], row["out_of_domain"]) == ("0", "256.0", "False")


def test_the_lossless_learned_codec_trains_and_is_exact(tmp_path):
    assert "held-out bits per pixel" in trained(tmp_path, LEARNED_DOC, "tiny_lossless")
    with use_folder(tmp_path / "my_codecs"):
        codec, images = cb.open_codec("tiny_lossless"), cb.open_dataset("digits").read(range(5))
        streams = codec.encode(images)
        assert [codec.encode(image[None])[0] for image in images] == streams
        np.testing.assert_array_equal(codec.decode(streams), images)
        np.testing.assert_array_equal(codec.decode(streams[:1]), images[:1])
        with pytest.raises(cb.BitstreamError):
            codec.decode([streams[0][:-1]])


def test_the_override_of_the_sweep(codec_folder):
    """The indented block about ``default_points``, put into the example's class."""
    (override,) = [block for block in blocks(CODEC_DOC, "python") if block.startswith("    @classmethod")]
    file = write_example(codec_folder, CODEC_DOC, "quantised_zlib.py")
    file.write_text(file.read_text(encoding="utf-8").rstrip("\n") + "\n\n" + override, encoding="utf-8")
    assert len(type(cb.open_codec("quantised_zlib")).default_points((8, 8, 1))) == 7


def test_the_python_lines_of_the_readme(tmp_path, monkeypatch, capsys):
    """As they are, but without the times that a run takes."""
    (code,) = [block for block in blocks(README, "python") if "cb.run(" in block]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cb, "run", functools.partial(cb.run, timing=False, workers=1))
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert set(names["df"]["codec"]) == {"jpeg", "png"}
    assert len(names["rows"]) == 100 * len(names["df"])
    assert "report.html" in capsys.readouterr().out


def test_training_writes_what_the_page_on_it_names():
    section = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for name in (checkpoint.CHECKPOINT, checkpoint.LOG, checkpoint.BEST, checkpoint.LAST, "best.json"):
        assert f"`{name}`" in section
    assert job.make_job("lossy_ae", device="cpu").out.as_posix() == "training/lossy_ae-fast"
    assert "`training/NAME-RECIPE`" in section


def test_the_examples_are_formatted_like_the_code(tmp_path):
    for document in (README, *sorted((ROOT / "docs").glob("*.md"))):
        for number, block in enumerate(blocks(document, "python")):
            if not block.startswith("    "):
                (tmp_path / f"{document.stem}_{number}.py".replace("-", "_")).write_text(block, encoding="utf-8")
    options = ("--config", ROOT / "pyproject.toml", "--no-cache")
    call("-m", "ruff", "format", "--check", *options, tmp_path, cwd=tmp_path)
    call("-m", "ruff", "check", "--ignore", "D,RUF012", *options, tmp_path, cwd=tmp_path)


# ---- what docs/ablations.py trains ----------------------------------------------------------------------------------


ablations = script("ablations")


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.mark.parametrize("name", ["digits", "colour", "ar_lossless", "res_lossless"])
def test_the_variants_of_the_ablations_can_be_trained_and_judged(name):
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


def test_a_trial_of_an_ablation_writes_rows_and_does_not_train_them_again(tmp_path, monkeypatch):
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
