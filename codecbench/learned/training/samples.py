"""Images on a device, with their labels where a network asks for them, and how well a network restores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from codecbench.errors import TrainingError
from codecbench.learned.training.augment import center_crop
from codecbench.learned.training.recipe import Score
from codecbench.plugins.dataset import ImageSet
from codecbench.text import format_shape

EVALUATION_BATCH = 500
LOADING_BATCH = 4096


@dataclass(frozen=True)
class Samples:
    """Images, uint8 (N, C, H, W), and their class numbers, int64 (N,), or None for networks that see images alone."""

    images: torch.Tensor
    labels: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, chosen: torch.Tensor | slice) -> Samples:
        return Samples(self.images[chosen], None if self.labels is None else self.labels[chosen])

    @property
    def inputs(self) -> tuple[torch.Tensor, ...]:
        """The network's inputs beside the images."""
        return () if self.labels is None else (self.labels,)


def load_samples(
    image_set: ImageSet,
    device: str,
    indices: Sequence[int] | None = None,
    *,
    labels: bool = False,
    what: str = "the data",
) -> Samples:
    """Reads images of one shape to a device, by default all; in blocks, so that the host never has them twice.

    ``TrainingError`` where ``labels`` are asked for and ``what`` (the data's name) has none.
    """
    chosen = range(len(image_set)) if indices is None else indices
    count, (height, width, channels) = len(chosen), image_set.shape(0)
    known = getattr(image_set, "labels", None) if labels else None
    if labels and known is None:
        raise TrainingError(f"{what} comes without labels, and the recipe needs them")
    images = torch.empty((count, channels, height, width), dtype=torch.uint8, device=device)
    for start in range(0, count, LOADING_BATCH):
        block = np.require(image_set.read(chosen[start : start + LOADING_BATCH]), np.uint8, ["C", "W"])
        images[start : start + LOADING_BATCH] = torch.from_numpy(block).to(device).permute(0, 3, 1, 2)
    return Samples(images, None if known is None else torch.from_numpy(np.asarray(known, np.int64)[chosen]).to(device))


def evaluate(
    network: torch.nn.Module, samples: Samples, crop: tuple[int, int] | None = None, score: Score | None = None
) -> float:
    """Mean squared error on the [0, 1] scale, or the mean of another score, in float32 without autocast.

    What score and network draw at random is the same at every call, and the caller's random state is kept. Raises
    ``TrainingError`` where the score does not give one number per image.
    """
    training = network.training
    network.eval()
    total, count = 0.0, 0
    device = samples.images.device
    with torch.inference_mode(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        for start in range(0, len(samples), EVALUATION_BATCH):
            batch = samples[start : start + EVALUATION_BATCH]
            images = batch.images.float() / 255.0
            if crop:
                images = center_crop(images, *crop)
            if score is not None:
                each = score(network, images, *batch.inputs).double()
                if each.shape != (len(images),):
                    shape = format_shape(each.shape) or "a single one"
                    raise TrainingError(f"a score gives {len(images)} numbers for {len(images)} images; got {shape}")
                total += float(each.sum())
                count += len(images)
                continue
            difference = network(images, *batch.inputs).double() - images.double()
            total += float((difference * difference).sum())
            count += difference.numel()
    network.train(training)
    return total / count
