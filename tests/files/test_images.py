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
        (b"P5 2 1 255\n\1\2P5 2 1 255\n\1\2", "holds several frames"),
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


PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def png(samples: np.ndarray, bits: int, kind: int, orientation: int, interlaced: bool, clear: bytes) -> bytes:
    """Rows without filters; EXIF data behind the pixels."""
    rows = b""
    for top, left, down, across in PASSES if interlaced else ((0, 0, 1, 1),):
        part = samples[top::down, left::across]
        rows += b"".join(b"\0" + packed(row.reshape(1, -1), bits) for row in part) if part.size else b""
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], bits, kind, 0, 0, interlaced)
    exif = b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", 274, 3, 1, orientation, 0) + bytes(4)
    chunks = {b"IHDR": header, b"tRNS": clear, b"IDAT": zlib.compress(rows), b"eXIf": exif, b"IEND": b""}
    if not clear:
        del chunks[b"tRNS"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks.items()
    )


def lzw(content: bytes) -> bytes:
    """Codes of 9 bits: each byte as it is, and the table emptied before codes would get longer."""
    parts = [content[start : start + 200] for start in range(0, len(content), 200)]
    text = "".join(f"{code:09b}" for part in parts for code in (256, *part)) + f"{257:09b}"
    size = -(-len(text) // 8)
    return int(text.ljust(8 * size, "0"), 2).to_bytes(size)


def packbits(content: bytes) -> bytes:
    return b"".join(
        bytes([len(content[at : at + 128]) - 1]) + content[at : at + 128] for at in range(0, len(content), 128)
    )


COMPRESSIONS = {1: bytes, 5: lzw, 8: zlib.compress, 32773: packbits}
COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4}
"""Samples of a colour by photometric interpretation."""


