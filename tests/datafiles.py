"""Small files of data sets and images, written as the real ones are."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def digits(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def marked_digits(count: int, first: int, seed: int) -> np.ndarray:
    """Smooth 28×28 images; the top left pixel counts up from ``first`` and so names the image."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4), dtype=np.uint8)
    images = coarse.repeat(7, axis=1).repeat(7, axis=2)
    images[:, 0, 0] = first + np.arange(count)
    return images


def photographs(count: int = 6) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)


def write_mnist(root: Path, stem: str = "t10k", images: np.ndarray | None = None, packed: bool = False) -> Path:
    """Images of one split (else ``digits()``), labelled 0 to 9 in turn; returns the images' file of the test split."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    images = digits() if images is None else images
    for name, array in (("images-idx3", images), ("labels-idx1", np.arange(len(images), dtype=np.uint8) % 10)):
        content = gzip.compress(idx(array), mtime=0) if packed else idx(array)
        (raw / f"{stem}-{name}-ubyte{'.gz' * packed}").write_bytes(content)
    return raw / "t10k-images-idx3-ubyte"


def write_stl10(root: Path, split: str = "test", count: int = 6, labels: bool = True) -> Path:
    """Images of one split, labelled 1 to 10 in turn; returns the images' file."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}_X.bin"
    path.write_bytes(photographs(count).transpose(0, 3, 2, 1).tobytes())  # planes, column by column
    if labels:
        (folder / f"{split}_y.bin").write_bytes(bytes(1 + i % 10 for i in range(count)))
    return path


def png(rows: np.ndarray, shape: tuple[int, int, int], bits: int = 8) -> bytes:
    """A PNG of rows that are filtered already, a byte for the filter first; the header claims the shape."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, channels = shape
    head = struct.pack(">IIBBBBB", width, height, bits, 0 if channels == 1 else 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows.tobytes()))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")
