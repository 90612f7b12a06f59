"""What every codec must do with whole streams, one function a promise.

Each function takes the codec at one point of its settings and raises ``CheckFailed``, or returns a ``Finding`` where
there is more to say than that the codec passes.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import pickle
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from codecbench.errors import UnsupportedImageError
from codecbench.measure import timing
from codecbench.plan.specs import expand, split_specs
from codecbench.plugins.answers import container_bytes, estimated_bits, versions_of, weight_files_of
from codecbench.plugins.codec import Codec, FloatCodec, Images, Shape, to_uint8
from codecbench.plugins.settings import settings_of
from codecbench.testing.images import SHAPES, WRONG_SHAPES, sample_images, takes
from codecbench.testing.results import NOT_APPLICABLE, CheckFailed, Finding, require, trying
from codecbench.text import format_shape, one_line

T = TypeVar("T")

TIMED_IMAGES = 2
"""Images whose coding is timed, to see whether a codec remembers them."""


def check_settings(codec: Codec) -> None:
    """The settings survive a spec string, JSON, pickle and a change of device, and rebuild the codec."""
    specs = split_specs(str(codec.spec))
    require([spec.name for spec in specs] == [codec.name], f"{codec.spec} does not parse as one spec")
    require(expand(specs[0], settings_of(type(codec))) == [codec.settings], f"{codec.spec} changes as text")
    settings = json.loads(json.dumps(codec.settings, allow_nan=False))
    for twin in (type(codec)(**settings), pickle.loads(pickle.dumps(codec)), codec.on("cpu")):
        require(twin == codec and twin.settings == codec.settings, f"{codec.spec} becomes {twin.spec}")
    require(isinstance(codec.lossless, bool), f"lossless is {codec.lossless!r}, neither True nor False")
    require(codec.on("cpu").device == "cpu", "on('cpu') does not compute there")
    for shape in SHAPES:
        for point in codec.default_points(shape):
            type(codec)(**point)
    versions_of(type(codec)), weight_files_of(type(codec))


def check_shapes(codec: Codec, shapes: Sequence[Shape] = SHAPES) -> None:
    """Images that the codec does not take are refused, by ``check_shape`` and by ``encode``."""
    for shape in (*WRONG_SHAPES, *shapes):
        if takes(codec, shape):
            require(shape not in WRONG_SHAPES, f"check_shape takes images of {format_shape(shape)}")
            continue
        if shape[0] * shape[1] > 1 << 20:
            continue  # encode would need an image of that size
        try:
            trying(f"encode images of {format_shape(shape)}, which check_shape refuses")
            codec.encode(np.zeros((1, *shape), np.uint8))
        except UnsupportedImageError:
            continue
        except Exception as error:
            what = f"gives {one_line(error)}, not UnsupportedImageError"
        else:
            what = "encodes them"
        raise CheckFailed(f"check_shape refuses images of {format_shape(shape)}, but encode {what}")


def check_types(codec: Codec, shape: Shape, seed: int = 0) -> None:
    """``encode`` gives one ``bytes`` an image and leaves its input alone; ``decode`` gives uint8 of the same shape."""
    images, streams, decoded = _there_and_back(codec, shape, seed)
    where = format_shape(shape)
    require(isinstance(streams, list), f"{where}: encode returns {type(streams).__name__}, not a list")
    require(len(streams) == len(images), f"{where}: encode gives {len(streams)} streams for {len(images)} images")
    for stream in streams:
        require(type(stream) is bytes, f"{where}: encode gives a {type(stream).__name__}, not bytes")
    require(np.array_equal(images, sample_images(shape, seed)), f"{where}: encode changes its input")
    require_images(decoded, images.shape, where)


def check_determinism(codec: Codec, shape: Shape, seed: int = 0) -> None:
    """The same images give the same bytes again, also from another instance, and the same bytes the same images."""
    images, streams, decoded = _there_and_back(codec, shape, seed)
    where = format_shape(shape)
    require(codec.encode(images) == streams, f"{where}: a second encode gives other bytes")
    twin = type(codec)(**codec.settings).on(codec.device)
    require(twin.encode(images) == streams, f"{where}: another instance of the same settings gives other bytes")
    again = codec.decode(streams)
    require(np.array_equal(again, decoded), f"{where}: a second decode of the same bytes gives another image")


def check_batches(codec: Codec, shape: Shape, seed: int = 0) -> None:
    """Neither bytes nor images depend on the batch.

    Codecs that say ``exact_bytes = False`` may differ in the last bits of raw floating-point values: their lengths are
    equal and their images agree within one level. Where floats are entropy-coded, last bits may decide between two
    symbols of different cost: lengths then agree within 2 bytes or 2 %, and images by less than one level on average.
    """
    images, streams, decoded = _there_and_back(codec, shape, seed)
    where = format_shape(shape)
    fresh = type(codec)(**codec.settings).on(codec.device)
    loose = not codec.exact_bytes and codec.estimate_bits(images) is not None
    trying(f"{where}: encode images one by one, and in another order")
    alone = [codec.encode(images[i : i + 1])[0] for i in range(len(images))]
    turned = codec.encode(np.ascontiguousarray(images[::-1]))[::-1]
    for other in (alone, turned):
        for one, stream in zip(other, streams, strict=True):
            slack = max(2, len(stream) // 50) if loose else 0
            lengths = f"{len(one)} and {len(stream)} bytes"
            require(abs(len(one) - len(stream)) <= slack, f"{where}: the length depends on the batch: {lengths}")
        hint = "the bytes depend on the batch; if that must be so, say exact_bytes = False"
        require(other == streams or not codec.exact_bytes, f"{where}: {hint}")
        if other != streams:
            apart = np.abs(fresh.decode(other).astype(int) - decoded)
            apart = apart.mean(axis=(1, 2, 3)) if loose else apart
            what = f"{where}: images encoded in other batches differ by {apart.max():g} levels"
            require(bool(apart.max() <= 1), what)
    trying(f"{where}: decode streams one by one")
    single = np.concatenate([fresh.decode([stream]) for stream in streams])
    require_same(codec, single, decoded, f"{where}: decoding depends on the batch")


def check_floats(codec: Codec, shape: Shape, seed: int = 0) -> Finding | None:
    """``decode`` is ``decode_float`` clipped and rounded."""
    if not isinstance(codec, FloatCodec):
        return Finding(NOT_APPLICABLE, "no FloatCodec")
    images, streams, decoded = _there_and_back(codec, shape, seed)
    where = format_shape(shape)
    floats = codec.decode_float(streams)
    require(floats.shape == images.shape, f"{where}: decode_float gives the shape {floats.shape}")
    require(np.issubdtype(floats.dtype, np.floating), f"{where}: decode_float gives {floats.dtype}")
    require(bool(np.isfinite(floats).all()), f"{where}: decode_float gives values that are not finite")
    require(np.array_equal(to_uint8(floats), decoded), f"{where}: decode is not decode_float clipped and rounded")
    return None


def check_lossless(codec: Codec, shape: Shape, seed: int = 0) -> Finding | None:
    """What claims to be lossless restores every pixel."""
    if not codec.lossless:
        return Finding(NOT_APPLICABLE, "claims nothing")
    images, _, decoded = _there_and_back(codec, shape, seed)
    wrong = int((images != decoded).sum())
    require(not wrong, f"{format_shape(shape)}: claims to be lossless, but {wrong} of {images.size} samples differ")
    return None


def check_containers(codec: Codec, shape: Shape, seed: int = 0) -> Finding | None:
    """Container bytes are part of the stream's; an estimate is one number of bits per image."""
    images, where = sample_images(shape, seed), format_shape(shape)
    trying(f"{where}: encode")
    streams = codec.encode(images)
    if np.isnan([*container_bytes(codec, streams), *estimated_bits(codec, images)]).all():
        return Finding(NOT_APPLICABLE, "tells neither container_bytes nor estimate_bits")
    return None


