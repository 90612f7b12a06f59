"""Trains short variants of the learned codecs, each without one of its parts: what does the part buy?

python docs/ablations.py --data-dir DIR                        trains all variants, one after the other
python docs/ablations.py --data-dir DIR --only digits          those of one family
python docs/ablations.py --data-dir DIR --only "one slice"     those of one name
python docs/ablations.py --write                               trains nothing, writes docs/learned-codecs.md

Each family's rows go to a CSV file in --out (results/ablations), one row a quality. A variant that has rows there is
left out, and one that was interrupted goes on, so the same command again does what is left. All variants of a family
have the same number of steps, the same seed and the same images, and are judged by training images that were held out;
no test image is looked at. Bits are those of the entropy model for rounded latents, or for pixels, without the coder's
last byte. The runs are much shorter than those of the shipped weights: only the differences mean something.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import functools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import torch
from torch import nn

from codecbench import learned
from codecbench.codecs import ar_lossless, rd_ae, res_lossless
from codecbench.data import data_root
from codecbench.fingerprint import file_sha256
from codecbench.learned.layers.levels import LEVELS
from codecbench.learned.training import loop
from codecbench.learned.training.augment import center_crop
from codecbench.learned.training.checkpoint import CHECKPOINT, LAST
from codecbench.learned.training.job import Job
from codecbench.learned.training.recipe import Recipe
from codecbench.learned.training.samples import load_samples
from codecbench.learned.weights import load_weights
from codecbench.plan.planner import open_dataset

ROOT = Path(__file__).resolve().parents[1]
WHOLE = "the whole"
COLUMNS = ("variant", "quality", "bits_per_image", "bits_per_pixel", "mse", "psnr_db")
ABOUT = ("held_out_images", "steps", "batch_size", "seed", "seconds")
BATCH = 50

Row = dict[str, str]
Rates = list[dict[str, float]]


@dataclass(frozen=True)
class Variant:
    """A codec's network and its training, changed in one thing.

    Attributes:
        network: makes it, or None for the family's own.
        changes: fields of the recipe.
        constants: of the codec's module, for as long as the variant is built, trained and judged.
        qualities: at which it is judged, or None for the family's own.
    """

    network: Callable[[], nn.Module] | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    qualities: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Family:
    """Variants that compare with one another.

    Attributes:
        module: the codec's.
        network: makes the whole network.
        recipe: a short one.
        variants: by what they are called in the table; without the whole.
        qualities: at which networks are judged; of lossless ones 0 alone.
    """

    module: ModuleType
    network: Callable[[], nn.Module]
    recipe: Recipe
    variants: Mapping[str, Variant]
    qualities: tuple[float, ...] = tuple(map(float, range(1, LEVELS + 1)))


# ---- what is changed ------------------------------------------------------------------------------------------------


class Nothing(nn.Module):
    """Stands for stages that add nothing to the linear transform."""

    def forward(self, x: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
        """0, whatever the input."""
        return x.new_zeros(())


def linear_only(build: Callable[[], nn.Module]) -> nn.Module:
    """The linear transforms and the entropy model alone."""
    network = build()
    network.analysis, network.synthesis = (nn.ModuleList([Nothing()]) for _ in range(2))
    return network


def orthonormal(size: int, length: int) -> torch.Tensor:
    """Random directions: (size, length)."""
    return torch.linalg.qr(torch.randn(length, size))[0].T.contiguous()


def random_colour() -> nn.Module:
    """A colour network whose linear transforms begin with random directions, not with cosines."""
    network = rd_ae.ColourNetwork()
    shape = network.forth.weight.shape
    directions = learned.LATENT_SCALE * orthonormal(shape[0], math.prod(shape[1:])).view(shape)
    network.forth.weight.data.copy_(directions)
    network.back.weight.data.copy_(directions)
    return network


def random_start(network: nn.Module, images: torch.Tensor) -> None:
    """Starts a network of digits with random directions, not with principal components, and with the mean image."""
    rd_ae.principal_components(network, images)
    forth, back = network.forth.linear, network.back.linear
    mean = images.flatten(1).float().mean(0) / 255 - 0.5
    directions = orthonormal(*forth.weight.shape)
    forth.weight.data.copy_(learned.LATENT_SCALE * directions)
    forth.bias.data.copy_(-learned.LATENT_SCALE * directions @ mean)
    back.weight.data.copy_(learned.LATENT_SCALE * directions.T)


@dataclass(frozen=True)
class AtQuality:
    """A rate-distortion loss at one quality alone: the mean, or of each image."""

    words: ClassVar[str] = rd_ae.AcrossQualities.words
    loss: rd_ae.RateDistortion
    quality: float
    each: bool = False

    def __call__(self, network: Any, images: torch.Tensor) -> torch.Tensor:
        """The loss of images (N, C, H, W)."""
        losses = self.loss.of(network, images, torch.full((len(images),), self.quality, device=images.device))
        return losses if self.each else losses.mean()


def values_alone(known: torch.Tensor) -> torch.Tensor:
    """Features of neighbours (P, K) that are their values alone."""
    return known / 256


def middle_gray(left: torch.Tensor, above: torch.Tensor, corner: torch.Tensor) -> torch.Tensor:
    """Predicts nothing: middle gray everywhere."""
    return torch.full_like(left, res_lossless.MIDDLE)


def broad_mixtures(network: nn.Module, images: torch.Tensor) -> None:
    """Starts mixtures that must do without a prediction: over all gray levels."""
    res_lossless.wide_mixtures(network, images)
    size = res_lossless.MIXTURE
    for part in (network.gray, *network.colour):
        part.last.bias.data[size : 2 * size] = torch.linspace(-96, 96, size) / res_lossless.UNIT
        part.last.bias.data[2 * size :] = math.log(32.0)


def apart() -> nn.Module:
    """Networks for red and blue that are not told the pixel's own green and red."""
    network = res_lossless.ResidualNetwork()

    def forget(known: int, _: nn.Module, inputs: tuple[torch.Tensor]) -> torch.Tensor:
        told = inputs[0].clone()
        told[:, told.shape[1] - known :] = 0
        return told

    for known, part in enumerate(network.colour):
        if known:
            part.register_forward_pre_hook(functools.partial(forget, known))
    return network


