"""Runs a sweep: rates and distortions in parallel worker processes, then timings one at a time, into a run folder."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecbench import exhibits, manifests, provenance
from codecbench.datadir import data_root
from codecbench.dataset import Dataset
from codecbench.errors import UsageError
from codecbench.plan import CodecChoice, Plan, choose_codecs, choose_datasets, make_plan
from codecbench.records import CodecSpec, Task, Timing
from codecbench.registry import CODECS, file_sha256
from codecbench.store import RunFolder, original_name
from codecbench.workers import TIMING_THREADS, drain, exhibit, threads_for, time_task, work

if TYPE_CHECKING:
    import pandas as pd

GPU_WORKERS = 2
"""Worker processes when nobody says otherwise and a GPU computes: each holds memory of it."""
WORKER_DIED = "the worker process died (killed, crashed, or called exit)"


@dataclass(frozen=True)
class Event:
    """Something a watcher of a run may want to show.

    Attributes:
        kind: ``note``, ``measured``, ``timed`` or ``failed``.
        text: the note, or the reason of a failure.
        dataset: the dataset's label, or empty.
        codec: the codec with its settings, or empty.
        done: finished tasks of this pass, those of earlier runs included.
        total: tasks of this pass.
        seconds_left: expected time to the end of this pass, or None.
    """

    kind: str
    text: str = ""
    dataset: str = ""
    codec: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None


Watch = Callable[[Event], None]


@dataclass(frozen=True)
class Run:
    """A run folder and what can be read from it.

    Attributes:
        path: the folder.
        failed_tasks: tasks that this command could not measure.
        changed: whether this command had anything to measure.
    """

    path: Path
    failed_tasks: int = 0
    changed: bool = True

    def summary(self) -> pd.DataFrame:
        """One row per dataset × codec × settings; the columns are described in ``codecbench.analysis``.

        Made from the folder's parts; of a published run without them, read from its ``summary.csv``.

        Raises:
            StoreError: the folder is damaged.
        """
        from codecbench import analysis, published

        store = RunFolder.existing(self.path)
        if store.without_parts:
            return published.read_summary(self.path / "summary.csv")
        return analysis.summarise(store)

    def rows(self) -> pd.DataFrame:
        """One row per image and codec point; the columns are those of ``RunFolder.rows``."""
        return RunFolder.existing(self.path).rows()

    def match(
        self, codec: str, against: str, *, dataset: str | None = None, at: str = "error", by: str = "mse"
    ) -> pd.DataFrame:
        """At which setting another codec has this one's error, and what each costs; or the same at equal bits.

        Args:
            codec: whose points are matched: a name, or a spec whose settings narrow to the points that agree.
            against: the codec whose curves are read between measured neighbours; written in the same way.
            dataset: label of one dataset of the run; None for all.
            at: ``"error"`` to match at equal error, ``"bytes"`` at equal rate.
            by: ``"mse"``, ``"mse_float"``, ``"psnr_db"`` or ``"ssim"``.

        Returns:
            One row per dataset × point × curve of the other; the columns are described in ``codecbench.matching``.

        Raises:
            UsageError: an unknown codec, dataset, setting or measure, points against themselves, or no values.
            StoreError: the folder is damaged.
        """
        from codecbench import matching

        manifest = RunFolder.existing(self.path).manifest
        return matching.match(self.summary(), manifest, codec, against, dataset=dataset, at=at, by=by)

    def report(self) -> Path:
        """Writes ``summary.csv``, ``figures/`` and ``report.html`` into the folder; measures nothing.

        Returns:
            The path of ``report.html``.
        """
        from codecbench.report import write_report

        store = RunFolder.existing(self.path)
        store.require_parts()
        return write_report(store)

    @property
    def report_is_current(self) -> bool:
        """Whether ``report.html`` was drawn after everything that lies in the folder was measured."""
        page = self.path / "report.html"
        names = ("run.json", "parts", "timings", "latents", "training")
        sources = [self.path / name for name in names if (self.path / name).exists()]
        return page.is_file() and page.stat().st_mtime >= max(source.stat().st_mtime for source in sources)


def load_run(path: str | os.PathLike[str]) -> Run:
    """Opens a run that was measured before.

    Raises:
        UsageError: there is none.
        StoreError: it is damaged or of a newer version.
    """
    return Run(RunFolder.existing(Path(path)).path)


def run(
    codecs: str | Iterable[str] = "all",
    datasets: str | Iterable[str] | None = None,
    *,
    images: int | None = 1_000,
    out: str | os.PathLike[str] | None = None,
    skip: Iterable[str] = (),
    workers: int | None = None,
    timing: bool = True,
    device: str = "auto",
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    fresh: bool = False,
    command: str = "",
    watch: Watch = lambda event: None,
) -> Run:
    """Measures codecs over datasets; goes on where an earlier, interrupted call stopped.

    Args:
        codecs: codec specs (see ``codecbench.specs``); ``"all"`` for every codec there is.
        datasets: dataset specs; None for MNIST and STL-10, or embedded images where they are not on disk.
        images: images a dataset, chosen by ``seed``; None for all.
        out: the run folder; by default ``results/<datasets>-<images>`` below the current directory.
        skip: codecs to leave out.
        workers: worker processes, each with one that decodes beside it; None for one a core, on a GPU at most two.
        timing: whether to take timings after the measurements.
        device: ``"auto"`` (a GPU where there is one), ``"cpu"`` or ``"cuda"``.
        data_dir: the data root; by default ``$CODECBENCH_DATA`` or a folder in the user's cache.
        seed: of the choice of images and the order of work.
        fresh: first throw away what codecbench wrote into the folder.
        command: recorded in ``run.json``.
        watch: receives notes, progress and failures.

    Returns:
        The run; tasks that failed are recorded in it, not raised.

    Raises:
        UsageError: a request that cannot be carried out as written, also a folder that holds other images.
        StoreError: the folder cannot be written.
    """
    if images is not None and images < 1:
        raise UsageError(f"images={images} is not allowed; allowed: 1 or more, or all")
    if workers is not None and workers < 1:
        raise UsageError(f"workers={workers} is not allowed; allowed: 1 or more")
    root = data_root(data_dir)
    choices, notes = choose_codecs(codecs, skip)
    chosen_datasets, more = choose_datasets(datasets, root)
    target = provenance.resolve_device(device, any(choice.cls.uses_device for choice in choices))
    cores = provenance.available_cores()
    count_workers = workers or (cores if target == "cpu" else min(cores, GPU_WORKERS))
    path = Path(out) if out is not None else default_folder(chosen_datasets, images)
    plan = make_plan(
        choices,
        chosen_datasets,
        root,
        count=images,
        seed=seed,
        device_name=provenance.device_name(target),
        notes=notes + more,
        say=lambda line: watch(Event("note", line)),
    )
    for note in plan.notes:
        watch(Event("note", note))
    for skipped in plan.skips:
        where = f"{skipped.codec} on {skipped.dataset} ({skipped.images} images)"
        watch(Event("note", f"skipped: {where}: {skipped.reason}"))
    store = RunFolder.for_writing(path, fresh)
    selections = {source.selection.label: source.selection for source in plan.sources}
    logs = exhibits.logs_to_keep(store, plan.codec_fingerprints)
    known = manifests.holds(store.manifest, selections, plan.codec_fingerprints)
    if known and not (waiting_tasks(plan, store, timing) or logs or exhibits.requests(plan, store)):
        watch(Event("note", f"nothing to measure: all {len(plan.tasks)} tasks are there"))
        return Run(path, changed=False)
    invocation = {
        "command": command or "codecbench.run",
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "git_commit": provenance.git_commit(),
        "seed": seed,
        "workers": count_workers,
        "threads_per_worker": threads_for(count_workers),
        "timing_threads": TIMING_THREADS if timing else None,
        "device": target,
        "machine": provenance.machine(target),
        "versions": provenance.versions(),
        "notes": plan.notes,
    }
    planned: dict[str, dict[str, list[str]]] = {}
    for task in plan.tasks:
        planned.setdefault(task.dataset, {}).setdefault(task.codec.name, []).append(task.codec.settings_text)
    described = {choice.name: _describe(choice, plan) for choice in choices if choice.name in plan.codec_fingerprints}
    skipped_pairs = [asdict(skip) for skip in plan.skips]
    store.join(manifests.Addition(selections, described, planned, skipped_pairs, invocation))
    for source in plan.sources:
        originals = {index: source.images.read([index])[0] for index in source.selection.shown}
        store.write_samples(original_name(source.selection.label), originals)
    exhibits.keep_logs(store, logs)
    failed = measure_all(plan, store, root, target, count_workers, seed, watch)
    keep_latents(plan, store, root, target, count_workers, watch)
    if timing:
        failed += time_all(plan, store, root, target, seed, watch)
    return Run(path, failed)


def waiting_tasks(plan: Plan, store: RunFolder, timing: bool) -> bool:
    """Whether anything of a plan is still to be measured, or to be timed."""
    finished = store.finished()
    return any(
        task.id not in finished or (timing and not store.is_timed(task.dataset, task.codec, task.codec_fingerprint))
        for task in plan.tasks
    )


def default_folder(datasets: Iterable[Dataset], images: int | None) -> Path:
    """``results/<datasets>-<images>``, with what file names do not take replaced by underscores."""
    labels = "+".join(re.sub(r"[^A-Za-z0-9.=-]+", "_", dataset.label) for dataset in datasets)
    return Path("results") / f"{labels}-{'all' if images is None else images}"


def _describe(choice: CodecChoice, plan: Plan) -> dict[str, Any]:
    cls = choice.cls
    return {
        "fingerprint": plan.codec_fingerprints[choice.name],
        "source": CODECS.source_fingerprint(cls),
        "versions": cls.versions(),
        "weights": {Path(file).name: file_sha256(Path(file)) for file in cls.weight_files()},
        "trained_on": list(cls.trained_on),
        "uses_device": cls.uses_device,
        "about": (cls.__doc__ or "").strip().partition("\n")[0],
    }


# ---- the pass for rates and distortions -----------------------------------------------------------------------------


def measure_all(
    plan: Plan, store: RunFolder, data_dir: Path, device: str, workers: int, seed: int, watch: Watch
) -> int:
    """Measures every task of a plan that is not stored yet, in worker processes.

    A worker process that dies costs the tasks it could have been working on one more try, each alone; a task that
    kills its worker again is recorded as failed.

    Returns:
        How many tasks failed.

    Raises:
        StoreError: the run folder cannot be written any more; what was measured is kept.
    """
    finished = store.finished()
    for name in store.damaged():
        watch(Event("note", f"damaged and set aside: {store.path / 'parts' / name}"))
    waiting = [task for task in plan.tasks if task.id not in finished]
    random.Random(seed).shuffle(waiting)
    datasets = {source.selection.label: source.dataset for source in plan.sources}
    progress = _Progress("measured", len(plan.tasks), len(plan.tasks) - len(waiting), watch)
    failed = 0

    def job(task: Task) -> tuple[Any, ...]:
        return work, task, datasets[task.dataset], data_dir, store.path, device

    def finish(task: Task, reason: str) -> None:
        nonlocal failed
        if reason:
            failed += 1
            watch(Event("failed", reason, task.dataset, str(task.codec)))
        progress.step(task.dataset, str(task.codec))

    threads = threads_for(workers)
    suspects = drain([(task, job(task)) for task in waiting], workers, threads, finish)
    for task in suspects:
        if drain([(task, job(task))], 1, threads, finish):
            store.write_failure(task, WORKER_DIED, "", 0.0)
            finish(task, WORKER_DIED)
    return failed


def keep_latents(plan: Plan, store: RunFolder, data_dir: Path, device: str, workers: int, watch: Watch) -> None:
    """Keeps what a report shows of learned codecs' latents, computed in worker processes; a failure is but a note."""
    datasets = {source.selection.label: source.dataset for source in plan.sources}

    def finish(request: exhibits.Request, reason: str) -> None:
        if reason:
            watch(Event("note", f"no latents of {request.task.codec} on {request.task.dataset}: {reason}"))

    def job(request: exhibits.Request) -> tuple[Any, ...]:
        return exhibit, request, datasets[request.task.dataset], data_dir, store.path, device

    threads = threads_for(workers)
    suspects = drain([(request, job(request)) for request in exhibits.requests(plan, store)], workers, threads, finish)
    for request in suspects:
        if drain([(request, job(request))], 1, threads, finish):
            exhibits.write_failure(store, request, WORKER_DIED)
            finish(request, WORKER_DIED)


