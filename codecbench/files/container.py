r"""Compressed images as files: one stream of a codec, with all that another process needs to decode it.

    offset  bytes  what
    0       4      magic, the bytes cb 43 42 0a (``"\xcbCB\n"``)
    4       1      version of the layout, 1
    5       4      length of the body, big-endian
    9       …      the body
    end     4      CRC-32 of everything before it, as zlib computes it, big-endian

These five are the same in every version, so that a damaged file can be distinguished from one that is merely too new.
CRC-32 finds every change within 32 bits, so every changed byte; the length finds every missing and every added one.

The body of version 1:

    numbers  height, width and channels of the image; length of the spec; length of the weights' digest
    spec     the codec with every setting, ``webp:quality=50,…``, in the syntax of ``codecbench.plan.specs``, UTF-8
    weights  first 8 bytes of a SHA-256 over the names and the SHA-256 of the codec's weight files; nothing without any
    maker    4 bytes of a digest of the codec's source and the versions of its libraries
    pixels   CRC-32 of the image (H, W, C), uint8, that the stream decoded to where it was written, big-endian
    stream   the codec's own bytes, up to the end of the body

Numbers are those of ``codecbench.plugins.varint``. A file decodes with the weights that it names and no
others. Another source or library version is no reason to refuse a file, since most decoders agree. If the pixels then
differ from the writer's, that is an error with a lossless codec, and a note with others.

A file is not trusted: it names a registered codec, whose settings are checked like those of a command, and nothing else
is imported. A codec with a path among its settings has no files, since a path means something else elsewhere.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codecbench.errors import (
    BitstreamError,
    CodecbenchError,
    CodecError,
    ContractError,
    PluginError,
    SettingError,
    SpecError,
    UnknownNameError,
    UsageError,
    WeightsError,
)
from codecbench.fingerprint import digest, file_sha256
from codecbench.plan.specs import expand, split_specs
from codecbench.plugins.answers import versions_of
from codecbench.plugins.codec import MAX_PIXELS, Codec, Images, Shape
from codecbench.plugins.registry import CODECS
from codecbench.plugins.settings import Value, settings_of
from codecbench.plugins.source import source_fingerprint
from codecbench.plugins.varint import pack_numbers, unpack_numbers
from codecbench.text import format_shape, one_line

MAGIC = b"\xcbCB\n"
VERSION = 1
HEAD = struct.Struct(">4sBI")
CHECK = struct.Struct(">I")
WEIGHTS_BYTES = 8
MAKER_BYTES = 4
MAX_SPEC_BYTES = 10_000
"""Of a spec; all settings of a codec take some hundred bytes."""


@dataclass(frozen=True)
class Contents:
    """The parts of a file's body, as the top of this module describes them."""

    spec: str
    shape: Shape
    weights: bytes
    maker: bytes
    pixels: int
    stream: bytes


@dataclass(frozen=True)
class Packed:
    """A compressed image: the bytes of its file, and what they decode to."""

    content: bytes
    spec: str
    stream_bytes: int  # of the content; the others are the container
    image: Images  # uint8, (H, W, C)


@dataclass(frozen=True)
class Unpacked:
    """A decoded file; its notes are one line each."""

    image: Images  # uint8, (H, W, C)
    spec: str
    stream_bytes: int
    notes: tuple[str, ...] = ()


