from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from datafiles import png
from PIL import Image

from codecbench.datasets.folder import Folder
from codecbench.errors import DatasetError
from codecbench.files.images import read_image
from codecbench.plan.specs import expand, split_specs
from codecbench.plugins.settings import settings_of

NOWHERE = Path("no data root is needed")


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def opened(path: Path, **settings: object):
    return Folder(path=str(path), **settings).load(NOWHERE)


def refused(path: Path, words: str, **settings: object) -> None:
    """Either opening the folder or its fingerprint, which is made before anything is measured, finds it."""
    with pytest.raises(DatasetError, match=words) as caught:
        opened(path, **settings).fingerprint([0])
    assert "\n" not in str(caught.value)


def test_the_label_is_a_spec_with_the_path_as_it_stands() -> None:
    folder = Folder(path="/2..3/a,b", crop=8)
    assert (folder.label, folder.family) == (r"folder:/2..3/a\,b,crop=8", "folder")
    (raw,) = split_specs(folder.label)
    assert expand(raw, settings_of(Folder)) == [folder.settings]
    assert Folder(crop=8).label == "folder:crop=8"


# ---- what is read ---------------------------------------------------------------------------------------------------


def test_whole_images_of_different_shapes(tmp_path: Path) -> None:
    save(tmp_path / "b.png", noise(20, 30))
    save(tmp_path / "a.PNG", noise(7, 5, 1))
    save(tmp_path / "c.bmp", noise(20, 30, seed=1))
    for name in (".DS_Store", "words.txt", "LICENCE"):
        (tmp_path / name).write_text("no image")
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


@pytest.mark.parametrize("kind", ["avif", "jpg", "webp"])  # of others see tests/files/test_images.py
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_rotation_is_applied(tmp_path: Path, kind: str, orientation: int) -> None:
    array = np.zeros((16, 48, 3), np.uint8)
    array[:, :16] = 255  # white at the left
    exif = Image.Exif()
    exif[0x0112] = orientation
    images = opened(save(tmp_path / f"a.{kind}", array, exif=exif).parent)
    turned = np.rot90(array, {1: 0, 3: 2, 6: 3, 8: 1}[orientation])
    assert images.shape(0) == turned.shape
    assert np.abs(images.read([0])[0].astype(int) - turned).mean() < 12


def test_deep_avif_needs_a_rule(tmp_path: Path) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")  # Pillow writes none, and would read 8 bits without a word
    deep = noise(40, 40).astype(np.uint16) * 4
    (tmp_path / "a.avif").write_bytes(imagecodecs.avif_encode(deep, bitspersample=10))
    refused(tmp_path, "more than 8 bits.*depth16=scale")
    assert opened(tmp_path, depth16="scale").read([0]).shape == (1, 40, 40, 3)


def test_fingerprint_follows_the_pixels(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(20, 20))
    save(tmp_path / "b.png", noise(20, 20, seed=1))
    images = opened(tmp_path)
    before = images.fingerprint([0, 1])
    assert opened(tmp_path).fingerprint([0, 1]) == before
    assert opened(tmp_path).fingerprint([0]) != before
    save(tmp_path / "b.png", noise(20, 20, seed=2))
    assert opened(tmp_path).fingerprint([0, 1]) != before
    images = opened(tmp_path)
    save(tmp_path / "a.png", noise(20, 21))
    with pytest.raises(DatasetError, match=r"a\.png changed since the folder was opened"):
        images.read([0])


