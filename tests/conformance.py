"""What every codec must do, as functions that take any codec; authors of plugins may use them too.

    from conformance import check_codec
    check_codec(MyCodec(quality=50))

Each function raises ``AssertionError`` with the codec's spec in its message. Learned codecs that take one
shape only are checked with that shape, and must refuse the others in ``check_shape``.
"""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from codecbench.codec import MAX_PIXELS, Codec, FloatCodec, Images, to_uint8
from codecbench.errors import BitstreamError, UnsupportedImageError
from codecbench.records import Shape
from codecbench.settings import settings_of
from codecbench.specs import expand, split_specs

SHAPES: tuple[Shape, ...] = (
    (28, 28, 1),
    (64, 64, 3),
    (1, 1, 1),
    (1, 1, 3),
    (17, 31, 3),
    (31, 17, 1),
    (2, 150, 3),
    (150, 3, 1),
)
MAX_DECODE_S = 20.0
MAX_GROWTH_BYTES = 2 << 30  # an image of MAX_PIXELS in float32, thrice over

_FRESH_PROCESS = """
import io, json, sys
import numpy as np
from codecbench.registry import CODECS
task = json.load(sys.stdin)
codec = CODECS.get(task["name"])(**task["settings"])
buffer = io.BytesIO()
np.save(buffer, codec.decode([bytes.fromhex(stream) for stream in task["streams"]]))
sys.stdout.buffer.write(buffer.getvalue())
"""


def check_codec(codec: Codec, shapes: Sequence[Shape] = SHAPES, seed: int = 0, damages: int = 100) -> None:
    """Runs every check.

    Args:
        codec: the codec at one point of its settings.
        shapes: image shapes to try; those that ``check_shape`` refuses are left out, but one must be taken.
        seed: decides images and damages.
        damages: how many damaged streams are decoded.
    """
    check_settings(codec)
    for shape in taken_shapes(codec, shapes):
        check_round_trip(codec, shape, seed)
        check_truncation(codec, shape, seed)
    check_damage(codec, taken_shapes(codec, shapes)[0], seed, damages)
    check_fresh_process(codec, taken_shapes(codec, shapes)[0], seed)


def taken_shapes(codec: Codec, shapes: Sequence[Shape] = SHAPES) -> list[Shape]:
    """The shapes that the codec takes; anything but ``UnsupportedImageError`` for the rest is an error."""
    taken = []
    for shape in shapes:
        try:
            codec.check_shape(shape)
        except UnsupportedImageError:
            continue
        taken.append(shape)
    assert taken, f"{codec.spec} takes none of {shapes}"
    for wrong in ((8, 8, 2), (8, 8, 4), (0, 8, 1), (1 << 13, 1 << 13, 3)):
        try:
            codec.check_shape(wrong)
        except UnsupportedImageError:
            continue
        raise AssertionError(f"{codec.spec} takes images of {wrong}")
    return taken


def sample_images(shape: Shape, seed: int = 0) -> Images:
    """Five images of a shape: smooth, noise, a drawing of few levels, black, white; uint8, (5, H, W, C)."""
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    y, x = np.meshgrid(np.linspace(0, 3, height), np.linspace(0, 3, width), indexing="ij")
    phases = rng.uniform(0, 6, channels)
    smooth = np.stack([127.5 + 127 * np.sin(x + 2 * y + phase) for phase in phases], axis=-1)
    noise = rng.integers(0, 256, shape)
    drawing = np.where(smooth > 150, 255, np.where(noise > 240, 90, 0))
    images = np.stack([smooth, noise, drawing, np.zeros(shape), np.full(shape, 255)])
    return images.astype(np.uint8)


