"""Pictures that a run keeps beside its rows: what is still missing of the images shown, and each codec's worst images.

    RUN/samples/ID.npz     reconstructions of the images shown, by task; made while a task is measured, and made up for
                           where a later command asks for more of them
    RUN/kept/KEY.npz       one codec point on a few images: originals, reconstructions, and what they are (``about``)
    RUN/kept/KEY.json      that a codec's worst images are kept, or why not; written last

A codec's worst images are those of :func:`codecbench.analysis.per_image.worst`. They are encoded once more and decoded
from the bytes alone, as all images are, and kept for the codec itself and, to compare with, for one other: at its
points nearest in rate and in PSNR. Of a large image the window with the largest error is kept, for both the same.

A key covers the codec with its settings and fingerprint, and the tasks whose rows tell which images are the worst. What
was made with another codec, or of other images, stays on disk and never shows. Failures are notes.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codecbench.plan.tasks import Task
from codecbench.plugins.codec import Images
from codecbench.store import manifest
from codecbench.store.folder import RunFolder
from codecbench.store.io import TASK_ID, WINDOW, cut_out, read_json

if TYPE_CHECKING:
    pass

FORMAT = 1
FOLDER = "kept"
WORST_IMAGES = 4
"""How many of its worst images are kept for a codec and dataset."""


@dataclass(frozen=True)
class ImageRequest:
    """An image whose reconstruction is to be kept.

    Attributes:
        image: its index in the dataset.
        top: first row of the window that is kept of a large image; None for where the error is largest.
        left: its first column.
    """

    image: int
    top: int | None = None
    left: int | None = None


@dataclass(frozen=True)
class PictureRequest:
    """Images that one codec point is to encode and decode once more.

    Attributes:
        task: the codec point, with its fingerprint; one of the tasks of the run that it stands for.
        wanted: the images.
        key: identity of the result, 24 hexadecimal digits.
        about: what is recorded with the result; empty where it joins the task's own pictures.
    """

    task: Task
    wanted: tuple[ImageRequest, ...]
    key: str
    about: Mapping[str, Any]

    @property
    def of_task(self) -> bool:
        """Whether the pictures join those that were made while the task was measured."""
        return not self.about


@dataclass(frozen=True)
class StoredImage:
    """One image, encoded once more and decoded from the bytes alone.

    Attributes:
        image: its index in the dataset.
        height: of the whole image.
        width: of the whole image.
        top: first row of the window that is kept.
        left: its first column.
        num_bytes: length of its bitstream.
        mse: of the whole image on the [0, 1] scale.
        original: the window, uint8 (h, w, C).
        picture: the same of the reconstruction.
    """

    image: int
    height: int
    width: int
    top: int
    left: int
    num_bytes: int
    mse: float
    original: Images
    picture: Images


@dataclass(frozen=True)
class WorstCase:
    """Images kept of one codec point because they are some codec's worst.

    Attributes:
        dataset: the dataset's label.
        codec: the codec's name.
        settings: in the spec syntax.
        fingerprint: the codec's.
        data_fingerprint: of the dataset's chosen images.
        worst_of: the codec whose worst images these are; the same, or the one that this is compared with.
        key: of the pictures of the codec whose worst images these are.
        images: in the order of their errors, the worst first.
        classes: class numbers by image index, where they are known.
    """

    dataset: str
    codec: str
    settings: str
    fingerprint: str
    data_fingerprint: str
    worst_of: str
    key: str
    images: tuple[StoredImage, ...]
    classes: Mapping[int, int]


# ---- writing --------------------------------------------------------------------------------------------------------


def choose_window(original: Images, picture: Images, side: int = WINDOW) -> tuple[int, int]:
    """Top and left of the window of a large image with the largest sum of squared errors.

    Args:
        original: uint8, (H, W, C).
        picture: the same of its reconstruction.
        side: height and width of the window.

    Returns:
        The first such window, in rows and then columns; (0, 0) for images no larger than a window.
    """
    height, width, _ = original.shape
    error = (original.astype(np.int64) - picture.astype(np.int64)) ** 2
    sums = np.zeros((height + 1, width + 1), dtype=np.int64)  # of everything above and to the left
    sums[1:, 1:] = error.sum(axis=2).cumsum(axis=0).cumsum(axis=1)
    high, wide = min(height, side), min(width, side)
    inside = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(top), int(left)


def kept(wanted: ImageRequest, original: Images, picture: Images, num_bytes: int) -> StoredImage:
    """What is kept of an image and its reconstruction, both uint8 (H, W, C)."""
    height, width, _ = original.shape
    top, left = wanted.top, wanted.left
    if top is None or left is None:
        top, left = choose_window(original, picture)
    error = original.astype(np.float64) - picture
    return StoredImage(
        wanted.image,
        height,
        width,
        top,
        left,
        num_bytes,
        float((error**2).mean()) / 255.0**2,
        cut_out(original, top, left),
        cut_out(picture, top, left),
    )


def write(store: RunFolder, request: PictureRequest, images: Sequence[StoredImage], classes: Mapping[int, int]) -> None:
    """Stores what a request gave, whole or not at all.

    Args:
        store: the run folder.
        request: what was asked for.
        images: what it gave.
        classes: class numbers by image index, where they are known.

    Raises:
        StoreError: the folder cannot be written.
    """
    if request.of_task:
        name = f"{request.task.id}.npz"
        store.write_samples(name, store.samples(name) | {one.image: one.picture for one in images})
        return
    fields = [field.name for field in dataclasses.fields(StoredImage) if field.name not in ("original", "picture")]
    described = [{name: getattr(one, name) for name in fields} for one in images]
    about = dict(request.about) | {"images": described, "classes": {str(key): classes[key] for key in classes}}
    arrays: dict[str, Any] = {"about": np.array(json.dumps(about))}
    for number, one in enumerate(images):
        arrays |= {f"original-{number}": one.original, f"picture-{number}": one.picture}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    store.write_file(f"{FOLDER}/{request.key}.npz", buffer.getvalue())


# ---- reading --------------------------------------------------------------------------------------------------------


def cases(store: RunFolder) -> list[WorstCase]:
    """Worst images that were made with the codecs and images as ``run.json`` knows them.

    Returns:
        In the order of their files' names; damaged files are left out.
    """
    found = []
    for file in sorted((store.path / FOLDER).glob("*.npz")):
        case = read_case(file) if TASK_ID.fullmatch(file.stem) else None
        if case is not None and _counts(store, case.dataset, case.codec, case.fingerprint, case.data_fingerprint):
            found.append(case)
    return found


def failures(store: RunFolder) -> list[dict[str, Any]]:
    """Records of worst images that could not be kept: ``dataset``, ``codec``, ``failed``."""
    found = []
    for file in sorted((store.path / FOLDER).glob("*.json")):
        record = read_json(file) if TASK_ID.fullmatch(file.stem) else None
        if record is None or not record.get("failed"):
            continue
        names = ("dataset", "codec", "codec_fingerprint", "data_fingerprint")
        if _counts(store, *(str(record.get(name)) for name in names)):
            found.append(record)
    return found


def _counts(store: RunFolder, dataset: str, codec: str, fingerprint: str, data_fingerprint: str) -> bool:
    known = manifest.fingerprints_of(store.manifest).get(codec)
    data = store.manifest["datasets"].get(dataset, {}).get("fingerprint")
    return (fingerprint, data_fingerprint) == (known, data)


def read_case(file: Path) -> WorstCase | None:
    """A file of pictures; None where there is none, or a damaged one."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(str(arrays["about"]))
        if about["format"] != FORMAT:
            return None
        images = tuple(
            StoredImage(**described, original=arrays[f"original-{number}"], picture=arrays[f"picture-{number}"])
            for number, described in enumerate(about["images"])
        )
        return WorstCase(
            about["dataset"],
            about["codec"],
            about["settings"],
            about["codec_fingerprint"],
            about["data_fingerprint"],
            about["worst_of"],
            about["key"],
            images,
            {int(index): int(number) for index, number in about["classes"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
