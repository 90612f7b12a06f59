"""The last step of a run: pictures that are missing, and each codec's worst images; see ``store.pictures``."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codecbench.execution import workers
from codecbench.execution.context import RunContext
from codecbench.execution.engines import WORKER_DIED
from codecbench.execution.limits import WorkerLimits
from codecbench.execution.sandbox import SandboxError
from codecbench.fingerprint import digest
from codecbench.measure import task as measure
from codecbench.plan.planner import Plan, chunks
from codecbench.plan.tasks import Task
from codecbench.plugins.codec import Images
from codecbench.plugins.dataset import Dataset
from codecbench.store.folder import RunFolder, original_name
from codecbench.store.io import WINDOW, cut_out, middle
from codecbench.store.pictures import StoredImage, WorstCase, WorstCaseRecord, WorstImagesRecord, choose_window
from codecbench.text import one_line

if TYPE_CHECKING:
    import pandas as pd

WORST_IMAGES = 4
"""How many of its worst images are kept for a codec and dataset."""


@dataclass(frozen=True)
class ImageRequest:
    """An image to be kept, and the window of a large one; by default where its error is largest."""

    image: int
    top: int | None = None
    left: int | None = None


@dataclass(frozen=True)
class PictureRequest:
    """Images that one codec point is to encode and decode once more."""

    task: Task  # one of the tasks of the point
    wanted: tuple[ImageRequest, ...]
    case: WorstCaseRecord | None = None  # what they are kept as; None where they join the task's own
    name: str = ""  # of the file in which they are kept so


Outcome = tuple[str, list[StoredImage], dict[int, int]]
"""Why there are no pictures, in one line, or empty; the pictures; and class numbers by image index."""


def is_complete(plan: Plan, store: RunFolder) -> bool:
    """Whether a command with this plan would find every picture there, the originals included."""
    for label, selection in plan.selections.items():
        if not set(selection.shown) <= store.sample_indices(original_name(label)):
            return False
    return not missing(plan, store) and not WorstImages(plan, store).due


def keep_pictures(run: RunContext) -> None:
    """Keeps the missing pictures of a plan's finished tasks, and its codecs' worst images; a failure is but a note."""
    _carry_out(missing(run.plan, run.store), run)
    worst = WorstImages(run.plan, run.store)
    if worst.due:
        failed = _carry_out(worst.own(), run)
        worst.finish(failed | _carry_out(worst.others(), run))


def _carry_out(requests: Sequence[PictureRequest], run: RunContext) -> dict[str, str]:
    """Carries requests out in worker processes and stores what they give; why some failed, by the key of their case."""
    failed: dict[str, str] = {}

    def finish(request: PictureRequest, outcome: Outcome) -> None:
        reason, images, classes = outcome
        if reason:
            run.note(f"no pictures of {request.task.codec} on {request.task.dataset}: {reason}")
        if request.case is None:
            name = f"{request.task.id}.npz"
            if images:
                run.store.write_samples(name, run.store.samples(name) | {one.image: one.picture for one in images})
        elif reason:
            failed[request.case.key] = f"{request.task.codec}: {reason}"
        else:
            case = WorstCase(**vars(request.case), images=tuple(images), classes=classes)
            run.store.write_record(request.name, case)

    jobs = [(request, request.task) for request in requests]
    run.run(encode_again, jobs, finish, lambda request: finish(request, (WORKER_DIED, [], {})))
    return failed


def missing(plan: Plan, store: RunFolder) -> list[PictureRequest]:
    """Pictures that finished tasks of a plan do not have: measured when fewer were asked for, or damaged since."""
    finished = store.finished()
    found = []
    for task in plan.tasks:
        if task.id in finished and task.shown:
            absent = set(task.shown) - store.sample_indices(f"{task.id}.npz")
            wanted = tuple(ImageRequest(index, *middle(*task.shape[:2])) for index in sorted(absent))
            if wanted:
                found.append(PictureRequest(task, wanted))
    return found


class WorstImages:
    """What is to be kept of the worst images of a plan's codecs, in two steps: of each codec itself, and to compare.

    ``due`` has the finished tasks by dataset and codec where anything is to be made; of datasets without images to be
    shown nothing is kept.
    """

    def __init__(self, plan: Plan, store: RunFolder):
        self.plan, self.store = plan, store
        finished = store.finished()
        shown = {label for label, selection in plan.selections.items() if selection.shown}
        self._tasks: dict[tuple[str, str], list[Task]] = {}
        for task in plan.tasks:
            if task.dataset in shown and task.id in finished:
                self._tasks.setdefault((task.dataset, task.codec.name), []).append(task)
        self.due = {group: tasks for group, tasks in self._tasks.items() if not self._is_kept(group)}
        self._files: dict[str, list[str]] = {}

    def _is_kept(self, group: tuple[str, str]) -> bool:
        """Whether a command with the same codecs, or more, kept this codec's worst images."""
        record = self.store.record(WorstImagesRecord, self._key(group))
        return (
            record is not None
            and not record.failed
            and set(self._codecs(group[0])) <= set(record.codecs)
            and all(self.store.record(WorstCase, name) is not None for name in record.files)
        )

    def _key(self, group: tuple[str, str]) -> str:
        """A codec's worst images follow from its rows, and these from its tasks."""
        return digest([WorstCase.FORMAT, WORST_IMAGES, WINDOW, sorted(task.id for task in self._tasks[group])])

    def _codecs(self, label: str) -> list[str]:
        return sorted({name for dataset, name in self._tasks if dataset == label})

    @functools.cached_property
    def _points(self) -> pd.DataFrame:
        """The points of the plan alone, so that nobody else's point stands for a codec."""
        from codecbench.analysis import aggregate, summary
        from codecbench.analysis.points import annotate

        points = annotate(summary.summarise(self.store, aggregate.aggregate(self.store)), self.store.manifest)
        planned = {(*group, task.codec.settings_text) for group, tasks in self._tasks.items() for task in tasks}
        member = [
            point in planned for point in zip(points["dataset"], points["codec"], points["settings"], strict=True)
        ]
        return points[np.array(member, dtype=bool) & (points["images"] > 0).to_numpy()]

    def own(self) -> list[PictureRequest]:
        """Of each codec its worst images, where they are not there yet; reads the rows of a point a codec."""
        from codecbench.analysis import per_image

        found = []
        for label in dict.fromkeys(label for label, _ in self.due):
            cases = per_image.worst(self.store, self._points, label, WORST_IMAGES)
            for (name, settings), images in itertools.groupby(cases, key=lambda case: (case.codec, case.settings)):
                tasks = self.due.get((label, name), ())
                key = self._key((label, name))
                if tasks and self.store.record(WorstCase, key) is None:
                    task = next(task for task in tasks if task.codec.settings_text == settings)
                    wanted = tuple(ImageRequest(case.image) for case in images)
                    found.append(PictureRequest(task, wanted, self._case(task, name, key), key))
        return found

    def others(self) -> list[PictureRequest]:
        """Codecs to compare with, on the images and windows that are kept of a codec; after :meth:`own`."""
        found = []
        for label, name in self.due:
            key = self._key((label, name))
            held = self.store.record(WorstCase, key)
            if held is None:
                continue
            files = self._files[key] = [key]
            wanted = tuple(ImageRequest(kept.image, kept.top, kept.left) for kept in held.images)
            for task in self._nearest(held, self._tasks.get((label, self._rival(label, name)), [])):
                other = digest([key, str(task.codec), task.codec_fingerprint])
                files.append(other)
                if self.store.record(WorstCase, other) is None:
                    found.append(PictureRequest(task, wanted, self._case(task, name, key), other))
        return found

    def _rival(self, label: str, name: str) -> str:
        """What a codec is compared with: the report's anchor, or the best of the others where it is that itself."""
        from codecbench.analysis.bd_rate import default_anchor
        from codecbench.analysis.points import overview

        anchor = default_anchor(self._points)
        if name != anchor:
            return anchor
        here = self._points[self._points["dataset"] == label]
        best = overview(here, here)
        others = [str(codec) for codec in best.loc[~best["only_lossless"], "codec"] if codec != name]
        return others[0] if others else ""

    def _nearest(self, held: WorstCase, tasks: Sequence[Task]) -> list[Task]:
        """Of some tasks of another codec one of the point nearest in rate, and one of that nearest in PSNR."""
        here = self._points[self._points["dataset"] == held.dataset]
        point = here[(here["codec"] == held.codec) & (here["settings"] == held.settings)]
        by_settings = {task.codec.settings_text: task for task in tasks}
        theirs = here[here["codec"].isin({task.codec.name for task in tasks})]
        settings = list(theirs["settings"])
        chosen: list[str] = []
        for column in ("bits_per_pixel", "psnr_db") if len(point) else ():
            aim, values = float(point[column].iloc[0]), theirs[column].to_numpy(float)
            if column == "bits_per_pixel":  # by their ratio
                aim, values = math.log(max(aim, 1e-9)), np.log(values.clip(1e-9))
            if not np.isnan(values - aim).all():
                chosen.append(settings[int(np.nanargmin(np.abs(values - aim)))])
        return [by_settings[name] for name in dict.fromkeys(chosen)]

    def _case(self, task: Task, worst_of: str, key: str) -> WorstCaseRecord:
        return WorstCaseRecord(
            format=WorstCase.FORMAT,
            **task.point,
            data_fingerprint=self.plan.selections[task.dataset].fingerprint,
            worst_of=worst_of,
            key=key,
        )

    def finish(self, failed: Mapping[str, str]) -> None:
        """Records which codecs' worst images are kept, or why not, so that the same command finds nothing to do."""
        for (label, name), tasks in self.due.items():
            key = self._key((label, name))
            record = WorstImagesRecord(
                format=WorstImagesRecord.FORMAT,
                **tasks[0].point | {"settings": ""},
                data_fingerprint=self.plan.selections[label].fingerprint,
                codecs=tuple(self._codecs(label)),
                files=tuple(self._files.get(key, ())),
                failed=failed.get(key, ""),
            )
            self.store.write_record(key, record)


