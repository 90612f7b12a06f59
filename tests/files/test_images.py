"""Image files are read as they say, or refused: 380 odd ones, and those that small writers here can write."""

from __future__ import annotations

import io
import itertools
import json
import os
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from codecbench.errors import DatasetError
from codecbench.files.images import Rules, image_shape, read_image
from codecbench.files.structure import MAX_SCANS

ODD = Path(__file__).parents[1] / "fixtures" / "odd-images.tar.xz"

NOT_AS_WRITTEN = {"tif_jpeg_ycc.tif"}
"""Its tags say YCbCr of a JPEG stream that holds RGB numbers; libtiff, tifffile and we read what the tags say."""

TAKE_ALL = Rules(alpha="white", depth16="scale", frames="first")


def test_odd_images(tmp_path: Path) -> None:
    with tarfile.open(ODD) as archive:
        archive.extractall(tmp_path, filter="data")
    cases, pixels = json.loads((tmp_path / "cases.json").read_text()), np.load(tmp_path / "pixels.npz")
    wrong = []
    for name in sorted(cases.keys() - NOT_AS_WRITTEN):
        rules = Rules(**cases[name]["rules"])
        try:
            got, shape = read_image(tmp_path / name, rules), image_shape(tmp_path / name, rules)
        except DatasetError as error:
            if cases[name]["expect"] != "refused":
                wrong.append(f"{error}")
            continue
        if cases[name]["expect"] == "refused":
            wrong.append(f"{name} is taken")
            continue
        right = pixels[name].reshape(*pixels[name].shape[:2], -1)
        if got.shape[:2] != right.shape[:2] or got.shape != shape:
            wrong.append(f"{name} has shape {got.shape}, said to be {shape}")
        elif np.abs(got.astype(int) - right).max() > cases[name]["tolerance"]:
            wrong.append(f"{name} has other pixels")
    assert (len(cases), wrong) == (380, [])


def jpeg(**options: object) -> bytes:
    buffer = io.BytesIO()
    picture = np.random.default_rng(0).integers(0, 256, (12, 15, 3), np.uint8)
    Image.fromarray(picture).resize((150, 120)).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def many_scans(count: int) -> bytes:
    content = jpeg()
    start = content.index(b"\xff\xda")
    return content[:-2] + content[start:-2] * count + content[-2:]


def missing_tile() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (16, 16)).save(buffer, "JPEG2000", tile_size=(8, 8), no_jp2=True)
    content = buffer.getvalue()
    start = content.rindex(b"\xff\x90\0\x0a")
    return content[:start] + content[-2:]


def tiled(side: int) -> bytes:
    """A TIFF of one pixel, in a tile of many."""
    entries = [(256, 1), (257, 1), (258, 8), (259, 8), (262, 1), (277, 1), (322, side), (323, side), (324, 8), (325, 9)]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + table + bytes(20)


def many_pages(count: int) -> bytes:
    buffer = io.BytesIO()
    first, *others = [Image.new("L", (2, 2))] * count
    first.save(buffer, "TIFF", save_all=True, append_images=others)
    return buffer.getvalue()


