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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from codecbench.fingerprint import digest
from codecbench.plan.tasks import Task
from codecbench.store import manifest
from codecbench.store.folder import RunFolder

if TYPE_CHECKING:
    pass

FORMAT = 1


@dataclass(frozen=True)
class LatentsRequest:
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


# ---- writing ------------------------------------------------------------------------------------------------------


def pack(about: Mapping[str, Any], exhibit: Exhibit) -> bytes:
    """The content of a file ``latents/KEY.npz``; no pickle is in it.

    Args:
        about: what the exhibit was made of, see ``LatentsRequest.about``.
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


def write(store: RunFolder, request: LatentsRequest, content: bytes) -> None:
    """Stores what :func:`pack` gave; a failure recorded before is forgotten.

    Raises:
        StoreError: the folder cannot be written.
    """
    store.write_file(f"latents/{request.key}.npz", content)
    (store.path / "latents" / f"{request.key}.json").unlink(missing_ok=True)


def write_failure(store: RunFolder, request: LatentsRequest, reason: str) -> None:
    """Records why there are no latents.

    Raises:
        StoreError: the folder cannot be written.
    """
    record = json.dumps(request.about | {"failed": reason}, indent=1) + "\n"
    store.write_file(f"latents/{request.key}.json", record.encode())


# ---- reading --------------------------------------------------------------------------------------------------------


def is_made(store: RunFolder, request: LatentsRequest, labelled: bool) -> bool:
    """Whether the latents of a request are there; with class numbers, where the dataset is ``labelled``."""
    exhibit = _read(store.path / "latents" / f"{request.key}.npz")
    return exhibit is not None and (exhibit[1].labels is not None or not labelled)


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
