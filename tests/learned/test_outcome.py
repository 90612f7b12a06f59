"""Scores other than the MSE, what a finished run stores, and finished runs that are finished once more."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from small_training import DIGITS, SCORED, WORDS, Gray, absolute_error, interrupt, job_of, numbers_of
from torch import nn

from codecbench.cli.console import TrainProgress
from codecbench.errors import TrainingError
from codecbench.fingerprint import file_sha256
from codecbench.learned.coding.latents import LatentCoder
from codecbench.learned.training import fit_latents, samples
from codecbench.learned.training.job import Job
from codecbench.learned.training.loop import Progress, train
from codecbench.learned.training.recipe import called
from codecbench.learned.training.samples import Samples, evaluate, load_samples
from codecbench.learned.weights import load_weights
from codecbench.plan.planner import open_dataset
from codecbench.plugins.registry import CODECS

HALVED = dataclasses.replace(SCORED, halved=("encoder.",))


def stored(out: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(out / "best.safetensors")


# ---- scores ----------------------------------------------------------------------------------------------------------


def test_the_error_and_scores_are_means_over_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the batch; what a score draws is the same at every call."""
    images = torch.randint(0, 256, (7, 1, 6, 6), dtype=torch.uint8)

    def drawing(network: nn.Module, shown: torch.Tensor) -> torch.Tensor:
        return network(shown).flatten(1).mean(1) + torch.rand(len(shown))

    network = nn.Dropout(0.5)
    assert evaluate(network, Samples(images)) == 0
    assert network.training  # left as it was
    middle = images[:, :, 2:4, 1:5].double() / 255
    expected = [
        (nn.Threshold(2.0, 0.5), None, None, ((images / 255 - 0.5) ** 2).mean()),
        (nn.Threshold(2.0, 0.0), (2, 4), None, (middle**2).mean()),
        (nn.Identity(), None, lambda _, shown: shown.double().flatten(1).mean(1), images.double().mean() / 255),
    ]
    torch.manual_seed(5)
    first = evaluate(nn.Identity(), Samples(images), (4, 4), drawing)
    after = torch.rand(3)
    assert evaluate(nn.Identity(), Samples(images), (4, 4), drawing) == first
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), after)
    for batch in (samples.EVALUATION_BATCH, 3):
        monkeypatch.setattr(samples, "EVALUATION_BATCH", batch)
        for judged, crop, score, value in expected:
            assert evaluate(judged, Samples(images), crop, score) == pytest.approx(float(value), rel=1e-6)
        assert evaluate(nn.Identity(), Samples(images), (4, 4), drawing) == pytest.approx(first)


def test_scores_that_are_refused(small_root: Path, tmp_path: Path) -> None:
    broken = called(WORDS)(lambda network, images: images.flatten(1).mean(1) / 0 * 0)
    with pytest.raises(TrainingError, match=f"the held-out {WORDS} is nan after epoch 1, step 5"):
        train(job_of(small_root, tmp_path / "out", score=broken))
    images = Samples(torch.zeros((7, 1, 6, 6), dtype=torch.uint8))
    for shape, score in {
        "1×6": lambda _, shown: shown[:1, 0, 0],
        "a single one": lambda _, shown: shown.mean(),
    }.items():
        with pytest.raises(TrainingError, match=f"a score gives 7 numbers for 7 images; got {shape}"):
            evaluate(nn.Identity(), images, None, score)


def test_a_line_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    TrainProgress()(Progress(2, 4, 0.5, 1.5, 1.25, math.nan, 100.0, 61.0, "bits per pixel", finished=True))
    line = "epoch 2/4  loss 1.5  bits per pixel held-out 1.25, test –  100 images/s  1:01 left\n"
    assert capsys.readouterr().out == line


# ---- tables, and what is stored as bfloat16 --------------------------------------------------------------------------


