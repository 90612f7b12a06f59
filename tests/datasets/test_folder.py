from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from codecbench.datasets.folder import Folder
from codecbench.errors import DatasetError, SettingError
from codecbench.files import images as imagefiles
from codecbench.files.images import Rules, image_shape, read_image
from codecbench.plan.specs import expand, split_specs
from codecbench.plugins.settings import settings_of

NOWHERE = Path("no data root is needed")


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def png16(path: Path, samples: np.ndarray) -> Path:
    """A 16-bit RGB PNG, which Pillow reads but does not write."""
    height, width, _ = samples.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return path


def opened(path: Path, **settings: object):
    return Folder(path=str(path), **settings).load(NOWHERE)


def refused(path: Path, words: str, **settings: object) -> str:
    with pytest.raises(DatasetError, match=words) as caught:
        opened(path, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_spec_takes_the_path_as_it_stands() -> None:
    (raw,) = split_specs(r"folder:/some/2..3/dir=x\,y,crop=64")
    (point,) = expand(raw, settings_of(Folder))
    assert point["path"] == "/some/2..3/dir=x,y"
    assert point["crop"] == 64
    assert Folder(path="my/images", crop=64).label == "folder:my/images,crop=64"
    assert Folder(path="my/images").family == "folder"
    with pytest.raises(SettingError, match="refuse, drop, white, black"):
        Folder(path="x", alpha="maybe")


def test_whole_images_of_different_shapes(tmp_path: Path) -> None:
    save(tmp_path / "b.png", noise(20, 30))
    save(tmp_path / "a.PNG", noise(7, 5, 1))
    save(tmp_path / "c.bmp", noise(20, 30, seed=1))
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "words.txt").write_text("no image")
    (tmp_path / "LICENCE").write_text("no image")
    (tmp_path / "deeper.png").mkdir()
    save(tmp_path / "deeper.png" / "d.png", noise(3, 3))
    status = Folder(path=str(tmp_path)).status(NOWHERE)
    assert (status.available, status.images, status.shape) == (True, 3, None)
    images = opened(tmp_path)
    assert [images.shape(i) for i in range(len(images))] == [(7, 5, 1), (20, 30, 3), (20, 30, 3)]
    assert np.array_equal(images.read([0])[0, ..., 0], noise(7, 5, 1))
    assert np.array_equal(images.read([2, 1]), np.stack([noise(20, 30, seed=1), noise(20, 30)]))
    assert images.notes == [
        "files that are not images were ignored: 1 × .txt, 1 × no suffix",
        "1 subfolders were not read; recursive=true reads them",
    ]
    with pytest.raises(ValueError, match="images of one shape"):
        images.read([0, 1])
    with pytest.raises(IndexError, match="0 to 2"):
        images.read([3])
    assert len(opened(tmp_path, recursive=True)) == 4


def test_crops_run_row_by_row(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(130, 200))
    save(tmp_path / "b.png", noise(64, 64, 1))
    images = opened(tmp_path, crop=64)
    assert len(images) == 7
    assert np.array_equal(images.read([4])[0], noise(130, 200)[64:128, 64:128])
    assert images.read(range(6)).shape == (6, 64, 64, 3)
    assert images.shape(6) == (64, 64, 1)
    assert images.notes == ["crop=64 uses 95.3% of the pixels; the margins fill no tile"]
    assert Folder(path=str(tmp_path), crop=64).status(NOWHERE).images is None


