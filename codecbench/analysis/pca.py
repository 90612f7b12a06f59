"""Latents in the plane: principal component analysis (Pearson 1901), in double precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codecbench.errors import UsageError
from codecbench.text import format_shape

Latents = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float64]
BLOCK = 4096
"""Latents that are taken to double precision at once; bounds the memory."""


@dataclass(frozen=True)
class PrincipalPlane:
    """The plane through the mean of some latents in which they vary most."""

    mean: Floats  # of the latents, (D,)
    axes: Floats  # two orthonormal directions, (2, D); the second is 0 where there is none
    explained: tuple[float, float]  # shares of the latents' variance along them, each 0 to 1

    def project(self, latents: Latents) -> Floats:
        """Maps latents (N, D), or (N, …) with D numbers each, to points (N, 2); others are a ``UsageError``."""
        flat = _flat(latents)
        if flat.shape[1] != len(self.mean):
            raise UsageError(f"latents of {flat.shape[1]} numbers do not fit a plane of {len(self.mean)}")
        blocks = [
            (flat[start : start + BLOCK].astype(np.float64) - self.mean) @ self.axes.T
            for start in range(0, len(flat), BLOCK)
        ]
        return np.concatenate(blocks)


def principal_plane(latents: Latents) -> PrincipalPlane:
    """Fits the plane of the first two principal components to latents (N, D), or (N, …) with D numbers each, N ≥ 1.

    Where there are more latents than numbers in each, their covariance matrix is summed up block by block, so 60,000
    latents of 784 take little more memory than they have themselves. A direction's sign is the one that makes its
    largest weight positive. Latents that are missing or not finite are a ``UsageError``.
    """
    flat = _flat(latents)
    count, size = flat.shape
    if not np.isfinite(flat).all():
        raise UsageError("latents must be finite; some are not")
    starts = range(0, count, BLOCK)
    mean = sum((flat[s : s + BLOCK].sum(axis=0, dtype=np.float64) for s in starts), np.zeros(size)) / count
    if count > size:
        covariance = np.zeros((size, size))
        for start in starts:
            block = flat[start : start + BLOCK].astype(np.float64) - mean
            covariance += block.T @ block
        values, vectors = np.linalg.eigh(covariance)
        strengths, directions = values[::-1].clip(0.0), vectors.T[::-1]
    else:
        _, singular, directions = np.linalg.svd(flat.astype(np.float64) - mean, full_matrices=False)
        strengths = singular**2
    total = float(strengths.sum())
    axes = np.zeros((2, size))
    axes[: min(2, len(directions))] = directions[:2]
    for number, axis in enumerate(axes):
        if axis[np.abs(axis).argmax()] < 0:
            axes[number] = -axis
    shares = [float(value / total) if total > 0 else 0.0 for value in strengths[:2]] + [0.0]
    return PrincipalPlane(mean, axes, (shares[0], shares[1]))


def _flat(latents: Latents) -> Latents:
    if latents.ndim < 2 or not latents.size or not np.issubdtype(latents.dtype, np.floating):
        shape = format_shape(latents.shape) or "()"
        raise UsageError(f"latents must be floats (N, …) with N ≥ 1, not {latents.dtype} {shape}")
    return latents.reshape(len(latents), -1)