# ---- the families ---------------------------------------------------------------------------------------------------

_DIGITS, _COLOUR, _LOSS = rd_ae.DIGITS, rd_ae.COLOUR, rd_ae.DIGITS_LOSS
_GRAY, _RGB = "digits:count=64", "photos"
"""Embedded images for what the training loop does with test images, which choose nothing."""


def _layout(network: Any, layout: Any, **changes: Any) -> Callable[[], nn.Module]:
    return functools.partial(network, dataclasses.replace(layout, **changes))


FAMILIES = {
    "digits": Family(
        rd_ae,
        rd_ae.DigitsNetwork,
        dataclasses.replace(rd_ae.RECIPES["digits"], epochs=3, held_out=2000, variant="", test=_GRAY),
        {
            "one slice: no context between latents": Variant(_layout(rd_ae.DigitsNetwork, _DIGITS, slices=(64,))),
            "random directions to begin with": Variant(changes={"start": random_start}),
            "linear transforms alone": Variant(functools.partial(linear_only, rd_ae.DigitsNetwork)),
            "trained for one quality alone": Variant(
                changes={"loss": AtQuality(_LOSS, 4.0), "score": AtQuality(_LOSS, 4.0, each=True)}, qualities=(4.0,)
            ),
        },
    ),
    "colour": Family(
        rd_ae,
        rd_ae.ColourNetwork,
        dataclasses.replace(
            rd_ae.RECIPES["colour"],
            epochs=2,
            passes=1,
            batch_size=16,
            held_out=200,
            variant="",
            test=_RGB,
        ),
        {
            "no hyper-latent": Variant(_layout(rd_ae.ColourNetwork, _COLOUR, hyper=0)),
            "no checkerboard": Variant(_layout(rd_ae.ColourNetwork, _COLOUR, checkerboard=False)),
            "one slice": Variant(_layout(rd_ae.ColourNetwork, _COLOUR, slices=(_COLOUR.channels,))),
            "neither slices, nor checkerboard, nor hyper-latent": Variant(
                _layout(rd_ae.ColourNetwork, _COLOUR, slices=(_COLOUR.channels,), checkerboard=False, hyper=0)
            ),
            "random directions to begin with": Variant(random_colour),
            "linear transforms alone": Variant(functools.partial(linear_only, rd_ae.ColourNetwork)),
        },
    ),
    "ar_lossless": Family(
        ar_lossless,
        ar_lossless.CausalNetwork,
        dataclasses.replace(ar_lossless.RECIPES["fast"], epochs=1, held_out=500, most_images=16_000, test=_GRAY),
        {
            "a window of 4×4": Variant(constants={"ABOVE": 4, "ASIDE": 4}),
            "values alone, no flags": Variant(constants={"FEATURES": 1, "features": values_alone}),
        },
        qualities=(0.0,),
    ),
    "res_lossless": Family(
        res_lossless,
        res_lossless.ResidualNetwork,
        dataclasses.replace(
            res_lossless.RECIPES["fast"], epochs=2, passes=1, held_out=200, most_images=4_000, test=_RGB
        ),
        {
            "one logistic, no mixture": Variant(constants={"MIXTURE": 1}),
            "no median predictor": Variant(constants={"median": middle_gray}, changes={"start": broad_mixtures}),
            "channels apart": Variant(apart),
        },
        qualities=(0.0,),
    ),
}


# ---- training and judging -------------------------------------------------------------------------------------------