@pytest.mark.parametrize("kind", ["jpg", "png", "png with the rotation behind the pixels", "tif", "webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_rotation_is_applied(tmp_path: Path, kind: str, orientation: int) -> None:
    array = np.zeros((16, 48, 3), np.uint8)
    array[:, :16] = 255  # white at the left
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{kind[:3].replace('web', 'webp')}"
    save(path, array, exif=exif)
    if "behind" in kind:
        content = path.read_bytes()
        start = content.index(b"eXIf") - 4
        length = struct.unpack(">I", content[start : start + 4])[0] + 12
        moved = content[:start] + content[start + length :]
        path.write_bytes(moved[:-12] + content[start : start + length] + moved[-12:])
    images = opened(tmp_path)
    turned = np.rot90(array, {1: 0, 3: 2, 6: 3, 8: 1}[orientation])
    assert images.shape(0) == turned.shape
    assert np.abs(images.read([0])[0].astype(int) - turned).mean() < 12


def test_colour_modes_become_rgb_and_gray_stays_gray(tmp_path: Path) -> None:
    rgb = Image.fromarray(noise(10, 12) // 64 * 64)
    rgb.quantize(64).save(tmp_path / "palette.png")
    rgb.convert("CMYK").save(tmp_path / "cmyk.tif")
    rgb.convert("YCbCr").save(tmp_path / "ycbcr.jpg")
    rgb.convert("1").save(tmp_path / "two.png")
    rgb.convert("L").save(tmp_path / "gray.pgm")
    images = opened(tmp_path)
    names = [path.name for path, _ in images.files]
    shapes = {name: images.shape(i) for i, name in enumerate(names)}
    gray, colour = (10, 12, 1), (10, 12, 3)
    assert shapes == {
        "cmyk.tif": colour,
        "gray.pgm": gray,
        "palette.png": colour,
        "two.png": gray,
        "ycbcr.jpg": colour,
    }
    assert np.array_equal(images.read([names.index("cmyk.tif")])[0], np.asarray(rgb))
    assert set(np.unique(images.read([names.index("two.png")]))) == {0, 255}
    assert all(images.read([i]).shape[1:] == images.shape(i) for i in range(5))


@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette", "colour key"])
def test_alpha_needs_a_word(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    if kind == "palette":
        image = Image.new("P", (4, 4), 1)
        image.putpalette([0, 0, 0, 200, 100, 50])
        image.save(path, transparency=b"\xff\x00")
    elif kind == "colour key":
        Image.new("RGB", (4, 4), (200, 100, 50)).save(path, transparency=(200, 100, 50))
    else:
        Image.new(kind, (4, 4), (200, 100, 50, 0) if kind == "RGBA" else (200, 0)).save(path)
    assert "a.png" in refused(tmp_path, "alpha=drop, alpha=white or alpha=black")
    seen = {how: opened(tmp_path, alpha=how).read([0])[0, 0, 0].tolist() for how in ("drop", "white", "black")}
    stored, channels = ([200], 1) if kind == "LA" else ([200, 100, 50], 3)
    assert seen == {"drop": stored, "white": [255] * channels, "black": [0] * channels}
    assert opened(tmp_path, alpha="drop").shape(0) == (4, 4, channels)


def test_16_bit_gray_needs_a_word(tmp_path: Path) -> None:
    samples = np.array([[0, 128, 129, 65535, 257 * 7, 32768]], np.uint16)
    for suffix in ("png", "tif"):
        save(tmp_path / f"a.{suffix}", samples)
    assert "a.png" in refused(tmp_path, "more than 8 bits.*depth16=scale")
    images = opened(tmp_path, depth16="scale")
    assert images.shape(0) == (1, 6, 1)
    assert images.read([0, 1])[..., 0].tolist() == [[[0, 0, 1, 255, 7, 128]]] * 2


def test_16_bits_that_pillow_would_hide_are_seen(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (6, 5, 3), dtype=np.uint16)
    png16(tmp_path / "a.png", samples)
    (tmp_path / "b.ppm").write_bytes(b"P6 5 6 65535\n" + samples.astype(">u2").tobytes())
    for name in ("a.png", "b.ppm"):
        with pytest.raises(DatasetError, match=f"{name} has more than 8 bits"):
            image_shape(tmp_path / name, Rules())
        read = read_image(tmp_path / name, Rules(depth16="scale"))
        assert np.abs(read.astype(int) - samples // 256).max() <= 1


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000"])
def test_8_bit_files_of_deep_formats_are_taken(tmp_path: Path, kind: str) -> None:
    path = tmp_path / {"AVIF": "a.avif", "JPEG2000": "a.jp2"}[kind]
    Image.fromarray(noise(40, 40)).save(path, format=kind)
    assert opened(tmp_path).shape(0) == (40, 40, 3)
    # The bits that tell of more, set by hand, since Pillow writes no such file.
    content = bytearray(path.read_bytes())
    if kind == "AVIF":
        content[content.index(b"av1C") + 6] |= 0x40
    else:
        content[content.index(b"\xff\x4f\xff\x51") + 42] = 9
    with Image.open(path) as image:
        assert not imagefiles._quietly_deep(image, path)
        path.write_bytes(content)
        assert imagefiles._quietly_deep(image, path)


def test_16_bit_jpeg2000(tmp_path: Path) -> None:
    samples = (np.arange(64 * 64, dtype=np.uint16) * 16).reshape(64, 64)
    save(tmp_path / "a.jp2", samples)
    refused(tmp_path, "more than 8 bits")
    read = opened(tmp_path, depth16="scale").read([0])[0, ..., 0]
    assert np.array_equal(read, ((samples.astype(int) + 128) // 257).astype(np.uint8))


@pytest.mark.parametrize("suffix", ["gif", "tif", "png"])
def test_several_frames_need_a_word(tmp_path: Path, suffix: str) -> None:
    first, second = Image.new("L", (8, 8), 10), Image.new("L", (8, 8), 200)
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second])
    refused(tmp_path, f"a.{suffix} holds 2 frames.*frames=first")
    assert opened(tmp_path, frames="first").read([0]).max() == 10


def test_floating_point_and_32_bits_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.tif", np.ones((3, 3), np.float32))
    refused(tmp_path, r"a\.tif has mode F; allowed")
    save(tmp_path / "a.tif", np.full((3, 3), 70_000, np.int32))
    images = opened(tmp_path, depth16="scale")
    with pytest.raises(DatasetError, match="outside 16 bits"):
        images.read([0])


def truncated(suffix: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(buffer, format={"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()))
    return buffer.getvalue()[: len(buffer.getvalue()) * 2 // 3]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "avif", "tif", "bmp"])
def test_files_cut_short(tmp_path: Path, suffix: str) -> None:
    """Damage behind the header is found by the fingerprint, which is before anything is measured."""
    (tmp_path / f"bad.{suffix}").write_bytes(truncated(suffix))
    with pytest.raises(DatasetError, match=rf"bad\.{suffix} is damaged or .*refused=skip") as caught:
        opened(tmp_path).fingerprint([0])
    assert "\n" not in str(caught.value)
    save(tmp_path / "good.png", noise(64, 64))
    images = opened(tmp_path, refused="skip")
    assert len(images) == 1
    assert images.notes[0] == "1 of 2 files left out (refused=skip)"
    assert f"bad.{suffix}" in images.notes[1]


@pytest.mark.parametrize("content", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_files_that_are_no_images(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    refused(tmp_path, r"a\.png is damaged or no image; formats read: AVIF, BMP")


@pytest.mark.parametrize("side", [9_500, 14_000, 2**31 - 1])
def test_decompression_bombs(tmp_path: Path, side: int) -> None:
    path = png16(tmp_path / "bomb.png", np.zeros((1, 1, 3), np.uint16))
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", side, side)
    content[24:26] = b"\x08\x02"
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    refused(tmp_path, r"bomb\.png has .*at most 89478485 pixels are allowed")


def test_images_smaller_than_the_crop(tmp_path: Path) -> None:
    save(tmp_path / "small.png", noise(63, 200))
    save(tmp_path / "good.png", noise(64, 64))
    refused(tmp_path, r"small\.png is 63×200 .*smaller than crop=64", crop=64)


def test_refused_files_can_be_skipped_and_are_named(tmp_path: Path) -> None:
    save(tmp_path / "good.png", noise(64, 64))
    save(tmp_path / "small.png", noise(63, 200))
    save(tmp_path / "alpha.png", noise(64, 64, 4))
    (tmp_path / "phone.heic").write_bytes(b"x")
    images = opened(tmp_path, crop=64, refused="skip")
    assert len(images) == 1
    assert images.notes[0] == "3 of 4 files left out (refused=skip)"
    assert [any(name in note for note in images.notes) for name in ("small.png", "alpha.png", "phone.heic")] == [
        True
    ] * 3
    for name in ("good.png", "small.png"):
        (tmp_path / name).unlink()
    refused(tmp_path, "no image to measure in .*alpha.png has an alpha channel", refused="skip")


def test_formats_that_cannot_be_read_are_not_overlooked(tmp_path: Path) -> None:
    (tmp_path / "phone.HEIC").write_bytes(b"x")
    refused(tmp_path, r"phone\.HEIC is in a format that is not read; allowed: \.avif")


def test_no_folder_and_no_images(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "does not exist")
    refused(save(tmp_path / "a.png", noise(4, 4)), "is a file, not a folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no image to measure in .*image files end in .avif")
    with pytest.raises(DatasetError, match="folder:PATH"):
        Folder().load(NOWHERE)
    assert not Folder().status(NOWHERE).available
    assert not Folder(path=str(tmp_path / "empty")).status(NOWHERE).available
    assert not Folder(path=str(tmp_path / "nowhere")).status(NOWHERE).available


def test_fingerprint_follows_the_pixels(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(20, 20))
    save(tmp_path / "b.png", noise(20, 20, seed=1))
    before = opened(tmp_path).fingerprint([0, 1])
    assert opened(tmp_path).fingerprint([0, 1]) == before
    assert opened(tmp_path).fingerprint([0]) != before
    save(tmp_path / "b.png", noise(20, 20, seed=2))
    assert opened(tmp_path).fingerprint([0, 1]) != before


def test_a_file_that_changes_while_the_folder_is_open(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(20, 20))
    images = opened(tmp_path)
    save(tmp_path / "a.png", noise(20, 21))
    with pytest.raises(DatasetError, match=r"a\.png changed since the folder was opened"):
        images.read([0])


def test_memory_for_decoded_images_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        save(tmp_path / f"{number}.png", noise(10, 10, seed=number))
    monkeypatch.setattr("codecbench.datasets.folder.CACHE_BYTES", 700)
    images = opened(tmp_path)
    block = images.read([0, 1, 2, 3, 4, 0])
    assert np.array_equal(block[3], noise(10, 10, seed=3))
    assert len(images._cache) == 2


@pytest.mark.real_data
def test_kodak(data_root: Path) -> None:
    folder = data_root / "kodak"
    if not folder.is_dir():
        pytest.skip("no Kodak photographs under CODECBENCH_DATA")
    images = opened(folder)
    assert sorted(images.shape(i) for i in range(24)) == [(512, 768, 3)] * 18 + [(768, 512, 3)] * 6
    tiles = opened(folder, crop=64)
    assert len(tiles) == 24 * 96
    assert tiles.notes == []
