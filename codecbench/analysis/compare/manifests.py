"""What differs between two runs, by their ``run.json`` alone: one line a difference, nothing about what is the same.

A run is measured by one command or by several, perhaps on several machines. Where these differ among themselves, all
their values are named, and two runs differ where those sets do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codecbench.text import count

Manifest = Mapping[str, Any]

CALL_FACTS = {
    "device": "device asked for",
    "seed": "seed",
    "workers": "workers",
    "threads_per_worker": "threads per worker",
    "timing_threads": "threads while timing",
    "git_commit": "commit of codecbench",
}
"""Facts of a command, by their keys in ``run.json``."""
MACHINE_FACTS = {
    "memory_gib": "memory (GiB)",
    "cores": "cores for the process",
    "logical_cores": "cores of the machine",
    "boost": "clock boost",
    "virtual": "virtual machine",
    "device": "computing device",
    "driver": "GPU driver",
}
"""Facts of a machine whose keys do not speak for themselves."""


def differences(a: Manifest, b: Manifest) -> list[str]:
    """What differs between two runs, one line ``A -> B`` each: codecs, datasets, machine, threads, seeds, versions.

    What only one of the runs has recorded stands together in the last lines.
    """
    changed = _codecs(a["codecs"], b["codecs"])
    lines = [f"codec{'s' * (len(names) > 1)} {', '.join(names)}: {what}" for what, names in changed.items()]
    lines += _datasets(a["datasets"], b["datasets"])
    lines += _metrics(a.get("metrics", {}), b.get("metrics", {}))
    untold: tuple[list[str], list[str]] = ([], [])
    for what, path in _facts(a, b).items():
        mine, others = _values(a, path), _values(b, path)
        if mine == others:
            continue
        if not (mine and others):
            untold[0 if others else 1].append(what)
            continue
        line = f"{what} {' and '.join(mine)} -> {' and '.join(others)}"
        lines += [] if line in changed else [line]  # a codec's own line has said it
    return lines + [f"only {told} tells: {', '.join(names)}" for told, names in zip("BA", untold, strict=True) if names]


def _codecs(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, list[str]]:
    """What differs, with the names of the codecs that it is true of."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys([*a, *b]):
        if name not in a or name not in b:
            what = ["only in A" if name in a else "only in B"]
        elif a[name]["fingerprint"] == b[name]["fingerprint"]:
            continue
        else:
            what = _libraries(a[name].get("versions", {}), b[name].get("versions", {}))
            what += ["plugin source changed"] if a[name].get("source") != b[name].get("source") else []
            what += _weights(a[name].get("weights", {}), b[name].get("weights", {}))
            what = what or ["same source, libraries and weights; another codecbench, measuring code or device"]
        for line in what:
            found.setdefault(line, []).append(name)
    return found


def _libraries(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    names = dict.fromkeys([*a, *b])
    return [
        f"{name} {a.get(name, 'absent')} -> {b.get(name, 'absent')}" for name in names if a.get(name) != b.get(name)
    ]


def _weights(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    lines = [
        f"weights {file} only in {'A' if file in a else 'B'}"
        for file in dict.fromkeys([*a, *b])
        if (file in a) != (file in b)
    ]
    return lines + [f"weights {file} changed" for file in a if file in b and a[file] != b[file]]


def _metrics(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Plugin metrics that only one run has, or that were edited between them: these are not compared."""
    lines = []
    for name in dict.fromkeys([*a, *b]):
        if name not in a or name not in b:
            lines.append(f"metric {name}: only in {'A' if name in a else 'B'}")
        elif a[name]["fingerprint"] != b[name]["fingerprint"]:
            what = _libraries(a[name].get("versions", {}), b[name].get("versions", {}))
            lines.append(f"metric {name}: {'; '.join(what) or 'source changed'}; not compared")
    return lines


def _datasets(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    lines = []
    for label in dict.fromkeys([*a, *b]):
        if label not in a or label not in b:
            lines.append(f"dataset {label}: only in {'A' if label in a else 'B'}")
        elif not same_images(a, b, label):
            lines.append(f"dataset {label}: other images: {_chosen(a[label])} -> {_chosen(b[label])}")
    return lines


def labels_of(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, str]:
    """Names for B's datasets, by those that they have in B: A's names of the same images, else their own."""
    known = {a[label].get("fingerprint") or label: label for label in reversed(list(a))}
    found = {label: known[record["fingerprint"]] for label, record in b.items() if record.get("fingerprint") in known}
    return found | {label: f"{label} (B)" if label in found.values() else label for label in b if label not in found}


def same_images(a: Mapping[str, Any], b: Mapping[str, Any], label: str) -> bool:
    """Whether two runs have the same images of a dataset, by the fingerprint of their pixels."""
    mine = a[label].get("fingerprint")
    return bool(mine) and mine == b[label].get("fingerprint")


def _chosen(record: Mapping[str, Any]) -> str:
    what = f"{count(int(record['images']), 'image')} of {record['total']:,}"
    return f"{what} (seed {record['seed']}, fingerprint {str(record.get('fingerprint') or 'not told')[:8]})"


def _facts(a: Manifest, b: Manifest) -> dict[str, tuple[str, ...]]:
    """What is told about the commands of two runs, with the place of each fact in a command's record."""
    calls = [*a["invocations"], *b["invocations"]]
    facts: dict[str, tuple[str, ...]] = {"host": ("host",)}
    for key in dict.fromkeys(key for call in calls for key in call.get("machine", {})):
        facts[MACHINE_FACTS.get(key, key)] = ("machine", key)
    facts |= {name: (key,) for key, name in CALL_FACTS.items()}
    facts["thread variables"] = ("conditions", "thread_variables")
    for key in dict.fromkeys(key for call in calls for key in call.get("versions", {})):
        facts[key] = ("versions", key)
    return facts


def _values(run: Manifest, path: tuple[str, ...]) -> list[str]:
    """What a run's commands say about one fact: their different values; none where none of them tells."""
    found = set()
    for call in run["invocations"]:
        value: Any = call
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, Mapping):
            value = " ".join(f"{key}={text}" for key, text in value.items()) or "none set"
        if value not in (None, ""):
            found.add(str(value))
    return sorted(found)
