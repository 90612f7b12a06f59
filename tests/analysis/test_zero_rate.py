"""A rate of 0 bits is a number, which has no place on a curve; the curve says so."""

import pandas as pd
import pytest

from codecbench.analysis.rd_curves import read_curves


@pytest.mark.parametrize(("rate", "why"), [(0.0, "a rate of 0 bits has no logarithm"), (float("nan"), "no bits known")])
def test_streams_of_no_bytes(rate, why):
    point = {"dataset": "d", "codec": "void", "label": "void", "mark": "", "curve": "", "images": 3, "total_images": 3}
    point |= {"lossless": False, "exact_images": 0, "bits_per_pixel": rate, "psnr_db": 20.0, "reason": ""}
    (curve,) = read_curves(pd.DataFrame([point]))
    assert why in curve.status
