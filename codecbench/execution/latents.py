"""The stage that keeps what a report shows of learned codecs' latents; see ``codecbench.store.latents``.

A codec takes part by a method ``latents(images)`` from uint8 (N, H, W, C) to float32 (N, …); if that fails, it costs a
run nothing but a note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codecbench.analysis.pca import principal_plane
from codecbench.errors import ContractError
from codecbench.execution import workers
from codecbench.execution.context import RunContext
from codecbench.execution.engines import WORKER_DIED
from codecbench.execution.limits import WorkerLimits
from codecbench.execution.sandbox import SandboxError
from codecbench.fingerprint import digest
from codecbench.plan.planner import Plan, Source
from codecbench.plan.tasks import Task
from codecbench.plugins.codec import CodecSpec
from codecbench.plugins.dataset import Dataset
from codecbench.plugins.registry import CODECS
from codecbench.store.folder import RunFolder
from codecbench.store.latents import Latents, LatentsRecord
from codecbench.text import format_shape

MOST_IMAGES = 2_000
MOST_SHOWN = 8
MOST_NUMBERS = 1 << 26
"""Numbers in all latents of a map at most; large latents are mapped for fewer images."""
BLOCK_BYTES = 1 << 24
"""Bytes of images that go through a codec at once."""


@dataclass(frozen=True)
class LatentsRequest:
    """One codec point on one dataset whose latents are to be kept."""

    task: Task  # a finished one of this point
    indices: tuple[int, ...]  # images to map, all of the task's shape
    shown: tuple[int, ...]  # images whose latents are kept whole
    data_fingerprint: str  # of all images of the run's dataset

    @property
    def key(self) -> str:
        """Identity of the result, 24 hexadecimal digits."""
        point = [self.task.dataset, str(self.task.codec), self.task.codec_fingerprint, self.data_fingerprint]
        return digest([Latents.FORMAT, point, self.indices, self.shown])

    @property
    def about(self) -> dict[str, Any]:
        """Fields of the record, whether the latents can be computed or not."""
        return {"format": Latents.FORMAT, **self.task.point, "data_fingerprint": self.data_fingerprint}

    def failure(self, reason: str) -> LatentsRecord:
        """The record of why there are no latents."""
        return LatentsRecord(**self.about, failed=reason)


def keep_latents(run: RunContext) -> None:
    """Keeps the latents that :func:`requests` names, computed in worker processes."""

    def finish(request: LatentsRequest, found: LatentsRecord) -> None:
        run.store.write_record(request.key, found)
        if found.failed:
            run.note(f"no latents of {request.task.codec} on {request.task.dataset}: {found.failed}")
        else:
            run.store.remove_record(LatentsRecord, request.key)  # of an earlier failure

    due = [(request, request.task) for request in requests(run.plan, run.store)]
    run.run(latents_of, due, finish, lambda request: finish(request, request.failure(WORKER_DIED)))


def requests(plan: Plan, store: RunFolder) -> list[LatentsRequest]:
    """What is to be made: for each codec with ``latents``, and each dataset on which it was measured, one point.

    It is the point with the default settings, or else the first. Images of another shape than the network's own, which
    a codec may take in tiles, have no latent.
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
        made = store.record(Latents, request.key)
        if made is None or (made.labels is None and getattr(source.images, "labels", None) is not None):
            found.append(request)
    return found


def _request(tasks: Sequence[Task], source: Source, held: Sequence[int]) -> LatentsRequest:
    """What is to be made of a point; ``held`` are the images that the run folder shows of the dataset already.

    A command that asks for fewer pictures than an earlier one shows no fewer, so it has no latents to make anew.
    """
    tasks = [task for task in tasks if task.shape == tasks[0].shape]
    every = sorted(index for task in tasks for index in task.indices)
    pictured = max(held, source.selection.shown, key=len)
    members = [set(task.indices) for task in tasks]
    shown = [index for own in members for index in pictured if index in own][:MOST_SHOWN]
    return LatentsRequest(tasks[0], _evenly(every, MOST_IMAGES), tuple(shown), source.selection.fingerprint)


def _evenly(indices: Sequence[int], count: int) -> tuple[int, ...]:
    """At most ``count`` images, evenly from all: data sets are often sorted by difficulty, class or source."""
    chosen = np.linspace(0, len(indices) - 1, min(len(indices), count)).round().astype(int)
    return tuple(indices[at] for at in chosen)


def latents_of(request: LatentsRequest, dataset: Dataset, limits: WorkerLimits) -> LatentsRecord:
    """In a worker, the latents, or the record of why there are none. Raises nothing."""
    try:
        encoder = workers.processes_for(request.task, limits).encoder
        found: Latents = encoder.call(make, request, dataset, limits)
    except SandboxError as error:
        workers.close()
        return request.failure(error.reason)
    return found


def make(request: LatentsRequest, dataset: Dataset, limits: WorkerLimits) -> Latents:
    """In a sandbox, computes the latents of some images and their principal plane.

    Raises ContractError unless the codec gives finite floats, one latent an image and all of one shape.
    """
    images = workers.open_images(dataset, limits.data_dir)
    codec: Any = CODECS.get(request.task.codec.name)(**request.task.codec.settings).on(limits.device)
    height, width, channels = request.task.shape
    block = max(1, BLOCK_BYTES // (height * width * channels))

    def latents(indices: Sequence[int]) -> npt.NDArray[np.float32]:
        parts = []
        for start in range(0, len(indices), block):
            batch = images.read(indices[start : start + block])
            batch.setflags(write=False)
            parts.append(_checked(codec.latents(batch), len(batch), codec))
        return np.concatenate(parts)

    shown = latents(request.shown or request.indices[:1])
    indices = _evenly(request.indices, max(1, MOST_NUMBERS // shown[0].size))
    mapped = latents(indices)
    plane = principal_plane(mapped.reshape(len(mapped), -1))
    labels = getattr(images, "labels", None)
    known = None if labels is None else np.asarray(labels)
    return Latents(
        **request.about,
        points=plane.project(mapped).astype(np.float32),
        labels=None if known is None else known[list(indices)].astype(np.int64),
        explained=plane.explained,
        shown=dict(zip(request.shown, shown, strict=False)),
        shown_labels={} if known is None else {index: int(known[index]) for index in request.shown},
    )


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
