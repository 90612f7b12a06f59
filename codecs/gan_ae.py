"""The streams of ``rd_ae`` at low rates, restored to look like originals rather than to lie nearest to them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

import codecbench as cb
from codecbench import learned

from .rd_ae import ColourNetwork, RdAe

FIXED: dict[str, cb.Shape] = {"64x64x3": (64, 64, 3)}
HIGHEST = 3.0
"""The highest quality: above it the images of ``rd_ae`` are hardly smoothed."""
CLASSES = 10
LARGEST_MOVE = 16
"""One of so many rows and columns is where the features' grid begins in a training step."""
BASE = "base"
"""The table that names the entropy model for whose latents a synthesis was trained."""


def rd_ae_network(device: str) -> learned.RateDistortionNetwork:
    """The network of ``rd_ae`` for colour images, as it is shipped."""
    return RdAe().on(device).shipped_network()


def fingerprint(network: learned.RateDistortionNetwork) -> bytes:
    """SHA-256 of those parameters of a network's entropy model that decoders need: they decide what latents mean."""
    found = hashlib.sha256()
    decoded_with = {name: value for name, value in network.contexts.state_dict().items() if "analysis" not in name}
    for name, value in sorted(decoded_with.items()):
        found.update(name.encode() + value.float().cpu().numpy().astype("<f4").tobytes())
    return found.digest()


