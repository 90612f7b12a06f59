"""Files of compressed images: what they hold, that every damage is found, and that nothing foreign is believed."""

import io
import re
import struct
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from plugins import forget, temporary, write_codec

import codecbench as cb
from codecbench.cli.main import main
from codecbench.files import container
from codecbench.files.container import Contents, pack, read, unpack, write
from codecbench.files.images import WRITTEN_FORMATS
from codecbench.plugins.registry import CODECS

GRAY = np.add.outer(np.arange(9), np.arange(7)).astype(np.uint8)[..., np.newaxis] * 9
RGB = np.random.default_rng(1).integers(0, 256, (12, 10, 3), dtype=np.uint8)


def forged(**changes):
    """A file whose checksum holds, and whose content is as told."""
    fields = {"spec": "none", "shape": (1, 1, 1), "weights": b"", "maker": b"abcd", "pixels": 0, "stream": b"x"}
    return write(Contents(**fields | changes))


# ---- what a file holds ----------------------------------------------------------------------------------------------


def test_the_layout_is_as_the_documentation_says():
    codec = cb.open_codec("webp:quality=50")
    content = pack(RGB, codec).content
    assert content[:4] == b"\xcbCB\n"
    assert content[4] == 1
    (length,) = struct.unpack(">I", content[5:9])
    assert len(content) == 9 + length + 4
    assert struct.unpack(">I", content[-4:])[0] == zlib.crc32(content[:-4])
    body = content[9:-4]
    height, width, channels, spec_bytes, weights_bytes = body[:5]  # each below 128: one byte
    assert (height, width, channels, weights_bytes) == (12, 10, 3, 0)
    spec = body[5 : 5 + spec_bytes].decode()
    assert spec == str(codec.spec)
    assert "quality=50" in spec
    stream = body[5 + spec_bytes + 4 + 4 :]
    decoded = codec.decode([stream])[0]
    assert np.array_equal(np.array(Image.open(io.BytesIO(stream)).convert("RGB")), decoded), "the codec's bytes, bare"
    assert struct.unpack(">I", body[5 + spec_bytes + 4 :][:4])[0] == zlib.crc32(decoded.tobytes())


@pytest.mark.parametrize("image", [GRAY, RGB], ids=["gray", "rgb"])
@pytest.mark.parametrize("spec", ["none", "png", "jpeg:quality=30", "svd:rank=3", "avif:quality=40", "jpeg2000"])
def test_a_file_alone_gives_the_image_back(spec, image):
    codec = cb.open_codec(spec)
    packed = pack(image, codec)
    done = unpack(packed.content)
    assert np.array_equal(done.image, packed.image)
    assert np.array_equal(done.image, codec.decode(codec.encode(image[np.newaxis]))[0])
    assert (done.spec, done.notes, done.stream_bytes) == (str(codec.spec), (), packed.stream_bytes)
    assert len(packed.content) - packed.stream_bytes == len(forged(spec=str(codec.spec))) - 1


def test_a_learned_codec_comes_back_and_names_its_weights(monkeypatch):
    codec = cb.open_codec("lossy_ae")
    image = np.zeros((28, 28, 1), np.uint8)
    content = pack(image, codec).content
    assert len(read(content).weights) == 8
    assert unpack(content).image.shape == (28, 28, 1)
    monkeypatch.setattr(container, "file_sha256", lambda path: "another")
    words = rf"photo\.cb needs lossy_ae with the weights {read(content).weights.hex()}; here are .*\.safetensors"
    with pytest.raises(cb.WeightsError, match=words) as error:
        unpack(content, name="photo.cb")
    assert "\n" not in str(error.value)


def test_the_example_in_the_documentation_works():
    text = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(compile(example, "docs/files.md", "exec"), names)
    assert names["restored"].shape == names["image"].shape
    assert np.array_equal(names["restored"], names["packed"].image)


# ---- damage ---------------------------------------------------------------------------------------------------------


def test_every_changed_byte_every_cut_and_every_byte_too_many_is_found():
    content = pack(GRAY, cb.open_codec("png")).content
    assert read(content)
    for place in range(len(content)):
        for change in range(1, 256):
            damaged = bytearray(content)
            damaged[place] ^= change
            with pytest.raises(cb.CodecbenchError) as error:
                read(bytes(damaged))
            expected = cb.UsageError if place < 4 else cb.BitstreamError  # another magic: not ours
            assert type(error.value) is expected, (place, change)
    for length in range(len(content)):
        with pytest.raises(cb.CodecbenchError, match="cut short" if length else "is empty"):
            read(content[:length])
    for extra in (1, 5, 300):
        words = f"has {extra} byte.* after its end; its first {len(content)} bytes"
        with pytest.raises(cb.BitstreamError, match=words):
            read(content + bytes(extra))


