"""Small files of data sets, written as the real ones are."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def digits(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def write_mnist(root: Path, stem: str = "t10k", count: int = 5, packed: bool = False) -> Path:
    """Images and labels of one split; returns the images' file of the test split."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name, array in (("images-idx3", digits(count)), ("labels-idx1", np.arange(count, dtype=np.uint8) % 10)):
        content = gzip.compress(idx(array), mtime=0) if packed else idx(array)
        (raw / f"{stem}-{name}-ubyte{'.gz' * packed}").write_bytes(content)
    return raw / "t10k-images-idx3-ubyte"


def photographs(count: int = 6) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)


def write_stl10(root: Path, split: str = "test", count: int = 6, labels: bool = True) -> Path:
    """Images and labels of one split; returns the images' file."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}_X.bin"
    path.write_bytes(photographs(count).transpose(0, 3, 2, 1).tobytes())  # planes, column by column
    if labels:
        (folder / f"{split}_y.bin").write_bytes(bytes(1 + i % 10 for i in range(count)))
    return path
