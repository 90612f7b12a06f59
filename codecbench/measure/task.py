"""One task to rows: encode, decode from the bytes alone, compare.

:func:`encode` and :func:`decode` call the codec, each in a process of its own; :func:`score` never does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from codecbench.errors import ContractError
from codecbench.measure import distortion
from codecbench.plan.tasks import Task
from codecbench.plugins.answers import container_bytes, estimated_bits
from codecbench.plugins.codec import Codec, CodecSpec, FloatCodec, Images, to_uint8
from codecbench.plugins.registry import CODECS
from codecbench.text import format_shape

Floats = Annotated[npt.NDArray[np.float64], "NaN where there is no value"]
Output = Annotated[npt.NDArray[Any], "uint8, or floating point"]


@dataclass(frozen=True)
class Measurement:
    """What was found for one task; arrays are (N,), in the order of its images."""

    num_bytes: npt.NDArray[np.int64]
    container_bytes: Floats  # headers and tables; NaN where the codec cannot tell
    estimated_bits: Floats  # by the entropy model; NaN for codecs without one
    mse: Floats  # of the 8-bit output, on the [0, 1] scale
    mse_float: Floats  # before clipping and rounding; NaN for codecs that do not reconstruct in floating point
    max_abs_error: npt.NDArray[np.int64]  # in 8-bit levels
    exact_pixels: Floats  # share of the pixels, 0 to 1
    ssim: Floats  # NaN for images smaller than its window
    lossless: bool  # the codec claims to be lossless at this point; every image was checked
    shown: dict[int, Images] = field(default_factory=dict)  # reconstructions (H, W, C) to keep, by image index
    metrics: dict[str, Floats] = field(default_factory=dict)  # plugin metrics by name; NaN where one has no value
    metrics_failed: dict[str, str] = field(default_factory=dict)  # why a plugin metric failed, in one line, by name


@dataclass(frozen=True)
class Encoded:
    """What encoding a batch at one point gave; plain data, for another process."""

    bitstreams: list[bytes]
    container_bytes: Floats
    estimated_bits: Floats
    lossless: bool
    floats: bool  # the codec reconstructs in floating point
    exact: bool  # what the codec promises of its bytes, see ``Codec.exact_bytes``


def encode(specs: Sequence[CodecSpec], images: Images, device: str) -> Iterator[Encoded]:
    """Encodes a batch, uint8 (N, H, W, C), at points of one codec, and yields what each point gave.

    The points share work where the codec can. The images are made read-only. Raises ContractError where the codec
    returns another type or number of streams, and whatever the codec raises.
    """
    images.setflags(write=False)
    cls = CODECS.get(specs[0].name)
    if len(specs) == 1:
        sweep: Iterator[list[bytes]] = iter([cls(**specs[0].settings).on(device).encode(images)])
    else:
        sweep = iter(cls.encode_sweep(images, [spec.settings for spec in specs], device))
    for spec in specs:
        codec = cls(**spec.settings).on(device)
        bitstreams = next(sweep, None)
        if bitstreams is None:
            raise ContractError(f"{spec}: encode_sweep gave fewer results than points")
        _check_bitstreams(bitstreams, len(images), codec)
        yield Encoded(
            bitstreams,
            container_bytes(codec, bitstreams),
            estimated_bits(codec, images),
            codec.lossless,
            isinstance(codec, FloatCodec),
            codec.exact_bytes,
        )


def decode(spec: CodecSpec, bitstreams: list[bytes], device: str) -> Output:
    """Decodes a batch from the bytes alone: uint8 (N, H, W, C), or floating point of a :class:`FloatCodec`.

    Raises ContractError where the codec returns anything else, and whatever the codec raises.
    """
    codec = CODECS.get(spec.name)(**spec.settings).on(device)
    floats = isinstance(codec, FloatCodec)
    output: Any = codec.decode_float(bitstreams) if isinstance(codec, FloatCodec) else codec.decode(bitstreams)
    _check_output(spec, output, floats)
    return np.ascontiguousarray(output).view(np.ndarray)


def differ(encoded: Encoded, output: Output, alone: Output) -> bool:
    """Whether images that were decoded alone are others than in their batch: by a level, without exact bytes by two."""
    if output.shape != alone.shape or output.dtype != alone.dtype:
        return True
    one, other = (to_uint8(np.nan_to_num(images)) if encoded.floats else images for images in (output, alone))
    return bool((np.maximum(one, other) - np.minimum(one, other)).max(initial=0) > (not encoded.exact))


def restored(spec: CodecSpec, images: Images, encoded: Encoded, output: npt.NDArray[Any]) -> Images:
    """What :func:`decode` gave, as uint8; raises ContractError for another shape, or values that are not finite."""
    _check_output(spec, output, encoded.floats)  # also here, where no plugin is
    if output.shape != images.shape:
        raise ContractError(
            f"{spec}: decoding gave the shape {format_shape(output.shape)} instead of {format_shape(images.shape)}"
        )
    if encoded.floats and not np.isfinite(output).all():
        raise ContractError(f"{spec}: decode_float gives values that are not finite")
    return to_uint8(output) if encoded.floats else output


def score(
    task: Task,
    images: Images,
    encoded: Encoded,
    output: npt.NDArray[Any],
    measure_plugins: Callable[[Images, Images], tuple[dict[str, Floats], dict[str, str]]] | None = None,
) -> Measurement:
    """Compares what was decoded with the originals; ``measure_plugins`` gives plugin metrics, and why some failed.

    Raises ContractError as :func:`restored` does, and for altered pixels where the codec claims to be lossless.
    """
    decoded = restored(task.codec, images, encoded, output)
    found = distortion.measure(images, decoded, output if encoded.floats else None)
    max_abs_error = found["max_abs_error"]
    if encoded.lossless and max_abs_error.any():
        first = int(np.flatnonzero(max_abs_error)[0])
        raise ContractError(
            f"{task.codec} claims to be lossless, but {np.count_nonzero(max_abs_error)} of {len(images)} images "
            f"differ, the first of them image {task.indices[first]} by up to {max_abs_error[first]} levels"
        )
    values, failed = measure_plugins(images, decoded) if measure_plugins else ({}, {})
    return Measurement(
        num_bytes=np.array([len(stream) for stream in encoded.bitstreams], dtype=np.int64),
        container_bytes=encoded.container_bytes,
        estimated_bits=encoded.estimated_bits,
        mse=found["mse"],
        mse_float=found.get("mse_float", np.full(len(images), np.nan)),
        max_abs_error=max_abs_error,
        exact_pixels=found["exact_pixels"],
        ssim=found["ssim"],
        lossless=encoded.lossless,
        shown={index: decoded[task.indices.index(index)] for index in task.shown},
        metrics=values,
        metrics_failed=failed,
    )


def _check_bitstreams(bitstreams: Any, count: int, codec: Codec) -> None:
    if not isinstance(bitstreams, list) or not all(type(stream) is bytes for stream in bitstreams):
        raise ContractError(f"{codec.spec}: encode must return a list of bytes, not {_describe(bitstreams)}")
    if len(bitstreams) != count:
        raise ContractError(f"{codec.spec}: encode returned {len(bitstreams)} bitstreams for {count} images")


def _check_output(spec: CodecSpec, output: Any, floats: bool) -> None:
    kind: type = np.floating if floats else np.uint8
    if not isinstance(output, np.ndarray) or not np.issubdtype(output.dtype, kind):
        raise ContractError(f"{spec}: decoding must give an array of {kind.__name__}, not {_describe(output)}")


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    if isinstance(value, list):
        return f"a list of {', '.join(sorted({type(item).__name__ for item in value}))}"
    return type(value).__name__
