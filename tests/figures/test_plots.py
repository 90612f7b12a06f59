"""Figures of the notebooks: every image is there, whole, in its place, and what is drawn are the numbers."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import plots
import pytest

from codecbench.figures import style


def some(count: int, height: int = 28, width: int = 28, channels: int = 1) -> np.ndarray:
    shape = (count, height, width, channels)
    return np.random.default_rng(count).integers(0, 256, shape, dtype=np.uint8)


def pixels(axes) -> np.ndarray:
    (image,) = axes.images
    return np.asarray(image.get_array())


def test_a_grid_shows_every_image_in_order_with_its_label() -> None:
    images = some(11)
    figure = plots.image_grid(images, [f"digit {n}" for n in range(11)], columns=4)
    np.testing.assert_array_equal(np.stack([pixels(axes) for axes in figure.axes]), np.repeat(images, 3, axis=3))
    assert [text.get_text() for text in figure.texts] == [f"digit {n}" for n in range(11)]
    boxes = [axes.get_position() for axes in figure.axes]
    assert len({round(box.y0, 6) for box in boxes}) == 3
    assert boxes[0].x0 == pytest.approx(boxes[4].x0)
    assert boxes[0].x0 < boxes[1].x0
    assert boxes[4].y1 < boxes[0].y0


def test_pixels_are_squares_of_whole_dots_and_large_images_are_shrunk() -> None:
    figure = plots.image_grid(some(3, 20, 28, 3))
    width, height = figure.get_size_inches() * style.DPI
    for axes in figure.axes:
        box = axes.get_position()
        across, down = box.width * width / 28, box.height * height / 20
        assert across == pytest.approx(down)
        assert across == pytest.approx(round(across))
        assert box.x0 * width == pytest.approx(round(box.x0 * width))
    assert plots.image_grid(some(2, 300, 600, 3)).get_size_inches()[0] < 2.5


def test_rows_show_the_same_images_in_several_forms_and_save_to_the_same_bytes() -> None:
    rows = {"original": some(3), "svd rank 5\n285 floats": some(3) // 2}
    drawn = [plots.compare_rows(rows, {"svd rank 5\n285 floats": ["a", "b", "c"]}) for _ in range(2)]
    shown = [pixels(axes)[..., :1] for axes in drawn[0].axes]
    np.testing.assert_array_equal(np.stack(shown), np.concatenate(list(rows.values())))
    assert [text.get_text() for text in drawn[0].texts] == ["original", "svd rank 5", "285 floats", "a", "b", "c"]
    tops = [axes.get_position().y1 for axes in drawn[0].axes]
    assert tops[0] == tops[2] > tops[3] == tops[5]
    assert style.save_svg(drawn[0]) == style.save_svg(drawn[1])


MSE = {0: 0.1, 1: 0.01, 2: 0.001, 3: 0.0001, 4: 0.0}


def test_ranks_are_interpolated_on_the_logarithm_and_never_extrapolated() -> None:
    assert plots.rank_at(MSE, 0.001) == pytest.approx(2)
    assert plots.rank_at(MSE, math.sqrt(0.01 * 0.001)) == pytest.approx(1.5)
    assert plots.rank_at(MSE, 0.1) == 0
    assert math.isnan(plots.rank_at(MSE, 0.2))
    assert math.isnan(plots.rank_at(MSE, 0.00005))
    assert plots.rank_at({5: 0.001, 1: 0.1}, 0.01) == pytest.approx(3)


def test_a_rank_curve_has_the_errors_the_levels_and_where_they_meet() -> None:
    levels = {"lossy_ae": 0.005, "lossless_ae": 0.0002, "other": 0.5}
    (axes,) = plots.rank_curve(MSE | {5: 1e-15}, levels).axes
    drawn = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(drawn["svd"].get_ydata(), [0.1, 0.01, 0.001, 0.0001, 1e-15])
    assert all(set(drawn[name].get_ydata()) == {level} for name, level in levels.items())
    words = [text.get_text() for text in axes.texts]
    assert words == ["lossy_ae: 0.005, rank 1.3", "lossless_ae: 0.0002, rank 2.7", "other: 0.5"]
    low, high = axes.get_ylim()
    assert 1e-10 < low < 0.0001 < 0.5 < high  # errors of rounding do not stretch the axis
    assert drawn["lossy_ae"].get_color() == style.CODEC_STYLES["lossy_ae"][0]


def test_bars_have_the_heights_of_the_table() -> None:
    table = pd.DataFrame(
        {"latents": [8, 8, 32, 32], "input": ["image", "label"] * 2, "mse": [0.021, 0.018, 0.006, math.nan]}
    )
    (axes,) = plots.grouped_bars(table, "mse", "latents", "input", ylabel="MSE", xlabel="Latents", title="").axes
    first, second = axes.containers
    assert [first.get_label(), second.get_label()] == ["image", "label"]
    assert [bar.get_height() for bar in first] == [0.021, 0.006]
    assert second[0].get_height() == 0.018
    assert [text.get_text() for text in axes.texts] == ["0.021", "0.006", "0.018", "–"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["8", "32"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_ylim()[0]) == ("Latents", "MSE", 0)
