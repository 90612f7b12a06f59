"""The content of ``run.json``, and how a command adds itself to it; pure functions of plain JSON values.

schema         version of the run folder
datasets       by label: how many images were chosen, by which seed, their fingerprint, what kind of data they are
codecs         by name: fingerprint, sources, library versions, weights, what they were trained on
planned        by label and codec: the settings of every point that was asked for
skipped        pairs of codec and dataset that do not fit, with the reason
metrics        by name, the plugin metrics that some codec here was measured with: title, unit, better,
               description, fingerprint, versions, and by dataset which variant of it these images have; the record of
               a codec has the fingerprints of those that it was measured with
invocations    every command that measured into the folder: versions, machine, threads, seed, commit

A command is refused if the folder has another choice of images. For how many of them pictures are kept is no part of
that choice: these only become more.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Required, TypedDict

from codecbench.errors import UsageError
from codecbench.plan.tasks import Selection, metrics_fingerprint
from codecbench.store.schema import Misfit, Signed, fitting

SCHEMA = 3
"""Version of the run folder; a folder of another version is refused."""
PICTURED = ("shown", "classes")
"""Keys of a dataset's record about the images whose reconstructions are kept."""


class DatasetEntry(TypedDict, total=False):
    """Of a dataset in ``run.json``."""

    images: Required[int]
    fingerprint: Required[str]
    seed: Required[Signed]
    total: int
    shown: list[int]
    family: str
    training: bool
    classes: dict[int, Signed]


class WeightSize(TypedDict, total=False):
    """Of a weight file in ``run.json``."""

    bytes: int | None
    parameters: int | None


class CodecEntry(TypedDict, total=False):
    """Of a codec in ``run.json``."""

    fingerprint: Required[str]
    trained_on: Required[list[str]]
    metrics: dict[str, str]
    source: str
    versions: dict[str, str]
    weights: dict[str, str]
    weight_sizes: dict[str, WeightSize]
    weights_used: dict[str, str]
    about: str


class MetricEntry(TypedDict, total=False):
    """Of a plugin metric in ``run.json``."""

    fingerprint: Required[str]
    better: Required[str]
    title: str
    unit: str
    description: str
    versions: dict[str, str]
    variants: dict[str, str]


class Skip(TypedDict):
    """A pair in ``run.json`` that does not fit."""

    dataset: str
    codec: str
    images: int
    reason: str


class Conditions(TypedDict, total=False):
    """What else the machine was doing when a command began."""

    load_1min: float | None
    thread_variables: dict[str, str]


class Invocation(TypedDict, total=False):
    """A command in ``run.json``."""

    command: str
    started: str
    seed: Signed
    timing_threads: int | None
    device: str
    host: str
    machine: dict[str, Any]
    conditions: Conditions
    versions: dict[str, str]
    notes: list[str]


class Manifest(TypedDict):
    """The schema of ``run.json``."""

    schema: int
    datasets: dict[str, DatasetEntry]
    codecs: dict[str, CodecEntry]
    planned: dict[str, dict[str, list[str]]]
    skipped: list[Skip]
    metrics: dict[str, MetricEntry]
    invocations: list[Invocation]