def tiff(samples, bits, photometric, order, orientation, compression, piece, predicted, planar) -> bytes:
    """Strips, or tiles if a piece is not as wide; a palette of falling grays; a sample more than colours is alpha."""
    height, width, count = samples.shape
    high, wide = piece
    pieces = []
    for plane in np.split(samples, count, axis=2) if planar else [samples]:
        for top, left in itertools.product(range(0, height, high), range(0, width, wide)):
            part = plane[top : top + high, left : left + wide]
            if wide != width:
                part = np.pad(part, ((0, high - part.shape[0]), (0, wide - part.shape[1]), (0, 0)))
            if predicted:
                part = np.diff(part, axis=1, prepend=np.uint16(0)) & ((1 << bits) - 1)
            pieces.append(COMPRESSIONS[compression](packed(part.reshape(len(part), -1), bits, order)))
    sizes = [len(part) for part in pieces]
    starts = [8, *(8 + end for end in itertools.accumulate(sizes))]
    layout = {278: [high], 273: starts[:-1], 279: sizes}
    if wide != width:
        layout = {322: [wide], 323: [high], 324: starts[:-1], 325: sizes}
    entries = {256: [width], 257: [height], 258: [bits] * count, 259: [compression], 262: [photometric]}
    entries |= {274: [orientation], 277: [count], 284: [1 + planar], 317: [1 + predicted]} | layout
    if photometric == 3:
        entries[320] = [65535 - 257 * (255 * index // ((1 << bits) - 1)) for index in range(1 << bits)] * 3
    if count > COLOURS[photometric]:
        entries[338] = [2]
    body = b"".join(pieces) + b"\0" * (starts[-1] % 2)
    table, outside = struct.pack(order + "H", len(entries)), b""
    for tag, values in sorted(entries.items()):
        long = tag in (256, 257, 273, 278, 279, 322, 323, 324, 325)
        content = struct.pack(f"{order}{len(values)}{'I' if long else 'H'}", *values)
        if len(content) > 4:
            place = 8 + len(body) + 2 + 12 * len(entries) + 4 + len(outside)
            content, outside = struct.pack(order + "I", place), outside + content
        table += struct.pack(order + "HHI", tag, 4 if long else 3, len(values)) + content.ljust(4, b"\0")
    magic = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(body))
    return magic + body + table + bytes(4) + outside


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


def shown(samples: np.ndarray, bits: int, photometric: int, orientation: int = 1, clear: bool = False) -> np.ndarray:
    """What a viewer shows of samples as stored, (H, W, 1 or 3); over white. ``clear``: the first pixel's colour is."""
    most, colours = (1 << bits) - 1, COLOURS[photometric]
    alpha, values = samples[..., colours:] / most, samples[..., :colours].astype(int)
    exact = (most - values if photometric in (0, 3) else values) * 255 / most
    if photometric == 5:
        exact = np.rint((255 - exact[..., :3]) * (255 - exact[..., 3:]) / 255)
    exact = exact * alpha + 255 * (1 - alpha) if alpha.size else exact
    exact = np.repeat(exact, 3, 2) if photometric == 3 else exact
    if clear:
        exact[(samples == samples[0, 0]).all(2)] = 255
    exact = exact.swapaxes(0, 1) if orientation >= 5 else exact
    exact = exact[::-1] if orientation in (3, 4, 7, 8) else exact
    return exact[:, ::-1] if orientation in (2, 3, 6, 7) else exact


KINDS = [  # photometric interpretation, samples, bits
    *((p, 1, b) for p in (0, 1) for b in (1, 2, 4, 8, 16)),
    *((3, 1, b) for b in (1, 4, 8)),
    *((p, c, b) for p, c in ((1, 2), (2, 3), (2, 4)) for b in (8, 16)),
    (5, 4, 8),
]


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, np.ndarray, float]:
    """A file, what it shows, and the error that is allowed: of deep colours the upper 8 bits are read."""
    family = draw(st.sampled_from(["tiff", "tiff", "png", "pnm", "jp2"]))
    photometric, count, bits = draw(st.sampled_from(KINDS))
    if family == "png":
        photometric, count, bits = draw(st.sampled_from([kind for kind in KINDS if kind[0] in (1, 2)]))
    elif family != "tiff":
        photometric, count = draw(st.sampled_from([(1, 1), (2, 3)]))
        bits = draw(st.sampled_from([8, 16]) if family == "pnm" else st.integers(1, 16))
    height, width = (32, 40) if family == "jp2" else (draw(st.integers(1, 20)), draw(st.integers(1, 20)))
    random = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    levels = [0, (1 << bits) - 1, *random.integers(0, 1 << bits, 9)]
    samples = random.choice(levels, (height, width, count)).astype(np.uint16)
    orientation = draw(st.integers(1, 8)) if family in ("png", "tiff") else 1
    clear = family == "png" and count != 2 and count != 4 and draw(st.booleans())
    right = shown(samples, bits, photometric, orientation, clear)
    if family == "png":
        kind = {1: 0, 2: 4, 3: 2, 4: 6}[count]
        key = samples[0, 0].astype(">u2").tobytes() if clear else b""
        content = png(samples, bits, kind, orientation, draw(st.booleans()), key)
    elif family == "pnm":
        head = f"P{5 if count == 1 else 6} {width} {height} {(1 << bits) - 1}\n".encode()
        content = head + packed(samples.reshape(height, -1), bits)
    elif family == "jp2":
        content = jp2(samples.astype("u1" if bits <= 8 else "u2"), bits, draw(st.sampled_from([0, 70_000])))
    else:
        piece = draw(st.sampled_from([(1, width), (height, width), (7, width), (16, 32)]))
        deep, compression = bits >= 8, draw(st.sampled_from(list(COMPRESSIONS)))
        predicted = deep and compression in (5, 8) and draw(st.booleans())
        planar = deep and count > 1 and draw(st.booleans())
        order = draw(st.sampled_from("<>"))
        content = tiff(samples, bits, photometric, order, orientation, compression, piece, predicted, planar)
    return content, right, 0.51 if bits <= 8 else 1.0 + (count in (2, 4))


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
