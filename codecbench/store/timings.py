"""Times in a run folder: how a codec point's record is named, and which of several records counts.

    RUN/timings/ID.json    times of one codec point on one dataset, on one machine, with one number of threads

``codecbench.execution.timings`` takes the times; ``codecbench.analysis`` makes columns of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from codecbench.fingerprint import digest
from codecbench.measure.timing import Timing
from codecbench.plan.tasks import Task
from codecbench.store.io import Record, read_records

PROTOCOL = 2
"""Version of how times are taken; those of another version do not count."""


@dataclass(frozen=True, kw_only=True)
class TimingRecord(Record, Timing):
    """The times of one codec point on one dataset, as many rounds as were taken."""

    FOLDER: ClassVar[str] = "timings"
    SET_ASIDE: ClassVar[bool] = True

    protocol: int

    def counts(self, manifest: Mapping[str, Any]) -> bool:
        """As for every record, with all rounds, or a reason why there are none."""
        return super().counts(manifest) and self.protocol == PROTOCOL and bool(self.failed or self.complete)


def file_name(manifest: Mapping[str, Any], task: Task, threads: int) -> str:
    """The path in the run folder for the times of a task's codec point on its dataset."""
    images = manifest["datasets"][task.dataset]["fingerprint"]
    name = digest([PROTOCOL, task.dataset, str(task.codec), task.codec_fingerprint, images, threads])
    return f"{TimingRecord.FOLDER}/{name}.json"


def read(path: Path, manifest: Mapping[str, Any]) -> list[TimingRecord]:
    """The times of a run folder that count, one record a codec point; ``failed`` says why there are none.

    Where a point was timed with several numbers of threads, the record is of the number with which most points were
    timed, so that they can be compared; of several such numbers, that of the last command that took times.
    """
    threads = [call.get("timing_threads") for call in manifest["invocations"]]
    wanted = next((number for number in reversed(threads) if number is not None), None)
    found = read_records(path, TimingRecord, manifest)
    often = Counter(record.threads for record in found)
    ranked = sorted(found, key=lambda record: (often[record.threads], record.threads == wanted))
    return list({record.point: record for record in ranked}.values())  # of each point the last