def pack(image: Images, codec: Codec) -> Packed:
    """Compresses an image, uint8 (H, W, C) with C = 1 or 3, into the bytes of a file, and decodes these as a check.

    ``UsageError`` for no such image, or settings that cannot be written in a file; ``CodecError`` if the codec fails,
    does not take the shape, or breaks its contract, so if it claims to be lossless and is not.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or not image.size:
        got = f"{image.dtype} of shape {format_shape(image.shape) or 'none'}"
        raise UsageError(f"an image to be packed must be uint8 of shape (H, W, C), not {got}")
    spec = str(codec.spec)
    _settings(spec, type(codec))  # so that what cannot be read back is not written
    shape = (int(image.shape[0]), int(image.shape[1]), int(image.shape[2]))
    codec.check_shape(shape)
    batch = np.array(image)[np.newaxis]
    batch.setflags(write=False)
    stream = _encoded(codec, batch, spec)
    decoded = _decoded(type(codec)(**codec.settings).on(codec.device), stream, shape, spec)
    if codec.lossless and not np.array_equal(decoded, image):
        raise ContractError(f"{spec} claims to be lossless, but does not restore this image; nothing was written")
    contents = Contents(spec, shape, _weights(type(codec)), _maker(type(codec)), zlib.crc32(decoded.tobytes()), stream)
    return Packed(write(contents), spec, len(stream), decoded)


def unpack(content: bytes, device: str = "cpu", name: str = "the file") -> Unpacked:
    """Decodes the bytes of a file, called ``name`` in messages, with a new instance of the codec that it names.

    ``UsageError`` for another file or version, or a codec or settings that are not known here; ``PluginError`` if the
    codec cannot be imported; ``WeightsError`` if the file was made with other weights; ``CodecError`` if the file is
    damaged, the codec fails, or a lossless one gives another image than was written.
    """
    from codecbench.environment import resolve_device

    contents = read(content, name)
    cls, settings = _find(contents.spec, name)
    if (here := _weights(cls)) != contents.weights:
        raise WeightsError(_other_weights(contents, cls, here, name))
    codec = cls(**settings).on(resolve_device(device, cls.uses_device))
    image = _decoded(codec, contents.stream, contents.shape, name)
    notes = []
    if zlib.crc32(image.tobytes()) != contents.pixels:
        same = _maker(cls) == contents.maker
        why = (
            "the machine or the device is another" if same else f"the source or the libraries of {cls.name} are others"
        )
        if codec.lossless:
            raise ContractError(f"{name}: {codec.spec} is lossless, but gives other pixels than were packed; {why}")
        notes.append(f"{name} decodes to other pixels here than where it was written; {why}")
    return Unpacked(image, contents.spec, len(contents.stream), tuple(notes))


# ---- bytes ----------------------------------------------------------------------------------------------------------


def write(contents: Contents) -> bytes:
    """The bytes of a file; raises ``UsageError`` if the stream is too long for it."""
    spec = contents.spec.encode()
    try:
        numbers = pack_numbers([*contents.shape, len(spec), len(contents.weights)])
        parts = (numbers, spec, contents.weights, contents.maker, CHECK.pack(contents.pixels), contents.stream)
        body = b"".join(parts)
        content = HEAD.pack(MAGIC, VERSION, len(body)) + body
    except struct.error:
        raise UsageError(f"a stream of {len(contents.stream)} bytes is too long; a file holds up to 4 GiB") from None
    return content + CHECK.pack(zlib.crc32(content))


def read(content: bytes, name: str = "the file") -> Contents:
    """Reads the bytes of a file, called ``name`` in messages; imports no codec and decodes nothing.

    ``UsageError`` for no file of codecbench or a newer version; ``BitstreamError`` if it is cut short, changed or has
    bytes after its end.
    """
    if not content:
        raise UsageError(f"{name} is empty; expected a file that `codecbench encode` wrote")
    if not (content.startswith(MAGIC) or MAGIC.startswith(content)):
        raise UsageError(f"{name} is not a file that `codecbench encode` wrote{_guess(content)}")
    if len(content) < HEAD.size:
        raise BitstreamError(f"{name} is cut short: {len(content)} bytes, at least {HEAD.size + CHECK.size} expected")
    _, version, length = HEAD.unpack_from(content)
    end = HEAD.size + length
    if len(content) < end + CHECK.size:
        raise BitstreamError(f"{name} is cut short or damaged: {len(content)} of {end + CHECK.size} bytes are there")
    whole = CHECK.unpack_from(content, end)[0] == zlib.crc32(content[:end])
    if whole and len(content) > end + CHECK.size:
        extra = len(content) - end - CHECK.size
        raise BitstreamError(f"{name} has {extra} bytes after its end; its first {end + CHECK.size} bytes are whole")
    if not whole or len(content) != end + CHECK.size:
        raise BitstreamError(f"{name} is damaged: its checksum does not hold")
    if version != VERSION:
        need = f"needs a newer codecbench: its layout is of version {version}, known here is {VERSION}"
        raise UsageError(f"{name} {need}")
    try:
        return _contents(content[HEAD.size : end])
    except (BitstreamError, ValueError) as error:
        raise BitstreamError(f"{name} is no file that codecbench writes, though its checksum holds: {error}") from None


def _contents(body: bytes) -> Contents:
    (height, width, channels, spec_bytes, weights_bytes), at = unpack_numbers(body, 5, "the body")
    if channels not in (1, 3) or min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"an image of {height}×{width}×{channels} is not allowed")
    if not 0 < spec_bytes <= MAX_SPEC_BYTES or weights_bytes not in (0, WEIGHTS_BYTES):
        raise ValueError("lengths in its header are not allowed")
    ends = []
    for size in (spec_bytes, weights_bytes, MAKER_BYTES, CHECK.size):
        ends.append(at := at + size)
    if at > len(body):
        raise ValueError("its header goes beyond its end")
    spec = body[ends[0] - spec_bytes : ends[0]].decode()
    pixels = CHECK.unpack_from(body, ends[2])[0]
    weights, maker = body[ends[0] : ends[1]], body[ends[1] : ends[2]]
    return Contents(spec, (height, width, channels), weights, maker, pixels, body[at:])


def _guess(content: bytes) -> str:
    kinds = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WebP", b"GIF8": "GIF", b"BM": "BMP", b"II*": "TIFF"}
    kind = next((kind for start, kind in kinds.items() if content.startswith(start)), "")
    return f" but a {kind} image; `codecbench encode` takes those" if kind else ""


# ---- codecs ---------------------------------------------------------------------------------------------------------


def _find(spec: str, name: str) -> tuple[type[Codec], dict[str, Value]]:
    """The codec of a file and its settings; the errors name what is not here."""
    try:
        raw = split_specs(spec)
        if len(raw) != 1:
            raise SpecError(f"{len(raw)} codecs")
        cls = CODECS.get(raw[0].name)
    except SpecError as error:
        raise BitstreamError(f"{name} names no codec: {one_line(error)}") from None
    except UnknownNameError as error:
        known = ", ".join(error.known)
        where = "its plugin can be given with --codec-dir"
        raise UsageError(
            f"{name} needs the codec {error.name!r}, which is not here ({where}); known: {known}"
        ) from None
    except PluginError as error:
        raise PluginError(f"{name} needs the codec {raw[0].name!r}: {error}") from error
    try:
        return cls, _settings(spec, cls)
    except UsageError as error:
        raise UsageError(f"{name} needs {spec}, which the {cls.name} here does not take: {error}") from None


def _settings(spec: str, cls: type[Codec]) -> dict[str, Value]:
    """The settings in a file's spec; ``UsageError`` if they are not the codec's, not one point, or hold a path."""
    known = settings_of(cls)
    paths = [info.name for info in known.values() if info.literal]
    if paths:
        raise SettingError(f"{cls.name} has no files, since its setting {paths[0]} is a path, which differs elsewhere")
    raw = split_specs(spec)
    points = expand(raw[0], known) if len(raw) == 1 else []
    if len(points) != 1 or raw[0].name != cls.name or len(spec.encode()) > MAX_SPEC_BYTES:
        raise SpecError(f"{spec[:80]!r} is not one {cls.name} with every setting")
    return points[0]


def _weights(cls: type[Codec]) -> bytes:
    """Digest of a codec's weight files; empty where it has none."""
    files = sorted((Path(file).name, file_sha256(Path(file))) for file in cls.weight_files())
    return hashlib.sha256(repr(files).encode()).digest()[:WEIGHTS_BYTES] if files else b""