def test_what_is_to_know_about_the_chosen_files(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.bmp"):
        save(tmp_path / name, noise(20, 20))
    for name, options in {
        "d.jfif": {"format": "JPEG", "icc_profile": b"Adobe RGB"},
        "e.webp": {},
        "f.avif": {},
    }.items():
        save(tmp_path / name, noise(20, 20), **options)
    save(tmp_path / "g.webp", noise(9, 9), lossless=True)
    save(tmp_path / "h.jp2", noise(64, 64), irreversible=True)
    images = opened(tmp_path)
    images.fingerprint(range(6))
    assert images.about([0, 1, 2]) == ["2 doubles among 3 images: a.png = b.png = c.bmp"]
    assert images.about([0, 3, 4, 6]) == [
        "2 of 4 originals are lossy files (1 JPEG, 1 WebP): this flatters jpeg and webp; "
        "downscale=2 takes the traces away",
        "1 of 4 originals have ICC profiles other than sRGB, which were ignored",
    ]
    assert [file.lossy for file in images.files] == ["", "", "", "JPEG", "WebP", "AVIF", "", "JPEG 2000"]
    assert opened(tmp_path, downscale=2).about([5, 6, 7]) == []


def test_downscaled_images_are_means_and_have_a_name_of_their_own(tmp_path: Path) -> None:
    array = noise(9, 14)
    save(tmp_path / "a.png", array)
    images = opened(tmp_path, downscale=3, crop=2)
    right = np.array([[array[y : y + 3, x : x + 3].mean((0, 1)) for x in range(0, 12, 3)] for y in range(0, 9, 3)])
    assert np.array_equal(images.read([0, 1])[1], np.floor(right + 0.5)[:2, 2:])
    save(tmp_path / "a.png", np.array([[0, 1], [0, 1]], np.uint8))
    assert opened(tmp_path, downscale=2).read([0]).tolist() == [[[[1]]]]  # a half goes up
    assert Folder(path="a", downscale=2).label == "folder:a,downscale=2"
    refused(tmp_path, "a.png is 2×2 .*smaller than 3", downscale=3)


def test_memory_for_decoded_images_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        save(tmp_path / f"{number}.png", noise(10, 10, seed=number))
    monkeypatch.setattr("codecbench.datasets.folder.CACHE_BYTES", 700)  # two images
    read: list[str] = []
    monkeypatch.setattr(
        "codecbench.datasets.folder.read_image", lambda path, *rules: read.append(path.stem) or read_image(path, *rules)
    )
    block = opened(tmp_path).read([0, 1, 1, 2, 3, 2, 4, 0])
    assert read == ["0", "1", "2", "3", "4", "0"]
    assert np.array_equal(block[4], noise(10, 10, seed=3))


# ---- what needs a rule ----------------------------------------------------------------------------------------------


def test_alpha_needs_a_rule(tmp_path: Path) -> None:
    Image.new("LA", (4, 4), (200, 0)).save(tmp_path / "a.png")
    refused(tmp_path, r"a\.png.*alpha=drop, alpha=white or alpha=black")
    seen = {how: opened(tmp_path, alpha=how).read([0])[0, 0, 0].tolist() for how in ("drop", "white", "black")}
    assert seen == {"drop": [200], "white": [255], "black": [0]}


@pytest.mark.parametrize("suffix", ["gif", "tif", "png"])
def test_several_frames_need_a_rule(tmp_path: Path, suffix: str) -> None:
    first, second = Image.new("L", (8, 8), 10), Image.new("L", (8, 8), 200)
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second])
    refused(tmp_path, f"a.{suffix} holds several frames.*frames=first")
    assert opened(tmp_path, frames="first").read([0]).max() == 10


# ---- what is refused ------------------------------------------------------------------------------------------------


def saved(array: np.ndarray, suffix: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format={"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix))
    return buffer.getvalue()


NO_IMAGE = r"is damaged or no image; formats read: AVIF, BMP"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"


@pytest.mark.parametrize(
    ("name", "content", "words", "settings"),
    [
        *(
            (f"a.{kind}", saved(noise(64, 64), kind)[:-1000], "is (damaged|cut short)", {})
            for kind in ("png", "jpg", "webp", "avif", "tif", "bmp")
        ),
        *(("a.png", content, NO_IMAGE, {}) for content in (b"", b"not an image", EPS)),
        *(
            (
                "a.png",
                png(np.zeros(4, np.uint8), (side, side, 3)),
                "has .*pixels",
                {},
            )
            for side in (9_500, 14_000, 2**31 - 1)
        ),
        ("a.tif", saved(np.ones((3, 3), np.float32), "tif"), "has 1 floating samples of 32 bits", {}),
        ("a.tif", saved(np.ones((3, 3), np.int32), "tif"), "has 1 signed samples of 32 bits", {"depth16": "scale"}),
        ("a.png", saved(noise(63, 200), "png"), "is 63×200 .*smaller than crop=64", {"crop": 64}),
        ("a.HEIC", b"x", r"is in a format that is not read; allowed: \.apng", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_that_cannot_be_measured(tmp_path: Path, name: str, content: bytes, words: str, settings: dict) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path, rf"{name} {words}.*refused=skip", **settings)
    save(tmp_path / "good.png", noise(64, 64))
    images = opened(tmp_path, refused="skip", **settings)
    assert len(images) == 1
    assert images.notes[0] == "1 of 2 files left out (refused=skip)"
    assert name in images.notes[1]


def test_nothing_is_left_to_measure(tmp_path: Path) -> None:
    save(tmp_path / "alpha.png", noise(64, 64, 4))
    refused(tmp_path, "no image to measure in .*alpha.png has an alpha channel", refused="skip")
    refused(tmp_path / "nowhere", "does not exist")
    refused(tmp_path / "alpha.png", "is a file, not a folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no image to measure in .*image files end in .apng")
    with pytest.raises(DatasetError, match="folder:PATH"):
        Folder().load(NOWHERE)
    for path in ("", str(tmp_path / "empty"), str(tmp_path / "nowhere")):
        assert not Folder(path=path).status(NOWHERE).available


@pytest.mark.real_data
def test_kodak(data_root: Path) -> None:
    folder = data_root / "kodak"
    if not folder.is_dir():
        pytest.skip("no Kodak photographs under CODECBENCH_DATA")
    images = opened(folder)
    assert sorted(images.shape(i) for i in range(24)) == [(512, 768, 3)] * 18 + [(768, 512, 3)] * 6
    tiles = opened(folder, crop=64)
    assert (len(tiles), tiles.notes) == (24 * 96, [])
