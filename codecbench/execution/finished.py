"""The stamp of a finished command: whether the same command would find nothing to do, without importing a codec.

Importing every codec takes seconds where PyTorch is among them. A command that left nothing to measure writes down what
it was asked and everything that decided its plan: the sources of codecbench and of all plugins, the weights, and the
versions of all installed packages. While all of these are the same, its list of tasks is the same, and only the run
folder and the images need to be looked at.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from codecbench.execution import metrics
from codecbench.fingerprint import digest, file_sha256
from codecbench.plan.planner import Plan, fingerprint_selection, select
from codecbench.plugins.dataset import Dataset
from codecbench.plugins.registry import CODECS, DATASETS, METRICS
from codecbench.store.folder import RunFolder, original_name
from codecbench.store.latents import Latents, LatentsRecord
from codecbench.store.pictures import WorstCase, WorstImagesRecord
from codecbench.store.sets import SetRecord

FILE = "stamp.json"


def write(store: RunFolder, request: Mapping[str, Any], plan: Plan, timing_threads: int | None) -> None:
    """Leaves a stamp in a run folder in which nothing of a plan, which is what a request came to, is left to do."""
    classes = [CODECS.get(name) for name in plan.codec_fingerprints]
    own = Path(__file__).parents[2] / "codecs", Path(__file__).parents[1] / "codecs"
    if not all(Path(str(sys.modules[cls.__module__].__file__)).parent in own for cls in classes):
        return  # other people's plugins may be made of anything
    if not all(metrics.is_own(name) for name in plan.metrics):
        return  # so may their metrics
    if any(store.failures(LatentsRecord)) or any(store.failures(WorstImagesRecord)):
        return  # the same command tries again
    weights = [Path(file).absolute() for cls in classes for file in cls.weight_files()]
    decisive = [*weights, *(file.with_suffix(".csv") for file in weights), *_kept(store, plan, timing_threads)]
    stamp = {
        "request": dict(request),
        "surroundings": surroundings(),
        "tasks": [task.id for task in plan.tasks],
        "files": {_name(store.path, file): _state(file) for file in dict.fromkeys(decisive)},
    }
    store.write_file(FILE, json.dumps(stamp).encode())


def remove(store: RunFolder) -> None:
    """Forgets the stamp of a run folder that is about to change."""
    (store.path / FILE).unlink(missing_ok=True)


def _kept(store: RunFolder, plan: Plan, timing_threads: int | None) -> list[Path]:
    """What must be in the run folder beside the parts: what is kept, whole sets, and times of every point."""
    folders = (Latents.FOLDER, "training", WorstCase.FOLDER, SetRecord.FOLDER)
    found = [file for name in folders for file in (store.path / name).glob("*")]
    samples = [original_name(label) for label in plan.selections] + [f"{task.id}.npz" for task in plan.tasks]
    found += [file for name in samples if (file := store.path / "samples" / name).is_file()]
    if timing_threads is not None:
        found += [store.timing_file(task, timing_threads) for task in plan.tasks]
    return found


def _name(folder: Path, file: Path) -> str:
    return str(file.relative_to(folder) if file.is_relative_to(folder) else file)


def _state(file: Path) -> str:
    """What a file must still be: its checksum; of pictures, of which there may be gigabytes, the size."""
    if file.parent.name == "samples":
        return f"{file.stat().st_size} bytes" if file.is_file() else "missing"
    return file_sha256(file)


def holds(path: Path, request: Mapping[str, Any], datasets: Sequence[Dataset], data_dir: Path) -> int:
    """How many tasks are finished where a request would find nothing to do; 0 where anything changed or is missing."""
    try:
        stamp = json.loads((path / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    if not isinstance(stamp, dict) or stamp.keys() != {"request", "surroundings", "tasks", "files"}:
        return 0
    if stamp["request"] != dict(request) or stamp["surroundings"] != surroundings():
        return 0
    store = RunFolder(path)
    if not set(stamp["tasks"]) <= store.finished():
        return 0
    if any(_state(path / name) != state for name, state in stamp["files"].items()):
        return 0
    for dataset in datasets:
        images = dataset.load(data_dir)
        selection = select(dataset, images, request["images"], request["seed"], request["keep_images"])
        known = store.manifest["datasets"].get(dataset.label, {}).get("fingerprint")
        if fingerprint_selection(images, selection) != known:
            return 0
    return len(stamp["tasks"])


def surroundings() -> str:
    """Digest of all sources of codecbench and of the plugins that are registered, and of all packages' versions."""
    package = Path(__file__).parents[1]
    sources = {str(file) for file in package.rglob("*.py")}
    for registry in (CODECS, DATASETS, METRICS):
        for folder in importlib.import_module(registry.package).__path__:
            sources |= {str(file) for file in Path(folder).glob("*.py")}
    sha = hashlib.sha256()
    for file in sorted(sources):
        sha.update(f"{file}\n".encode("utf-8", "surrogateescape") + Path(file).read_bytes())
    devices = sorted(str(file) for file in Path("/dev").glob("nvidia[0-9]*"))
    folders = (CODECS.variable, DATASETS.variable, METRICS.variable)
    variables = [os.environ.get(name, "") for name in (*folders, "CUDA_VISIBLE_DEVICES")]
    return digest([platform.python_version(), _packages(), variables, devices, sha.hexdigest()])


def _packages() -> list[str]:
    found: Iterable[importlib.metadata.Distribution] = importlib.metadata.distributions()
    return sorted(Path(str(getattr(distribution, "_path", ""))).name for distribution in found)
