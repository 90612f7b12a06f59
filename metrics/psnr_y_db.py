"""PSNR on luma alone, which many papers on photographs quote."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import codecbench as cb

LUMA = (299, 587, 114)
"""Thousandths of red, green and blue in luma: BT.601 in full range, as JFIF has it, not rounded to levels."""
BLOCK_IMAGES = 64


@cb.register_metric(
    title="PSNR-Y",
    unit="dB",
    better="higher",
    description="peak signal-to-noise ratio of luma, 0.299 R + 0.587 G + 0.114 B (BT.601, full range, not rounded); "
    "equals PSNR on gray images; mean over the images whose luma is not restored exactly",
)
def psnr_y_db(original: cb.Images, decoded: cb.Images) -> npt.NDArray[np.float64]:
    """Peak signal-to-noise ratio of luma.

    Luma is Y = 0.299 R + 0.587 G + 0.114 B, of ITU-R BT.601 and without an offset or another range, as in JFIF (ITU-T
    T.871); it is not rounded, and computed exactly but for the final division.

    Args:
        original: uint8, (N, H, W, C) with C = 1 (gray, which is luma) or 3 (red, green, blue).
        decoded: uint8, the same shape.

    Returns:
        float64 decibels, (N,); NaN where luma is restored exactly, and for other numbers of channels.
    """
    count, height, width, channels = original.shape
    if channels not in (1, 3):
        return np.full(count, np.nan)
    weights = np.array(LUMA if channels == 3 else (1000,), dtype=np.int32)
    squares = np.zeros(count)
    for start in range(0, count, BLOCK_IMAGES):
        part = slice(start, start + BLOCK_IMAGES)
        error = original[part].astype(np.int32)
        error -= decoded[part]
        luma = (error @ weights).astype(np.float64).reshape(-1, height * width)  # thousandths of levels, whole numbers
        squares[part] = np.einsum("ij,ij->i", luma, luma)
    mse = squares / ((1000 * cb.PEAK) ** 2 * height * width)
    return cb.psnr_db(np.where(mse > 0.0, mse, np.nan))