def checked(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a ``run.json``; :class:`Misfit` where it is not what codecbench writes."""
    fitting(content, Manifest)  # the content stays plain JSON, with text for the keys of classes
    for label, codecs in content["planned"].items():
        if label not in content["datasets"] or not codecs.keys() <= content["codecs"].keys():
            raise Misfit(f"planned has {label!r} with datasets or codecs that are not in it")
    if strange := [skip["dataset"] for skip in content["skipped"] if skip["dataset"] not in content["datasets"]]:
        raise Misfit(f"skipped has the dataset {strange[0]!r}, which is not in it")
    return dict(content)


@dataclass(frozen=True)
class Addition:
    """What one command measures; see the keys of ``run.json``."""

    selections: Mapping[str, Selection]  # by dataset label
    codecs: Mapping[str, Mapping[str, Any]]
    planned: Mapping[str, Mapping[str, Sequence[str]]]
    skipped: Sequence[Mapping[str, Any]]
    invocation: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


def empty() -> dict[str, Any]:
    """The manifest of a run that nothing was measured into yet."""
    return {
        "schema": SCHEMA,
        "datasets": {},
        "codecs": {},
        "planned": {},
        "skipped": [],
        "metrics": {},
        "invocations": [],
    }


def joined(manifest: Mapping[str, Any], addition: Addition) -> dict[str, Any]:
    """A manifest with one more command in it; ``UsageError`` where it has another choice of images of a dataset."""
    result = copy.deepcopy(dict(manifest))
    for label, selection in addition.selections.items():
        described = _describe(selection)
        held = result["datasets"].setdefault(label, described)
        if _choice(held) != _choice(described):
            raise UsageError(
                f"already has {held['images']} images of {label} (seed {held['seed']}), and not the same as the "
                f"{len(selection.indices)} asked for (seed {selection.seed})"
            )
        result["datasets"][label] = _with_more_pictures(held, described)
    fingerprints = fingerprints_of(result)
    for label, points in addition.planned.items():
        kept = result["planned"].setdefault(label, {})
        for name, settings in points.items():
            codec = addition.codecs[name]
            same = fingerprints.get(name) == codec["fingerprint"]
            same = same and _metrics_of(result, name) == codec.get("metrics", {})
            kept[name] = list(dict.fromkeys([*(kept.get(name, ()) if same else ()), *settings]))
    for name, codec in addition.codecs.items():
        result["codecs"][name] = with_weights_of(codec, result["codecs"].get(name, {}))
    result["metrics"] = _with_more_metrics(result, addition.metrics)
    elsewhere = [
        skip
        for skip in result["skipped"]
        if skip["dataset"] not in addition.selections or skip["codec"].partition(":")[0] not in addition.codecs
    ]
    result["skipped"] = [*elsewhere, *addition.skipped]
    result["invocations"].append(dict(addition.invocation))
    result["schema"] = SCHEMA
    return result


def with_weights_of(codec: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A codec's record, with the weights that the points of another record decode with if it is of the same codec."""
    used = other.get("weights_used") if other.get("fingerprint") == codec.get("fingerprint") else None
    return dict(codec) | ({"weights_used": used | codec.get("weights_used", {})} if used else {})


def matches(
    manifest: Mapping[str, Any],
    selections: Mapping[str, Selection],
    fingerprints: Mapping[str, str],
    metrics: Mapping[str, str] | None = None,
) -> bool:
    """Whether a manifest has these images, and codecs and metrics with these fingerprints by name."""
    if any(_metrics_of(manifest, name) != (metrics or {}) for name in fingerprints):
        return False
    datasets, known = manifest["datasets"], fingerprints_of(manifest)
    return all(
        label in datasets
        and _choice(datasets[label]) == _choice(_describe(selection))
        and set(selection.shown) <= set(datasets[label].get("shown", ()))
        for label, selection in selections.items()
    ) and all(known.get(name) == fingerprint for name, fingerprint in fingerprints.items())


def metrics_fingerprint_of(manifest: Mapping[str, Any], codec: str) -> str:
    """:func:`metrics_fingerprint` of what a codec of a manifest was measured with."""
    return metrics_fingerprint(_metrics_of(manifest, codec))


def outdated_metrics(manifest: Mapping[str, Any], codec: str) -> list[str]:
    """Plugin metrics that were edited since a codec was measured, for others: its values of them do not count."""
    known = manifest["metrics"]
    measured = _metrics_of(manifest, codec)
    return [name for name, made in measured.items() if known.get(name, {}).get("fingerprint") != made]


def fingerprints_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The fingerprints of a manifest's codecs, by name."""
    return {name: codec["fingerprint"] for name, codec in manifest["codecs"].items()}


def _describe(selection: Selection) -> dict[str, Any]:
    record = {key: value for key, value in dataclasses.asdict(selection).items() if key not in ("label", "indices")}
    classes = {str(index): number for index, number in selection.classes}
    return record | {"shown": list(selection.shown), "classes": classes, "images": len(selection.indices)}


def _metrics_of(manifest: Mapping[str, Any], codec: str) -> dict[str, str]:
    """Names and fingerprints of the metrics that a codec was measured with."""
    return dict(manifest["codecs"].get(codec, {}).get("metrics", {}))


def _with_more_metrics(
    manifest: Mapping[str, Any], added: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """The metrics of a manifest with those of one more command; without those that no codec is measured with now."""
    found = dict(manifest["metrics"])
    for name, record in added.items():
        held = found.get(name, {})
        same = held.get("fingerprint") == record["fingerprint"]
        found[name] = {**record, "variants": (held.get("variants", {}) if same else {}) | dict(record["variants"])}
    used = {name for codec in manifest["codecs"] for name in _metrics_of(manifest, codec)}
    return {name: found[name] for name in sorted(found) if name in used}


def _choice(described: Mapping[str, Any]) -> dict[str, Any]:
    """A dataset's record without the images that are shown of it."""
    return {key: value for key, value in described.items() if key not in PICTURED}


def _with_more_pictures(held: Mapping[str, Any], described: Mapping[str, Any]) -> dict[str, Any]:
    """A dataset's record that shows what either of two does: the longer list first, of which the other is a part."""
    lists = sorted((list(held.get("shown", ())), described["shown"]), key=len, reverse=True)
    return dict(held) | {
        "shown": list(dict.fromkeys(index for shown in lists for index in shown)),
        "classes": held.get("classes", {}) | described["classes"],
    }