def sealed(body, version=1):
    """A file with this body, whose checksum holds."""
    content = struct.pack(">4sBI", b"\xcbCB\n", version, len(body)) + body
    return content + struct.pack(">I", zlib.crc32(content))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xd8\xff\xe0", "is not .* but a JPEG image"),
        (sealed(forged()[9:-4], version=2), "needs a newer codecbench: .* version 2, known here is 1"),
    ],
)
def test_foreign_and_newer_files_are_not_called_damaged(content, words):
    with pytest.raises(cb.UsageError, match=rf"^x\.cb {words}") as error:
        unpack(content, name="x.cb")
    assert "\n" not in str(error.value)


def test_a_header_that_is_no_text_or_too_short_is_refused():
    assert read(forged(spec="mine:words=µ")).spec == "mine:words=µ"
    for body in (b"", b"\x01", b"\x01\x01\x01\x04\x00none", b"\x01\x01\x01\x02\x00\xff\xfe" + bytes(8), b"\x80" * 20):
        with pytest.raises(cb.BitstreamError, match="though its checksum holds"):
            read(sealed(body))


# ---- what it needs --------------------------------------------------------------------------------------------------


NO_FILE_NAMES = ("../evil", "os", "codecbench.cli.main", "_pillow", "all", "/tmp/evil.py")
NO_SETTINGS = ("quality=101", "quality=5/6", "qualty=5", "quality=1..9", "quality")
NOT_TAKEN = "needs jpeg:{}, which the jpeg here does not take: "


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        *(({"shape": shape}, cb.BitstreamError, "") for shape in ((0, 1, 1), (1, 1, 2), (cb.MAX_PIXELS, 2, 1))),
        *(({"spec": spec}, cb.BitstreamError, "") for spec in ("", "x" * 10_001, "png,jpeg", "quality=5", ",")),
        ({"weights": b"abc"}, cb.BitstreamError, ""),
        ({"spec": "mystery:level=3"}, cb.UsageError, "needs the codec 'mystery', .*--codec-dir.* jpeg"),
        *(({"spec": spec}, cb.UsageError, "needs the codec") for spec in NO_FILE_NAMES),
        *(({"spec": f"jpeg:{bad}"}, cb.UsageError, NOT_TAKEN.format(re.escape(bad))) for bad in NO_SETTINGS),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_what_a_forged_file_asks_for_is_refused_in_one_line_and_not_imported(changes, error, words):
    before = set(sys.modules)
    with pytest.raises(error, match=rf"^x\.cb .*{words}") as refusal:
        unpack(forged(**changes), name="x.cb")
    assert "\n" not in str(refusal.value)
    assert not {name for name in set(sys.modules) - before if "evil" in name}


def test_a_codec_with_a_path_or_that_cannot_be_imported_has_no_files(codec_folder):
    (codec_folder / "absent.py").write_text("import no_such_library\n")
    with pytest.raises(cb.PluginError, match=r"x\.cb needs the codec 'absent': .*no_such_library"):
        unpack(forged(spec="absent"), name="x.cb")
    file = write_codec(codec_folder, "pathed")
    file.write_text(file.read_text().replace("level: int", 'model: str = cb.setting("", literal=True)\n    level: int'))
    forge = forged(spec="pathed:model=/etc/passwd")
    for attempt in (lambda: pack(GRAY, CODECS.get("pathed")()), lambda: unpack(forge)):
        with pytest.raises(cb.UsageError, match="its setting model is a path"):
            attempt()


