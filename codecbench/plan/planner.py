"""From specs to tasks: which codecs, which datasets, which images, which points. Measures nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from codecbench.data import data_root
from codecbench.errors import (
    CodecbenchError,
    PluginError,
    SpecError,
    UnknownNameError,
    UnsupportedImageError,
    UsageError,
)
from codecbench.fingerprint import digest
from codecbench.plan.specs import expand, split_specs
from codecbench.plan.tasks import CHUNK_BYTES, CHUNK_IMAGES, Selection, Task, codec_fingerprint, metrics_fingerprint
from codecbench.plugins.answers import ask, blaming, shape_of
from codecbench.plugins.codec import Codec, CodecSpec, Shape
from codecbench.plugins.dataset import Dataset, ImageSet
from codecbench.plugins.registry import CODECS, DATASETS
from codecbench.plugins.settings import Value, settings_of
from codecbench.text import printable

KEPT_IMAGES = 24
"""Images of each dataset whose reconstructions are kept by default."""
DEFAULT_IMAGES = 1_000
STAND_INS = {"mnist": "digits", "stl10": "photos"}
"""Datasets measured by default, each with the embedded one that replaces it while it is not on disk."""

Point = dict[str, Value]


@dataclass
class CodecChoice:
    """A codec that was asked for."""

    cls: type[Codec]
    sweeps: list[list[Point] | None] = field(default_factory=list)  # complete points, or None for the default sweep
    named: bool = False  # by its name, not by ``all``

    @property
    def name(self) -> str:
        """The codec's name."""
        return self.cls.name

    def codecs(self, shape: Shape, default_points: Callable[[Shape], Iterable[Point]]) -> list[Codec]:
        """One codec a point, for images of a shape, without repetition."""
        found: dict[CodecSpec, Codec] = {}
        for sweep in self.sweeps:
            if sweep is None:
                sweep = ask(
                    f"codec {self.name!r}", "its list of points", partial(default_points, shape), list[dict[str, Any]]
                )
            for point in sweep:
                codec = self.cls(**point)
                found.setdefault(codec.spec, codec)
        return list(found.values())


@dataclass(frozen=True)
class Skip:
    """Images that a codec does not take."""

    dataset: str
    codec: str  # the codec's name, or its spec where only this point is refused
    images: int  # how many
    reason: str


@dataclass(frozen=True)
class Source:
    """A dataset, opened, and the images chosen from it."""

    dataset: Dataset
    images: ImageSet
    selection: Selection


@dataclass
class Plan:
    """What a run will measure."""

    sources: list[Source]
    tasks: list[Task]
    skips: list[Skip]
    codec_fingerprints: dict[str, str]  # by the codec's name
    notes: list[str]  # lines a person should read: stand-ins, plugins that are not available
    metrics: dict[str, str] = field(default_factory=dict)  # fingerprints of the plugin metrics, by name

    @property
    def shapes(self) -> dict[str, set[Shape]]:
        """The shapes of the images that some codec takes, by dataset label."""
        found: dict[str, set[Shape]] = {}
        for task in self.tasks:
            found.setdefault(task.dataset, set()).add(task.shape)
        return found

    @property
    def selections(self) -> dict[str, Selection]:
        """The images chosen, by dataset label."""
        return {source.selection.label: source.selection for source in self.sources}


def choose_codecs(specs: str | Iterable[str], skip: Iterable[str] = ()) -> tuple[list[CodecChoice], list[str]]:
    """Resolves codec specs to codecs, in the order asked for, and notes about those that are not available.

    ``all`` stands for every codec that can be imported and is not ``on_request``; ``skip`` has names to leave out.
    Raises UsageError for an unknown name or setting, a bad value, or nothing left to measure, and PluginError where a
    codec that was named cannot be imported.
    """
    left_out = set(skip)
    names = CODECS.names()
    for name in sorted(left_out - set(names)):
        raise UnknownNameError("codec", name, names)
    choices: dict[str, CodecChoice] = {}
    notes: list[str] = []
    for raw in split_specs(specs):
        if raw.name == "all":
            if raw.parts:
                raise SpecError(f"'all' takes no settings: {raw.text!r}")
            for name in (name for name in names if name not in left_out):
                try:
                    cls = CODECS.get(name)
                except PluginError as error:
                    notes.append(f"left out: {error}")
                    continue
                if not getattr(cls, "on_request", False):
                    choices.setdefault(name, CodecChoice(cls)).sweeps.append(None)
        elif raw.name in left_out:
            continue
        else:
            cls = CODECS.get(raw.name)
            choice = choices.setdefault(raw.name, CodecChoice(cls))
            choice.named = True
            points = expand(raw, settings_of(cls)) if raw.parts else None
            for point in points or ():
                cls(**point)
            choice.sweeps.append(points)
    if not choices:
        raise UsageError(f"no codec is left to measure; known: {', '.join(names)}")
    return list(choices.values()), notes


