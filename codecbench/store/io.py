"""Files of a run folder: written whole or not at all; records that are read only where they are whole.

A record says how one codec point did on one dataset. Each kind is a frozen dataclass whose fields and their types are
the schema of its files; :func:`read_records` reads a folder of one kind and leaves out what is damaged, what is
not codecbench's, and what was made with another codec than that of ``run.json``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import json
import re
import secrets
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from codecbench.errors import StoreError
from codecbench.plugins.codec import Images
from codecbench.store.schema import fitting

RECORD_NAME = re.compile(r"[0-9a-f]{24}")
"""The name of a record's file without its ending: a digest, see ``codecbench.fingerprint``."""
LEFTOVER = re.compile(r"\.[0-9a-f]{1,8}\.tmp$")
"""How the names of files end that a command was writing when it was killed."""
WINDOW = 256
"""Height and width of what is kept of a larger image, in pixels."""
DAMAGED = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error),
    *(RecursionError, MemoryError, NotImplementedError),
)
"""What reading a damaged JSON or ``npz`` file raises."""

Point = tuple[str, str, str]
"""Dataset, codec and settings."""


# ---- writing --------------------------------------------------------------------------------------------------------


def write_whole(file: Path, content: bytes) -> None:
    """Writes a file whole, or leaves the one that was there, with a ``StoreError``; makes its folder."""
    temporary = file.with_name(f"{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            kept = "what was measured is kept, make room and run the same command again"
            raise StoreError(f"no space left to write {file}; {kept}") from error
        raise StoreError(f"cannot write {file}: {error.strerror or error}") from error


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files by their paths in a folder, each of them whole, in order; raises as :func:`write_whole` does."""
    for name, content in files.items():
        write_whole(folder / name, content)


def read_file(file: Path) -> bytes:
    """The bytes of a regular file; an ``OSError`` for anything else: a pipe would be waited for, a link leads away."""
    if file.is_symlink() or not file.is_file():
        raise FileNotFoundError(errno.ENOENT, "no regular file", str(file))
    return file.read_bytes()


# ---- JSON and arrays ------------------------------------------------------------------------------------------------


def dump_json(content: Mapping[str, Any]) -> bytes:
    """A record as the bytes of a JSON file; no NaN, no infinity."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # half a character, as in some file names, is JSON once escaped


def read_json(file: Path) -> dict[str, Any] | None:
    """A JSON file's record; None where there is none, or something else."""
    try:
        content = json.loads(read_file(file))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def dump_arrays(content: Mapping[str, Any]) -> bytes:
    """A record with arrays as the bytes of an ``npz`` file: ``about`` is its JSON, with ``{"array": NAME}`` for each.

    No pickle is in it.
    """
    arrays: dict[str, Any] = {}

    def name_of(array: Any) -> dict[str, str]:
        arrays[name := str(len(arrays))] = np.asarray(array)
        return {"array": name}

    about = json.dumps(content, default=name_of)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, about=np.array(about), **arrays)
    return buffer.getvalue()


def read_arrays(file: Path) -> Any:
    """What :func:`dump_arrays` wrote; raises one of ``DAMAGED`` for anything else."""
    with np.load(io.BytesIO(read_file(file)), allow_pickle=False) as archive:
        return json.loads(
            str(archive["about"]),
            object_hook=lambda found: archive[found["array"]] if found.keys() == {"array"} else found,
        )