def test_an_edited_decoder_is_told(codec_folder):
    write_codec(codec_folder, "mine")
    content = pack(GRAY, CODECS.get("mine")()).content
    assert unpack(content).notes == ()
    forget("mine")
    write_codec(codec_folder, "mine", decode="return 255 - unpack(stream)")
    done = unpack(content, name="x.cb")
    assert done.notes == (
        "x.cb decodes to other pixels here than where it was written; the source or the libraries of mine are others",
    )
    forget("mine")
    write_codec(codec_folder, "mine", decode="return 255 - unpack(stream)", lossless=True)
    with pytest.raises(cb.ContractError, match="is lossless, but gives other pixels than were packed"):
        unpack(content)


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"encode": "raise ValueError('no luck')"}, cb.CodecError, "cannot encode this image: ValueError: no luck"),
        ({"decode": "raise KeyError('gone')"}, cb.CodecError, "cannot decode it: KeyError: 'gone'"),
        (
            {"decode": "return unpack(stream)[:-1]"},
            cb.ContractError,
            "gave uint8 of 1×8×7×1, not one uint8 image of 9×7×1",
        ),
        ({"encode": "return 'text'"}, cb.ContractError, "encode must give"),
        ({"decode": "return 255 - unpack(stream)", "lossless": True}, cb.ContractError, "does not restore this image"),
    ],
)
def test_a_codec_that_breaks_its_contract_leaves_no_file(codec_folder, how, error, words):
    write_codec(codec_folder, "bad", **how)
    with pytest.raises(error, match=words):
        pack(GRAY, CODECS.get("bad")())


def test_what_is_packed_is_an_image_of_bytes():
    for wrong in (GRAY[..., 0], GRAY.astype(float), GRAY[:0], np.zeros((2, 2, 3), np.int64)):
        with pytest.raises(cb.UsageError, match="must be uint8 of shape"):
            pack(wrong, cb.open_codec("png"))
    with pytest.raises(cb.UnsupportedImageError, match="not 9×7×1"):
        pack(GRAY, cb.open_codec("stl10_ae"))


# ---- the commands ---------------------------------------------------------------------------------------------------


def save(path, image):
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(path)
    return path


