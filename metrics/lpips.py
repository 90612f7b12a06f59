"""LPIPS, a distance between the features of a network; needs ``codecbench[lpips]`` and AlexNet's weights.

Source: Zhang, Isola, Efros, Shechtman, Wang, "The unreasonable effectiveness of deep features as a perceptual metric",
CVPR 2018; computed by the authors' package ``lpips``, with its weights of version 0.1 over AlexNet.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import codecbench as cb

SMALLEST = 64
"""Pixels of the shorter side: LPIPS was fitted to judgements of patches of 64×64."""
WEIGHTS = "alexnet-owt-7be5be79.pth"
"""The file that torchvision keeps AlexNet's weights in (``AlexNet_Weights.IMAGENET1K_V1``)."""
BLOCK_PIXELS = 1 << 20
"""Pixels of images that go through the network at once."""


def missing() -> str:
    """What is missing here: the package, or the weights, which are never downloaded unasked."""
    if importlib.util.find_spec("lpips") is None:
        return "it needs the package lpips: pip install 'codecbench[lpips]'"
    if not weights_file().is_file():
        return (
            "it needs AlexNet's weights, which torchvision downloads once (233 MB): "
            "python -c \"import torchvision; torchvision.models.alexnet(weights='IMAGENET1K_V1')\""
        )
    return ""


def weights_file() -> Path:
    """Where torch keeps what it downloaded: below ``$TORCH_HOME``, else below the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))  # noqa: PTH118 - as in torch.hub
    return Path(home).expanduser() / "hub" / "checkpoints" / WEIGHTS


def variant(shape: cb.Shape) -> str:
    """What is computed on images of a shape, in words."""
    if min(shape[:2]) < SMALLEST:
        return f"no LPIPS: smaller than {SMALLEST}×{SMALLEST}"
    return "LPIPS 0.1, AlexNet" + (", gray repeated as colour" if shape[2] == 1 else "")


@cb.register_metric(
    title="LPIPS",
    better="lower",
    description="learned perceptual image patch similarity 0.1 over AlexNet, 0 for equal images; none for images "
    "smaller than 64x64; needs codecbench[lpips] and AlexNet's weights (Zhang et al. 2018)",
    default=False,
    variant=variant,
    missing=missing,
    packages=("lpips", "torch", "torchvision"),
)
def lpips(original: cb.Images, decoded: cb.Images) -> npt.NDArray[np.float64]:
    """Learned perceptual image patch similarity.

    Args:
        original: uint8, (N, H, W, C) with C = 1 (repeated as colour) or 3.
        decoded: uint8, the same shape.

    Returns:
        float64, (N,), 0 or more; NaN for images with a side of less than 64 pixels.

    Raises:
        CodecbenchError: the package or the weights are missing; nothing is downloaded.
    """
    count, height, width, _ = original.shape
    found = np.full(count, np.nan)
    if min(height, width) < SMALLEST:
        return found
    if reason := missing():
        raise cb.CodecbenchError(f"LPIPS cannot be computed: {reason}")
    import torch

    network, step = _network(), max(1, BLOCK_PIXELS // (height * width))
    with torch.no_grad():
        for start in range(0, count, step):
            part = slice(start, start + step)
            found[part] = network(_tensor(original[part]), _tensor(decoded[part])).reshape(-1).double().numpy()
    return found


@functools.cache
def _network() -> Any:
    package = importlib.import_module("lpips")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks torchvision for weights in a way that is deprecated there
        return package.LPIPS(net="alex", version="0.1", verbose=False).eval()


def _tensor(images: cb.Images) -> Any:
    """Images as the network takes them: float32 (N, 3, H, W) from -1 to 1."""
    import torch

    pixels = torch.tensor(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    return pixels.expand(-1, 3, -1, -1)