def choose_datasets(specs: str | Iterable[str] | None, data_dir: Path) -> tuple[list[Dataset], list[str]]:
    """Resolves dataset specs to datasets, and notes about stand-ins; None stands for the datasets of ``STAND_INS``.

    Raises UsageError for an unknown name or setting, or a bad value.
    """
    notes: list[str] = []
    if specs is None:
        missing = [name for name in STAND_INS if not DATASETS.get(name)().status(data_dir).available]
        specs = [STAND_INS[name] if name in missing else name for name in STAND_INS]
        if missing:
            stand_ins = " and ".join(STAND_INS[name] for name in missing)
            commands = ", ".join(f"`codecbench data get {name}`" for name in missing)
            notes.append(f"not on disk: {' and '.join(missing)} ({commands}); measuring on {stand_ins} in their place")
    found: dict[str, Dataset] = {}
    for raw in split_specs(specs):
        cls = DATASETS.get(raw.name)
        for point in expand(raw, settings_of(cls)):
            dataset = cls(**point)
            if printable(dataset.label) != dataset.label:
                what = "has control characters or is no Unicode text, which tables are made of"
                raise UsageError(f"{printable(dataset.label)} {what}")
            found.setdefault(dataset.label, dataset)
    return list(found.values()), notes


def open_codec(spec: str) -> Codec:
    """Returns the one codec that a spec stands for; settings left out have their defaults.

    Args:
        spec: for example ``"jpeg:quality=75,subsampling=4:4:4"``; the grammar is in ``codecbench.plan.specs``.

    Raises:
        UsageError: an unknown codec or setting, a bad value, or a spec of several codecs or points.
        PluginError: the codec's file cannot be imported.
    """
    choices, _ = choose_codecs(spec)
    sweeps: list[list[Point]] = [points or [{}] for choice in choices for points in choice.sweeps]
    if spec.strip() == "all" or len(choices) != 1 or sum(map(len, sweeps)) != 1:
        raise SpecError(f"{spec!r} stands for several codecs; expected one, every setting with one value")
    return choices[0].cls(**sweeps[0][0])


def open_dataset(spec: str, data_dir: str | os.PathLike[str] | None = None) -> ImageSet:
    """Opens the one dataset that a spec stands for.

    Args:
        spec: for example ``"mnist:split=train"``; the grammar is in ``codecbench.plan.specs``.
        data_dir: the data root; by default ``$CODECBENCH_DATA`` or a folder in the user's cache.

    Returns:
        Its images; with an attribute ``labels`` where the dataset has class numbers.

    Raises:
        UsageError: unknown, missing, damaged, or a spec of several datasets.
    """
    root = data_root(data_dir)
    datasets, _ = choose_datasets(spec, root)
    if len(datasets) != 1:
        raise SpecError(f"{spec!r} stands for {len(datasets)} datasets; expected one")
    return datasets[0].load(root)


def select(
    dataset: Dataset, images: ImageSet, count: int | None, seed: int, keep_images: int = KEPT_IMAGES
) -> Selection:
    """Chooses ``count`` images of a dataset by seed (all for None); raises UsageError for an empty dataset.

    The reconstructions of ``keep_images`` of them are kept; a smaller number keeps some of a larger one's.
    """
    total = len(images)
    if total == 0:
        raise UsageError(f"{dataset.label} has no images")
    order = np.random.default_rng(seed).permutation(total)
    chosen = order[: total if count is None else count]
    shown = tuple(int(index) for index in chosen[:keep_images])
    indices = tuple(sorted(int(index) for index in chosen))
    labels = getattr(images, "labels", None)
    classes = () if labels is None else tuple((index, int(labels[index])) for index in shown)
    return Selection(
        dataset.label,
        indices,
        total,
        seed,
        shown,
        family=dataset.family,
        training=dataset.is_training_data,
        classes=classes,
    )