def check_settings(codec: Codec) -> None:
    """The settings survive a spec string, JSON, pickle and a change of device, and rebuild the codec."""
    specs = split_specs(str(codec.spec))
    assert [spec.name for spec in specs] == [codec.name], f"{codec.spec} does not parse as one spec"
    assert expand(specs[0], settings_of(type(codec))) == [codec.settings], f"{codec.spec} changes as text"
    settings = json.loads(json.dumps(codec.settings, allow_nan=False))
    for twin in (type(codec)(**settings), pickle.loads(pickle.dumps(codec)), codec.on("cpu")):
        assert twin == codec, f"{codec.spec} becomes {twin.spec}"
        assert twin.settings == codec.settings, f"{codec.spec} becomes {twin.spec}"
        assert isinstance(twin.lossless, bool), f"{codec.spec}: lossless is no bool"
    assert codec.on("cpu").device == "cpu"
    for shape in SHAPES:
        for point in codec.default_points(shape):
            type(codec)(**point)


def check_round_trip(codec: Codec, shape: Shape, seed: int = 0) -> None:
    """Bytes and images are of the right kind, do not depend on the batch, and keep lossless claims."""
    images = sample_images(shape, seed)
    before = images.copy()
    streams = codec.encode(images)
    where = f"{codec.spec} on {shape}"
    assert np.array_equal(images, before), f"{where}: encode changes its input"
    assert isinstance(streams, list), f"{where}: encode returns {type(streams).__name__}"
    assert len(streams) == len(images), f"{where}: {len(streams)} streams for {len(images)} images"
    assert all(type(stream) is bytes for stream in streams), f"{where}: a stream is not bytes"
    assert codec.encode(images) == streams, f"{where}: a second encode gives other bytes"

    fresh = type(codec)(**codec.settings)
    decoded = fresh.decode(streams)
    _check_images(decoded, (len(images), *shape), where)
    if codec.lossless:
        assert np.array_equal(decoded, images), f"{where}: claims to be lossless and is not"
    if isinstance(codec, FloatCodec):
        floats = codec.decode_float(streams)
        assert floats.shape == images.shape, f"{where}: decode_float gives {floats.shape}"
        assert np.isfinite(floats).all(), f"{where}: decode_float gives values that are not finite"
        assert np.array_equal(to_uint8(floats), decoded), f"{where}: decode is not decode_float rounded"

    entropy_coded = codec.estimate_bits(images) is not None
    alone = [codec.encode(images[i : i + 1])[0] for i in range(len(images))]
    turned = codec.encode(np.ascontiguousarray(images[::-1]))[::-1]
    for other in (alone, turned):
        for one, length in zip(other, map(len, streams), strict=True):
            # Where floats are entropy-coded, their last bits may decide between two symbols of different cost.
            slack = max(2, length // 50) if entropy_coded and not codec.exact_bytes else 0
            assert abs(len(one) - length) <= slack, f"{where}: lengths depend on the batch"
        assert other == streams or not codec.exact_bytes, f"{where}: bytes depend on the batch"
    single = np.concatenate([fresh.decode([stream]) for stream in streams])
    _check_same(codec, single, decoded, f"{where}: decoding depends on the batch")

    for stream in streams:
        container = codec.container_bytes(stream)
        assert container is None or 0 <= container <= len(stream), f"{where}: container of {container} bytes"
    estimate = codec.estimate_bits(images)
    if estimate is not None:
        assert estimate.shape == (len(images),), f"{where}: estimate_bits gives {estimate.shape}"
        assert (np.isfinite(estimate) & (estimate >= 0)).all(), f"{where}: estimate_bits gives {estimate}"


def check_truncation(codec: Codec, shape: Shape, seed: int = 0, cuts: int = 40) -> None:
    """Empty streams and those cut short raise ``BitstreamError``; codecs that say so may decode prefixes."""
    for stream in codec.encode(sample_images(shape, seed)[:3]):
        rng = np.random.default_rng(seed)
        ends = {0, 1, len(stream) - 1, len(stream) - 2, *rng.integers(0, len(stream), cuts).tolist()}
        for end in sorted(end for end in ends if 0 <= end < len(stream)):
            where = f"{codec.spec} on {shape} cut to {end} of {len(stream)} bytes"
            result = _decode(codec, stream[:end], where)
            allowed = codec.prefix_decodable and end > 0
            assert result is None or allowed, f"{where}: decodes to an image"


def check_damage(codec: Codec, shape: Shape, seed: int = 0, trials: int = 100) -> None:
    """Altered and random bytes give ``BitstreamError`` or a plausible image, in bounded time and memory."""
    streams = codec.encode(sample_images(shape, seed)[:3])
    peak = _peak_bytes()
    for index, damaged in enumerate(damages(streams, seed, trials)):
        _decode(codec, damaged, f"{codec.spec} on {shape}, seed {seed}, damage {index}: {damaged[:80].hex()}")
    grown = _peak_bytes() - peak
    assert grown < MAX_GROWTH_BYTES, f"{codec.spec} on {shape}, seed {seed}: damaged streams took {grown} bytes"


def damages(streams: Sequence[bytes], seed: int, trials: int) -> Iterator[bytes]:
    """Damaged streams: flipped bits (many in headers), other bytes, parts cut out or added, random bytes."""
    rng = np.random.default_rng(seed)
    for trial in range(trials):
        data = bytearray(streams[trial % len(streams)])
        kind = trial % 8
        reach = min(len(data), 64) if kind in (0, 1, 2) else len(data)
        if kind == 7:
            data = bytearray(rng.bytes(int(rng.integers(1, 200))))
        elif kind == 6:
            first, last = sorted(rng.integers(0, len(data) + 1, 2).tolist())
            data[first:last] = rng.bytes(int(rng.integers(0, 20)))
        elif kind == 5:
            data += rng.bytes(int(rng.integers(1, 20)))
        else:
            for position in rng.integers(0, reach, 1 + trial % 3).tolist():
                data[position] = data[position] ^ (1 << rng.integers(8)) if kind != 2 else rng.integers(256)
        yield bytes(data)


def check_fresh_process(codec: Codec, shape: Shape, seed: int = 0) -> None:
    """Another process, told only name and settings, decodes the same images from the bytes."""
    streams = codec.encode(sample_images(shape, seed))
    task = {"name": codec.name, "settings": codec.settings, "streams": [stream.hex() for stream in streams]}
    answer = subprocess.run(
        [sys.executable, "-c", _FRESH_PROCESS],
        input=json.dumps(task).encode(),
        capture_output=True,
        timeout=300,
    )
    assert answer.returncode == 0, f"{codec.spec}: a fresh process fails: {answer.stderr.decode()}"
    decoded = np.load(io.BytesIO(answer.stdout))
    _check_same(codec, decoded, codec.decode(streams), f"{codec.spec}: a fresh process decodes another image")


def _decode(codec: Codec, stream: bytes, where: str) -> Images | None:
    """The one image of a doubtful stream, or None where it is refused as it should be."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            images = codec.decode([stream])
        except BitstreamError:
            return None
        except Exception as error:
            raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error
    seconds = time.perf_counter() - start
    assert seconds < MAX_DECODE_S, f"{where}: took {seconds:.1f} s"
    assert images.ndim == 4, f"{where}: decodes to {images.shape}"
    _, height, width, channels = images.shape
    assert channels in (1, 3), f"{where}: decodes to {images.shape}"
    assert 1 <= height * width <= MAX_PIXELS, f"{where}: decodes to {images.shape}"
    _check_images(images, (1, height, width, channels), where)
    return images


def _check_images(images: object, shape: Iterable[int], where: str) -> None:
    assert isinstance(images, np.ndarray), f"{where}: decode returns {type(images).__name__}"
    assert images.dtype == np.uint8, f"{where}: decode returns {images.dtype}"
    assert images.shape == tuple(shape), f"{where}: decode returns {images.shape}, expected {tuple(shape)}"


def _check_same(codec: Codec, one: Images, other: Images, what: str) -> None:
    """Equal images; codecs that compute in floating point may differ by the rounding of one level."""
    assert one.shape == other.shape, what
    tolerance = 1 if isinstance(codec, FloatCodec) else 0
    assert int(np.abs(one.astype(int) - other).max()) <= tolerance, what


def _peak_bytes() -> int:
    """The most memory that this process ever held, in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
