"""Carries a run out: rates and distortions in parallel worker processes, then timings one at a time, into a folder.

What happens is reported as events; nothing is drawn or printed.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from codecbench import environment
from codecbench.data import data_root
from codecbench.errors import UsageError
from codecbench.execution import cluster, finished, latents, pictures, rates, sets, timings
from codecbench.execution.context import Event, RunContext, Watch
from codecbench.execution.engines import LocalEngine, interruptible
from codecbench.execution.limits import WorkerLimits
from codecbench.execution.orphans import adopted
from codecbench.fingerprint import file_sha256
from codecbench.plan.planner import CodecChoice, Plan, Source, choose_codecs, choose_datasets, make_plan
from codecbench.plugins.dataset import Dataset
from codecbench.plugins.metric import Metric
from codecbench.plugins.registry import CODECS, METRICS, NONE, describe_metrics, metric_fingerprint
from codecbench.plugins.source import source_fingerprint
from codecbench.store import manifest, weights
from codecbench.store.folder import RunFolder, original_name
from codecbench.store.lock import check_usable, hold

GPU_WORKERS = 2
"""Worker processes by default where a GPU computes: each holds memory of it."""


@dataclass(frozen=True)
class RunRequest:
    """What is asked for: the arguments of ``codecbench.run``, which tells what they mean."""

    codecs: str | Iterable[str]
    datasets: str | Iterable[str] | None
    images: int | None
    out: str | os.PathLike[str] | None
    skip: Iterable[str]
    metrics: str | Iterable[str] | None
    workers: int | None
    timing: bool
    timing_threads: int
    sets: bool
    device: str
    data_dir: str | os.PathLike[str] | None
    seed: int
    keep_images: int
    fresh: bool
    task_timeout_s: float | None
    memory_limit: int | None
    scheduler: str | None
    worker_data_dir: str | os.PathLike[str] | None
    shared_out: bool
    command: str

    def check(self) -> None:
        """Raises UsageError for what cannot be carried out, whatever is measured."""
        for name in ("images", "workers", "timing_threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name}={value} is not allowed; allowed: 1 or more" + ", or all" * (name == "images"))
        for name in ("task_timeout_s", "memory_limit"):
            limit = getattr(self, name)
            if limit is not None and limit <= 0:
                raise UsageError(f"{name}={limit} is not allowed; allowed: more than 0, or none")
        if self.keep_images < 0:
            raise UsageError(f"keep_images={self.keep_images} is not allowed; allowed: 0 or more")
        if self.scheduler is not None:
            cluster.check_scheduler(self.scheduler, self.workers)
        elif self.worker_data_dir or self.shared_out:
            name = "worker_data_dir" if self.worker_data_dir else "shared_out"
            raise UsageError(f"{name} is for a cluster's workers; name its scheduler (--scheduler) too")
        if self.out is not None and not str(self.out):
            raise UsageError("out='' is not allowed; allowed: the path of a folder")


def carry_out(asked: RunRequest, watch: Watch) -> tuple[Path, int, bool]:
    """Measures what is asked for and not in the run folder yet; see ``codecbench.run``.

    Returns the run folder, how many tasks this command could not measure, and whether it had anything to measure.
    """
    asked.check()
    root = data_root(asked.data_dir)
    codecs, skip = ([asked.codecs] if isinstance(asked.codecs, str) else list(asked.codecs)), sorted(asked.skip)
    metrics = asked.metrics
    if metrics is not None and not isinstance(metrics, str):
        metrics = ",".join(metrics) or NONE
    datasets, more = choose_datasets(asked.datasets, root)
    path = Path(asked.out) if asked.out is not None else default_folder(datasets, asked.images)
    check_usable(path)  # before images are read, which can take a while
    threads = asked.timing_threads if asked.timing else None
    decides = {
        "asked": [codecs, skip, [dataset.label for dataset in datasets], asked.device, threads],
        "metrics": metrics,
        "images": asked.images,
        "seed": asked.seed,
        "keep_images": asked.keep_images,
        "sets": asked.sets,
    }
    if not asked.fresh and (count := finished.holds(path, decides, datasets, root)):
        for note in more:
            watch(Event("note", note))
        return _nothing_to_measure(path, count, watch)
    chosen_metrics = METRICS.choose(metrics)
    choices, notes = choose_codecs(codecs, skip)
    target = environment.resolve_device(asked.device, any(choice.cls.uses_device for choice in choices))
    plan = make_plan(
        choices,
        datasets,
        root,
        count=asked.images,
        seed=asked.seed,
        device_name=environment.device_name(target),
        keep_images=asked.keep_images,
        notes=notes + more,
        metrics={one.name: metric_fingerprint(one) for one in chosen_metrics},
        say=lambda line: watch(Event("note", line)),
    )
    skips = [f"skipped: {skip.codec} on {skip.dataset} ({skip.images} images): {skip.reason}" for skip in plan.skips]
    for note in plan.notes + skips:
        watch(Event("note", note))
    limits = _limits(asked, plan, root, path, target)
    whole = sets.tasks(choices, plan) if asked.sets else []
    with interruptible(), hold(path):
        store = RunFolder.for_writing(path, asked.fresh)
        new_weights = weights.to_keep(store, plan.codec_fingerprints)
        if not new_weights and _is_complete(asked, plan, store, limits, whole):
            finished.write(store, decides, plan, threads)
            return _nothing_to_measure(path, len(plan.tasks), watch)
        with contextlib.ExitStack() as stack:
            stack.enter_context(adopted())
            stack.callback(store.remove_leftovers)  # of workers that were ended while they wrote
            elsewhere = None
            if asked.scheduler is not None:
                reached = cluster.reach(
                    asked.scheduler, plan, limits, watch, _workers(asked, target), asked.worker_data_dir
                )
                elsewhere = stack.enter_context(reached)
            times = asked.timing and (elsewhere is None or elsewhere.can_time())
            invocation = _invocation(asked, plan, target, limits.threads, times)
            if elsewhere is not None:
                invocation |= {"cluster": elsewhere.record(), "workers": elsewhere.record()["threads"]}
            finished.remove(store)
            store.join(_addition(choices, plan, invocation, chosen_metrics))
            for source in plan.sources:
                _keep_originals(store, source)
            weights.keep(store, new_weights)
            here = LocalEngine(_workers(asked, target), limits.threads)
            with cluster.ClusterEngine(elsewhere) if elsewhere else here as engine:
                run = RunContext(plan, store, engine, limits, watch)
                failed = rates.measure_all(run)
                failed += sets.code_sets(whole, run)
                latents.keep_latents(run)
                pictures.keep_pictures(run)
            if times:
                quiet = replace(run, limits=replace(limits, threads=asked.timing_threads))
                time_all = elsewhere.time_all if elsewhere else timings.time_here
                failed += time_all(quiet, asked.seed)
        if not failed and times == asked.timing:
            finished.write(store, decides, plan, threads)
    return path, failed, True


def _workers(asked: RunRequest, device: str) -> int:
    cores = environment.available_cores()
    return asked.workers or (cores if device == "cpu" else min(cores, GPU_WORKERS))


def _limits(asked: RunRequest, plan: Plan, root: Path, path: Path, device: str) -> WorkerLimits:
    """What every job is given; several worker processes of this machine together fill its cores."""
    here = asked.scheduler in (None, cluster.LOCAL)
    folder = path if asked.scheduler is None else path.resolve() if asked.shared_out else None
    return WorkerLimits(
        root if asked.scheduler is None else root.absolute(),
        folder,
        device,
        max(1, environment.available_cores() // _workers(asked, device)) if here else 1,
        asked.task_timeout_s,
        asked.memory_limit,
        os.environ.get(CODECS.variable, ""),
        tuple(plan.metrics.items()),
        os.environ.get(METRICS.variable, ""),
    )


def _is_complete(
    asked: RunRequest, plan: Plan, store: RunFolder, limits: WorkerLimits, whole: list[sets.SetTask]
) -> bool:
    """Whether nothing of a plan is still to be measured, timed, coded as a set or kept."""
    stored = store.finished()
    quiet = replace(limits, threads=asked.timing_threads)
    return (
        manifest.matches(store.manifest, plan.selections, plan.codec_fingerprints, plan.metrics)
        and all(task.id in stored for task in plan.tasks)
        and not (asked.timing and any(not point.found.complete for point in timings.timing_points(plan, store, quiet)))
        and not sets.waiting(whole, store)
        and pictures.is_complete(plan, store)
        and not latents.requests(plan, store)
    )


def _nothing_to_measure(path: Path, tasks: int, watch: Watch) -> tuple[Path, int, bool]:
    watch(Event("note", f"nothing to measure: all {tasks} tasks are there"))
    return path, 0, False


def _invocation(asked: RunRequest, plan: Plan, device: str, threads: int, times: bool) -> dict[str, Any]:
    """What ``run.json`` keeps of a command."""
    machine = environment.machine(device)
    return {
        "command": asked.command or "codecbench.run",
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "git_commit": environment.git_commit(),
        "seed": asked.seed,
        "workers": _workers(asked, device),
        "threads_per_worker": threads,
        "timing_threads": asked.timing_threads if times else None,
        "device": device,
        "host": environment.host_id(machine),
        "machine": machine,
        "conditions": environment.conditions(),
        "versions": environment.versions(),
        "notes": plan.notes,
    }


def _keep_originals(store: RunFolder, source: Source) -> None:
    """Keeps the originals of all images that are shown of a dataset, those that earlier commands asked for included."""
    label = source.selection.label
    held = store.originals(label)
    missing = [index for index in store.manifest["datasets"][label]["shown"] if index not in held]
    if missing:
        store.write_samples(original_name(label), held | {index: source.images.read([index])[0] for index in missing})


def default_folder(datasets: Iterable[Dataset], images: int | None) -> Path:
    """``results/<datasets>-<images>``, with what file names do not take replaced by underscores."""
    labels = "+".join(re.sub(r"[^A-Za-z0-9.=-]+", "_", dataset.label) for dataset in datasets)
    return Path("results") / f"{labels}-{'all' if images is None else images}"


def _addition(
    choices: Iterable[CodecChoice], plan: Plan, invocation: dict[str, Any], metrics: Iterable[Metric]
) -> manifest.Addition:
    described_metrics = describe_metrics(metrics, plan.shapes)
    planned: dict[str, dict[str, list[str]]] = {}
    for task in plan.tasks:
        planned.setdefault(task.dataset, {}).setdefault(task.codec.name, []).append(task.codec.settings_text)
    described = {choice.name: _describe(choice, plan) for choice in choices if choice.name in plan.codec_fingerprints}
    skips = [asdict(skip) for skip in plan.skips]
    return manifest.Addition(plan.selections, described, planned, skips, invocation, described_metrics)


def _describe(choice: CodecChoice, plan: Plan) -> dict[str, Any]:
    cls = choice.cls
    points = dict.fromkeys(task.codec for task in plan.tasks if task.codec.name == choice.name)
    return {
        "fingerprint": plan.codec_fingerprints[choice.name],
        "metrics": plan.metrics,
        "source": source_fingerprint(cls),
        "versions": cls.versions(),
        "weights": {Path(file).name: file_sha256(Path(file)) for file in cls.weight_files()},
        "weight_sizes": weights.sizes(cls.weight_files()),
        "weights_used": weights.used(cls, points),
        "trained_on": list(cls.trained_on),
        "uses_device": cls.uses_device,
        "about": (cls.__doc__ or "").strip().partition("\n")[0],
    }