def _maker(cls: type[Codec]) -> bytes:
    return bytes.fromhex(digest([source_fingerprint(cls), versions_of(cls)])[: 2 * MAKER_BYTES])


def _other_weights(contents: Contents, cls: type[Codec], here: bytes, name: str) -> str:
    if not contents.weights:
        return f"{name} needs a {cls.name} without weights; the one here has some"
    files = ", ".join(sorted(Path(file).name for file in cls.weight_files()))
    found = f"here are {here.hex()} ({files})" if here else f"the {cls.name} here has none"
    return f"{name} needs {cls.name} with the weights {contents.weights.hex()}; {found}"


def _encoded(codec: Codec, batch: Images, spec: str) -> bytes:
    try:
        streams = codec.encode(batch)
    except CodecbenchError:
        raise
    except Exception as error:  # a plugin may raise anything
        raise CodecError(f"{spec} cannot encode this image: {one_line(error)}") from error
    if not isinstance(streams, list) or len(streams) != 1 or not isinstance(streams[0], bytes):
        raise ContractError(f"{spec}: encode must give a list of one bytes, not {type(streams).__name__}")
    return streams[0]


def _decoded(codec: Codec, stream: bytes, shape: Shape, name: str) -> Images:
    try:
        images = codec.decode([stream])
    except CodecbenchError as error:
        raise type(error)(f"{name}: {error}") if type(error) in (BitstreamError, WeightsError) else error from None
    except Exception as error:  # a plugin may raise anything
        raise CodecError(f"{name}: {codec.spec} cannot decode it: {one_line(error)}") from error
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != (1, *shape):
        got = f"{images.dtype} of {format_shape(images.shape)}" if isinstance(images, np.ndarray) else type(images)
        raise ContractError(f"{name}: {codec.spec} gave {got}, not one uint8 image of {format_shape(shape)}")
    image: Images = images[0]
    return image
