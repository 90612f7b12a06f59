from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from runs import MadeUpRun

from codecbench import figures
from codecbench.analysis.points import annotate
from codecbench.analysis.summary import summarise
from codecbench.figures import grid as pictures
from codecbench.figures import style as looks
from codecbench.store.folder import RunFolder

CODEC_FOLDER = Path(__file__).parents[2] / "codecs"


def points_of(store: RunFolder) -> pd.DataFrame:
    return annotate(summarise(store), store.manifest)


@pytest.fixture(scope="module")
def store(usual_folder: Path) -> RunFolder:
    return RunFolder(usual_folder)


@pytest.fixture(scope="module")
def usual(store: RunFolder) -> pd.DataFrame:
    return points_of(store)


@pytest.fixture(scope="module")
def grid(store: RunFolder, usual: pd.DataFrame) -> pictures.ImageGrid:
    found = pictures.image_grid(store, usual, store.rows(), "stl10")
    assert found is not None
    return found


# ---- figures -----------------------------------------------------------------------------------------------------


def drawn_lines(figure: figures.Figure) -> dict[str, figures.Line2D]:
    return {
        str(line.get_label()): line
        for axes in figure.axes
        for line in axes.lines
        if not str(line.get_label()).startswith("_")
    }


@pytest.mark.parametrize("quality", ["psnr_db", "ssim"])
def test_rate_distortion_draws_the_numbers(usual: pd.DataFrame, quality: str) -> None:
    figure = figures.rate_distortion(usual, ["mnist"], quality)
    lines = drawn_lines(figure)
    assert set(lines) == {"lossy", "net", "exact"}
    expected = usual[(usual["dataset"] == "mnist") & (usual["codec"] == "lossy")]
    np.testing.assert_allclose(lines["lossy"].get_xdata(), expected["bits_per_pixel"])
    shown = -np.log10(1 - expected["ssim"]) if quality == "ssim" else expected["psnr_db"]
    np.testing.assert_allclose(lines["lossy"].get_ydata(), shown)
    assert "mnist" in {axes.get_title(loc="left") for axes in figure.axes}


def test_a_codec_out_of_its_domain_is_dashed_hollow_and_says_so(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"mnist": (8, 8, 1), "digits": (8, 8, 1)}, [], {"net": ("mnist",)})
    for label in run.datasets:
        run.point(label, "net", {"rate": 1}, num_bytes=10)
        run.point(label, "net", {"rate": 2}, num_bytes=20)
    lines = drawn_lines(figures.rate_distortion(points_of(run.store)))
    home, foreign = lines["net"], lines["net (trained on mnist)"]
    assert home.get_linestyle() == "-"
    assert foreign.get_linestyle() == "--"
    assert foreign.get_markerfacecolor() == "white"
    assert home.get_color() == foreign.get_color()


def test_a_single_point_out_of_its_domain_is_hollow_and_axes_have_ticks_whatever_the_label(tmp_path: Path) -> None:
    label = "folder:/$x^$/写真"
    run = MadeUpRun(tmp_path, {label: (16, 16, 1)}, [], {"net": ("mnist",)})
    run.point(label, "net", num_bytes=10, ssim=0.99998, encode_s=(1e-3,) * 5)
    points = points_of(run.store)
    assert not figures.beyond_ssim(points).any()
    for figure in (
        figures.rate_distortion(points),
        figures.rate_distortion(points, quality="ssim"),
        figures.speed(points, label),
    ):
        (line,) = drawn_lines(figure).values()
        assert line.get_markerfacecolor() == "white"
        axes = figure.axes[-1]
        looks.save_png(figure)
        for axis, values in ((axes.xaxis, line.get_xdata()), (axes.yaxis, line.get_ydata())):
            low, high = axis.get_view_interval()
            assert low < values[0] < high
            assert sum(low <= tick <= high for tick in axis.get_majorticklocs()) >= 2


