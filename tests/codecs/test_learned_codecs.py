"""What all learned codecs promise, with small untrained networks: the same streams everywhere, and what is refused."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from small_weights import find_weights_in

import codecbench as cb
from codecbench import testing
from codecbench.codecs import ar_lossless, res_lossless
from codecbench.errors import BitstreamError, UnsupportedImageError, WeightsError
from codecbench.learned import autoencoder, ratedistortion
from codecbench.plugins.codec import MAX_PIXELS, Codec, FloatCodec, Images, Shape
from codecbench.testing import sample_images

pytestmark = pytest.mark.usefixtures("small_networks")
GRAY, COLOUR = (28, 28, 1), (64, 64, 3)
LEARNED = {
    "lossy_ae:latent=float32,tiles=true": GRAY,
    "lossy_ae:latent=int8": GRAY,
    "lossless_ae": GRAY,
    "stl10_ae:latent=float16": COLOUR,
    "stl10_ae:latent=int8,tiles=true": COLOUR,
    "rd_ae:quality=7.0,shape=28x28x1,checksum=true": GRAY,
    "rd_ae:quality=7.0,shape=64x64x3,checksum=true": COLOUR,
    "rd_ae": (40, 50, 3),
    "gan_ae": (33, 40, 3),
    "ar_lossless": GRAY,
    "res_lossless": (6, 9, 3),
}
every_codec = pytest.mark.parametrize("spec", LEARNED)


def images_of(shape: Shape, count: int) -> Images:
    """Sample images, each a little brighter or darker."""
    found = np.resize(sample_images(shape), (count, *shape)).astype(int)
    return np.clip(found + np.arange(count)[:, None, None, None] % 50 - 25, 0, 255).astype(np.uint8)


def restored(codec: Codec, streams: list[bytes]) -> np.ndarray:
    return codec.decode_float(streams) if isinstance(codec, FloatCodec) else codec.decode(streams) / 255.0


def check_restored(codec: Codec, found: np.ndarray, expected: np.ndarray) -> None:
    """The same pixels; those that are computed in floats may round to the next level."""
    assert np.abs(found - expected).max() <= (0 if codec.lossless else 1 / 255)


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ("lossy_ae:latent=float32,tiles=true", (70, 31, 1)),
        ("lossy_ae:latent=int8,tiles=true", (28, 28, 1)),
        ("lossy_ae:latent=int8,tiles=true", (1, 1, 1)),
        ("stl10_ae:latent=float16,tiles=true", (1, 1, 3)),
        ("stl10_ae:latent=float16,tiles=true", (64, 64, 3)),
        ("stl10_ae:latent=int8,tiles=true", (70, 31, 3)),
        ("rd_ae:quality=3.3,shape=64x64x3", (64, 64, 3)),
        ("rd_ae:quality=8.0,shape=28x28x1,checksum=true", (28, 28, 1)),
        ("rd_ae:quality=1.0", (33, 70, 3)),
        ("rd_ae:checksum=true", (31, 17, 1)),
        ("gan_ae:quality=1.7,shape=64x64x3,checksum=true", (64, 64, 3)),
        ("res_lossless", (4, 5, 3)),
    ],
)
def test_conformance(spec: str, shape: Shape) -> None:
    """Settings and shapes that the tests of the shipped codecs leave out."""
    codec = cb.open_codec(spec)
    testing.check_settings(codec)
    testing.check_shapes(codec)
    for check in ("types", "determinism", "batches", "floats", "lossless", "containers"):
        getattr(testing, f"check_{check}")(codec, shape)
    testing.check_truncation(codec, shape, cuts=10)
    testing.check_damage(codec, shape, trials=33)


@pytest.mark.parametrize(
    ("spec", "shape", "count", "chosen"),
    [
        ("rd_ae:quality=7.0,shape=28x28x1,checksum=true", (28, 28, 1), 40, range(0, 40, 4)),
        ("rd_ae:quality=7.0,shape=64x64x3,checksum=true", (64, 64, 3), 40, range(0, 40, 4)),
        ("ar_lossless", (28, 28, 1), 40, [2]),
        ("res_lossless", (3, 5, 3), 60, range(0, 60, 6)),  # lines of two pixels
    ],
)
def test_entropy_coding_is_exact_in_every_batch_and_on_any_number_of_threads(
    spec: str, shape: Shape, count: int, chosen: list[int]
) -> None:
    codec, images = cb.open_codec(spec), images_of(shape, count)
    streams = codec.encode(images)
    together = restored(codec, streams)
    if codec.lossless:
        assert np.array_equal(together, images / 255.0)
    for threads, some in ((1, chosen), (2, chosen[:2])):  # threads wait for one another
        torch.set_num_threads(threads)
        try:
            # A checksum that is wrong raises.
            check_restored(codec, np.concatenate([restored(codec, [streams[i]]) for i in some]), together[some])
            if codec.exact_bytes:
                assert [codec.encode(images[[i]])[0] for i in some] == [streams[i] for i in some]
        finally:
            torch.set_num_threads(1)


@every_codec
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_every_device_reads_what_another_wrote(spec: str) -> None:
    images = images_of(LEARNED[spec], 20)
    for one, other in (("cpu", "cuda"), ("cuda", "cpu")):
        here, there = (cb.open_codec(spec).on(device) for device in (one, other))
        streams = here.encode(images)
        check_restored(here, restored(there, streams), restored(here, streams))
        assert not here.exact_bytes or there.encode(images) == streams


@pytest.mark.parametrize(
    ("spec", "module", "bounds"),
    [
        ("lossy_ae:latent=float32,tiles=true", autoencoder, {"BATCH": 3}),
        ("lossless_ae", autoencoder, {"BATCH": 3}),
        ("stl10_ae:latent=float16", autoencoder, {"BATCH": 3}),
        ("rd_ae:quality=7.0,shape=28x28x1,checksum=true", ratedistortion, {"BATCH_PIXELS": 3 * 28 * 28}),
        ("ar_lossless", ar_lossless, {"PIXELS_AT_ONCE": 50, "IMAGES": 3, "ENCODED": 2}),
        ("res_lossless", res_lossless, {"SYMBOLS_AT_ONCE": 300, "PIXELS_AT_ONCE": 10}),
    ],
)
def test_bounds_of_memory_change_nothing(
    spec: str, module: ModuleType, bounds: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, images = cb.open_codec(spec), images_of(LEARNED[spec], 4)
    streams = codec.encode(images)
    whole = restored(codec, streams)
    for name, value in bounds.items():
        monkeypatch.setattr(module, name, value)
    again = codec.encode(images)
    assert again == streams or not codec.exact_bytes
    for some in [streams] if again == streams else [streams, again]:
        check_restored(codec, restored(codec, some), whole)


@pytest.mark.parametrize(
    ("spec", "shape", "slack"),
    [
        ("lossy_ae:latent=int8", (28, 28, 1), 17),
        ("stl10_ae:latent=int8,tiles=true", (70, 31, 3), 17),
        ("rd_ae:quality=7.0,checksum=true", (64, 64, 3), 16),
        ("rd_ae:shape=28x28x1", (28, 28, 1), 16),
        ("ar_lossless", (28, 28, 1), 10),
        ("res_lossless", (5, 7, 3), 10),
    ],
)
def test_streams_are_as_long_as_the_model_says(spec: str, shape: Shape, slack: int) -> None:
    codec, images = cb.open_codec(spec), sample_images(shape)
    payloads = np.array([len(stream) - codec.container_bytes(stream) for stream in codec.encode(images)])
    bits = codec.estimate_bits(images)
    least = 0.99 if codec.name == "rd_ae" else 0.9999  # its rare symbols cost a little less than their tables say
    assert (8 * payloads > bits * least - 1).all()
    assert (8 * payloads < bits * 1.0001 + slack).all()


@every_codec
def test_foreign_streams_are_refused_in_one_line(spec: str) -> None:
    codec = cb.open_codec(spec)
    stream = codec.encode(images_of(LEARNED[spec], 1))[0]
    for foreign in (b"", stream[:-1], stream + b"\0", stream + b"\1", b"\x89PNG\r\n\x1a\n" + bytes(60)):
        with pytest.raises(BitstreamError, match=rf"^{codec.name}: [^\n]+$"):
            codec.decode([stream, foreign])


@every_codec
def test_missing_weights_are_named(spec: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec, images = cb.open_codec(spec), images_of(LEARNED[spec], 1)
    streams = codec.encode(images)
    find_weights_in(tmp_path, monkeypatch)
    for act in (lambda: codec.encode(images), lambda: codec.decode(streams)):
        with pytest.raises(WeightsError, match=rf"^no model card ({codec.name}|rd_ae)[-\w]*\.json beside [^\n]+$"):
            act()


@pytest.mark.parametrize(
    ("spec", "shape", "words"),
    [
        ("lossy_ae", (29, 28, 1), "takes 28×28×1 images, not 29×28×1; with tiles=true it takes any size$"),
        ("lossy_ae", (28, 28, 3), "takes 28×28×1 images, not 28×28×3$"),
        ("lossy_ae:tiles=true", (50, 40, 3), "takes blocks of 28×28×1 images, not 50×40×3$"),
        ("lossless_ae", (29, 28, 1), "takes 28×28×1 images, not 29×28×1$"),
        ("stl10_ae", (65, 64, 3), "takes 64×64×3 images, not 65×64×3; with tiles=true it takes any size$"),
        ("stl10_ae:tiles=true", (50, 40, 1), "takes blocks of 64×64×3 images, not 50×40×1$"),
        ("ar_lossless", (28, 28, 3), "takes 28×28×1 images, not 28×28×3$"),
        ("ar_lossless", (27, 28, 1), "takes 28×28×1 images, not 27×28×1$"),
        ("res_lossless", (4, 4, 2), "takes gray or RGB images"),
        ("res_lossless", (0, 4, 3), "takes gray or RGB images"),
        ("res_lossless", (1, (1 << 17) - 2, 3), ".*131,072 at most"),
        ("res_lossless", ((1 << 17) // 3, 3, 3), ".*131,072 at most"),
        ("rd_ae:shape=28x28x1", (28, 28, 3), ".*takes 28×28×1 images, not 28×28×3; with shape=any it takes any size$"),
        ("rd_ae", (1, MAX_PIXELS, 3), ".*too thin"),
        ("rd_ae", (1 << 13, 1 << 13, 3), f".*up to {MAX_PIXELS} pixels"),
        ("gan_ae", (28, 28, 1), "takes colour images, not 28×28×1$"),
        ("gan_ae:shape=64x64x3", (32, 64, 3), "with shape=64x64x3 takes 64×64×3 images, not 32×64×3"),
    ],
)
def test_shapes_that_are_refused(spec: str, shape: Shape, words: str) -> None:
    codec = cb.open_codec(spec)
    with pytest.raises(UnsupportedImageError, match=f"^{codec.name}:? {words}"):
        codec.encode(np.broadcast_to(np.uint8(0), (1, *shape)))
