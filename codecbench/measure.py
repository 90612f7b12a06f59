"""One task to rows: encode, decode from the bytes alone, compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from codecbench import metrics
from codecbench.codec import Codec, FloatCodec, FloatImages, Images, format_shape, to_uint8
from codecbench.errors import ContractError
from codecbench.records import Task
from codecbench.registry import CODECS

Decode = Callable[[Task, Sequence[bytes], str], Any]
"""Decodes bitstreams of a task's codec on a device."""


@dataclass(frozen=True)
class Measurement:
    """What one task found.

    Attributes:
        num_bytes: length of every bitstream, int64, (N,).
        container_bytes: bytes of headers and tables, float64, (N,); NaN where the codec cannot tell.
        estimated_bits: what the entropy model said, float64, (N,); NaN for codecs without one.
        mse: mean squared error of the 8-bit output on the [0, 1] scale, float64, (N,).
        mse_float: the same before clipping and rounding; NaN for codecs that do not reconstruct in floating point.
        max_abs_error: largest difference in 8-bit levels, int64, (N,).
        exact_pixels: share of the pixels restored exactly, float64, (N,).
        ssim: structural similarity, float64, (N,); NaN for images smaller than its window.
        lossless: the codec claims to be lossless at this point; every image was checked.
        shown: reconstructions kept for people to look at, uint8 (H, W, C), by image index.
    """

    num_bytes: npt.NDArray[np.int64]
    container_bytes: npt.NDArray[np.float64]
    estimated_bits: npt.NDArray[np.float64]
    mse: npt.NDArray[np.float64]
    mse_float: npt.NDArray[np.float64]
    max_abs_error: npt.NDArray[np.int64]
    exact_pixels: npt.NDArray[np.float64]
    ssim: npt.NDArray[np.float64]
    lossless: bool
    shown: dict[int, Images] = field(default_factory=dict)


def measure(task: Task, images: Images, device: str = "cpu", decode: Decode | None = None) -> Measurement:
    """Measures rate and distortion of one codec point on one chunk of images.

    Args:
        task: what to measure.
        images: the chunk's images, uint8 (N, H, W, C); made read-only.
        device: where codecs with device use and the metrics compute.
        decode: turns the bitstreams into what :func:`decode_output` gives; by default that function itself. A run
            passes one that decodes in another process.

    Raises:
        ContractError: the codec returned the wrong type or shape, or altered pixels though it claims lossless.
        CodecError: whatever the codec itself raised on purpose.
    """
    images.setflags(write=False)
    codec = CODECS.get(task.codec.name)(**task.codec.settings).on(device)
    bitstreams = codec.encode(images)
    _check_bitstreams(bitstreams, len(images), codec)
    output = (decode or decode_output)(task, bitstreams, device)
    floats: FloatImages | None = None
    if isinstance(codec, FloatCodec):
        _check_array(output, images.shape, np.floating, codec)
        floats = output
        if not np.isfinite(floats).all():
            raise ContractError(f"{codec.spec}: decode_float gives values that are not finite")
    decoded: Images = output if floats is None else to_uint8(floats)
    _check_array(decoded, images.shape, np.uint8, codec)
    found = metrics.measure(images, decoded, floats, device)
    max_abs_error = found["max_abs_error"]
    if codec.lossless and max_abs_error.any():
        first = int(np.flatnonzero(max_abs_error)[0])
        raise ContractError(
            f"{codec.spec} claims to be lossless, but {np.count_nonzero(max_abs_error)} of {len(images)} images "
            f"differ, the first of them image {task.indices[first]} by up to {max_abs_error[first]} levels"
        )
    return Measurement(
        num_bytes=np.array([len(stream) for stream in bitstreams], dtype=np.int64),
        container_bytes=_container_bytes(codec, bitstreams),
        estimated_bits=_estimated_bits(codec, images),
        mse=found["mse"],
        mse_float=found.get("mse_float", np.full(len(images), np.nan)),
        max_abs_error=max_abs_error,
        exact_pixels=found["exact_pixels"],
        ssim=found["ssim"],
        lossless=codec.lossless,
        shown={index: decoded[task.indices.index(index)] for index in task.shown},
    )


def decode_output(task: Task, bitstreams: Sequence[bytes], device: str) -> Any:
    """Decodes in a new instance of the codec, from the bytes alone.

    Returns:
        What ``decode_float`` gives for codecs that reconstruct in floating point, else what ``decode`` gives;
        unchecked.
    """
    codec = CODECS.get(task.codec.name)(**task.codec.settings).on(device)
    return codec.decode_float(bitstreams) if isinstance(codec, FloatCodec) else codec.decode(bitstreams)


def _check_bitstreams(bitstreams: Any, count: int, codec: Codec) -> None:
    if not isinstance(bitstreams, list) or not all(type(stream) is bytes for stream in bitstreams):
        raise ContractError(f"{codec.spec}: encode must return a list of bytes, not {_describe(bitstreams)}")
    if len(bitstreams) != count:
        raise ContractError(f"{codec.spec}: encode returned {len(bitstreams)} bitstreams for {count} images")


def _check_array(array: Any, shape: Sequence[int], kind: type, codec: Codec) -> None:
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, kind):
        raise ContractError(f"{codec.spec}: decoding must give an array of {kind.__name__}, not {_describe(array)}")
    if array.shape != tuple(shape):
        raise ContractError(
            f"{codec.spec}: decoding gave the shape {format_shape(array.shape)} instead of {format_shape(shape)}"
        )


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    if isinstance(value, list):
        return f"a list of {', '.join(sorted({type(item).__name__ for item in value}))}"
    return type(value).__name__


def _container_bytes(codec: Codec, bitstreams: Sequence[bytes]) -> npt.NDArray[np.float64]:
    values = [codec.container_bytes(stream) for stream in bitstreams]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _estimated_bits(codec: Codec, images: Images) -> npt.NDArray[np.float64]:
    bits = codec.estimate_bits(images)
    if bits is None:
        return np.full(len(images), np.nan)
    if bits.shape != (len(images),) or not np.isfinite(bits).all():
        raise ContractError(f"{codec.spec}: estimate_bits must give one finite number an image")
    return bits.astype(np.float64)