def encode_again(request: PictureRequest, dataset: Dataset, limits: WorkerLimits) -> Outcome:
    """In a worker, encodes a request's images once more and decodes them from the bytes alone; raises nothing."""
    wanted = {one.image: one for one in request.wanted}
    found: dict[int, StoredImage] = {}
    try:
        images = workers.open_images(dataset, limits.data_dir)
        for _, indices in chunks(images, list(wanted)):
            originals = images.read(indices)
            restored, sizes = _restored(request.task, originals, limits)
            for index, original, picture, size in zip(indices, originals, restored, sizes, strict=True):
                found[index] = stored_image(wanted[index], original, picture, size)
        labels = getattr(images, "labels", None)
    except SandboxError as error:
        workers.close()
        return error.reason, [], {}
    except Exception as error:  # a dataset is a plugin too
        return one_line(error), [], {}
    classes = {} if labels is None else {index: int(labels[index]) for index in wanted}
    return "", [found[index] for index in wanted], classes


def _restored(task: Task, originals: Images, limits: WorkerLimits) -> tuple[Images, list[int]]:
    """What a codec makes of images, and the lengths of its bitstreams."""
    processes = workers.processes_for(task, limits)
    (encoded,) = processes.encoder.stream(measure.encode, [task.codec], originals, limits.device)
    output = processes.decode(task.codec, encoded, limits.device)
    restored = measure.restored(task.codec, originals, encoded, output)
    return restored, [len(stream) for stream in encoded.bitstreams]


def stored_image(wanted: ImageRequest, original: Images, picture: Images, num_bytes: int) -> StoredImage:
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