def run(family: Family, variant: Variant, folder: Path, data_dir: Path, steps: int | None = None) -> list[Row]:
    """Trains a variant, or goes on with it, and judges it.

    Args:
        family: what it belongs to.
        variant: what is changed.
        folder: of the training run.
        data_dir: the data root.
        steps: fewer, for a trial; None for all.

    Returns:
        A row for each quality, without the variant's name.
    """
    recipe = dataclasses.replace(family.recipe, **variant.changes)
    if steps is not None:
        images = steps * recipe.batch_size
        recipe = dataclasses.replace(recipe, epochs=1, passes=1, most_images=images, held_out=min(20, recipe.held_out))
    build = variant.network or family.network
    job = Job(SimpleNamespace(name=folder.name, network=build), "ablation", recipe, data_dir, folder)
    with mock.patch.dict(vars(family.module), variant.constants):
        card = loop.train(job, resume=(folder / CHECKPOINT).is_file())
        network = build().eval()
        load_weights(folder / LAST, network, file_sha256(folder / LAST))
        images = held_out(recipe, data_dir)
        told = [judge(network, images, quality) for quality in variant.qualities or family.qualities]
    about = {
        "held_out_images": len(images),
        "steps": recipe.epochs * recipe.passes * (card["training_images"] // recipe.batch_size),
        "batch_size": recipe.batch_size,
        "seed": recipe.seed,
        "seconds": card["training_seconds"],
    }
    return [{name: f"{value:.9g}" for name, value in {**row, **about}.items()} for row in told]


def held_out(recipe: Recipe, data_dir: Path) -> torch.Tensor:
    """The images that the training kept aside: float, (N, C, H, W) in [0, 1]."""
    image_set = open_dataset(recipe.dataset, data_dir)
    order = np.random.default_rng(recipe.seed).permutation(len(image_set))
    images = load_samples(image_set, "cpu", order[: recipe.held_out].tolist()).images
    return (center_crop(images, *recipe.crop) if recipe.crop else images).float() / 255


@torch.inference_mode()
def judge(network: nn.Module, images: torch.Tensor, quality: float) -> dict[str, float]:
    """Bits, and the error of the 8-bit output where a network is lossy, at a quality; 0 for a lossless one."""
    bits, errors = [], []
    for part in images.split(BATCH):
        if not quality:
            bits.append(network(part))
            continue
        restored, cost = network(part, torch.full((len(part),), quality))
        bits.append(cost)
        errors.append(((restored.clamp(0, 1) * 255).round() / 255 - part).square().flatten(1).mean(1))
    each = torch.cat(bits).double()
    row = {"quality": quality, "bits_per_image": float(each.mean())}
    row["bits_per_pixel"] = row["bits_per_image"] / images[0, 0].numel()
    if errors:
        error = torch.cat(errors).double()
        row |= {"mse": float(error.mean()), "psnr_db": float((-10 * error.log10()).mean())}
    return row


# ---- rows -----------------------------------------------------------------------------------------------------------


def read(path: Path) -> dict[str, list[Row]]:
    """The rows of a family, by variant."""
    found: dict[str, list[Row]] = {}
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                found.setdefault(row["variant"], []).append(row)
    return found


def write(path: Path, rows: dict[str, list[Row]], order: Sequence[str]) -> None:
    """Writes the rows of a family, its variants in a given order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, (*COLUMNS, *ABOUT), lineterminator="\n")
        writer.writeheader()
        for variant in order:
            writer.writerows({**row, "variant": variant} for row in rows.get(variant, []))


def main(arguments: list[str]) -> int:
    """Trains what is missing, or writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="the data root")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "ablations", help="folder of the CSV files")
    parser.add_argument("--work", type=Path, default=Path("training", "ablations"), help="folder of the training runs")
    parser.add_argument("--only", help="a family, or a variant")
    parser.add_argument("--steps", type=int, help="few steps and images alone: a trial, into another --out and --work")
    parser.add_argument("--write", action="store_true", help="train nothing, put the tables into the page")
    asked = parser.parse_args(arguments)
    if asked.write:
        import learned_tables

        return learned_tables.main(["--write"])
    names = {*FAMILIES, WHOLE, *(variant for family in FAMILIES.values() for variant in family.variants)}
    if asked.only not in {None, *names}:
        parser.error(f"--only {asked.only} is not allowed; allowed: {', '.join(sorted(names))}")
    for name, family in FAMILIES.items():
        variants = {WHOLE: Variant(), **family.variants}
        for number, (called, variant) in enumerate(variants.items()):
            rows = read(asked.out / f"{name}.csv")
            if called in rows or asked.only not in (None, name, called):
                continue
            folder = asked.work / f"{name}-{number}"
            rows[called] = run(family, variant, folder, data_root(asked.data_dir), asked.steps)
            write(asked.out / f"{name}.csv", rows, list(variants))
            print(f"{name}, {called}: {rows[called][-1]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
