"""What several runs are called when they are read as one, and what their ``run.json`` is then; see ``merged``."""

from __future__ import annotations

import copy
import io
import json
import shutil
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from codecbench.store import manifest
from codecbench.store.folder import RunFolder
from codecbench.store.io import dump_json, read_json, write_whole

MADE_OF = "merged"
"""Key of ``run.json`` with the names of the runs that a published table was merged from."""

Point = tuple[str, str, str]
"""Dataset, codec and settings."""


@dataclass
class Member:
    """One of the runs.

    Attributes:
        name: tells it from the others.
        store: its folder.
        datasets: labels in the view by those in the run.
        codecs: names in the view by those in the run.
    """

    name: str
    store: RunFolder
    datasets: dict[str, str] = field(default_factory=dict)
    codecs: dict[str, str] = field(default_factory=dict)

    def renamed(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A record of the run as the view has it: ``dataset``, ``codec`` and ``worst_of`` with their names there."""
        changed = dict(record)
        for key, names in (("dataset", self.datasets), ("codec", self.codecs), ("worst_of", self.codecs)):
            if isinstance(record.get(key), str):
                changed[key] = names.get(record[key], record[key])
        return changed


def point_of(record: Mapping[str, Any]) -> Point:
    """Whose record this is."""
    return record["dataset"], record["codec"], record["settings"]


def choose(images: Sequence[Mapping[Point, int]]) -> dict[Point, int]:
    """Which of several runs each point is taken from: the one with the most images, of equals the first.

    Args:
        images: of each run, images with a result by point; 0 where all failed.

    Returns:
        Numbers of runs by point.
    """
    winners: dict[Point, int] = {}
    for number, points in enumerate(images):
        for point, total in points.items():
            if point not in winners or total > images[winners[point]][point]:
                winners[point] = number
    return winners


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Short names that tell folders apart: their own, or with as many of those above as it takes.

    Args:
        paths: different absolute paths.
    """
    longest = max(len(path.parts) for path in paths)
    names = [path.name for path in paths]
    for depth in range(1, longest + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            break
    # A colon would end a codec's name in a spec, and a comma the spec.
    return [name.replace(":", "_").replace(",", "_") for name in names]


# ---- names ----------------------------------------------------------------------------------------------------------


def name_apart(members: Sequence[Member]) -> list[str]:
    """Fills in the names of every run's datasets and codecs, and says what there is to say."""
    names = [member.name for member in members]
    notes = [f"Several runs are shown together: {' and '.join(names)}."]
    edited = _different_metrics(members)
    for kind, key in (("dataset", "datasets"), ("codec", "codecs")):
        groups: dict[str, dict[str, list[Member]]] = {}
        for number, member in enumerate(members):
            for name, record in member.store.manifest[key].items():
                made = [record.get("fingerprint") or f"not told by run {number}"]
                made += [record.get("metrics", {}).get(metric) for metric in edited]
                groups.setdefault(name, {}).setdefault(repr(made), []).append(member)
        taken = set(groups)
        for name, prints in groups.items():
            for holders in prints.values():
                new = name if len(prints) == 1 else _unused(f"{name} ({'+'.join(m.name for m in holders)})", taken)
                for member in holders:
                    getattr(member, key)[name] = new
            if len(prints) > 1:
                apart = " and ".join(getattr(holders[0], key)[name] for holders in prints.values())
                why = (
                    "the runs hold other images of it"
                    if kind == "dataset"
                    else "its plugin, weights, libraries, device or the measuring code differ"
                )
                notes.append(f"{name} stands as {apart}: {why}.")
    labels = [set(member.datasets.values()) for member in members]
    if not any(labels[a] & labels[b] for a in range(len(labels)) for b in range(a)):
        notes.append("The runs have no images in common: codecs compare within one data set only, never across two.")
    if edited:
        notes.append(f"{', '.join(edited)}: the runs computed this with different code; only values of one are shown.")
    return notes


def _unused(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    taken.add(name)
    return name


def _different_metrics(members: Sequence[Member]) -> list[str]:
    """Plugin metrics that the runs computed with different code."""
    prints: dict[str, set[str]] = {}
    for member in members:
        for name, record in member.store.manifest["metrics"].items():
            prints.setdefault(name, set()).add(str(record.get("fingerprint")))
    return sorted(name for name, found in prints.items() if len(found) > 1)


def merged_manifest(members: Sequence[Member], notes: Sequence[str]) -> dict[str, Any]:
    """The ``run.json`` of several runs as one.

    Args:
        members: the runs, with the names that :func:`name_apart` gave.
        notes: what it had to say; stands among the notes of the first command.
    """
    merged = manifest.empty()
    merged[MADE_OF] = [member.name for member in members]
    skips: dict[tuple[str, str], dict[str, Any]] = {}
    for member in members:
        own = copy.deepcopy(member.store.manifest)
        for label, record in own["datasets"].items():
            held = merged["datasets"].setdefault(member.datasets[label], record)
            _show_both(held, record)
        for name, record in own["codecs"].items():
            new = member.codecs[name]
            same = merged["codecs"][new] = manifest.with_weights_of(merged["codecs"].get(new, record), record)
            if "metrics" in record:
                same["metrics"] = record["metrics"] | same.get("metrics", {})
        for label, codecs in own["planned"].items():
            kept = merged["planned"].setdefault(member.datasets.get(label, label), {})
            for name, settings in codecs.items():
                new = member.codecs.get(name, name)
                kept[new] = list(dict.fromkeys([*kept.get(new, ()), *settings]))
        for skip in own["skipped"]:
            name, colon, settings = skip["codec"].partition(":")
            codec = member.codecs.get(name, name) + colon + settings
            label = member.datasets.get(skip["dataset"], skip["dataset"])
            skips.setdefault((label, codec), skip | {"dataset": label, "codec": codec})
        merged["invocations"] += [call | {"run": member.name} for call in own["invocations"]]
        for name, record in own["metrics"].items():
            variants = {member.datasets.get(label, label): text for label, text in record.get("variants", {}).items()}
            held = merged["metrics"].setdefault(name, record | {"variants": {}})
            if held["fingerprint"] == record["fingerprint"]:
                held["variants"] = variants | held["variants"]
        for key, value in own.items():  # of later additions to run.json
            if isinstance(value, dict) and key not in ("datasets", "codecs", "planned", "metrics"):
                merged[key] = value | merged.get(key, {})
    merged["skipped"] = list(skips.values())
    if merged["invocations"]:
        first = merged["invocations"][0]
        first["notes"] = [*notes, *first.get("notes", ())]
    return merged


def _show_both(held: dict[str, Any], record: Mapping[str, Any]) -> None:
    """Of images that two runs hold, those are shown that both kept, so that all codecs have them."""
    common = [image for image in held.get("shown", ()) if image in record.get("shown", ())]
    if common:
        held["shown"] = common
    if record.get("classes"):
        held["classes"] = record["classes"] | held.get("classes", {})


# ---- what lies beside the parts --------------------------------------------------------------------------------------


def bring(member: Member, file: Path, place: Path, told: set[tuple[str, ...]], here: set[tuple[str, ...]]) -> None:
    """Lays a file of a run beside the view, with the names that the view has; one that cannot be read is left out."""
    if place.exists():
        return
    place.parent.mkdir(exist_ok=True)
    if file.parent.name == "training" or file.suffix == ".csv":
        shutil.copyfile(file, place)  # named by the checksum of the weights
        return
    try:
        if file.suffix == ".json":
            about = read_json(file) or {}
            content = dump_json(member.renamed(about))
        else:
            with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as archive:
                arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
            about = json.loads(str(arrays["about"]))
            buffer = io.BytesIO()
            np.savez(buffer, **arrays | {"about": np.array(json.dumps(member.renamed(about)))})
            content = buffer.getvalue()
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return
    about = member.renamed(about)
    subject = (file.parent.name, str(about.get("dataset")), str(about.get("worst_of", about.get("codec"))))
    if file.parent.name == "kept" and subject in told:
        return  # a codec's worst images are those of one run
    here.add(subject)
    write_whole(place, content)