def call(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("suffix", sorted(WRITTEN_FORMATS))
def test_there_and_back_in_every_format(suffix, tmp_path, capsys):
    image = GRAY if suffix == ".pgm" else RGB
    source, packed, back = save(tmp_path / "in.png", image), tmp_path / "out.cb", tmp_path / f"back{suffix}"
    code, out, err = call(capsys, "encode", source, "-c", "jpeg:quality=90", "-o", packed)
    assert (code, err) == (0, "")
    contents = read(packed.read_bytes())
    bits = 8 * len(contents.stream) / (image.shape[0] * image.shape[1])
    assert f"{packed.stat().st_size:,} bytes, {len(contents.stream):,} of the codec" in out
    assert f"{bits:.3f} bits per pixel" in out
    assert re.search(r"PSNR \d+\.\d\d dB", out)
    assert call(capsys, "decode", packed, "-o", back)[0] == 0
    pixels = np.array(Image.open(back)).reshape(image.shape)
    assert np.array_equal(pixels, unpack(packed.read_bytes()).image)


def test_lossless_says_so_and_replaces_what_was_there_and_damage_writes_no_image(tmp_path, capsys):
    source, packed, back = save(tmp_path / "in.png", RGB), tmp_path / "out.cb", tmp_path / "back.png"
    packed.write_bytes(b"old")
    target = tmp_path / "target.png"
    target.write_bytes(b"old")
    back.symlink_to(target)
    _, out, _ = call(capsys, "encode", source, "-c", "png", "-o", packed)
    assert "every pixel restored" in out
    assert call(capsys, "decode", packed, "-o", back)[0] == 0
    assert back.is_symlink(), "what a link points at is replaced, not the link"
    assert np.array_equal(np.array(Image.open(target)), RGB)
    packed.write_bytes(packed.read_bytes()[:-1] + b"?")
    code, _, err = call(capsys, "decode", packed, "-o", tmp_path / "x.png")
    assert (code, err) == (1, f"error: {packed} is damaged: its checksum does not hold\n")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["back.png", "in.png", "out.cb", "target.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("encode {in} -c jpeg:quality=5/6 -o {tmp}/x.cb", "stands for several codecs"),
        ("encode {in} -c jpeg,png -o {tmp}/x.cb", "stands for several codecs"),
        ("encode {in} -c jepg -o {tmp}/x.cb", "did you mean 'jpeg'"),
        ("encode {in} -c jpeg:quality=0 -o {tmp}/x.cb", "allowed: a whole number from 1 to 100"),
        ("encode {in} -c stl10_ae:latent=int8,tiles=false -o {tmp}/x.cb", "not 9×7×1"),
        ("encode {in} -c png -o {tmp}", "is a folder; name a file"),
        ("encode {in} -c png --out=", "an empty name is not allowed"),
        ("encode {in} -c png -o {tmp}/none/x.cb", "there is no folder"),
        ("encode {text} -c png -o {text}", "is the file that is read"),
        ("encode {in} -c png -o {tmp}/x.JPG", "x.JPG: what is written is no .JPG image; name it x.cb"),
        ("encode {in} -c png -o /dev/null", "is no regular file; `-o -` writes to standard output"),
        ("encode {in} -c png", "missing option '-o'"),
        ("encode {in} -o {tmp}/x.cb", "missing option '-c'"),
        ("encode {tmp}/none.png -c png -o {tmp}/x.cb", "none.png does not exist"),
        ("encode {tmp} -c png -o {tmp}/x.cb", "is a folder"),
        ("encode {text} -c png -o {tmp}/x.cb", "is damaged or no image; formats read: "),
        ("encode {alpha} -c png -o {tmp}/x.cb", "has an alpha channel; --alpha drop, --alpha white or --alpha black"),
        ("encode {deep} -c png -o {tmp}/x.cb", "has more than 8 bits per sample; --depth16 scale"),
        ("encode {in} -c png -o {tmp}/x.cb --device tpu", "'tpu' is not one of"),
        ("encode {in} -c png -o {tmp}/x.cb --codec-dir {tmp}/none", "no folder of codecs"),
        ("decode {in} -o {tmp}/x.png", "but a PNG image; `codecbench encode` takes those"),
        ("decode {tmp} -o {tmp}/x.png", "is a folder; expected a file that `codecbench encode` wrote"),
        ("decode {tmp}/none.cb -o {tmp}/x.png", "none.cb does not exist"),
        ("decode {text} -o {tmp}/x.jpg", "written without loss, so not as .jpg; allowed: .bmp, .pgm, .png"),
        ("decode {text} -o {tmp}/x", "so not as a file without suffix"),
        ("decode {text} -o {tmp}/x.png", "is not a file that `codecbench encode` wrote"),
        ("decode {cb} -o {tmp}/x.ppm", "the image is 9×7×1, and .ppm holds RGB alone; .pnm takes both"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(arguments, words, tmp_path, capsys):
    names = {"tmp": tmp_path, "in": save(tmp_path / "in.png", GRAY), "text": tmp_path / "text.txt"}
    names["text"].write_text("no image")
    names |= {"alpha": tmp_path / "alpha.png", "deep": tmp_path / "deep.png", "cb": tmp_path / "good.cb"}
    Image.new("RGBA", (3, 3)).save(names["alpha"])
    Image.fromarray(np.full((3, 3), 300, np.uint16)).save(names["deep"])
    names["cb"].write_bytes(pack(GRAY, cb.open_codec("png")).content)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    code, out, err = call(capsys, *(part.format(**names) for part in arguments.split()))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words.format(**names) in err
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("image", "rule", "level"),
    [
        (Image.new("RGBA", (4, 3), (10, 20, 30, 0)), ("--alpha", "white"), 255),
        (Image.fromarray(np.full((3, 4), 257 * 9, np.uint16)), ("--depth16", "scale"), 9),
    ],
    ids=["alpha", "depth16"],
)
def test_alpha_and_depth_as_asked_for(image, rule, level, tmp_path, capsys):
    image.save(tmp_path / "in.png")
    assert call(capsys, "encode", tmp_path / "in.png", "-c", "png", "-o", tmp_path / "a.cb", *rule)[0] == 0
    assert (unpack((tmp_path / "a.cb").read_bytes()).image == level).all()


def test_through_pipes_and_with_a_plugin_of_ones_own(tmp_path, capsysbinary, monkeypatch):
    def through(content, *arguments):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        code = main([*arguments, "-o", "-"])
        return code, *capsysbinary.readouterr()

    write_codec(tmp_path / "plugins", "piped")
    source = save(tmp_path / "in.png", RGB).read_bytes()
    with temporary(CODECS):
        code, packed, said = through(source, "encode", "-", "-c", "piped", "--codec-dir", str(tmp_path / "plugins"))
        assert (code, read(packed).spec, said[:17]) == (0, "piped:level=0", b"standard output: ")
        code, image, _ = through(packed, "decode", "-")
        assert code == 0
        assert np.array_equal(np.array(Image.open(io.BytesIO(image))), RGB)
        code, _, said = through(packed[:-1], "decode", "-")
        assert code == 1
        assert b"standard input is cut short" in said
