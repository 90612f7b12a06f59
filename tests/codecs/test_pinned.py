"""Streams written earlier still decode to the same images: the meaning of a codec's bytes must not drift.

``PYTHONPATH=tests python tests/codecs/test_pinned.py`` writes all of them anew, and those of specs that are given as
arguments. Other bytes are a breaking change, which belongs in the changelog: streams of earlier versions then no longer
agree with this one. Streams of learned codecs belong to the shipped weights; other weights are such a change.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import codecbench as cb
from codecbench.plugins.registry import CODECS
from codecbench.testing import sample_images, taken_shapes
from codecbench.testing.images import takes

FOLDER = Path(__file__).parents[1] / "fixtures" / "pinned"
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


def write(specs: list[str]) -> None:
    """Writes one file a codec: spec, shape, stream and decoded samples of a smooth image."""
    places = [(case["spec"], tuple(case["shape"])) for case in pinned()]
    for codec in map(cb.open_codec, specs):
        shapes = [shape for shape in SHAPES if takes(codec, shape)] or taken_shapes(codec)
        places += [(str(codec.spec), shape) for shape in shapes]
    cases: dict[str, list[dict]] = {}
    for spec, shape in dict.fromkeys(places):
        codec = cb.open_codec(spec)
        stream = codec.encode(sample_images(shape)[:1])[0]
        case = {"spec": str(codec.spec), "shape": shape, "stream": base64.b64encode(stream).decode()}
        case["decoded"] = base64.b64encode(codec.decode([stream]).tobytes()).decode()
        cases.setdefault(codec.name, []).append(case)
    for name, entries in cases.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(entries, indent=1) + "\n")


if __name__ == "__main__":
    write(sys.argv[1:])
