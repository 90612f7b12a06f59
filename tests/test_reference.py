"""What the published run must say: the figures that the two source experiments are held against."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from codecbench import load_run

REFERENCE = Path(__file__).parents[1] / "results" / "reference"


@pytest.fixture(scope="module")
def summary() -> pd.DataFrame:
    table = load_run(REFERENCE).summary()
    assert not table["failed"].any()
    return table


def point(summary: pd.DataFrame, dataset: str, codec: str, **settings: object) -> pd.Series:
    rows = summary[(summary["dataset"] == dataset) & (summary["codec"] == codec) & (summary["images"] > 0)]
    for key, value in settings.items():
        rows = rows[rows["settings"].str.split(",").map(lambda parts, text=f"{key}={value}": text in parts)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_lossy_ae_beats_svd_of_rank_5(summary: pd.DataFrame) -> None:
    """Also where SVD is clipped to [0, 1] first."""
    lossy, svd = (point(summary, "mnist", "lossy_ae", latent="float32"), point(summary, "mnist", "svd", rank=5))
    assert lossy["images"] == 10_000
    assert lossy["bits_per_image"] == 1024
    assert lossy["compression_ratio_float32"] == pytest.approx(24.5)
    assert lossy["mse_float"] < svd["mse"] < svd["mse_float"]


def test_lossless_ae_beats_svd_of_rank_13(summary: pd.DataFrame) -> None:
    lossless, svd = point(summary, "mnist", "lossless_ae"), point(summary, "mnist", "svd", rank=13)
    assert lossless["mse_float"] < 1e-5 < svd["mse_float"]


def test_the_whole_curve_of_svd(summary: pd.DataFrame) -> None:
    curve = [point(summary, "mnist", "svd", rank=rank)["mse_float"] for rank in range(29)]
    assert curve[:20] == sorted(curve[:20], reverse=True)
    assert max(curve[20:]) < curve[19]  # what float32 leaves
    assert curve[19] == pytest.approx(1.61e-8, rel=0.01)


@pytest.mark.parametrize(("dataset", "codec", "most_bits"), [("mnist", "lossy_ae", 224), ("stl10", "stl10_ae", 3200)])
def test_entropy_coded_latents(summary: pd.DataFrame, dataset: str, codec: str, most_bits: int) -> None:
    coded, floats = (point(summary, dataset, codec, latent=latent) for latent in ("int8", "float32"))
    assert coded["bits_per_image"] < most_bits
    assert coded["mse_float"] < 1.02 * floats["mse_float"]
    assert coded["estimated_bits"] < coded["bits_per_image"] < coded["estimated_bits"] + 16
