"""Times in a run folder: how a codec point's record is named, written and read, and which of several counts.

    RUN/timings/ID.json    times of one codec point on one dataset, on one machine, with one number of threads

How times are taken is told in ``codecbench.execution.timings``, the columns made of them in
``codecbench.analysis.summary``.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codecbench.fingerprint import digest
from codecbench.measure.timing import ROUNDS, Timing
from codecbench.plugins.codec import CodecSpec
from codecbench.store import io
from codecbench.store import manifest as manifests
from codecbench.store.io import dump_json, read_json

FOLDER = "timings"
PROTOCOL = 2
"""Version of how times are taken; those of another version do not count."""


def file_name(manifest: Mapping[str, Any], label: str, codec: CodecSpec, fingerprint: str, threads: int) -> str:
    """Where the times of a codec point on a dataset lie in a run folder, or would."""
    images = manifest["datasets"][label]["fingerprint"]
    name = digest([PROTOCOL, label, str(codec), fingerprint, images, threads])
    return f"{FOLDER}/{name}.json"


def content(label: str, codec: CodecSpec, fingerprint: str, timing: Timing) -> bytes:
    """What is written of the times of a codec point on a dataset, also of those that lack rounds yet."""
    record = {
        "dataset": label,
        "codec": codec.name,
        "settings": codec.settings_text,
        "codec_fingerprint": fingerprint,
        "protocol": PROTOCOL,
    }
    return dump_json(record | dataclasses.asdict(timing))


def read(file: Path) -> Timing | None:
    """The times in a file, as many rounds as there are; None where there are none, or something else."""
    record = read_json(file)
    names = [field.name for field in dataclasses.fields(Timing)]
    if record is None or not io.is_timing(record) or not record.keys() >= set(names):
        return None
    values: dict[str, Any] = {
        name: tuple(record[name]) if isinstance(record[name], list) else record[name] for name in names
    }
    return Timing(**values)


def records(path: Path, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The times that count, one record a codec point; those with a reason under ``failed`` could not be taken.

    Where a point was timed with several numbers of threads, the record is of the number with which most points were
    timed, so that they can be compared; of several such numbers, that of the last command that took times.

    Args:
        path: the run folder; damaged files in it are set aside.
        manifest: its ``run.json``.
    """
    known = manifests.fingerprints_of(manifest)
    threads = [call.get("timing_threads") for call in manifest["invocations"]]
    wanted = next((number for number in reversed(threads) if number is not None), None)
    found: list[dict[str, Any]] = []
    for file in sorted((path / FOLDER).glob("*.json")):
        if not io.TASK_ID.fullmatch(file.stem):
            continue  # somebody else's
        record = read_json(file)
        if record is None or not io.is_timing(record):
            io.set_aside(file)
        elif known.get(record["codec"]) == record["codec_fingerprint"] and _is_whole(record):
            found.append(record)
    often = Counter(record["threads"] for record in found)

    def rank(record: Mapping[str, Any]) -> tuple[int, int, bool]:
        return record.get("protocol", 1), often[record["threads"]], record["threads"] == wanted

    current: dict[tuple[str, str, str], dict[str, Any]] = {}
    for record in sorted(found, key=rank):
        current[record["dataset"], record["codec"], record["settings"]] = record
    return list(current.values())


def _is_whole(timing: Mapping[str, Any]) -> bool:
    """Whether times have all their rounds; those of protocol 1 were written at the end only."""
    return bool(timing["failed"]) or "protocol" not in timing or len(timing["encode_s"]) >= ROUNDS