# ---- records --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a file says of one codec point on one dataset."""

    FOLDER: ClassVar[str]
    """Of the run folder, where the files of such records are."""
    SUFFIX: ClassVar[str] = ".json"
    """Of its files; ``.npz`` where fields have arrays."""
    SET_ASIDE: ClassVar[bool] = False
    """Whether a damaged file is renamed to ``*.damaged``, so that it is named; else it is passed over."""

    dataset: str  # the dataset's label
    codec: str
    settings: str  # in the spec syntax
    codec_fingerprint: str  # of the codec that it was made with
    failed: str  # why there is no result, in one line; empty where there is one

    @property
    def point(self) -> Point:
        """Dataset, codec and settings."""
        return self.dataset, self.codec, self.settings

    @property
    def subject(self) -> object:
        """What the record is about: of several runs read as one, the first with a record of a subject has all of it."""
        return self.point

    def is_whole(self, file: Path) -> bool:
        """Whether the file has all that belongs to it, as far as types do not say so."""
        return True

    def counts(self, manifest: Mapping[str, Any]) -> bool:
        """Whether it was made with the codec of ``run.json``, on one of its datasets."""
        known = manifest["codecs"].get(self.codec, {}).get("fingerprint")
        return known == self.codec_fingerprint and self.dataset in manifest["datasets"]

    def content(self) -> bytes:
        """What is written into its file."""
        fields = dataclasses.asdict(self)
        return dump_json(fields) if self.SUFFIX == ".json" else dump_arrays(fields)

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """The record in a file; None where there is none, or something else."""
        try:
            content = read_json(file) if cls.SUFFIX == ".json" else read_arrays(file)
            record: Self = fitting(content or {}, cls)
            return record if record.is_whole(file) else None
        except DAMAGED:
            return None


@dataclass(frozen=True, kw_only=True)
class DatasetRecord(Record):
    """A record of all chosen images of a dataset, which counts only for these images."""

    FORMAT: ClassVar[int] = 1

    format: int  # version of the record and of how it is made
    data_fingerprint: str  # identifies the images' pixels

    def counts(self, manifest: Mapping[str, Any]) -> bool:
        """As for every record, of this version and these images."""
        images = manifest["datasets"].get(self.dataset, {}).get("fingerprint")
        return super().counts(manifest) and (self.format, self.data_fingerprint) == (self.FORMAT, images)


R = TypeVar("R", bound=Record)


def read_records(path: Path, record_class: type[R], manifest: Mapping[str, Any] | None = None) -> list[R]:
    """The records of a kind in a run folder that count, in the order of their files' names.

    Without a manifest these are all that are whole. Damaged files are left out, and set aside where the class says so.
    """
    found = []
    for file in sorted((path / record_class.FOLDER).glob(f"*{record_class.SUFFIX}")):
        if not RECORD_NAME.fullmatch(file.stem):
            continue  # not codecbench's
        record = record_class.read(file)
        if record is None:
            if record_class.SET_ASIDE:
                set_aside(file)
        elif manifest is None or record.counts(manifest):
            found.append(record)
    return found


def set_aside(file: Path) -> None:
    """Renames what is damaged, links and pipes too, and the rows or record that belong to it, to ``*.damaged``."""
    for twin in (file.with_suffix(".json"), file.with_suffix(".parquet")):
        with contextlib.suppress(OSError):  # not there, or in a folder that is only read: it is passed over
            twin.replace(twin.with_name(twin.name + ".damaged"))


# ---- pictures -------------------------------------------------------------------------------------------------------


def pack_images(images: Mapping[int, Images]) -> bytes:
    """Images by index as the content of an ``npz`` file; large ones are cut to their middle 256×256 pixels."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {}
    for index, image in images.items():
        height, width, _ = image.shape
        arrays[str(index)] = cut_out(image, *middle(height, width))
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def check_picture(picture: Any) -> Images:
    """An array, if it is a picture that is kept, uint8 (H, W, C) of at most 256×256 pixels; else ``ValueError``."""
    fits = picture.dtype == np.uint8 and picture.ndim == 3 and picture.size > 0 and picture.shape[2] in (1, 3)
    if not fits or max(picture.shape) > WINDOW:
        raise ValueError(f"a picture is no array of {picture.dtype} {picture.shape}")
    return picture


def middle(height: int, width: int, side: int = WINDOW) -> tuple[int, int]:
    """Top and left of the window in the middle of an image; by default of the size that is kept."""
    return max(0, (height - side) // 2), max(0, (width - side) // 2)


def cut_out(image: Images, top: int, left: int) -> Images:
    """The window of an image (H, W, C) with its first pixel there; the whole of an image that is no larger."""
    return image[top : top + WINDOW, left : left + WINDOW]