class PerceptualNetwork(learned.RateDistortionNetwork):
    """A synthesis of its own, and in training its discriminator; all else is that of ``rd_ae``, and is not changed."""

    def __init__(self, build: Callable[[], learned.RateDistortionNetwork] = ColourNetwork, width: int = 64) -> None:
        super().__init__()
        network = build()
        self.synthesis, self.back = network.synthesis, network.back
        self.discriminator = learned.PatchDiscriminator(network.channels, network.contexts.layout.channels, width)

    def forward(self, images: torch.Tensor, quality: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstructions (N, 3, H, W) and the latents that they were restored from."""
        base = rd_ae_network(images.device.type)
        with torch.no_grad():
            latents, _ = base.contexts(base.analyse(images, quality), quality)
        return self.synthesise(latents, quality), latents


class _Joined(learned.RateDistortionNetwork):
    """Analysis and entropy model of one network, synthesis of another."""

    channels = ColourNetwork.channels
    stride = ColourNetwork.stride
    unit = ColourNetwork.unit

    def __init__(self, base: learned.RateDistortionNetwork, tuned: PerceptualNetwork):
        super().__init__()
        self.analysis, self.forth, self.contexts = base.analysis, base.forth, base.contexts
        self.synthesis, self.back = tuned.synthesis, tuned.back


@functools.lru_cache(maxsize=4)
def _joined(base: learned.RateDistortionNetwork, tuned: PerceptualNetwork, path: Path) -> learned.RateDistortionNetwork:
    trained_for = learned.shipped_tables(path).get(BASE)
    if trained_for is None or bytes(trained_for.to(torch.uint8).tolist()) != fingerprint(base):
        other = "the weights of rd_ae are not those that these were trained for"
        raise cb.WeightsError(f"{path}: {other}; `codecbench train gan_ae` makes new ones")
    return _Joined(base, tuned).eval()


def from_rd_ae(network: nn.Module, images: torch.Tensor) -> None:
    """Starts the synthesis as that of ``rd_ae``."""
    assert isinstance(network, PerceptualNetwork)
    base = rd_ae_network(images.device.type)
    network.synthesis.load_state_dict(base.synthesis.state_dict())
    network.back.load_state_dict(base.back.state_dict())


def _compare(images: torch.Tensor, restored: torch.Tensor) -> torch.Tensor:
    """Distances (N,) between the features of images and of what became of them."""
    path = learned.weights_path(GanAe, "features")
    network = learned.shipped_network(GanAe.networks["features"], path, images.device.type)
    assert isinstance(network, learned.FeatureNetwork)
    return learned.feature_distance(network, images, restored)


def _moved(*pairs: torch.Tensor) -> list[torch.Tensor]:
    """Images (N, C, H, W), all turned about by the same random number of rows and columns.

    The stages of a classifier skip every other place. Were it always the same one, a pattern there would please them.
    """
    rows, columns = torch.randint(0, LARGEST_MOVE, (2,)).tolist()
    return [images.roll((rows, columns), (2, 3)) for images in pairs]


@dataclass(frozen=True)
class Perceptual:
    """Squared error, distance of features and loss of the discriminator, at qualities drawn at random, one an image.

    ``error``, ``features`` and ``doubt`` weigh a unit of squared error on the 0–255 scale, a unit of the distance of
    features, and a nat of the discriminator's doubt.
    """

    error: float
    features: float
    doubt: float

    def __call__(self, network: learned.Network, images: torch.Tensor) -> torch.Tensor:
        """The loss of synthesis and discriminator together; each has its part alone."""
        quality = 1 + (HIGHEST - 1) * torch.rand(len(images)).to(images.device)
        restored, latents = network(images, quality)
        restored = restored.float()
        error = (restored - images).square().mean() * 255**2
        discriminator: nn.Module = network.discriminator  # type: ignore[attr-defined]
        fooling, telling = learned.adversarial_losses(discriminator, images, restored, latents)
        apart = _compare(*_moved(images, restored)).mean()
        return self.error * error + self.features * apart + self.doubt * fooling + telling


@learned.called("distance of features")
def across_qualities(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Distances (N,) between the features of images and of those restored, at three qualities in turn."""
    quality = 1.0 + torch.arange(len(images), device=images.device) % int(HIGHEST)
    restored, _ = network(images, quality)
    return _compare(images, restored.float().clamp(0, 1))


def classes_told(network: learned.Network, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of classes, in nats, against labels smoothed by a tenth."""
    return F.cross_entropy(network(images).float(), labels, label_smoothing=0.1)


@learned.called("share of wrong classes")
def wrong_classes(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """1 for an image whose class is not predicted right, else 0: (N,)."""
    predicted: torch.Tensor = network(images).argmax(1)
    return (predicted != labels).double()


AUGMENT = learned.Chain((learned.RandomCropFlip(64, 64), learned.RandomColour()))

TUNE = learned.Recipe(
    dataset="stl10:split=train,crop=none",
    test="stl10",
    held_out=400,
    epochs=5,
    batch_size=16,
    learning_rate=3e-4,
    augment=AUGMENT,
    crop=(64, 64),
    loss=Perceptual(error=0.002, features=0.5, doubt=0.5),
    score=across_qualities,
    start=from_rd_ae,
    halved=("synthesis", "back", "discriminator"),
    bfloat16=True,
    channels_last=True,
)


def _classifier(variant: str, seed: int) -> learned.Recipe:
    """The recipe of one of the two classifiers, which differ in their seed alone: start, hold-out, order and crops."""
    return learned.Recipe(
        dataset="stl10:split=train,crop=none",
        test="stl10:split=train",  # the test labels are not needed for anything else, and need not be there
        held_out=500,
        epochs=4,
        passes=4,
        batch_size=64,
        optimizer="muon",
        learning_rate=0.02,
        vector_learning_rate_scale=0.2,
        augment=AUGMENT,
        crop=(64, 64),
        loss=classes_told,
        score=wrong_classes,
        halved=("stages", "head"),
        labels=True,
        variant=variant,
        bfloat16=True,
        channels_last=True,
        seed=seed,
    )


@cb.register_codec
@dataclass(frozen=True)
class GanAe(learned.RateDistortionCodec):
    """The streams of ``rd_ae`` for colour images, restored by a synthesis that a discriminator trained with.

    Needs the weights of ``rd_ae`` beside its own.
    """

    on_request: ClassVar[bool] = True  # docs/learned-codecs.md says why
    trained_on: ClassVar[tuple[str, ...]] = ("stl10",)
    fixed: ClassVar[Mapping[str, cb.Shape]] = FIXED
    network: ClassVar[Callable[[], PerceptualNetwork]] = PerceptualNetwork
    networks: ClassVar[Mapping[str, Callable[[], nn.Module]]] = {  # type: ignore[assignment]
        "features": functools.partial(learned.FeatureNetwork, CLASSES),
        "judge": functools.partial(learned.FeatureNetwork, CLASSES),
    }
    recipes: ClassVar[dict[str, learned.Recipe]] = {
        "tune": TUNE,
        "features": _classifier("features", 0),
        "judge": _classifier("judge", 1),
    }

    quality: float = cb.setting(
        2.0, low=1.0, high=HIGHEST, sweep=(1.0, 2.0, 3.0), help="that of rd_ae, whose streams these are"
    )
    shape: str = cb.setting(learned.ANY_SHAPE, choices=(learned.ANY_SHAPE, *FIXED), help="a fixed one needs no header")
    checksum: bool = cb.setting(False, help="two bytes by which a decoder knows that its latents are the encoder's")

    @property
    def variant(self) -> str:  # type: ignore[override]
        """That of the network of ``rd_ae``."""
        return "colour"

    @classmethod
    def weight_files(cls) -> tuple[str, ...]:
        """The weights of the synthesis and those of ``rd_ae``, with their model cards."""
        return (*learned.with_cards(cls), *learned.with_cards(RdAe, ("colour",)))

    @classmethod
    def loss_weight(cls, network: learned.RateDistortionNetwork, quality: float) -> float:
        """λ of the network of ``rd_ae`` at a quality."""
        return RdAe.loss_weight(network, quality)

    @classmethod
    def tables_for(cls, network: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Which entropy model the synthesis was trained for, by its fingerprint; nothing for a classifier."""
        if not isinstance(network, PerceptualNetwork):
            return {}
        return {BASE: torch.tensor(list(fingerprint(rd_ae_network(images.device.type))), dtype=torch.uint8)}

    @classmethod
    def judge_tables(
        cls, network: nn.Module, tables: Mapping[str, torch.Tensor], images: torch.Tensor
    ) -> dict[str, object]:
        """Nothing: the streams are those of ``rd_ae``, whose card says how long they are."""
        return {}

    def check_shape(self, shape: cb.Shape) -> None:
        """Takes any colour image, or the one shape that ``shape`` names."""
        super().check_shape(shape)
        if shape[2] != ColourNetwork.channels:
            raise cb.UnsupportedImageError(f"{self.name} takes colour images, not {cb.format_shape(shape)}")

    def shipped_network(self) -> learned.RateDistortionNetwork:
        """Analysis and entropy model of ``rd_ae`` with this codec's synthesis."""
        path = learned.weights_path(type(self))
        tuned = learned.shipped_network(type(self).network, path, self.device)
        assert isinstance(tuned, PerceptualNetwork)
        return _joined(rd_ae_network(self.device), tuned, path)

    def _tables(self) -> learned.ScaleTables:
        return RdAe(shape=self.shape).on(self.device)._tables()