def check_memory(codec: Codec, shape: Shape, seed: int = 0) -> None:
    """Images that are new, and their streams, take as long as those that the codec has seen."""
    images = sample_images(shape, seed)[:TIMED_IMAGES]
    batch, streams = len(images) if codec.batched else 1, codec.encode(images)
    trying(f"{format_shape(shape)}: time encoding and decoding")
    least = {"encoding": math.inf, "decoding": math.inf}
    for levels in range(1, 1 + timing.ROUNDS):
        encoding = timing.time_encoding(codec.spec, images, batch, codec.device, levels)
        decoding = timing.time_decoding(codec.spec, streams, batch, codec.device, encoding.output)
        least = {"encoding": min(least["encoding"], encoding.new), "decoding": min(least["decoding"], decoding.new)}
        if max(least.values()) <= timing.REMEMBERS:
            return  # a codec that remembers does so in each round
    for way, times in least.items():
        what = f"remembers what it saw: {way} new images takes {times:.3g} times as long"
        require(times <= timing.REMEMBERS, f"{format_shape(shape)}: {what}")


def check_silence(codec: Codec, shape: Shape, seed: int = 0) -> None:
    """Nothing is written to the standard output."""
    text = written(lambda: _there_and_back(codec, shape, seed))[1].strip()
    require(not text, f"{format_shape(shape)}: writes to the standard output: {text[:80]!r}")


def written(work: Callable[[], T]) -> tuple[T, str]:
    """What some work gives, and what it writes to the standard output, C libraries included."""
    python = io.StringIO()  # sys.stdout need not write to descriptor 1, for example under pytest
    with tempfile.TemporaryFile() as file:
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            with contextlib.redirect_stdout(python):
                found = work()
        finally:
            os.dup2(kept, 1)
            os.close(kept)
        file.seek(0)
        return found, python.getvalue() + file.read().decode("utf-8", "replace")


def _there_and_back(codec: Codec, shape: Shape, seed: int) -> tuple[Images, list[bytes], Images]:
    """Images, read-only as in a run; their streams; and what a fresh instance makes of these."""
    images = sample_images(shape, seed)
    images.flags.writeable = False
    trying(f"{format_shape(shape)}: encode")
    streams = codec.encode(images)
    trying(f"{format_shape(shape)}: decode")
    return images, streams, type(codec)(**codec.settings).on(codec.device).decode(streams)


def require_images(images: object, shape: Iterable[int], where: str) -> None:
    """Raises ``CheckFailed`` unless something is a uint8 array of a shape."""
    require(isinstance(images, np.ndarray), f"{where}: decode returns {type(images).__name__}, not an array")
    assert isinstance(images, np.ndarray)
    require(images.dtype == np.uint8, f"{where}: decode returns {images.dtype}, not uint8")
    wanted = tuple(shape)
    require(images.shape == wanted, f"{where}: decode returns the shape {images.shape}, not {wanted}")


def require_same(codec: Codec, one: Images, other: Images, what: str) -> None:
    """Raises ``CheckFailed`` unless images are equal; codecs that compute in floats may round to the next level."""
    require(one.shape == other.shape, what)
    tolerance = 1 if isinstance(codec, FloatCodec) and not codec.lossless else 0
    apart = int(np.abs(one.astype(int) - other).max())
    require(apart <= tolerance, f"{what}: by {apart} levels")
