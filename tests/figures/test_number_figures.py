"""Learning curves, rank curves and bars: what is drawn are the numbers."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from codecbench import figures
from codecbench.errors import UsageError
from codecbench.figures import style


def log(epochs: int = 20, best: int = 15, tested: bool = True) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    held_out = 0.01 + 0.1 / epoch
    held_out[best - 1] = 0.005
    frame = pd.DataFrame({"epoch": epoch, "train_loss": 0.012 + 0.2 / epoch, "held_out_mse": held_out})
    return frame.assign(test_mse=held_out * 1.1) if tested else frame


def lines(axes) -> dict[str, object]:
    return {str(line.get_label()): line for line in axes.lines if not str(line.get_label()).startswith("_")}


# ---- learning curves -----------------------------------------------------------------------------------------------


def test_a_panel_a_codec_with_the_logged_numbers_and_the_best_epoch() -> None:
    logs = {"lossy_ae": log(), "lossless_ae": log(40, best=8, tested=False)}
    figure = figures.learning_curves(logs)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["lossy_ae", "lossless_ae"]
    for axes, (name, frame) in zip(figure.axes, logs.items(), strict=True):
        drawn = lines(axes)
        assert axes.get_yscale() == "log"
        columns = {"training": "train_loss", "held out": "held_out_mse", "test": "test_mse"}
        for label, column in columns.items():
            assert (label in drawn) == (column in frame)
            if column in frame:
                np.testing.assert_array_equal(drawn[label].get_xdata(), frame["epoch"])
                np.testing.assert_allclose(drawn[label].get_ydata(), frame[column])
        assert drawn["held out"].get_color() == style.CODEC_STYLES[name][0]
        if "test" in drawn:
            assert drawn["test"].get_linewidth() < drawn["held out"].get_linewidth() / 2
    assert list(lines(figure.axes[0])["best"].get_xdata()) == [15]
    assert list(lines(figure.axes[1])["best"].get_ydata()) == [0.005]
    assert "best: epoch 8 of 40" in figure.axes[1].texts[0].get_text()


def test_the_legend_names_the_test_images_only_where_they_were_measured() -> None:
    def words(frame: pd.DataFrame) -> list[str]:
        (legend,) = figures.learning_curves({"a": frame}).legends
        return [text.get_text() for text in legend.get_texts()]

    assert len(words(log())) == 3
    assert not [text for text in words(log(tested=False)) if "test" in text]
    assert not [text for text in words(log().assign(test_mse=math.nan)) if "test" in text]


def test_a_huge_first_loss_does_not_flatten_the_rest() -> None:
    frame = log()
    frame.loc[0, "train_loss"] = 1e6
    (axes,) = figures.learning_curves({"a": frame}).axes
    low, high = axes.get_ylim()
    assert high / low < 1000
    assert low < 0.005


def test_hundreds_of_epochs_and_a_single_one_are_drawn() -> None:
    figure = figures.learning_curves({"long": log(600), "short": log(1, best=1)})
    assert style.save_svg(figure) == style.save_svg(
        figures.learning_curves({"long": log(600), "short": log(1, best=1)})
    )
    assert figure.axes[0].get_xlim()[1] > 600


def test_many_codecs_stand_in_rows_of_three() -> None:
    figure = figures.learning_curves({f"c{number}": log() for number in range(5)})
    style.save_png(figure, 40)
    assert len({round(axes.get_position().y0, 3) for axes in figure.axes}) == 2


def test_the_best_epoch_is_the_first_of_equals_and_skips_what_is_not_a_number() -> None:
    frame = pd.DataFrame({"epoch": [1, 2, 3, 4], "train_loss": 1.0, "held_out_mse": [math.nan, 0.2, 0.1, 0.1]})
    assert figures.best_epoch(frame) == (3, 0.1)


def scored(epochs: int = 20, fall: float = 2.0, loss: float = 1.0) -> pd.DataFrame:
    """A log judged by a score that falls by a factor, with a training loss that is a multiple of it."""
    held_out = fall ** (-np.arange(epochs) / (epochs - 1)) * 3.0
    columns = {"epoch": np.arange(1, epochs + 1), "train_loss": loss * held_out, "held_out_score": held_out}
    return pd.DataFrame(columns).assign(test_score=held_out * 1.01)


def test_networks_judged_by_a_score_have_panels_in_its_unit() -> None:
    logs = {"lossy_ae": log(), "cond_ae": log(), "ar_lossless": scored(), "rd_ae": scored(fall=30.0)}
    words = {"ar_lossless": "bits per pixel", "rd_ae": "rate plus λ·error", "cond_ae": "MSE", "lossy_ae": "MSE"}
    figure = figures.learning_curves(logs, words=words)
    style.save_png(figure, 40)
    errors, same, bits, rate = figure.axes
    assert errors.get_ylabel() == "Mean squared error (log scale)"
    assert same.get_ylabel() == ""  # the panel on its left says so
    assert bits.get_ylabel() == "Bits per pixel"
    assert rate.get_ylabel() == "Rate plus λ·error (log scale)"
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log", "linear", "log"]
    for axes, name in ((bits, "ar_lossless"), (rate, "rd_ae")):
        drawn = lines(axes)
        np.testing.assert_allclose(drawn["held out"].get_ydata(), logs[name]["held_out_score"])
        np.testing.assert_allclose(drawn["test"].get_ydata(), logs[name]["test_score"])
        assert list(drawn["best"].get_xdata()) == [20]
        low, high = axes.get_ylim()
        assert low < logs[name]["held_out_score"].min() < logs[name]["held_out_score"].max() < high
    assert bits.texts[0].get_text() == "best: epoch 20 of 20\nheld-out bits per pixel 1.5"
    assert figures.best_epoch(logs["ar_lossless"]) == (20, 1.5)


def test_a_score_without_words_is_called_one() -> None:
    (axes,) = figures.learning_curves({"a": scored()}).axes
    assert axes.get_ylabel() == "Score"


def test_a_training_loss_of_another_size_does_not_stand_beside_a_score() -> None:
    near, far = figures.learning_curves({"near": scored(loss=1.2), "far": scored(loss=0.001)}).axes
    assert "training" in lines(near)
    assert "training" not in lines(far)
    (legend,) = figures.learning_curves({"far": scored(loss=50.0)}).legends
    assert legend.get_texts()[0].get_text().startswith("held-out images")


def test_a_score_below_zero_is_drawn_on_a_linear_axis() -> None:
    frame = pd.DataFrame({"epoch": [1, 2], "train_loss": [1.0, 0.5], "held_out_score": [0.5, -30.0]})
    (axes,) = figures.learning_curves({"a": frame}).axes
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim()[0] < -30.0
    (axes,) = figures.learning_curves({"a": frame.assign(held_out_score=2.0)}).axes
    assert axes.get_ylim()[0] < 2.0 < axes.get_ylim()[1]


@pytest.mark.parametrize(
    ("logs", "words"),
    [
        ({}, "at least one log"),
        ({"a": log().drop(columns="held_out_mse")}, "lacks held_out_mse"),
        ({"a": log().iloc[:0]}, "at least one epoch"),
        ({"a": log().assign(held_out_mse=math.nan)}, "at least one epoch"),
        ({"a": scored().assign(held_out_score=math.nan)}, "at least one epoch"),
        ({"a": scored().drop(columns="train_loss")}, "lacks train_loss"),
    ],
)
def test_logs_that_cannot_be_drawn_are_refused(logs, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        figures.learning_curves(logs)


# ---- rank curves -----------------------------------------------------------------------------------------------------

MSE = {0: 0.1, 1: 0.01, 2: 0.001, 3: 0.0001, 4: 0.0}


def test_ranks_are_interpolated_on_the_logarithm_and_never_extrapolated() -> None:
    assert figures.rank_at(MSE, 0.001) == pytest.approx(2)
    assert figures.rank_at(MSE, math.sqrt(0.01 * 0.001)) == pytest.approx(1.5)
    assert figures.rank_at(MSE, 0.1) == 0
    assert math.isnan(figures.rank_at(MSE, 0.2))
    assert math.isnan(figures.rank_at(MSE, 0.00005))
    assert figures.rank_at({5: 0.001, 1: 0.1}, 0.01) == pytest.approx(3)


def test_a_rank_curve_has_the_errors_the_levels_and_where_they_meet() -> None:
    levels = {"lossy_ae": 0.005, "lossless_ae": 0.0002, "other": 0.5}
    (axes,) = figures.rank_curve(MSE, levels).axes
    drawn = lines(axes)
    assert list(drawn["svd"].get_xdata()) == [0, 1, 2, 3]
    np.testing.assert_allclose(drawn["svd"].get_ydata(), [0.1, 0.01, 0.001, 0.0001])
    for name, level in levels.items():
        assert set(drawn[name].get_ydata()) == {level}
    met = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    assert met == pytest.approx([figures.rank_at(MSE, 0.005), figures.rank_at(MSE, 0.0002)])
    words = [text.get_text() for text in axes.texts]
    assert words == ["lossy_ae: 0.005, rank 1.3", "lossless_ae: 0.0002, rank 2.7", "other: 0.5"]
    low, high = axes.get_ylim()
    assert low < 0.0001
    assert high > 0.5
    assert drawn["lossy_ae"].get_color() == style.CODEC_STYLES["lossy_ae"][0]


def test_errors_of_rounding_do_not_stretch_the_axis() -> None:
    figure = figures.rank_curve(MSE | {5: 1e-15}, {"a": 0.005})
    assert figure.axes[0].get_ylim()[0] > 1e-10
    style.save_png(figure)
    ticks = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert "10⁻³" in ticks


@pytest.mark.parametrize(
    ("errors", "levels", "words"), [({0: 1.0, 1: 0.0}, {}, "at least two ranks"), (MSE, {"a": 0.0}, "level a=0.0")]
)
def test_rank_curves_that_cannot_be_drawn_are_refused(errors, levels, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        figures.rank_curve(errors, levels)


# ---- bars ------------------------------------------------------------------------------------------------------------


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "latents": [8, 8, 32, 32],
            "input": ["image", "image and label"] * 2,
            "mse": [0.021, 0.018, 0.006, math.nan],
            "low": [0.020, 0.017, 0.005, math.nan],
            "high": [0.022, 0.019, 0.007, math.nan],
        }
    )


def test_bars_have_the_heights_and_intervals_of_the_table() -> None:
    figure = figures.grouped_bars(table(), "mse", "latents", "input", low="low", high="high", ylabel="MSE")
    (axes,) = figure.axes
    first, second = (container for container in axes.containers if hasattr(container, "patches"))
    assert [first.get_label(), second.get_label()] == ["image", "image and label"]
    assert [bar.get_height() for bar in first] == [0.021, 0.006]
    assert second[0].get_height() == 0.018
    assert first[0].get_x() + first[0].get_width() < second[0].get_x() + 1e-9 < first[1].get_x()
    segments = [segment[:, 1] for line in axes.collections for segment in line.get_segments()]
    np.testing.assert_allclose(sorted(map(tuple, segments)), [(0.005, 0.007), (0.017, 0.019), (0.02, 0.022)])
    assert [text.get_text() for text in axes.texts] == ["0.021", "0.006", "0.018", "–"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["8", "32"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("latents", "MSE")
    assert axes.get_ylim()[0] == 0


def test_numbers_stand_above_their_intervals() -> None:
    (axes,) = figures.grouped_bars(table(), "mse", "latents", "input", low="low", high="high").axes
    assert axes.texts[0].get_position()[1] > 0.022


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: figures.grouped_bars(table(), "mse", "latents", "input", low="low"), "both ends"),
        (lambda: figures.grouped_bars(table(), "psnr", "latents", "input"), "no column psnr"),
        (lambda: figures.grouped_bars(table().iloc[:0], "mse", "latents", "input"), "at least one row"),
        (lambda: figures.grouped_bars(table().assign(latents=8), "mse", "latents", "input"), "more than once"),
    ],
)
def test_tables_that_cannot_be_drawn_are_refused(call, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()
