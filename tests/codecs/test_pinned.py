"""Streams written earlier still decode to the same images: the meaning of a codec's bytes must not drift.

``PYTHONPATH=tests python tests/codecs/test_pinned.py`` writes the files anew. That is a breaking change, which belongs
in the changelog: streams of earlier versions then no longer agree with this one.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

import codecbench as cb
from codecbench.plan.specs import expand, split_specs
from codecbench.plugins.registry import CODECS
from codecbench.plugins.settings import settings_of
from codecbench.testing import sample_images

FOLDER = Path(__file__).parents[1] / "fixtures" / "pinned"
SPECS = (
    "none",
    "svd:rank=0/3",
    "jpeg:quality=30/90",
    "jpeg:quality=80,subsampling=4:4:4,optimize=false",
    "jpeg:quality=80,progressive=true",
    "png:compress_level=9",
    "webp:quality=50",
    "webp:mode=lossless",
    "avif:quality=50",
    "avif:quality=80,subsampling=4:4:4",
    "avif:mode=lossless",
    "jpeg2000:psnr=30.0",
    "jpeg2000:mode=lossless,container=j2k/jp2",
    "jxl:distance=2.0",
    "jxl:mode=lossless",
    "jpegls:near=0/5",
    "jpegls:transform=hp1",
    "qoi",
    "htj2k:step=0.05",
    "htj2k:mode=lossless,decompositions=3/5",
    "jpegxr:quality=60",
    "jpegxr:mode=lossless",
    "lossless_ae",
    "lossy_ae:latent=float32/int8,tiles=false/true",
    "stl10_ae:latent=float16/int8,tiles=false/true",
    "cond_ae:size=8/32,labels=true/false,latent=int8",
    "cond_ae:size=8,labels=true/false,latent=float32",
    "ar_lossless",
    "rd_ae:quality=2.5/7.0,checksum=false/true",
    "rd_ae:shape=28x28x1",
    "gan_ae",
    "res_lossless",
    "deflate:level=9,filter=none/sub/up/average/paeth/adaptive",
    "zstd:level=9,filter=none/adaptive",
    "brotli:quality=9,filter=none/adaptive",
    "lzma:level=6,filter=none/adaptive",
    "bz2:filter=none/adaptive",
    "ppmd:order=2/4,filter=none/adaptive",
)
"""Streams of learned codecs belong to the shipped weights; other weights are a breaking change, and pinned anew."""
SHAPES = ((12, 16, 1), (16, 12, 3))
TOLERANCE = 2  # levels; decoders of lossy formats may round differently from version to version


def pinned() -> list[dict]:
    return [case for file in sorted(FOLDER.glob("*.json")) for case in json.loads(file.read_text())]


@pytest.mark.parametrize("case", pinned(), ids=lambda case: f"{case['spec']}-{case['shape'][2]}")
def test_pinned_streams_decode_as_they_did(case):
    codec = cb.open_codec(case["spec"])
    assert str(codec.spec) == case["spec"]
    stream = base64.b64decode(case["stream"])
    assert 0 <= codec.container_bytes(stream) <= len(stream)
    decoded = codec.decode([stream])[0]
    expected = np.frombuffer(base64.b64decode(case["decoded"]), np.uint8).reshape(case["shape"])
    assert decoded.shape == expected.shape
    limit = 0 if codec.lossless else TOLERANCE
    assert np.abs(decoded.astype(int) - expected).max() <= limit


def test_every_codec_is_pinned():
    assert set(CODECS.names()) == {case["spec"].partition(":")[0] for case in pinned()}


def takes(codec, shape) -> bool:
    try:
        codec.check_shape(shape)
    except cb.UnsupportedImageError:
        return False
    return True


def rewrite() -> None:
    """Writes one file a codec: spec, shape, stream and decoded samples of a drawing."""
    cases: dict[str, list[dict]] = {}
    for spec in split_specs(",".join(SPECS)):
        cls = CODECS.get(spec.name)
        for settings in expand(spec, settings_of(cls)):
            codec = cls(**settings)
            fixed = codec.image_shape or getattr(codec, "fixed", {}).get(settings.get("shape"))
            for shape in (*SHAPES, *([fixed] if fixed else [])):
                if not takes(codec, shape):
                    continue
                stream = codec.encode(sample_images(shape)[:1])[0]
                case = {"spec": str(codec.spec), "shape": shape, "stream": base64.b64encode(stream).decode()}
                case["decoded"] = base64.b64encode(codec.decode([stream]).tobytes()).decode()
                cases.setdefault(codec.name, []).append(case)
    for name, entries in cases.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(entries, indent=1) + "\n")


if __name__ == "__main__":
    rewrite()