def chunks(images: ImageSet, indices: Sequence[int]) -> Iterator[tuple[Shape, tuple[int, ...]]]:
    """Groups images by shape and cuts each group into chunks that bound a task's time and memory."""
    groups: dict[Shape, list[int]] = {}
    for index in indices:
        groups.setdefault(shape_of(images, index), []).append(index)
    for shape, members in groups.items():
        size = max(1, min(CHUNK_IMAGES, CHUNK_BYTES // (shape[0] * shape[1] * shape[2])))
        for start in range(0, len(members), size):
            yield shape, tuple(members[start : start + size])


def make_plan(
    choices: Sequence[CodecChoice],
    datasets: Sequence[Dataset],
    data_dir: Path,
    *,
    count: int | None,
    seed: int,
    device_name: str,
    keep_images: int = KEPT_IMAGES,
    notes: Iterable[str] = (),
    metrics: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Plan:
    """Lays out every task of a sweep, over ``count`` images of each dataset.

    ``device_name`` (``cpu`` or the accelerator's) is part of the identity of codecs that compute on it; ``metrics`` has
    the fingerprints of plugin metrics by name; ``say`` receives a line before images are read, which can take a while.
    Raises UsageError where a dataset is missing, or a codec that was named takes none of the chosen images, and
    PluginError where one that was named raises; one that ``all`` brought in is left out with a note.
    """
    plan = Plan([], [], [], {}, list(notes), dict(metrics or {}))
    for choice in choices:
        with _skipping(plan, choice):
            plan.codec_fingerprints[choice.name] = codec_fingerprint(choice.cls, device_name)
    for dataset in datasets:
        with blaming(f"dataset {dataset.label}"):
            images = dataset.load(data_dir)
            plan.notes += [f"{dataset.label}: {printable(note)}" for note in images.notes]
            selection = select(dataset, images, count, seed, keep_images)
            if count is not None and count > len(selection.indices) and count != DEFAULT_IMAGES:
                plan.notes.append(f"{dataset.label} has only {len(images)} images; all of them are measured")
            plan.sources.append(Source(dataset, images, selection))
            pieces = list(chunks(images, selection.indices))
            for choice in choices:
                if choice.name in plan.codec_fingerprints:
                    with _skipping(plan, choice):
                        _plan_codec(plan, choice, selection, pieces)
    for choice in choices:
        if choice.named and not any(task.codec.name == choice.name for task in plan.tasks):
            reasons = dict.fromkeys(skip.reason for skip in plan.skips if skip.codec.partition(":")[0] == choice.name)
            raise UsageError(f"{choice.name} fits none of the chosen datasets: {'; '.join(reasons)}")
    _fingerprint_images(plan, say)
    return plan


def _fingerprint_images(plan: Plan, say: Callable[[str], None]) -> None:
    """Reads every chosen image once, so that a task is known by its pixels."""
    found: dict[tuple[str, tuple[int, ...]], str] = {}
    for number, source in enumerate(plan.sources):
        label = source.selection.label
        say(f"reading {len(source.selection.indices)} images of {label}")
        with blaming(f"dataset {label}"):
            prints = _fingerprints(source.images, source.selection)
        found |= {(label, piece): fingerprint for piece, fingerprint in prints.items()}
        about = partial(source.images.about, source.selection.indices)
        plan.notes += [f"{label}: {printable(note)}" for note in ask(f"dataset {label!r}", "about()", about, list[str])]
        selection = replace(source.selection, fingerprint=digest(list(prints.values())))
        plan.sources[number] = replace(source, selection=selection)
    plan.tasks[:] = [
        replace(
            task,
            data_fingerprint=found[task.dataset, task.indices],
            metrics_fingerprint=metrics_fingerprint(plan.metrics),
        )
        for task in plan.tasks
    ]


def fingerprint_selection(images: ImageSet, selection: Selection) -> str:
    """Identifies the pixels of the chosen images; reads each once."""
    return digest(list(_fingerprints(images, selection).values()))


def _fingerprints(images: ImageSet, selection: Selection) -> dict[tuple[int, ...], str]:
    return {piece: images.fingerprint(piece) for _, piece in chunks(images, selection.indices)}


@contextlib.contextmanager
def _skipping(plan: Plan, choice: CodecChoice) -> Iterator[None]:
    """Skips a codec that raises while it is planned, with a note; raises PluginError if the codec was named."""
    try:
        with blaming(f"codec {choice.name!r} cannot be planned"):
            yield
    except CodecbenchError as error:
        if choice.named:
            raise
        plan.notes.append(f"left out: {error}")
        plan.codec_fingerprints.pop(choice.name, None)
        plan.tasks[:] = [task for task in plan.tasks if task.codec.name != choice.name]
        plan.skips[:] = [skip for skip in plan.skips if skip.codec.partition(":")[0] != choice.name]


def _plan_codec(
    plan: Plan,
    choice: CodecChoice,
    selection: Selection,
    pieces: Sequence[tuple[Shape, tuple[int, ...]]],
) -> None:
    refused: dict[tuple[str, str], int] = {}
    for shape, indices in pieces:
        members = set(indices)
        shown = tuple(index for index in selection.shown if index in members)
        codecs = choice.codecs(shape, choice.cls.default_points)
        reasons: dict[str, str] = {}
        for codec in codecs:
            try:
                codec.check_shape(shape)
            except UnsupportedImageError as error:
                reasons[str(codec.spec)] = str(error)
                continue
            fingerprint = plan.codec_fingerprints[choice.name]
            plan.tasks.append(Task(selection.label, codec.spec, indices, shape, shown, fingerprint))
        if reasons and len(reasons) == len(codecs):
            reasons = {choice.name: next(iter(reasons.values()))}
        for name, reason in reasons.items():
            refused[name, reason] = refused.get((name, reason), 0) + len(indices)
    for (name, reason), count in refused.items():
        plan.skips.append(Skip(selection.label, name, count, reason))
