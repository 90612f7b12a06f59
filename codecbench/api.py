"""Runs as Python and the commands see them: measuring one, and its tables, comparisons and report."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecbench.errors import UsageError
from codecbench.execution.context import Watch
from codecbench.execution.runner import RunRequest, carry_out
from codecbench.plan.planner import KEPT_IMAGES
from codecbench.store.folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

    from codecbench.analysis.compare import Comparison


TASK_TIMEOUT_S = 3600.0
"""How long a codec may take to encode or decode one task by default, in seconds."""


@dataclass(frozen=True)
class Run:
    """A run folder and what can be read from it.

    Attributes:
        path: the folder.
        failed_tasks: tasks that this command could not measure.
        changed: whether this command had anything to measure.
    """

    path: Path
    failed_tasks: int = 0
    changed: bool = True

    def summary(self) -> pd.DataFrame:
        """One row per dataset × codec × settings; the columns are described in ``codecbench.analysis.summary``.

        Made from the folder's parts; of a published run without them, read from its ``summary.csv``.

        Raises:
            StoreError: the folder is damaged.
        """
        from codecbench.analysis.summary import summary_of

        return summary_of(RunFolder.existing(self.path))

    def rows(self) -> pd.DataFrame:
        """One row per image and codec point; the columns are those of ``RunFolder.rows``."""
        return RunFolder.existing(self.path).rows()

    def match(
        self, codec: str, against: str, *, dataset: str | None = None, at: str = "error", by: str = "mse"
    ) -> pd.DataFrame:
        """At which setting another codec has this one's error, and what each costs; or the same at equal bits.

        Args:
            codec: whose points are matched: a name, or a spec whose settings narrow to the points that agree.
            against: the codec whose curves are read between measured neighbours; written in the same way.
            dataset: label of one dataset of the run; None for all.
            at: ``"error"`` to match at equal error, ``"bytes"`` at equal rate.
            by: ``"mse"``, ``"mse_float"``, ``"psnr_db"``, ``"psnr_of_mean_mse_db"``, ``"ssim"``, or a plugin metric
                that the run measured.

        Returns:
            One row per dataset × point × curve of the other; the columns are described in
            ``codecbench.analysis.match``.

        Raises:
            UsageError: an unknown codec, dataset, setting or measure, points against themselves, or no values.
            StoreError: the folder is damaged.
        """
        from codecbench.analysis import match as matching

        store = RunFolder.existing(self.path)
        summary = matching.over_same_images(store, self.summary(), codec, against, by)
        return matching.match(summary, store.manifest, codec, against, dataset=dataset, at=at, by=by)

    def bd_rates(
        self,
        anchor: str | None = None,
        *,
        by: str = "psnr_db",
        rate: str = "whole",
        method: str = "pchip",
        dataset: str | None = None,
        curve: str | None = None,
        replicates: int = 200,
    ) -> pd.DataFrame:
        """How many per cent more or fewer bits every codec needs than one of them at equal quality (BD-rate).

        Args:
            anchor: the codec that the others are compared with; None for
                ``codecbench.analysis.bd_rate.default_anchor``.
            by: the measure of quality that is equal: ``"psnr_db"``, ``"ssim"`` or another that the run has.
            rate: ``"whole"`` for whole files, ``"payload"`` for files without their container's bytes.
            method: ``"pchip"``, ``"cubic"`` or ``"akima"``.
            dataset: label of one dataset of the run; None for all.
            curve: which of the anchor's curves, by the settings that hold along it; None for its best.
            replicates: of the bootstrap over images that makes the intervals; 0 for none. Published runs have none.

        Returns:
            One row per dataset × codec × curve; the columns are described in ``codecbench.analysis.bd_rate.COLUMNS``.

        Raises:
            UsageError: no curve at all, or an anchor, measure, dataset, rate, method or curve that is not known.
            StoreError: the folder is damaged.
        """
        from codecbench.analysis import bd_rate

        store = RunFolder.existing(self.path)
        same, anchor = bd_rate.anchored(store, self.summary(), by, anchor, dataset, replicates)
        asked: dict[str, Any] = {"quality": by, "rate": rate, "method": method, "anchor_curve": curve}
        return bd_rate.table(same.over(by), anchor, **asked, resampled=same.resampled)

    def savings(
        self,
        anchor: str | None = None,
        *,
        levels: Sequence[float] | None = None,
        by: str = "psnr_db",
        rate: str = "whole",
        dataset: str | None = None,
        curve: str | None = None,
    ) -> pd.DataFrame:
        """What every codec takes at fixed levels of quality, beside one of them.

        Args:
            anchor: as for :meth:`bd_rates`.
            levels: of the measure; None for 30, 35 and 40 dB, or for SSIM 0.9, 0.95 and 0.98.
            by: as for :meth:`bd_rates`.
            rate: as for :meth:`bd_rates`.
            dataset: as for :meth:`bd_rates`.
            curve: as for :meth:`bd_rates`.

        Returns:
            One row per dataset × codec × curve × level; the columns are described in
            ``codecbench.analysis.sizes.COLUMNS``.

        Raises:
            UsageError: as for :meth:`bd_rates`.
            StoreError: the folder is damaged.
        """
        from codecbench.analysis import bd_rate
        from codecbench.analysis import sizes as savings

        same, anchor = bd_rate.anchored(RunFolder.existing(self.path), self.summary(), by, anchor, dataset)
        return savings.table(same.over(by), anchor, qualities_db=levels, quality=by, rate=rate, anchor_curve=curve)

    def sets(self) -> pd.DataFrame:
        """What whole data sets take as one stream; the columns are described in ``codecbench.analysis.sets.COLUMNS``.

        Raises:
            StoreError: the folder is damaged.
        """
        from codecbench.analysis import sets

        return sets.table(RunFolder.existing(self.path))

    def compare(self, other: Run, **options: Any) -> Comparison:
        """What changed from this run to another: what was measured with what, rates, distortions and times.

        Args:
            other: the run that is compared with this one, the baseline.
            options: those of ``codecbench.analysis.compare.compare``.

        Raises:
            UsageError: nothing in common, or a dataset, codec or threshold that is not known.
            StoreError: a folder is damaged.
        """
        from codecbench.analysis.compare import compare

        return compare(RunFolder.existing(self.path), RunFolder.existing(other.path), **options)

    def report(self) -> Path:
        """Writes ``summary.csv``, ``figures/`` and ``report.html`` into the folder; measures nothing.

        Returns:
            The path of ``report.html``.
        """
        from codecbench.report import write_report

        store = RunFolder.existing(self.path)
        store.require_parts()
        return write_report(store)

    @property
    def report_is_current(self) -> bool:
        """Whether ``report.html`` was drawn after everything in the folder was measured."""
        page = self.path / "report.html"
        names = ("run.json", "parts", "timings", "latents", "training", "sets")
        sources = [self.path / name for name in names if (self.path / name).exists()]
        return page.is_file() and page.stat().st_mtime >= max(source.stat().st_mtime for source in sources)


def load_run(path: str | os.PathLike[str]) -> Run:
    """Opens a run that was measured before.

    Raises:
        UsageError: there is none.
        StoreError: it is damaged or of a newer version.
    """
    if not str(path):
        raise UsageError("an empty name is no run; allowed: the path of a run folder")
    return Run(RunFolder.existing(Path(path)).path)


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
        images: how many images of each dataset, chosen by ``seed``; None for all.
        out: the run folder; by default ``results/<datasets>-<images>`` below the current directory.
        skip: codecs to leave out.
        metrics: names of plugin metrics, measured beside those of every run; ``"none"`` for none, None for those
            of codecbench's own plugins that are meant for every run and available here.
        workers: worker processes, each with one that encodes and one that decodes; None for one per core, or at most
            two on a GPU.
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
    asked = {name: value for name, value in locals().items() if name != "watch"}  # the fields of a request
    return Run(*carry_out(RunRequest(**asked), watch))
