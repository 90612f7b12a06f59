"""What a run reports while it is carried out: notes, progress, failures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Something a watcher of a run may want to show."""

    kind: str
    """``note``, ``measured``, ``packed`` (whole sets), ``timed`` or ``failed``."""
    text: str = ""
    """The note, or the reason of a failure."""
    dataset: str = ""
    codec: str = ""
    """The codec with its settings, or empty."""
    done: int = 0
    """Finished steps of this stage, those of earlier commands included: tasks, or rounds of timings."""
    total: int = 0
    """Steps of this stage."""
    seconds_left: float | None = None
    """Expected time to the end of this stage, or None."""


Watch = Callable[[Event], None]


class Progress:
    """Counts the finished steps of a stage and estimates the time left from this command's own pace."""

    def __init__(self, kind: str, total: int, done: int, watch: Watch):
        self.kind, self.total, self.done, self.watch = kind, total, done, watch
        self.fresh, self.began = 0, time.perf_counter()
        watch(Event(kind, done=done, total=total))

    def step(self, dataset: str, codec: str, steps: int = 1) -> None:
        """Counts finished steps, and reports them to the watcher."""
        self.done += steps
        self.fresh += steps
        spent = time.perf_counter() - self.began
        known = self.fresh >= 5 and spent > 3.0  # the first steps wait for processes to start
        left = spent / self.fresh * (self.total - self.done) if known else None
        self.watch(Event(self.kind, "", dataset, codec, self.done, self.total, left))