class Counting:
    """A codec's two hooks, and what they were given."""

    def __init__(self) -> None:
        self.images: list[torch.Tensor] = []
        self.weights: dict[str, torch.Tensor] = {}

    def tables_for(self, network: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
        assert images.dtype == torch.uint8
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
        self.weights = {name: value.clone() for name, value in network.state_dict().items()}
        self.images.append(images)
        return {"counts": torch.bincount(images.flatten().long(), minlength=256).int()}

    def judge_tables(
        self, network: nn.Module, tables: dict[str, torch.Tensor], images: torch.Tensor
    ) -> dict[str, float]:
        self.images.append(images)
        return {"held_out_bits": float(tables["counts"].sum())}

    @property
    def hooks(self) -> dict[str, Any]:
        return {"tables_for": self.tables_for, "judge_tables": self.judge_tables}


def test_figures_and_tables_are_those_of_the_weights_as_stored(scored: SimpleNamespace, tmp_path: Path) -> None:
    counting, out = Counting(), tmp_path / "half"
    card, plain = train(job_of(scored.job.data_dir, out, HALVED, hooks=counting.hooks)), stored(scored.job.out)
    training_images, held_out = (set(numbers_of(images)) for images in counting.images)
    assert (len(training_images), len(held_out)) == (80, 20)
    assert not training_images & held_out
    content = stored(out)
    assert content.pop("tables.counts").dtype == torch.int32
    assert card["tables"] == {"held_out_bits": 80 * 784}
    assert card["sha256"] == file_sha256(out / "best.safetensors")
    assert card["recipe"]["halved"] == ["encoder."]
    assert content.keys() == counting.weights.keys() == plain.keys()
    for name, value in content.items():
        assert value.dtype == (torch.bfloat16 if name.startswith("encoder.") else torch.float32)
        assert torch.equal(counting.weights[name], value.float())
        assert torch.equal(value, plain[name].to(value.dtype))
    network = Gray()
    load_weights(out / "best.safetensors", network, card["sha256"])
    test = load_samples(open_dataset("mnist", scored.job.data_dir), "cpu")
    with torch.no_grad():
        images = test.images.float() / 255
        assert card["test_score"] == pytest.approx(float((network(images) - images).abs().mean()), rel=1e-5)
    assert card["test_score"] == evaluate(network, test, None, absolute_error) != scored.card["test_score"]
    assert card["test_score"] == pytest.approx(scored.card["test_score"], rel=1e-2)
    assert card["held_out_score"] == scored.card["held_out_score"]  # the log's, by which the epoch was chosen


def test_tables_come_from_the_middle_of_images_that_are_cropped(small_root: Path, tmp_path: Path) -> None:
    shapes = []

    def tables_for(network: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
        shapes.append(tuple(images.shape))
        return {}

    recipe = dataclasses.replace(SCORED, crop=(14, 21), epochs=1, augment=lambda images, _: images[..., :14, :21])
    card = train(job_of(small_root, tmp_path / "out", recipe, hooks={"tables_for": tables_for}))
    assert shapes == [(80, 1, 14, 21)]
    assert "tables" not in card
    assert not [name for name in stored(tmp_path / "out") if name.startswith("tables.")]


def test_a_finished_run_gets_tables_when_it_is_finished_again(small_root: Path, tmp_path: Path) -> None:
    job = job_of(small_root, tmp_path / "out", SCORED, epochs=1)
    before = train(job)
    weights, log = stored(job.out), (job.out / "log.csv").read_bytes()
    job = dataclasses.replace(job, codec=SimpleNamespace(**vars(job.codec), **Counting().hooks), command="another")
    after = train(job, resume=True, watch=lambda _: pytest.fail("trained on"))
    content = stored(job.out)
    assert int(content.pop("tables.counts").sum()) == 80 * 784
    assert all(torch.equal(content[name], value) for name, value in weights.items())
    assert (job.out / "log.csv").read_bytes() == log
    assert after["sha256"] == file_sha256(job.out / "best.safetensors") != before["sha256"]
    assert after | {"sha256": before["sha256"]} == before | {"tables": {"held_out_bits": 80 * 784}}
    assert json.loads((job.out / "best.json").read_text(encoding="utf-8")) == after
    for foreign in ("", "[1]", "{", '{"best_epoch": 99, "command": "foreign"}'):  # such cards are not believed
        (job.out / "best.json").write_text(foreign, encoding="utf-8")
        assert train(job, resume=True)["command"] == "another"


class Latent(CODECS.get("lossy_ae")):
    """A codec that leaves its tables to the framework."""

    network = Gray
    latent_shape = (4, 4, 4)


def test_latent_codecs_need_no_hook(small_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_latents, "PERTURBATIONS", 1_000)
    card = train(Job(Latent, "fast", dataclasses.replace(DIGITS, epochs=1), small_root, tmp_path / "out"))
    assert set(card["tables"]) == {"excess", "held_out_bits", "held_out_mse_ratio"}
    assert card["tables"]["held_out_bits"] > 0
    images = load_samples(open_dataset("mnist:split=train", small_root), "cpu").images
    order = np.random.default_rng(0).permutation(100)
    network = Gray()
    load_weights(tmp_path / "out" / "best.safetensors", network, card["sha256"])
    held_out, rest = (images[torch.from_numpy(part)] for part in (order[:20], order[20:]))
    expected = fit_latents.fit_tables(network.eval(), rest).tables()
    weights = stored(tmp_path / "out")
    tables = {name: weights[f"tables.{name}"] for name in expected}
    assert all(torch.equal(value, expected[name]) for name, value in tables.items())
    judged = fit_latents.judge(network, LatentCoder.of(tables, 4, "lossy_ae"), held_out)
    assert judged["bits"] == card["tables"]["held_out_bits"]


def test_how_weights_are_stored_may_change_when_a_run_is_resumed(scored: SimpleNamespace, tmp_path: Path) -> None:
    root = scored.job.data_dir
    interrupt(job_of(root, tmp_path / "out", SCORED), 2)
    resumed = train(job_of(root, tmp_path / "out", HALVED), resume=True)
    assert resumed["sha256"] == train(job_of(root, tmp_path / "whole", HALVED))["sha256"]
    assert train(job_of(root, tmp_path / "out", SCORED), resume=True)["sha256"] == scored.card["sha256"]
