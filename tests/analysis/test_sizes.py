"""File sizes at fixed quality: read as the report reads them, nothing extrapolated."""

from __future__ import annotations

import math

import pytest
from test_bd_rate import ALL, line, marked

from codecbench.analysis.sizes import COLUMNS, table
from codecbench.errors import UsageError


def test_sizes_and_what_they_save() -> None:
    found = table(marked(ALL), "jpeg", qualities_db=(31, 35, 43))
    assert list(found.columns) == list(COLUMNS)
    at = {(row["codec"], row["quality_at"]): row for _, row in found.iterrows()}
    assert len(found) == len(at) == 7 * 3
    assert at["jpeg", 35]["bits_per_pixel"] == pytest.approx(2 ** (5 / 4))
    assert at["jpeg", 35]["status"] == "anchor"
    better = at["better", 35]
    at_34 = table(marked([*line("jpeg", 1.0), ("single", "", 0.5, 34.0)]), "jpeg", qualities_db=[34])
    assert list(at_34["against_anchor_percent"]) == pytest.approx([0, -75])  # a point at the level is read itself
    assert better["bits_per_image"] == pytest.approx(64 * 0.8 * 2 ** (5 / 4))
    assert better["bytes_per_image"] == pytest.approx(8 * 0.8 * 2 ** (5 / 4))
    assert better["against_anchor_percent"] == pytest.approx(-20)
    assert (better["status"], better["best"]) == ("", True)
    assert not at["jpeg", 35]["best"]
    assert at["jpeg", 31]["best"]
    assert at["better", 31]["status"] == "not available: its worst is 32.0 dB"
    assert at["jpeg", 43]["status"] == "not available: its best is 40.0 dB"
    assert at["better", 43]["status"] == "not available: jpeg has nothing at 43.0 dB"
    assert at["better", 43]["bits_per_pixel"] > 0
    assert math.isnan(at["better", 43]["against_anchor_percent"])
    assert at["single", 35]["status"] == "not available: one point, at 34.0 dB"
    assert at["exact", 35]["status"] == "not available: restores every pixel"
    assert at["exact", 35]["note"] == "32 bytes per image"
    assert set(found.loc[found["codec"] != "exact", "note"]) == {""}


def test_other_measures_and_rates() -> None:
    points = marked(ALL)
    found = table(points, "jpeg", quality="ssim", qualities_db=(1 - 10**-1.75,)).set_index("codec")
    assert found.loc["better", "against_anchor_percent"] == pytest.approx(-20)
    assert set(table(points, "jpeg", quality="ssim")["quality_at"]) == {0.9, 0.95, 0.98}
    assert set(table(points, "jpeg")["quality_at"]) == {30, 35, 40}
    payload = points.assign(payload_bits_per_pixel=points["bits_per_pixel"] - 0.1)
    payload["payload_bits_per_image"] = 64 * payload["payload_bits_per_pixel"]
    found = table(payload, "jpeg", rate="payload", qualities_db=(34,)).set_index("codec")
    assert found.loc["jpeg", "bits_per_image"] == pytest.approx(64 * 1.9)
    with pytest.raises(UsageError, match="the level inf of psnr_db is not allowed; allowed: finite numbers"):
        table(points, "jpeg", qualities_db=[math.inf])
