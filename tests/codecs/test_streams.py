"""Streams that were made to do harm: those that once did, and many altered ones."""

from __future__ import annotations

from pathlib import Path

import fuzz
import pytest
from PIL import Image
from plugins import write_codec

import codecbench as cb
from codecbench.cli.main import main
from codecbench.plugins.registry import CODECS
from codecbench.testing import sample_images, taken_shapes

FOLDER = Path(__file__).parents[1] / "fixtures" / "streams"


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.bin")), ids=lambda file: file.stem)
def test_streams_that_ended_the_process_are_refused(file):
    name = file.name.partition("_")[0]
    with pytest.raises(cb.BitstreamError, match=f"^{name}: ") as refusal:
        cb.open_codec(name).decode([file.read_bytes()])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", CODECS.names())
def test_what_stands_behind_the_end_is_refused(name):
    cls = CODECS.get(name)
    shape = taken_shapes(cls())[0]
    points = cls.default_points(shape)
    for codec in (cls(**points[0]), cls(**points[-1])):
        (stream,) = codec.encode(sample_images(shape)[:1])
        for tail in (b"\0", b"garbage", b"\0\0\0\x08free", stream):
            with pytest.raises(cb.BitstreamError, match=f"^{name}: "):
                codec.decode([stream + tail])
        if isinstance(codec, cb.SetCodec):
            with pytest.raises(cb.BitstreamError):
                codec.decode_set(codec.encode_set(sample_images(shape)) + b"\0")


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        *((f"jxl:effort=1,distance={distance}", (300, 520, 3)) for distance in (0.2, 25)),
        ("jxl:mode=lossless,effort=1", (300, 520, 1)),
        ("jxl:effort=3", (9, 2500, 1)),  # large, so that its sections are in another order
        ("jxl:effort=7,distance=16", (64, 64, 3)),  # the drawing among them has patches
    ],
)
def test_jxl_finds_the_end_of_every_kind_of_frame(spec, shape):
    codec = cb.open_codec(spec)
    for stream in codec.encode(sample_images(shape)):
        assert codec.container_bytes(stream) < 20
        with pytest.raises(cb.BitstreamError, match="do not end with the stream"):
            codec.container_bytes(stream + b"\0")


@pytest.mark.parametrize(
    ("file", "limit", "words"),
    [
        ("htj2k_crash.cb", "--timeout=9", "htj2k: the main header is none that this codec writes at these settings"),
        ("deflate_paeth_thin.cb", "--timeout=60", "deflate:level=6,filter=paeth is lossless, but gives other pixels"),
        ("deflate_paeth_thin.cb", "--timeout=0.1", "the codec's process gave no answer for 0.1 s (--timeout) and was"),
        ("deflate_paeth_thin.cb", "--memory-limit=64M", "more than the limit of 64 MiB (--memory-limit), and was"),
    ],
)
def test_a_forged_file_gets_one_line_within_the_limits(file, limit, words, tmp_path, capsys):
    assert main(["decode", str(FOLDER / file), "-o", str(tmp_path / "x.png"), limit]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert not list(tmp_path.iterdir())


def test_a_codec_that_ends_its_process_leaves_no_file(codec_folder, tmp_path, capsys):
    write_codec(codec_folder, "deadly", decode="__import__('os').abort()")
    image = tmp_path / "in.png"
    Image.new("L", (5, 5)).save(image)
    assert main(["encode", str(image), "-c", "deadly", "-o", str(tmp_path / "x.cb")]) == 1
    assert capsys.readouterr().err == f"error: {image}: the codec's process died of SIGABRT\n"
    assert not (tmp_path / "x.cb").exists()


@pytest.mark.slow
def test_ten_thousand_altered_streams(tmp_path, capsys):
    assert fuzz.main("10000", "1", str(tmp_path)) == 0, capsys.readouterr().out
