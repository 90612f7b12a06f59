"""Learning curves: what is drawn are the numbers."""

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
    equals = pd.DataFrame({"epoch": [1, 2, 3, 4], "train_loss": 1.0, "held_out_mse": [math.nan, 0.2, 0.1, 0.1]})
    assert figures.best_epoch(equals) == (3, 0.1)


def test_the_legend_names_the_test_images_only_where_they_were_measured() -> None:
    for frame, tested in ((log(), True), (log(tested=False), False), (log().assign(test_mse=math.nan), False)):
        (legend,) = figures.learning_curves({"a": frame}).legends
        words = [text.get_text() for text in legend.get_texts()]
        assert len(words) == 2 + tested
        assert any("test" in text for text in words) == tested


def test_a_huge_first_loss_does_not_flatten_the_rest() -> None:
    frame = log()
    frame.loc[0, "train_loss"] = 1e6
    (axes,) = figures.learning_curves({"a": frame}).axes
    low, high = axes.get_ylim()
    assert high / low < 1000
    assert low < 0.005


def test_hundreds_of_epochs_and_a_single_one_are_drawn_in_rows_of_three() -> None:
    logs = {"long": log(600), "short": log(1, best=1), **{f"c{number}": log() for number in range(3)}}
    figure = figures.learning_curves(logs)
    assert style.save_svg(figure) == style.save_svg(figures.learning_curves(logs))
    assert figure.axes[0].get_xlim()[1] > 600
    assert len({round(axes.get_position().y0, 3) for axes in figure.axes}) == 2


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


def test_a_training_loss_of_another_size_does_not_stand_beside_a_score() -> None:
    near, far = figures.learning_curves({"near": scored(loss=1.2), "far": scored(loss=0.001)}).axes
    assert "training" in lines(near)
    assert "training" not in lines(far)
    (legend,) = figures.learning_curves({"far": scored(loss=50.0)}).legends
    assert legend.get_texts()[0].get_text().startswith("held-out images")


def test_a_score_below_zero_is_drawn_on_a_linear_axis() -> None:
    frame = pd.DataFrame({"epoch": [1, 2], "train_loss": [1.0, 0.5], "held_out_score": [0.5, -30.0]})
    (axes,) = figures.learning_curves({"a": frame}).axes
    assert axes.get_ylabel() == "Score", "where no words are given"
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