HOW = ({}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1})
CUTS = (
    lambda content: content[: len(content) // 2],
    lambda content: content[: len(content) // 2] + content[-2:],
    lambda content: content[: len(content) // 2] + content[len(content) // 2 + 200 :],
    lambda content: content[:-2],
)
HUGE_WEBP = b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0" + b"\xfe\x3f\0" * 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        *((cut(jpeg(**how)), "is (damaged|cut short)") for how in HOW for cut in CUTS),
        (many_scans(MAX_SCANS), f"has {MAX_SCANS + 1} scans"),
        (many_pages(300), "holds several frames"),
        (HUGE_WEBP, "has 16383×16383 pixels"),
        (tiled(65520), "has 65520×65520 pixels"),
        (missing_tile(), "is cut short: tiles"),
    ],
)
def test_damage_and_bombs(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DatasetError, match=f"a {words}"):
        read_image(tmp_path / "a", Rules())


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nothing")
    words = {"pipe": "is no regular file", "link": "is a link to nothing, which", "none": "does not exist"}
    for name, read in itertools.product(words, (read_image, image_shape)):
        with pytest.raises(DatasetError, match=f"{name} {words[name]}"):
            read(tmp_path / name, Rules())


# ---- files that are written here, by nothing that reads them --------------------------------------------------------


def packed(samples: np.ndarray, bits: int, order: str = ">") -> bytes:
    """Samples (rows, values) as rows of bytes."""
    if bits == 16:
        return samples.astype(f"{order}u2").tobytes()
    spread = np.unpackbits(samples.astype(np.uint8)[..., np.newaxis], axis=2)[..., 8 - bits :]
    return np.packbits(spread.reshape(len(samples), -1), axis=1).tobytes()


def png(samples: np.ndarray, bits: int, kind: int, extra: bytes = b"") -> bytes:
    rows = packed(samples.reshape(len(samples), -1), bits)
    step = len(rows) // len(samples)
    filtered = b"".join(b"\0" + rows[start : start + step] for start in range(0, len(rows), step))
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], bits, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), *([(extra[:4], extra[4:])] if extra else ()), (b"IDAT", zlib.compress(filtered))]
    parts = [
        struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in [*chunks, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(
    samples: np.ndarray,
    bits: int,
    photometric: int,
    order: str,
    orientation: int,
    rows: int,
    deflate: bool,
    planar: bool,
) -> bytes:
    """Strips of ``rows`` rows; for photometric 3 a palette of falling grays; a fourth or second sample is alpha."""
    height, width, count = samples.shape
    planes = [samples[..., [plane]] for plane in range(count)] if planar else [samples]
    strips = [
        packed(p[top : top + rows].reshape(min(rows, height - top), -1), bits, order)
        for p in planes
        for top in range(0, height, rows)
    ]
    strips = [zlib.compress(strip) for strip in strips] if deflate else strips
    colours = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4}[photometric]
    entries: dict[int, tuple[int, list[int]]] = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * count), 259: (3, [8 if deflate else 1]),
        262: (3, [photometric]), 273: (4, []), 274: (3, [orientation]), 277: (3, [count]), 278: (4, [rows]),
        279: (4, [len(strip) for strip in strips]), 284: (3, [2 if planar else 1]),
    }  # fmt: skip
    if photometric == 3:
        entries[320] = (3, [65535 - 257 * (255 * index // ((1 << bits) - 1)) for index in range(1 << bits)] * 3)
    if count > colours:
        entries[338] = (3, [2])
    position, starts = 8, []
    for strip in strips:
        starts.append(position)
        position += len(strip) + len(strip) % 2
    entries[273] = (4, starts)
    table, outside = struct.pack(order + "H", len(entries)), b""
    after = position + 2 + 12 * len(entries) + 4
    for tag in sorted(entries):
        kind, values = entries[tag]
        content = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(content) > 4:
            field, outside = (
                struct.pack(order + "I", after + len(outside)),
                outside + content + b"\0" * (len(content) % 2),
            )
        else:
            field = content.ljust(4, b"\0")
        table += struct.pack(order + "HHI", tag, kind, len(values)) + field
    body = b"".join(strip + b"\0" * (len(strip) % 2) for strip in strips)
    magic = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, position)
    return magic + body + table + b"\0\0\0\0" + outside


def jp2(samples: np.ndarray, bits: int, before: int) -> bytes:
    """A codestream of imagecodecs in boxes of ours, behind a free box of so many bytes."""
    imagecodecs = pytest.importorskip("imagecodecs")
    image = samples[..., 0] if samples.shape[2] == 1 else samples
    stream = imagecodecs.jpeg2k_encode(image, level=0, codecformat="j2k", bitspersample=bits, reversible=True)
    colour = b"\x01\0\0" + struct.pack(">I", 17 if samples.shape[2] == 1 else 16)
    header = struct.pack(">IIHBBBB", *samples.shape, bits - 1, 7, 0, 0)

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + kind + content

    inside = box(b"ihdr", header) + box(b"colr", colour)
    start = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return (
        start
        + box(b"jp2h", inside)
        + box(b"free", bytes(before))
        + struct.pack(">I4sQ", 1, b"jp2c", 16 + len(stream))
        + stream
    )


def shown(samples: np.ndarray, bits: int, photometric: int = 2) -> np.ndarray:
    """What a viewer shows of samples as stored, (H, W, 1 or 3) uint8; alpha over white."""
    colours = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4}[photometric]
    alpha = samples[..., colours:].astype(float) / ((1 << bits) - 1)
    values = samples[..., :colours].astype(int)
    if photometric in (0, 3):
        values = (1 << bits) - 1 - values
    exact = values * 255 / ((1 << bits) - 1)
    if photometric == 5:
        return np.rint((255 - exact[..., :3]) * (255 - exact[..., 3:]) / 255)
    over = exact * alpha + 255 * (1 - alpha) if alpha.size else exact
    return np.repeat(over, 3, 2) if photometric == 3 else over


def far(bits: int, alpha: bool) -> float:
    return 0.51 if bits <= 8 else 1.0 + alpha


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, np.ndarray, float]:
    """A file, what it shows, and the error that is allowed: of deep colours the upper 8 bits are read."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    random = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    family = draw(st.sampled_from(["tiff", "tiff", "png", "pnm", "jp2"]))

    def drawn(count: int, bits: int, size: tuple[int, int] = (height, width)) -> np.ndarray:
        return random.choice([0, (1 << bits) - 1, *random.integers(0, 1 << bits, 9)], (*size, count)).astype(np.uint16)

    if family == "png":
        kind, bits = draw(
            st.sampled_from([*((0, b) for b in (1, 2, 4, 8, 16)), *((k, b) for k in (2, 4, 6) for b in (8, 16))])
        )
        samples = drawn({0: 1, 2: 3, 4: 2, 6: 4}[kind], bits)
        right = shown(samples, bits, 1 if kind in (0, 4) else 2)
        if kind in (0, 2) and draw(st.booleans()):  # the first pixel's colour is transparent
            right[(samples == samples[0, 0]).all(2)] = 255
            return png(samples, bits, kind, b"tRNS" + samples[0, 0].astype(">u2").tobytes()), right, far(bits, False)
        return png(samples, bits, kind), right, far(bits, kind in (4, 6))
    if family in ("pnm", "jp2"):
        bits, count = (
            draw(st.sampled_from([8, 16]) if family == "pnm" else st.integers(1, 16)),
            draw(st.sampled_from([1, 3])),
        )
        samples = drawn(count, bits, (height, width) if family == "pnm" else (32, 40))
        if family == "pnm":
            head = f"P{5 if count == 1 else 6} {width} {height} {(1 << bits) - 1}\n".encode()
            content = head + samples.astype(">u2" if bits == 16 else "u1").tobytes()
        else:
            content = jp2(samples.astype("u1" if bits <= 8 else "u2"), bits, draw(st.sampled_from([0, 70_000])))
        return content, shown(samples, bits, 1 if count == 1 else 2), far(bits, False)
    photometric, count, bits = draw(
        st.sampled_from(
            [
                *((p, 1, b) for p in (0, 1) for b in (1, 4, 8, 16)),
                (3, 1, 4),
                (3, 1, 8),
                (5, 4, 8),
                *((2, c, b) for c in (3, 4) for b in (8, 16)),
                (1, 2, 8),
                (1, 2, 16),
            ]
        )
    )
    samples, orientation = drawn(count, bits), draw(st.integers(1, 8))
    order, rows = draw(st.sampled_from("<>")), draw(st.integers(1, height))
    planar = bits >= 8 and count > 1 and draw(st.booleans())
    content = tiff(samples, bits, photometric, order, orientation, rows, draw(st.booleans()), planar)
    right = shown(samples, bits, photometric)
    right = right.swapaxes(0, 1) if orientation >= 5 else right
    right = right[::-1] if orientation in (3, 4, 7, 8) else right
    right = right[:, ::-1] if orientation in (2, 3, 6, 7) else right
    return content, right, far(bits, count in (2, 4))


@settings(max_examples=200, deadline=None)
@given(file=files())
def test_what_a_file_says_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[bytes, np.ndarray, float]
) -> None:
    content, right, allowed = file
    path = tmp_path_factory.getbasetemp() / "written"
    path.write_bytes(content)
    got = read_image(path, TAKE_ALL)
    assert got.shape == image_shape(path, TAKE_ALL) == right.shape
    assert np.abs(got - right).max() <= allowed
