"""What a run keeps to show how learned codecs see images: latents, and their map in the plane.

    RUN/latents/KEY.npz              one codec point on one dataset: the latents of the shown images, and points in the
                                     principal plane of the latents of up to 2,000 of the run's images
    RUN/latents/KEY.json             why there are none

A key covers the codec with its settings and fingerprint, and the images' pixels. What was made with another codec,
other weights or other images stays on disk and never shows. A codec takes part by a method ``latents(images)`` from
uint8 (N, H, W, C) to float32 (N, …); it costs a run nothing but a note if that fails.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from codecbench.analysis.pca import principal_plane
from codecbench.errors import ContractError
from codecbench.fingerprint import digest
from codecbench.plan.tasks import Task
from codecbench.plugins.codec import CodecSpec, Images
from codecbench.plugins.registry import CODECS
from codecbench.store import manifest
from codecbench.store.folder import RunFolder
from codecbench.text import format_shape

if TYPE_CHECKING:
    from codecbench.plan.planner import Plan, Source

FORMAT = 1
MOST_IMAGES = 2_000
MOST_SHOWN = 8
MOST_NUMBERS = 1 << 26
"""Numbers in all latents of a map at most; large latents are mapped for fewer images."""
BLOCK_BYTES = 1 << 24
"""Bytes of images that go through a codec at once."""


@dataclass(frozen=True)
class Request:
    """One codec point on one dataset whose latents are to be kept.

    Attributes:
        task: a finished task of this point.
        indices: images to map, all of the task's shape.
        shown: images whose latents are kept whole.
        data_fingerprint: identifies the pixels of all images of the run's dataset.
    """

    task: Task
    indices: tuple[int, ...]
    shown: tuple[int, ...]
    data_fingerprint: str

    @property
    def key(self) -> str:
        """Identity of the result, 24 hexadecimal digits."""
        point = [self.task.dataset, str(self.task.codec), self.task.codec_fingerprint, self.data_fingerprint]
        return digest([FORMAT, point, self.indices, self.shown])

    @property
    def about(self) -> dict[str, Any]:
        """What is recorded beside the numbers."""
        return {
            "format": FORMAT,
            "dataset": self.task.dataset,
            "codec": self.task.codec.name,
            "settings": self.task.codec.settings_text,
            "codec_fingerprint": self.task.codec_fingerprint,
            "data_fingerprint": self.data_fingerprint,
        }


@dataclass(frozen=True)
class Exhibit:
    """How one codec point sees the images of one dataset.

    Attributes:
        dataset: the dataset's label.
        codec: the codec's name.
        settings: in the spec syntax.
        points: latents in their principal plane, float32 (N, 2).
        labels: the images' class numbers, int64 (N,), or None where they are not known.
        explained: shares of the latents' variance along the plane's two axes.
        latents: of the shown images, float32, by image index.
        shown_labels: their class numbers, by image index; empty where they are not known.
    """

    dataset: str
    codec: str
    settings: str
    points: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64] | None
    explained: tuple[float, float]
    latents: dict[int, npt.NDArray[np.float32]]
    shown_labels: dict[int, int]


# ---- what to make -------------------------------------------------------------------------------------------------


def requests(plan: Plan, store: RunFolder) -> list[Request]:
    """What is to be made: for each codec with ``latents``, and each dataset on which it was measured, one point.

    It is the point with the default settings, or else the first. Images of another shape than the network's own, which
    a codec may take in tiles, have no latent.

    Args:
        plan: what the run measures.
        store: the run folder, which knows what is finished and what was made already.
    """
    finished = store.finished()
    sources = {source.selection.label: source for source in plan.sources}
    groups: dict[tuple[str, str], dict[CodecSpec, list[Task]]] = {}
    for task in plan.tasks:
        cls = CODECS.get(task.codec.name)
        fits = cls.image_shape in (None, task.shape)  # others it takes in tiles, which have no latent of the image
        if task.id in finished and fits and callable(getattr(cls, "latents", None)):
            groups.setdefault((task.dataset, task.codec.name), {}).setdefault(task.codec, []).append(task)
    found = []
    for (label, name), points in groups.items():
        cls = CODECS.get(name)
        tasks = points.get(cls().spec) or next(iter(points.values()))
        source = sources[label]
        request = _request(tasks, source, store.manifest["datasets"].get(label, {}).get("shown", ()))
        if not _is_made(store, request, getattr(source.images, "labels", None) is not None):
            found.append(request)
    return found


def _request(tasks: Sequence[Task], source: Source, held: Sequence[int]) -> Request:
    """What is to be made of a point; ``held`` are the images that the run folder shows of the dataset already.

    A command that asks for fewer pictures than an earlier one shows no fewer, so it has no latents to make anew.
    """
    tasks = [task for task in tasks if task.shape == tasks[0].shape]
    every = sorted(index for task in tasks for index in task.indices)
    # Evenly from all of them: data sets are often sorted by difficulty, class or source.
    chosen = np.linspace(0, len(every) - 1, min(len(every), MOST_IMAGES)).round().astype(int)
    pictured = max(held, source.selection.shown, key=len)
    members = [set(task.indices) for task in tasks]
    shown = [index for own in members for index in pictured if index in own][:MOST_SHOWN]
    indices = tuple(every[at] for at in chosen)
    return Request(tasks[0], indices, tuple(shown), source.selection.fingerprint)


def _is_made(store: RunFolder, request: Request, labelled: bool) -> bool:
    exhibit = _read(store.path / "latents" / f"{request.key}.npz")
    return exhibit is not None and (exhibit[1].labels is not None or not labelled)


# ---- making ---------------------------------------------------------------------------------------------------------


def make(
    request: Request,
    read: Callable[[Sequence[int]], Images],
    labels: npt.NDArray[np.integer[Any]] | None,
    device: str,
) -> bytes:
    """Computes the latents of some images and their principal plane.

    Args:
        request: what to make.
        read: gives images by index, uint8 (N, H, W, C).
        labels: the class number of every image of the dataset, or None.
        device: where codecs with device use compute.

    Returns:
        The content of the file ``latents/KEY.npz``.

    Raises:
        ContractError: the codec's latents are no finite floats, one an image and all of one shape.
    """
    codec: Any = CODECS.get(request.task.codec.name)(**request.task.codec.settings).on(device)
    height, width, channels = request.task.shape
    block = max(1, BLOCK_BYTES // (height * width * channels))

    def latents(indices: Sequence[int]) -> npt.NDArray[np.float32]:
        parts = []
        for start in range(0, len(indices), block):
            images = read(indices[start : start + block])
            images.setflags(write=False)
            parts.append(_checked(codec.latents(images), len(images), codec))
        return np.concatenate(parts)

    indices = request.indices
    shown = latents(request.shown or indices[:1])
    most = max(1, MOST_NUMBERS // shown[0].size)
    if len(indices) > most:
        indices = tuple(indices[at] for at in np.linspace(0, len(indices) - 1, most).round().astype(int))
    mapped = latents(indices)
    plane = principal_plane(mapped.reshape(len(mapped), -1))
    known = None if labels is None else np.asarray(labels)
    return pack(
        request.about,
        Exhibit(
            request.task.dataset,
            request.task.codec.name,
            request.task.codec.settings_text,
            plane.project(mapped).astype(np.float32),
            None if known is None else known[list(indices)].astype(np.int64),
            plane.explained,
            dict(zip(request.shown, shown, strict=False)),
            {} if known is None else {index: int(known[index]) for index in request.shown},
        ),
    )


def pack(about: Mapping[str, Any], exhibit: Exhibit) -> bytes:
    """The content of a file ``latents/KEY.npz``; no pickle is in it.

    Args:
        about: what the exhibit was made of, see ``Request.about``.
        exhibit: the numbers.
    """
    arrays: dict[str, Any] = {
        "about": np.array(json.dumps(about)),
        "points": exhibit.points,
        "explained": np.array(exhibit.explained),
        "shown": np.array(list(exhibit.latents), dtype=np.int64),
        "latents": np.array(list(exhibit.latents.values()), dtype=np.float32),
    }
    if exhibit.labels is not None:
        arrays["labels"] = exhibit.labels
        arrays["shown_labels"] = np.array([exhibit.shown_labels[index] for index in exhibit.latents], dtype=np.int64)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _checked(latents: Any, count: int, codec: Any) -> npt.NDArray[np.float32]:
    if not isinstance(latents, np.ndarray) or not np.issubdtype(latents.dtype, np.floating):
        got = f"an array of {latents.dtype}" if isinstance(latents, np.ndarray) else type(latents).__name__
        raise ContractError(f"{codec.spec}: latents must give an array of floats, not {got}")
    if latents.ndim < 2 or len(latents) != count or not latents.size:
        raise ContractError(
            f"{codec.spec}: latents must give {count} latents (N, …), not the shape {format_shape(latents.shape)}"
        )
    if not np.isfinite(latents).all():
        raise ContractError(f"{codec.spec}: latents gives values that are not finite")
    return latents.astype(np.float32, copy=False)


def write(store: RunFolder, request: Request, content: bytes) -> None:
    """Stores what :func:`make` gave; a failure recorded before is forgotten.

    Raises:
        StoreError: the folder cannot be written.
    """
    store.write_file(f"latents/{request.key}.npz", content)
    (store.path / "latents" / f"{request.key}.json").unlink(missing_ok=True)


def write_failure(store: RunFolder, request: Request, reason: str) -> None:
    """Records why there are no latents.

    Raises:
        StoreError: the folder cannot be written.
    """
    record = json.dumps(request.about | {"failed": reason}, indent=1) + "\n"
    store.write_file(f"latents/{request.key}.json", record.encode())


# ---- reading --------------------------------------------------------------------------------------------------------


def exhibits(store: RunFolder) -> list[Exhibit]:
    """What lies in a run folder and was made with the codecs and images as ``run.json`` knows them.

    Returns:
        By dataset, codec and settings; empty for folders of older versions. Damaged files are left out.
    """
    found = filter(None, (_read(file) for file in sorted((store.path / "latents").glob("*.npz"))))
    current: dict[tuple[str, str, str], Exhibit] = {}
    for exhibit in (exhibit for about, exhibit in found if _counts(store, about)):
        key = (exhibit.dataset, exhibit.codec, exhibit.settings)
        if key not in current or _extent(exhibit) > _extent(current[key]):
            current[key] = exhibit
    return [current[key] for key in sorted(current)]


def _extent(exhibit: Exhibit) -> tuple[int, int]:
    """How much an exhibit tells; it grows when more is measured, or more pictures are kept."""
    return len(exhibit.points), len(exhibit.latents)


def failures(store: RunFolder) -> list[dict[str, Any]]:
    """Records of latents that could not be computed: ``dataset``, ``codec``, ``settings``, ``failed``."""
    found = []
    for file in sorted((store.path / "latents").glob("*.json")):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and record.get("failed") and _counts(store, record):
            found.append(record)
    return found


def _counts(store: RunFolder, about: Mapping[str, Any]) -> bool:
    fingerprint = manifest.fingerprints_of(store.manifest).get(str(about.get("codec")))
    data = store.manifest["datasets"].get(str(about.get("dataset")), {})
    return (about.get("format"), about.get("codec_fingerprint"), about.get("data_fingerprint")) == (
        FORMAT,
        fingerprint,
        data.get("fingerprint"),
    )


def _read(file: Path) -> tuple[dict[str, Any], Exhibit] | None:
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(str(arrays["about"]))
        shown = [int(index) for index in arrays["shown"]]
        classes = [int(label) for label in arrays.get("shown_labels", ())]
        first, second = (float(share) for share in arrays["explained"])
        exhibit = Exhibit(
            about["dataset"],
            about["codec"],
            about["settings"],
            arrays["points"],
            arrays.get("labels"),
            (first, second),
            dict(zip(shown, arrays["latents"], strict=True)),
            dict(zip(shown, classes, strict=False)),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return about, exhibit
