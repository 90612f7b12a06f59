"""Run folders made up for tests of what reads them: no codec runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codecbench.measure.task import Measurement
from codecbench.measure.timing import Timing
from codecbench.plan.tasks import Selection, Task, metrics_fingerprint
from codecbench.plugins.codec import CodecSpec, Images, Shape
from codecbench.plugins.settings import Value
from codecbench.store.folder import RunFolder, original_name
from codecbench.store.io import DatasetRecord
from codecbench.store.manifest import Addition
from codecbench.store.sets import SetRecord
from codecbench.store.tasks import failure_files, task_files

INVOCATION = {
    "command": "codecbench run --codecs all",
    "started": "2024-05-06T07:08:09+0000",
    "git_commit": "0123456789ab",
    "seed": 3,
    "workers": 2,
    "device": "cpu",
    "machine": {"system": "Linux x86_64", "cpu": "Test CPU", "cores": 2, "memory_gib": 8.0, "device": "cpu"},
    "versions": {"python": "3.11.0", "codecbench": "0.1.0"},
}
METRIC = {
    "title": "Likeness",
    "unit": "",
    "better": "higher",
    "description": "made up",
    "fingerprint": "print-of-metric",
    "versions": {},
    "variants": {},
}
"""What ``run.json`` tells of a plugin metric."""


class MadeUpRun:
    """Writes a run folder piece by piece: eight images a dataset, the first two of them shown.

    ``datasets`` have the shape of their images, ``trained_on`` the families of learned codecs; of the codecs that are
    ``absent`` a point is planned on every dataset and never measured; ``training`` are the datasets that learned codecs
    were trained on; ``metrics`` are plugin metrics as in ``run.json``, see ``METRIC``.
    """

    def __init__(
        self,
        path: Path,
        datasets: dict[str, Shape],
        codecs: Sequence[str] = (),
        trained_on: dict[str, tuple[str, ...]] | None = None,
        skipped: Sequence[dict[str, Any]] = (),
        notes: Sequence[str] = (),
        training: Sequence[str] = (),
        absent: Sequence[str] = (),
        metrics: Mapping[str, Mapping[str, Any]] | None = None,
    ):
        self.store = RunFolder(path)
        self.datasets = datasets
        self.metrics = {name: str(record["fingerprint"]) for name, record in (metrics or {}).items()}
        learned = trained_on or {}
        described = {
            name: {
                "fingerprint": f"print-{name}",
                "about": f"About {name}.",
                "trained_on": list(learned.get(name, ())),
                "versions": {"lib": "1.0"},
                "metrics": self.metrics,
                "weights": {},
            }
            for name in [*codecs, *learned]
        }
        selections = {
            label: Selection(
                label, tuple(range(8)), 100, 3, (0, 1), f"pixels of {label}", label.partition(":")[0], label in training
            )
            for label in datasets
        }
        planned = {label: {name: [""] for name in absent} for label in datasets}
        invocation = INVOCATION | {"notes": list(notes)}
        self.store.join(Addition(selections, described, planned, list(skipped), invocation, metrics or {}))
        for label, shape in datasets.items():
            self.store.write_samples(original_name(label), {i: self.image(shape, i) for i in (0, 1)})

    @staticmethod
    def image(shape: Shape, index: int) -> Images:
        return np.random.default_rng(index).integers(0, 256, shape, dtype=np.uint8)

    def task(
        self, dataset: str, codec: str, settings: dict[str, Value], indices: Sequence[int], shape: Shape | None
    ) -> Task:
        shown = tuple(index for index in indices if index in (0, 1))
        spec = CodecSpec.of(codec, settings)
        points = self.store.manifest["planned"].setdefault(dataset, {}).setdefault(codec, [])
        if spec.settings_text not in points:
            points.append(spec.settings_text)
        return Task(
            dataset,
            spec,
            tuple(indices),
            shape or self.datasets[dataset],
            shown,
            f"print-{codec}",
            f"pixels of {dataset}",
            metrics_fingerprint(self.metrics),
        )

    def point(
        self,
        dataset: str,
        codec: str,
        settings: dict[str, Value] | None = None,
        *,
        num_bytes: int | Sequence[int] = 100,
        mse: float | Sequence[float] = 0.001,
        ssim: float = 0.9,
        lossless: bool = False,
        indices: Sequence[int] = range(8),
        shape: Shape | None = None,
        pictures: bool = True,
        encode_s: Sequence[float] = (),
        decode_s: Sequence[float] = (2e-5,) * 5,
        timing: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float | Sequence[float]] | None = None,
        container_bytes: float | Sequence[float] = np.nan,
    ) -> Task:
        """Writes a finished task, and its times where ``encode_s`` is given; ``timing`` are further fields of these."""
        task = self.task(dataset, codec, settings or {}, indices, shape)
        count = len(task.indices)
        errors = np.full(count, mse, dtype=np.float64)
        changed = dict(zip(task.indices, errors > 0, strict=True))
        shown = {index: self.image(task.shape, index) ^ np.uint8(3 * changed[index]) for index in task.shown}
        measurement = Measurement(
            num_bytes=np.full(count, num_bytes, dtype=np.int64),
            container_bytes=np.full(count, container_bytes, dtype=np.float64),
            estimated_bits=np.full(count, np.nan),
            mse=errors,
            mse_float=np.full(count, np.nan),
            max_abs_error=np.where(errors > 0, 3, 0),
            exact_pixels=np.where(errors > 0, 0.5, 1.0),
            ssim=np.where(errors > 0, ssim, np.nan if np.isnan(ssim) else 1.0),
            lossless=lossless,
            shown=shown if pictures else {},
            metrics={
                name: np.full(count, value, dtype=np.float64)
                for name, value in (metrics or dict.fromkeys(self.metrics, 0.9)).items()
            },
        )
        self.store.write_files(task_files(task, measurement, 0.5))
        if encode_s:
            taken = Timing(
                count, tuple(encode_s), tuple(decode_s), 1, "cpu", **{"shape": task.shape} | dict(timing or {})
            )
            self.store.write_timing(task, taken)
        return task

    def curve(self, dataset: str, codec: str, sizes: Mapping[float, float | Sequence[float]], **more: Any) -> None:
        """Writes a point for each PSNR in dB, with its bytes; its setting ``quality`` is the PSNR."""
        for db, size in sizes.items():
            settings = {"quality": round(db)}
            self.point(dataset, codec, settings, num_bytes=np.rint(size), mse=10 ** (-db / 10), **more)

    def failure(self, dataset: str, codec: str, reason: str, settings: dict[str, Value] | None = None) -> None:
        """Writes a failed task."""
        task = self.task(dataset, codec, settings or {}, range(8), None)
        self.store.write_files(failure_files(task, reason, "Traceback: /nowhere", 0.1))

    def about(self, dataset: str, codec: str, settings: str) -> dict[str, Any]:
        """The fields that every record of a whole dataset has."""
        return {
            "format": DatasetRecord.FORMAT,
            "dataset": dataset,
            "codec": codec,
            "settings": settings,
            "codec_fingerprint": self.store.manifest["codecs"][codec]["fingerprint"],
            "data_fingerprint": self.store.manifest["datasets"][dataset]["fingerprint"],
        }

    def whole_set(self, number: int, dataset: str = "mnist", codec: str = "exact", **result: Any) -> None:
        """Writes what a dataset took as one stream at ``level=NUMBER``."""
        fields = {"failed": "", "skipped": "", "set_bytes": 784, "encode_s": 0.5, "decode_s": 0.25} | result
        about = self.about(dataset, codec, f"level={number}")
        record = SetRecord(**about, id=f"{number:024x}", images=8, shape=self.datasets[dataset], **fields)
        self.store.write_record(record.id, record)

    def usual(self) -> MadeUpRun:
        """A lossy codec, a lossless one and a learned one on every dataset, with times."""
        unsteady = (1e-5, 1e-5, 2e-5, 9e-5, 9e-5)
        for label in self.datasets:
            for quality, size, mse in ((10, 20, 0.01), (50, 40, 0.001), (90, 80, 0.0001)):
                self.point(label, "lossy", {"quality": quality}, num_bytes=size, mse=mse, encode_s=unsteady)
            self.point(label, "exact", num_bytes=120, mse=0.0, lossless=True, encode_s=(1e-6,) * 5)
            self.point(label, "net", {"latent": "float32"}, num_bytes=32, mse=0.004, encode_s=(1e-3,) * 5)
        return self


def usual_run(path: Path) -> MadeUpRun:
    """Two datasets, three codecs; the learned one was trained on the first."""
    return MadeUpRun(
        path, {"mnist": (28, 28, 1), "stl10": (32, 32, 3)}, ["lossy", "exact"], {"net": ("mnist",)}
    ).usual()
