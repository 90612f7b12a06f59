"""The contract of metrics, and the metrics of every run.

A metric is a function of two batches of images that gives one number per image. Those in :data:`ALWAYS` are computed by
``codecbench.measure.distortion`` in every run. Plugin metrics are chosen (``codecbench run --metrics``), and their
values have columns of their own, named after the plugin's file.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codecbench.columns import SUMMARY
from codecbench.errors import ContractError, PluginError
from codecbench.plugins.answers import check_attributes
from codecbench.plugins.codec import Images, Shape
from codecbench.text import format_shape, one_line

Values = npt.NDArray[np.float64]

BETTER = ("higher", "lower")


@dataclass(frozen=True)
class Metric:
    """A metric; called with two batches it returns what its function returns.

    The fields are the arguments of ``codecbench.register_metric``, and:

    Attributes:
        function: from original and decoded images, both uint8 (N, H, W, C), to float64 (N,); NaN where it has no value.
            None for a metric of every run that is not a function of two batches alone.
        name: the stem of its file, set by the registry.
    """

    function: Callable[[Images, Images], Values] | None
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
        """Returns what the function returns, unchecked."""
        assert self.function is not None, f"{self.name} is measured by every run"
        return self.function(original, decoded)

    def measure(self, original: Images, decoded: Images) -> Values:
        """Returns what the function returns, checked.

        Args:
            original: uint8, (N, H, W, C).
            decoded: uint8, the same shape.

        Returns:
            float64, (N,), finite, or NaN where it has no value.

        Raises:
            ContractError: the function returned anything else.
        """
        found: Any = self(original, decoded)
        wanted = f"metric {self.name} must give float64 ({len(original)},)"
        if not isinstance(found, np.ndarray):
            raise ContractError(f"{wanted}, not {type(found).__name__}")
        if found.dtype != np.float64 or found.shape != (len(original),):
            raise ContractError(f"{wanted}, not {found.dtype} {format_shape(found.shape)}")
        if np.isinf(found).any():
            raise ContractError(f"{wanted} of finite numbers, NaN where it has no value; it gave an infinity")
        return np.ascontiguousarray(found).view(np.ndarray)

    def describe(self, shape: Shape) -> str:
        """Returns what exactly is computed on images of a shape; the title where that does not depend on it."""
        return self.variant(shape) if self.variant else self.title

    def unavailable(self) -> str:
        """Returns why the metric is unavailable here, or an empty string."""
        try:
            return self.missing() if self.missing else ""
        except Exception as error:  # a plugin's own function may raise anything
            return one_line(error)

    def versions(self) -> dict[str, str]:
        """Returns the versions of the distributions in ``packages``."""
        found = {}
        for package in self.packages:
            try:
                found[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                found[package] = "absent"
        return found

    def record(self) -> dict[str, Any]:
        """Returns what lists and ``run.json`` record of it."""
        return {"title": self.title, "unit": self.unit, "better": self.better, "description": self.description}

    def check(self) -> None:
        """Checks the description of a plugin metric.

        Raises:
            PluginError: no function, no title, or another word for ``better``.
        """
        if not callable(self.function):
            raise PluginError(f"a metric is a function of two batches of images, not {type(self.function).__name__}")
        if self.better not in BETTER:
            raise PluginError(f"better={self.better!r} is not allowed for a metric; allowed: {', '.join(BETTER)}")
        if not (isinstance(self.title, str) and self.title.strip()):
            raise PluginError("a metric needs a title, which axes and tables show")
        check_attributes(self, Metric)


ALWAYS: dict[str, Metric] = {
    name: Metric(None, title, unit, SUMMARY[name].better, SUMMARY[name].meaning, name=name)
    for name, title, unit in (
        ("mse", "MSE", ""),
        ("mse_float", "MSE before rounding", ""),
        ("psnr_db", "PSNR", "dB"),
        ("psnr_of_mean_mse_db", "PSNR of the mean MSE", "dB"),
        ("max_abs_error", "Largest error", "8-bit levels"),
        ("exact_pixels", "Exact pixels", ""),
        ("ssim", "SSIM", ""),
    )
}
"""The metrics that every run measures, in the order of tables."""
