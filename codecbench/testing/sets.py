"""What codecs must do that code whole sets of images as one stream; see ``codecbench.plugins.codec``."""

from __future__ import annotations

import numpy as np

from codecbench.errors import BitstreamError
from codecbench.plugins.codec import MAX_PIXELS, MAX_SET_BYTES, Codec, Images, SetCodec, Shape
from codecbench.testing.damage import damages, ends_of_cuts, within_limits
from codecbench.testing.images import sample_images
from codecbench.testing.results import NOT_APPLICABLE, Finding, require, trying
from codecbench.text import format_shape

DAMAGES = 20
CUTS = 12


def check_sets(codec: Codec, shape: Shape, seed: int = 0) -> Finding | None:
    """One stream restores a set of images in their order, alone; damaged ones give ``BitstreamError`` or images."""
    if not isinstance(codec, SetCodec):
        return Finding(NOT_APPLICABLE, "codes no sets: it is no SetCodec")
    where = f"{format_shape(shape)}: as one set"
    require(codec.lossless, f"{where}: is not lossless at {codec.spec}, which sets are for")
    for point in codec.set_points(shape):
        type(codec)(**point)
    images = sample_images(shape, seed)
    images.flags.writeable = False
    stream = b""
    for some in (images[:1], np.ascontiguousarray(images[::-1]), images):  # one image; an order of its own; all
        trying(f"{where}: encode_set of {len(some)} images")
        stream = codec.encode_set(some)
        require(type(stream) is bytes, f"{where}: encode_set gives a {type(stream).__name__}, not bytes")
        require(codec.encode_set(some) == stream, f"{where}: a second encode_set gives other bytes")
        trying(f"{where}: decode_set of {len(some)} images")
        twin = type(codec)(**codec.settings).on(codec.device)
        assert isinstance(twin, SetCodec)
        decoded = twin.decode_set(stream)
        _require_images(decoded, where)
        require(decoded.shape == some.shape, f"{where}: decode_set gives the shape {decoded.shape}, not {some.shape}")
        wrong = int((decoded != some).sum())
        require(not wrong, f"{where}: {wrong} of {some.size} samples differ")
    require(np.array_equal(images, sample_images(shape, seed)), f"{where}: encode_set changes its input")
    for end in ends_of_cuts(stream, seed, CUTS):
        cut = f"{where}: a stream cut to {end} of {len(stream)} bytes"
        require(_decode_doubtful(codec, stream[:end], cut), f"{cut} decodes to images")
    for index, damaged in enumerate(damages([stream], seed, DAMAGES)):
        _decode_doubtful(codec, damaged, f"{where}: damage {index} of seed {seed} ({damaged[:80].hex()})")
    return None


def _decode_doubtful(codec: SetCodec, stream: bytes, where: str) -> bool:
    """Decodes a stream that may be none; returns whether it is refused."""
    try:
        images = _require_images(within_limits(lambda: codec.decode_set(stream), where), where)
    except BitstreamError:
        return True
    count, height, width, channels = images.shape
    plausible = channels in (1, 3) and 1 <= height * width <= MAX_PIXELS and count >= 1 and images.size <= MAX_SET_BYTES
    require(plausible, f"{where}: decodes to {count} images of {height}×{width}×{channels}")
    return False


def _require_images(images: object, where: str) -> Images:
    array = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 4
    got = f"{images.dtype} of the shape {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
    require(array, f"{where}: decode_set gives {got}, not uint8 (N, H, W, C)")
    assert isinstance(images, np.ndarray)
    return images