# ---- the pass for timings -------------------------------------------------------------------------------------------


def time_all(plan: Plan, store: RunFolder, data_dir: Path, device: str, seed: int, watch: Watch) -> int:
    """Times every codec point of a plan that has rows and no times yet, one at a time in a fresh process.

    Returns:
        How many points could not be timed.
    """
    finished = store.finished()
    points: dict[tuple[str, CodecSpec], Task] = {}
    for task in plan.tasks:
        if task.id in finished:
            points.setdefault((task.dataset, task.codec), task)
    waiting = [
        (key, task)
        for key, task in points.items()
        if not store.is_timed(task.dataset, task.codec, task.codec_fingerprint)
    ]
    random.Random(seed).shuffle(waiting)
    datasets = {source.selection.label: source.dataset for source in plan.sources}
    progress = _Progress("timed", len(points), len(points) - len(waiting), watch)
    failed = 0

    def finish(task: Task, timing: Timing) -> None:
        nonlocal failed
        if timing.failed:
            failed += 1
            watch(Event("failed", timing.failed, task.dataset, str(task.codec)))
        store.write_timing(task.dataset, task.codec, task.codec_fingerprint, timing)
        progress.step(task.dataset, str(task.codec))

    jobs = [(task, (time_task, task, datasets[task.dataset], data_dir, device)) for _, task in waiting]
    for task in drain(jobs, 1, TIMING_THREADS, finish):
        finish(
            task,
            Timing(0, (), (), TIMING_THREADS, device, failed="the worker process died while it was timed"),
        )
    return failed


class _Progress:
    """Counts finished tasks and tells the time left from the pace of this command's own."""

    def __init__(self, kind: str, total: int, done: int, watch: Watch):
        self.kind, self.total, self.done, self.watch = kind, total, done, watch
        self.fresh, self.began = 0, time.perf_counter()
        watch(Event(kind, done=done, total=total))

    def step(self, dataset: str, codec: str) -> None:
        self.done += 1
        self.fresh += 1
        spent = time.perf_counter() - self.began
        known = self.fresh >= 5 and spent > 3.0  # the first tasks wait for the workers to start
        left = spent / self.fresh * (self.total - self.done) if known else None
        self.watch(Event(self.kind, "", dataset, codec, self.done, self.total, left))
