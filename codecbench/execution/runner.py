"""Runs a sweep: rates and distortions in parallel worker processes, then timings one at a time, into a run folder."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from codecbench import environment
from codecbench.api import Run
from codecbench.data import data_root
from codecbench.errors import UsageError
from codecbench.execution import (
    cluster,
    rates,
    reaching,
)
from codecbench.execution import (
    finished as stamps,
)
from codecbench.execution import (
    pictures as keeping_pass,
)
from codecbench.execution import (
    sets as set_pass,
)
from codecbench.execution.engines import LocalEngine
from codecbench.execution.rates import Event, Watch
from codecbench.execution.workers import Place
from codecbench.fingerprint import file_sha256
from codecbench.plan.planner import KEPT_IMAGES, CodecChoice, Plan, Source, choose_codecs, choose_datasets, make_plan
from codecbench.plugins import metric
from codecbench.plugins.dataset import Dataset
from codecbench.plugins.registry import CODECS, METRICS
from codecbench.store import latents, manifest, weights
from codecbench.store.folder import RunFolder, check_usable, hold, original_name

GPU_WORKERS = 2
"""Worker processes when nobody says otherwise and a GPU computes: each holds memory of it."""
TASK_TIMEOUT_S = 3600.0
"""How long a codec may take to encode or decode one task when nobody says otherwise, in seconds."""


def run(
    codecs: str | Iterable[str] = "all",
    datasets: str | Iterable[str] | None = None,
    *,
    images: int | None = 1_000,
    out: str | os.PathLike[str] | None = None,
    skip: Iterable[str] = (),
    metrics: str | Iterable[str] | None = None,
    workers: int | None = None,
    timing: bool = True,
    timing_threads: int = 1,
    sets: bool = True,
    device: str = "auto",
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    keep_images: int = KEPT_IMAGES,
    fresh: bool = False,
    task_timeout_s: float | None = TASK_TIMEOUT_S,
    memory_limit: int | None = None,
    scheduler: str | None = None,
    worker_data_dir: str | os.PathLike[str] | None = None,
    shared_out: bool = False,
    command: str = "",
    watch: Watch = lambda event: None,
) -> Run:
    """Measures codecs over datasets; goes on where an earlier, interrupted call stopped.

    Args:
        codecs: codec specs (see ``codecbench.plan.specs``); ``"all"`` for every codec but those on request.
        datasets: dataset specs; None for MNIST and STL-10, or embedded images where they are not on disk.
        images: images a dataset, chosen by ``seed``; None for all.
        out: the run folder; by default ``results/<datasets>-<images>`` below the current directory.
        skip: codecs to leave out.
        metrics: names of plugin metrics, measured beside those of every run; ``"none"`` for none, None for those
            of codecbench's own plugins that are meant for every run and available here.
        workers: worker processes, each with one that encodes and one that decodes; None for one a core, on a GPU at
            most two.
        timing: whether to take timings after the measurements.
        timing_threads: how many threads a codec may use while it is timed.
        sets: whether codecs that can also code each dataset as one stream, for tables of its own.
        device: ``"auto"`` (a GPU where there is one), ``"cpu"`` or ``"cuda"``.
        data_dir: the data root; by default ``$CODECBENCH_DATA`` or a folder in the user's cache.
        seed: of the choice of images and the order of the timings.
        keep_images: of how many images of each dataset every point's reconstructions are kept, to look at; 0 for none.
            Another number measures nothing again: pictures that are missing are made, none are thrown away.
        fresh: first throw away what codecbench wrote into the folder.
        task_timeout_s: how long a codec may take to encode or decode one task; None for any.
        memory_limit: bytes of resident memory that a codec's process may use; None for any.
        scheduler: address of a Dask scheduler whose workers measure, or ``"local"`` for one with ``workers`` processes
            on this machine; None to do without. See ``docs/cluster.md``.
        worker_data_dir: the data root on the cluster's workers; by default their own ``$CODECBENCH_DATA``, else the
            same path as here.
        shared_out: the workers write into the run folder themselves, which they have under the same path.
        command: recorded in ``run.json``.
        watch: receives notes, progress and failures.

    Returns:
        The run; tasks that failed are recorded in it, not raised.

    Raises:
        UsageError: a request that cannot be carried out as written, also a folder that holds other images, or that
            another command measures into.
        StoreError: the folder cannot be written.
    """
    _check_numbers(images, workers, timing_threads, task_timeout_s, memory_limit)
    if keep_images < 0:
        raise UsageError(f"keep_images={keep_images} is not allowed; allowed: 0 or more")
    reaching.check_options(scheduler, workers, worker_data_dir, shared_out)
    root = data_root(data_dir)
    codecs, skip = ([codecs] if isinstance(codecs, str) else list(codecs)), sorted(skip)
    if metrics is not None and not isinstance(metrics, str):
        names = list(metrics)
        metrics = ",".join(names) if names else metric.NONE
    chosen_datasets, more = choose_datasets(datasets, root)
    if out is not None and not str(out):
        raise UsageError("out='' is not allowed; allowed: the path of a folder")
    path = Path(out) if out is not None else default_folder(chosen_datasets, images)
    check_usable(path)  # before images are read, which can take a while
    asked = [codecs, skip, [dataset.label for dataset in chosen_datasets], device, timing_threads if timing else None]
    request = {"asked": asked, "metrics": metrics, "images": images, "seed": seed, "keep_images": keep_images}
    request |= {"sets": sets}
    if not fresh and (count := stamps.holds(path, request, chosen_datasets, root)):
        for note in more:
            watch(Event("note", note))
        return _nothing_to_measure(path, count, watch)
    chosen_metrics = metric.choose(metrics)
    choices, notes = choose_codecs(codecs, skip)
    target = environment.resolve_device(device, any(choice.cls.uses_device for choice in choices))
    cores = environment.available_cores()
    count_workers = workers or (cores if target == "cpu" else min(cores, GPU_WORKERS))
    plan = make_plan(
        choices,
        chosen_datasets,
        root,
        count=images,
        seed=seed,
        device_name=environment.device_name(target),
        keep_images=keep_images,
        notes=notes + more,
        metrics={one.name: metric.fingerprint(one) for one in chosen_metrics},
        say=lambda line: watch(Event("note", line)),
    )
    skips = [f"skipped: {skip.codec} on {skip.dataset} ({skip.images} images): {skip.reason}" for skip in plan.skips]
    for note in plan.notes + skips:
        watch(Event("note", note))
    threads = threads_for(count_workers) if scheduler in (None, reaching.LOCAL) else 1
    described = metric.describe_all(chosen_metrics, plan.shapes)
    folders = [os.environ.get(registry.variable, "") for registry in (CODECS, METRICS)]
    measured = tuple(plan.metrics.items())
    place = Place(root, path, target, threads, task_timeout_s, memory_limit, folders[0], measured, folders[1])
    quiet = replace(place, threads=timing_threads)
    whole = set_pass.tasks(choices, plan) if sets else []
    with hold(path), contextlib.ExitStack() as stack:
        store = RunFolder.for_writing(path, fresh)
        beside = weights.to_keep(store, plan.codec_fingerprints)
        known = manifest.holds(store.manifest, plan.selections, plan.codec_fingerprints, plan.metrics)
        pictures = keeping_pass.is_complete(plan, store) and not latents.requests(plan, store)
        left = _waiting(plan, store, quiet if timing else None) or set_pass.waiting(whole, store)
        if known and pictures and not (left or beside):
            stamps.write(store, request, plan, timing_threads if timing else None)
            return _nothing_to_measure(path, len(plan.tasks), watch)
        elsewhere = None
        if scheduler is not None:
            shared = path.resolve() if shared_out else None
            reached = cluster.reach(scheduler, plan, place, watch, count_workers, worker_data_dir, shared)
            elsewhere = stack.enter_context(reached)
            place = elsewhere.place
        times = timing and (elsewhere is None or elsewhere.can_time())
        machine = environment.machine(target)
        invocation = {
            "command": command or "codecbench.run",
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "git_commit": environment.git_commit(),
            "seed": seed,
            "workers": count_workers,
            "threads_per_worker": threads,
            "timing_threads": timing_threads if times else None,
            "device": target,
            "host": environment.host_id(machine),
            "machine": machine,
            "conditions": environment.conditions(),
            "versions": environment.versions(),
            "notes": plan.notes,
        }
        if elsewhere is not None:
            invocation |= {"cluster": elsewhere.record(), "workers": elsewhere.lanes}
        stamps.remove(store)
        store.join(_addition(choices, plan, invocation, described))
        for source in plan.sources:
            _keep_originals(store, source)
        weights.keep(store, beside)
        with elsewhere.engine() if elsewhere else LocalEngine(count_workers, threads) as engine:
            failed = rates.measure_all(plan, store, engine, place, watch)
            failed += set_pass.code_sets(whole, plan, store, engine, place, watch)
            rates.keep_latents(plan, store, engine, place, watch)
            keeping_pass.keep_pictures(plan, store, engine, place, watch)
        if times and elsewhere is not None:
            failed += elsewhere.time_all(plan, store, quiet, seed, watch)
        elif times:
            failed += rates.time_all(plan, store, quiet, seed, watch)
        if not failed and times == timing:
            stamps.write(store, request, plan, timing_threads if timing else None)
    return Run(path, failed)


def _keep_originals(store: RunFolder, source: Source) -> None:
    """Keeps the originals of all images that are shown of a dataset, those that earlier commands asked for included."""
    label = source.selection.label
    held = store.originals(label)
    lacking = [index for index in store.manifest["datasets"][label]["shown"] if index not in held]
    if lacking:
        store.write_samples(original_name(label), held | {index: source.images.read([index])[0] for index in lacking})


def _check_numbers(
    images: int | None, workers: int | None, timing_threads: int, task_timeout_s: float | None, memory_limit: int | None
) -> None:
    for name, value in (("images", images), ("workers", workers), ("timing_threads", timing_threads)):
        if value is not None and value < 1:
            raise UsageError(f"{name}={value} is not allowed; allowed: 1 or more" + ", or all" * (name == "images"))
    for name, limit in (("task_timeout_s", task_timeout_s), ("memory_limit", memory_limit)):
        if limit is not None and limit <= 0:
            raise UsageError(f"{name}={limit} is not allowed; allowed: more than 0, or none")


def _nothing_to_measure(path: Path, tasks: int, watch: Watch) -> Run:
    watch(Event("note", f"nothing to measure: all {tasks} tasks are there"))
    return Run(path, changed=False)


def _waiting(plan: Plan, store: RunFolder, timing: Place | None) -> bool:
    """Whether anything of a plan is still to be measured, or to be timed."""
    finished = store.finished()
    if any(task.id not in finished for task in plan.tasks):
        return True
    return timing is not None and rates.untimed(plan, store, timing)


def threads_for(workers: int) -> int:
    """Threads that each of several worker processes may use, so that together they fill the cores."""
    return max(1, environment.available_cores() // workers)


def default_folder(datasets: Iterable[Dataset], images: int | None) -> Path:
    """``results/<datasets>-<images>``, with what file names do not take replaced by underscores."""
    labels = "+".join(re.sub(r"[^A-Za-z0-9.=-]+", "_", dataset.label) for dataset in datasets)
    return Path("results") / f"{labels}-{'all' if images is None else images}"


def _addition(
    choices: Iterable[CodecChoice], plan: Plan, invocation: dict[str, Any], metrics: dict[str, dict[str, Any]]
) -> manifest.Addition:
    planned: dict[str, dict[str, list[str]]] = {}
    for task in plan.tasks:
        planned.setdefault(task.dataset, {}).setdefault(task.codec.name, []).append(task.codec.settings_text)
    described = {choice.name: _describe(choice, plan) for choice in choices if choice.name in plan.codec_fingerprints}
    skips = [asdict(skip) for skip in plan.skips]
    return manifest.Addition(plan.selections, described, planned, skips, invocation, metrics)


def _describe(choice: CodecChoice, plan: Plan) -> dict[str, Any]:
    cls = choice.cls
    points = dict.fromkeys(task.codec for task in plan.tasks if task.codec.name == choice.name)
    return {
        "fingerprint": plan.codec_fingerprints[choice.name],
        "metrics": plan.metrics,
        "source": CODECS.source_fingerprint(cls),
        "versions": cls.versions(),
        "weights": {Path(file).name: file_sha256(Path(file)) for file in cls.weight_files()},
        "weight_sizes": weights.sizes(cls.weight_files()),
        "weights_used": weights.used(cls, points),
        "trained_on": list(cls.trained_on),
        "uses_device": cls.uses_device,
        "about": (cls.__doc__ or "").strip().partition("\n")[0],
    }