def test_built_in_codecs_look_the_same_in_every_run() -> None:
    assert looks.codec_styles(["svd"])["svd"] == looks.codec_styles(["a", "png", "svd", "zz"])["svd"]
    assert looks.codec_styles(["mine"])["mine"] == looks.codec_styles(["webp", "mine", "jpeg"])["mine"]
    plugins = [f"codec{number:02}" for number in range(50)]
    assert looks.codec_styles(reversed(plugins)) == looks.codec_styles([*plugins, *plugins])
    assert set(looks.CODEC_STYLES) == {file.stem for file in CODEC_FOLDER.glob("[a-z]*.py")}


def test_points_outside_the_view_are_counted_but_no_codec_vanishes(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (4, 4, 1)}, ["poor", "wide"])
    run.point("a", "poor", {"q": 1}, num_bytes=1, mse=0.5)
    for rank, size in ((1, 8), (2, 40), (3, 400)):
        run.point("a", "wide", {"rank": rank}, num_bytes=size)
    points = points_of(run.store)
    assert figures.raw_rate(points) == 8
    assert list(points.loc[figures.outside(points), "settings"]) == ["rank=3"]


def test_speed_marks_the_points_that_stand_for_their_codecs(usual: pd.DataFrame) -> None:
    lines = drawn_lines(figures.speed(usual, "mnist", "encode_s"))
    assert set(lines) == {"lossy, 30.0 dB", "exact, lossless", "net, 24.0 dB"}
    assert list(lines["lossy, 30.0 dB"].get_ydata()) == [2e-5]


def test_saving_gives_the_same_bytes_whatever_the_settings_around(usual: pd.DataFrame) -> None:
    first = looks.save_svg(figures.rate_distortion(usual))
    with mpl.rc_context({"font.size": 30, "svg.hashsalt": "other", "axes.grid": False}):
        before = dict(mpl.rcParams)
        again = looks.save_svg(figures.rate_distortion(usual))
        assert dict(mpl.rcParams) == before
    assert first == again
    assert b"<dc:date>" not in first


# ---- images ------------------------------------------------------------------------------------------------------


def test_an_svg_of_images_embeds_them_at_their_own_size(grid: pictures.ImageGrid) -> None:
    svg = pictures.grid_svg(grid)
    assert svg == pictures.grid_svg(grid)
    assert svg.count(b"<image") == 2 + 2 * 2 * 3
    assert b'width="32"' in svg


def test_the_image_grid_states_true_numbers(grid: pictures.ImageGrid) -> None:
    assert list(grid.originals) == [0, 1]
    assert [column.label for column in grid.columns] == ["net (trained on mnist)", "lossy", "exact"]
    net, lossy, exact = grid.cells[0]
    assert (net.bits, lossy.bits, exact.bits) == (256, 320, 960)
    assert pictures.caption(lossy) == "320 bits · 30.0 dB"
    assert pictures.caption(exact) == "960 bits · exact"
    assert exact.error is not None
    assert exact.error.min() == 255
    assert lossy.image is not None
    assert lossy.error is not None
    largest = int(np.abs(lossy.image.astype(int) - grid.originals[0]).max())
    assert lossy.error.min() == 255 - min(255, grid.factor * largest)
    size = Image.open(io.BytesIO(looks.save_png(pictures.grid_figure(grid), pictures.DPI))).size
    assert min(size) > 200


def test_a_missing_reconstruction_is_said(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"a": (4, 4, 1)}, ["c", "d"])
    run.point("a", "c", pictures=False)
    run.point("a", "d", indices=[5])
    grid = pictures.image_grid(run.store, points_of(run.store), run.store.rows(), "a")
    assert grid is not None
    with_row, without = grid.cells[0]
    assert (with_row.bits, with_row.image) == (800, None)
    assert pictures.caption(without) == "no result"
    pictures.grid_figure(grid)
