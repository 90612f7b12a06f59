"""Small untrained networks and their weights, in place of those that learned codecs are shipped with."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from codecbench import learned
from codecbench.codecs import ar_lossless, gan_ae, rd_ae, res_lossless
from codecbench.datasets.digits import Digits
from codecbench.fingerprint import file_sha256
from codecbench.learned.coding.latents import HIGHEST, LOWEST, LatentCoder
from codecbench.learned.layers.contexts import Layout
from codecbench.learned.training.losses import FeatureNetwork
from codecbench.learned.weights import card_path, save_weights, weights_path
from codecbench.plugins.codec import Images
from codecbench.plugins.registry import CODECS

COLOUR = Layout(slices=(4, 4, 8), hyper=4, hidden=16, spread=(60.0, 6.0))
DIGITS = Layout(slices=(4, 4, 8), checkerboard=False, hidden=16, kernel=1, spread=(60.0, 6.0))
AUTOENCODERS = ("lossy_ae", "lossless_ae", "stl10_ae")

Builder = Callable[[], torch.nn.Module]
colour_network = functools.partial(rd_ae.ColourNetwork, COLOUR, narrow=8, wide=8, thin=8)
perceptual_network = functools.partial(gan_ae.PerceptualNetwork, colour_network, 8)
causal_network = functools.partial(ar_lossless.CausalNetwork, width=16, blocks=1)
residual_network = functools.partial(res_lossless.ResidualNetwork, width=16, blocks=1)
VARIANTS: dict[type, dict[str, Builder]] = {
    rd_ae.RdAe: {
        "colour": colour_network,
        "digits": functools.partial(rd_ae.DigitsNetwork, DIGITS, thin=4, narrow=4, wide=16),
    },
    gan_ae.GanAe: dict.fromkeys(("features", "judge"), functools.partial(FeatureNetwork, 10, (4, 4, 4, 4))),
}
SINGLE: dict[type, Builder] = {
    gan_ae.GanAe: perceptual_network,
    ar_lossless.ArLossless: causal_network,
    res_lossless.ResLossless: residual_network,
}


def store(path: Path, network: torch.nn.Module, tables: Mapping[str, torch.Tensor] | None = None) -> Path:
    """Writes a network's weights, an entropy coder's tables and a model card."""
    save_weights(path, network.state_dict(), tables)
    write_card(path)
    return path


def write_card(path: Path) -> None:
    """Writes a model card with the checksum that a weight file has now."""
    card_path(path).write_text(json.dumps({"sha256": file_sha256(path)}), encoding="utf-8")


def find_weights_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Every codec finds its weights in this folder instead of beside its own file."""

    def place(cls: type, variant: str = "") -> Path:
        return folder / weights_path(cls, variant).name

    _ = learned.weights_path  # a lazy name, which would be taken from the patched module for good
    for module in list(sys.modules.values()):
        if module.__name__.startswith("codecbench.") and "weights_path" in vars(module):
            patch.setattr(module, "weights_path", place)


def use_small_networks(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Learned codecs build small networks and find their weights in this folder."""
    for cls, build in SINGLE.items():
        patch.setattr(cls, "network", build)
    for cls, networks in VARIANTS.items():
        patch.setattr(cls, "networks", networks)
    find_weights_in(folder, patch)


def shaken(module: Any, size: float, seed: int) -> Any:
    """Adds noise to all parameters of an untrained module, which differ in nothing else from place to place."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data += size * torch.randn(parameter.shape, generator=generator)
    return module


def latent_tables(name: str, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Tables for untrained weights: each channel's own mean, a step that its small spread spans."""
    height, width, channels = CODECS.get(name).image_shape
    noise = torch.randint(0, 256, (64, channels, height, width), generator=torch.Generator().manual_seed(0)).byte()
    with torch.inference_mode():
        z = network.encoder(noise.float() / 255.0).flatten(2).numpy()
    number = z.shape[1]
    step = np.maximum(z.std((0, 2)), 1e-4) / 3
    size = HIGHEST - LOWEST + 1
    bell = np.rint(1_000 * np.exp(-0.5 * (np.arange(LOWEST, HIGHEST + 1) / 3.0) ** 2)).astype(np.int64) + 1
    coder = LatentCoder(
        mean=z.mean((0, 2)),
        analysis=np.diag(1 / step).astype(np.float32),
        synthesis=np.diag(step).astype(np.float32),
        low=np.full(number, LOWEST),
        counts=np.broadcast_to(bell, (1, number, size)),
        front=np.ones(1, np.int64),
        slope=0.05,
    )
    return coder.tables()


def drawn_digits(count: int, seed: int = 0) -> Images:
    """Digits like those of MNIST: uint8, (count, 28, 28, 1)."""
    return Digits(seed=seed).load(Path()).read(range(count))


def write_small_weights(folder: Path) -> None:
    """Writes weights of all learned codecs but ``cond_ae``; none was trained."""
    for name in AUTOENCODERS:
        torch.manual_seed(5)
        network = CODECS.get(name).network().eval()
        store(folder / f"{name}.safetensors", network, None if name == "lossless_ae" else latent_tables(name, network))
    for variant, build in VARIANTS[rd_ae.RdAe].items():  # their linear parts are transform codes already
        torch.manual_seed(5)
        base = build()
        shaken(base.contexts, 0.08, 1)
        store(folder / f"rd_ae-{variant}.safetensors", base)
        if variant == "colour":
            tuned = perceptual_network()
            tuned.synthesis.load_state_dict(base.synthesis.state_dict())
            tuned.back.load_state_dict(base.back.state_dict())
            name = torch.tensor(list(gan_ae.fingerprint(base)), dtype=torch.uint8)
            store(folder / "gan_ae.safetensors", shaken(tuned, 0.03, 2), {"base": name})
    for variant, build in VARIANTS[gan_ae.GanAe].items():
        store(folder / f"gan_ae-{variant}.safetensors", build())
    torch.manual_seed(0)
    causal = shaken(causal_network(), 0.1, 1)
    ar_lossless.count_blanks(causal, torch.from_numpy(drawn_digits(200, 9)).permute(0, 3, 1, 2))
    store(folder / "ar_lossless.safetensors", causal)
    torch.manual_seed(0)
    residual = residual_network().requires_grad_(False)
    res_lossless.wide_mixtures(residual, torch.zeros(1))
    store(folder / "res_lossless.safetensors", shaken(residual, 0.05, 3))
