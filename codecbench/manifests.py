"""What ``run.json`` holds, and how a command adds itself to it; pure functions of plain JSON values.

schema         version of the run folder
datasets       by label: how many images were chosen, by which seed, their fingerprint, what kind of data they are
codecs         by name: fingerprint, sources, library versions, weights, what they were trained on
planned        by label and codec: the settings of every point that was asked for
skipped        pairs of codec and dataset that do not fit, with the reason
invocations    every command that measured into the folder: versions, machine, threads, seed, commit

A command is refused, not mixed in, where the folder holds another choice of images.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codecbench.errors import UsageError
from codecbench.records import Selection

SCHEMA = 2
"""Version of the run folder: 2 since timings are taken in rounds. Folders of version 1 are read, and gone on with."""
TIMING_PROTOCOL = 2
"""Version of how times are taken; those of another version stay, and are taken again when a command asks for times."""


@dataclass(frozen=True)
class Addition:
    """What one command measures.

    Attributes:
        selections: the images chosen, by dataset label.
        codecs: fingerprint and description of every codec measured, by name.
        planned: settings of the points to be measured, by dataset label and codec name.
        skipped: pairs of codec and dataset that do not fit.
        invocation: command, versions, machine, threads, seed and commit.
    """

    selections: Mapping[str, Selection]
    codecs: Mapping[str, Mapping[str, Any]]
    planned: Mapping[str, Mapping[str, Sequence[str]]]
    skipped: Sequence[Mapping[str, Any]]
    invocation: Mapping[str, Any]


def empty() -> dict[str, Any]:
    """The manifest of a run that nothing was measured into yet."""
    return {"schema": SCHEMA, "datasets": {}, "codecs": {}, "planned": {}, "skipped": [], "invocations": []}


def joined(manifest: Mapping[str, Any], addition: Addition) -> dict[str, Any]:
    """A manifest with one more command in it.

    Raises:
        UsageError: it already holds another choice of images of one of the datasets.
    """
    result = copy.deepcopy(dict(manifest))
    for label, selection in addition.selections.items():
        held = result["datasets"].setdefault(label, _describe(selection))
        if held != _describe(selection):
            raise UsageError(
                f"already holds {held['images']} images of {label} (seed {held['seed']}), and not the same as the "
                f"{len(selection.indices)} asked for (seed {selection.seed})"
            )
    fingerprints = fingerprints_of(result)
    for label, points in addition.planned.items():
        kept = result["planned"].setdefault(label, {})
        for name, settings in points.items():
            same = fingerprints.get(name) == addition.codecs[name]["fingerprint"]
            kept[name] = list(dict.fromkeys([*(kept.get(name, ()) if same else ()), *settings]))
    result["codecs"].update(addition.codecs)
    elsewhere = [
        skip
        for skip in result["skipped"]
        if skip["dataset"] not in addition.selections or skip["codec"].partition(":")[0] not in addition.codecs
    ]
    result["skipped"] = [*elsewhere, *addition.skipped]
    result["invocations"].append(dict(addition.invocation))
    result["schema"] = SCHEMA
    return result


def holds(manifest: Mapping[str, Any], selections: Mapping[str, Selection], fingerprints: Mapping[str, str]) -> bool:
    """Whether these images, and codecs with these fingerprints by name, are the ones that a manifest knows."""
    datasets, known = manifest["datasets"], fingerprints_of(manifest)
    return all(datasets.get(label) == _describe(selection) for label, selection in selections.items()) and all(
        known.get(name) == fingerprint for name, fingerprint in fingerprints.items()
    )


def fingerprints_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The fingerprints of a manifest's codecs, by name."""
    return {name: codec["fingerprint"] for name, codec in manifest["codecs"].items()}


def _describe(selection: Selection) -> dict[str, Any]:
    record = {key: value for key, value in dataclasses.asdict(selection).items() if key not in ("label", "indices")}
    return record | {"shown": list(selection.shown), "images": len(selection.indices)}
