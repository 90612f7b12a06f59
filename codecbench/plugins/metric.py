"""The contract of metric plugins, and which of them a run measures.

A metric is a function of two batches of images that gives one number an image. Those of
``codecbench.measure.distortion`` are part of every run; plugin metrics are chosen (``codecbench run --metrics``),
and their values stand in columns of their own, named as the plugin's file is.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codecbench.errors import ContractError, PluginError, UnknownNameError, UsageError
from codecbench.fingerprint import digest
from codecbench.plugins.codec import Images, Shape
from codecbench.text import format_shape, one_line

Values = npt.NDArray[np.float64]

ALWAYS = ("mse", "mse_float", "psnr_db", "psnr_of_mean_mse_db", "max_abs_error", "exact_pixels", "ssim")
"""What every run measures; see ``codecbench.measure.distortion``."""
NONE, DEFAULT = "none", "default"
"""Words that stand for no plugin metric, and for those that a run measures unless told otherwise."""
BETTER = ("higher", "lower")


@dataclass(frozen=True)
class Metric:
    """A plugin metric; called with two batches it gives what its function gives.

    Attributes:
        function: from original and decoded images, both uint8 (N, H, W, C), to float64 (N,); NaN where it has no value.
        title: what axes and tables call it.
        unit: its unit, empty for a ratio.
        better: ``"higher"`` or ``"lower"``.
        description: one line for ``codecbench list``.
        default: a run measures it unless told otherwise, where it is available.
        variant: tells for a shape of images what exactly is computed, where that depends on the shape.
        missing: tells in one line what it lacks on this machine, empty where nothing; for metrics that need more than
            codecbench does.
        packages: distributions whose versions decide its values.
        name: the stem of its file, given by the registry.
    """

    function: Callable[[Images, Images], Values]
    title: str
    unit: str
    better: str
    description: str
    default: bool = True
    variant: Callable[[Shape], str] | None = None
    missing: Callable[[], str] | None = None
    packages: tuple[str, ...] = ()
    name: str = ""

    def __call__(self, original: Images, decoded: Images) -> Values:
        """What the function gives, unchecked."""
        return self.function(original, decoded)

    def measure(self, original: Images, decoded: Images) -> Values:
        """What the function gives, checked.

        Args:
            original: uint8, (N, H, W, C).
            decoded: uint8, the same shape.

        Returns:
            float64, (N,), finite, or NaN where it has no value.

        Raises:
            ContractError: the function gave anything else.
        """
        found: Any = self.function(original, decoded)
        wanted = f"metric {self.name} must give float64 ({len(original)},)"
        if not isinstance(found, np.ndarray):
            raise ContractError(f"{wanted}, not {type(found).__name__}")
        if found.dtype != np.float64 or found.shape != (len(original),):
            raise ContractError(f"{wanted}, not {found.dtype} {format_shape(found.shape)}")
        if np.isinf(found).any():
            raise ContractError(f"{wanted} of finite numbers, NaN where it has no value; it gave an infinity")
        return np.ascontiguousarray(found).view(np.ndarray)

    def describe(self, shape: Shape) -> str:
        """What exactly is computed on images of a shape; the title where that does not depend on it."""
        return self.variant(shape) if self.variant else self.title

    def unavailable(self) -> str:
        """What it lacks here, in one line; empty where it can be measured."""
        try:
            return self.missing() if self.missing else ""
        except Exception as error:  # a plugin's own function may raise anything
            return one_line(error)

    def versions(self) -> dict[str, str]:
        """Versions of the distributions in ``packages``."""
        found = {}
        for package in self.packages:
            try:
                found[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                found[package] = "absent"
        return found

    def record(self) -> dict[str, Any]:
        """What lists and ``run.json`` tell of it."""
        return {"title": self.title, "unit": self.unit, "better": self.better, "description": self.description}


def check(metric: Metric) -> None:
    """Makes sure that a metric is described as it must be.

    Raises:
        PluginError: it is not.
    """
    if not callable(metric.function):
        raise PluginError(f"a metric is a function of two batches of images, not {type(metric.function).__name__}")
    if metric.better not in BETTER:
        raise PluginError(f"better={metric.better!r} is not allowed for a metric; allowed: {', '.join(BETTER)}")
    if not (isinstance(metric.title, str) and metric.title.strip()):
        raise PluginError("a metric needs a title, which axes and tables show")


def fingerprint(metric: Metric) -> str:
    """24 hexadecimal digits over what decides a metric's values: its sources and the versions of its packages."""
    from codecbench.plugins.registry import METRICS

    return digest([METRICS.source_fingerprint(metric), metric.versions()])


def choose(names: str | Iterable[str] | None = None) -> list[Metric]:
    """The plugin metrics that a run measures, sorted by name.

    Args:
        names: names, also several in one text with commas between; ``"none"`` for none, ``"default"`` or None for
            those of codecbench's own plugins that are meant for every run and available here. Names of metrics that
            every run measures anyway add nothing.

    Raises:
        UsageError: an unknown name, ``none`` beside others, or a metric that lacks something here.
        PluginError: one that was named cannot be imported.
    """
    from codecbench.plugins.registry import METRICS

    texts = [DEFAULT] if names is None else [names] if isinstance(names, str) else list(names)
    asked = dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip())
    if not asked or (NONE in asked and len(asked) > 1):
        given = ",".join(texts)
        raise UsageError(f"metrics {given!r} are not allowed; allowed: names with commas between, or {NONE} alone")
    chosen: dict[str, Metric] = {}
    known = METRICS.names()
    for name in asked:
        if name == DEFAULT:
            chosen |= _defaults()
        elif name in known:
            metric = METRICS.get(name)
            if lacks := metric.unavailable():
                raise UsageError(f"metric {name} is not available: {lacks}")
            chosen[name] = metric
        elif name not in (NONE, *ALWAYS):
            raise UnknownNameError("metric", name, known)
    return [chosen[name] for name in sorted(chosen)]


def _defaults() -> dict[str, Metric]:
    from codecbench.plugins.registry import METRICS

    metrics = [METRICS.get(name) for name in METRICS.built_in()]
    return {metric.name: metric for metric in metrics if metric.default and not metric.unavailable()}


def describe_all(metrics: Iterable[Metric], shapes: Mapping[str, Iterable[Shape]]) -> dict[str, dict[str, Any]]:
    """What ``run.json`` keeps of the metrics of a command, by name.

    Args:
        metrics: those that it measures.
        shapes: the shapes of the images, by dataset label.

    Returns:
        For each: title, unit, better, description, fingerprint, the versions of its packages, and ``variants``: by
        dataset what exactly it is on these images.

    Raises:
        PluginError: its own function fails on a shape.
    """
    found = {}
    for metric in metrics:
        try:
            variants = {
                label: "; ".join(dict.fromkeys(metric.describe(shape) for shape in sorted(several)))
                for label, several in shapes.items()
            }
        except Exception as error:  # a plugin's own function may raise anything
            raise PluginError(f"metric {metric.name!r} cannot tell its variant: {one_line(error)}") from error
        found[metric.name] = metric.record() | {
            "fingerprint": fingerprint(metric),
            "versions": metric.versions(),
            "variants": variants,
        }
    return found
