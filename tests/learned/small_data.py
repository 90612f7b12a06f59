"""Writes small data sets in the layout of the real ones."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np


def write_mnist(root: Path, stem: str, images: np.ndarray) -> None:
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    (raw / f"{stem}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x0803, *images.shape) + images.tobytes())


def write_stl10(root: Path, split: str, images: np.ndarray) -> None:
    folder = root / "stl10_binary"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{split}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())


def marked_digits(count: int, first: int, seed: int) -> np.ndarray:
    """Smooth 28×28 images; the top left pixel counts up from ``first`` and so names the image."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 4), dtype=np.uint8)
    images = coarse.repeat(7, axis=1).repeat(7, axis=2)
    images[:, 0, 0] = first + np.arange(count)
    return images


def write_labels(root: Path) -> None:
    """Labels for the digits that the small root holds: the last digit of the number in their corner."""
    raw = root / "MNIST" / "raw"
    for stem in ("train", "t10k"):
        images = np.frombuffer((raw / f"{stem}-images-idx3-ubyte").read_bytes()[16:], np.uint8).reshape(-1, 784)
        labels = images[:, 0] % 10
        (raw / f"{stem}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x0801, len(labels)) + labels.tobytes())
