"""Latents as images and as points: what is drawn are the numbers."""

from __future__ import annotations

import numpy as np
import pytest

from codecbench import figures
from codecbench.errors import UsageError
from codecbench.figures import latent_picture, style


def images(count: int = 4) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)


def values(*shape: int, low: float = -2.0) -> np.ndarray:
    return np.random.default_rng(1).uniform(low, 2.0, shape).astype(np.float32)


# ---- layout ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "laid_out"),
    [
        ((32,), (4, 8)),
        ((784,), (28, 28)),
        ((32, 1, 1), (4, 8)),
        ((1,), (1, 1)),
        ((3,), (1, 3)),
        ((31,), (6, 6)),
        ((5, 7), (5, 7)),
        ((24, 4, 4), (4 * 5 - 1, 6 * 5 - 1)),
        ((2, 3, 4, 5), (2 * 5 - 1, 3 * 6 - 1)),
    ],
)
def test_latents_are_laid_out_nearly_square_row_by_row(shape: tuple[int, ...], laid_out: tuple[int, int]) -> None:
    latent = np.arange(float(np.prod(shape))).reshape(shape)
    picture = latent_picture(latent)
    assert picture.shape == laid_out
    drawn = picture[~np.isnan(picture)]
    np.testing.assert_array_equal(np.sort(drawn), latent.ravel())
    if len(shape) < 3:
        np.testing.assert_array_equal(drawn, latent.ravel())


def test_channels_stand_side_by_side() -> None:
    channels = np.arange(24.0 * 16).reshape(24, 4, 4)
    picture = latent_picture(channels)
    np.testing.assert_array_equal(picture[5:9, 10:14], channels[6 + 2])
    assert np.isnan(picture[4]).all()
    assert np.isnan(picture[:, 4]).all()


# ---- triples -----------------------------------------------------------------------------------------------------


def test_triples_show_original_latent_and_reconstruction_with_one_scale() -> None:
    originals, latents = images(), values(4, 32)
    reconstructions = originals ^ np.uint8(3)
    figure = figures.triples(originals, latents, reconstructions, [7, 2, 1, 0])
    *pictures, bar = figure.axes
    assert len(pictures) == 3 * 4
    norms = set()
    for number in range(4):
        original, latent, reconstruction = (axes.images[0] for axes in pictures[3 * number : 3 * number + 3])
        np.testing.assert_array_equal(np.asarray(original.get_array())[..., :1], originals[number])
        np.testing.assert_array_equal(np.asarray(reconstruction.get_array())[..., :1], reconstructions[number])
        np.testing.assert_allclose(np.asarray(latent.get_array()), latents[number].reshape(4, 8))
        norms.add((latent.norm.vmin, latent.norm.vmax, latent.get_cmap().name))
    ((low, high, colors),) = norms
    assert low == -high
    assert colors == "RdBu_r"
    assert high <= np.abs(latents).max()
    assert bar.get_label() == "colour scale"
    written = [text.get_text() for text in figure.texts]
    assert written == ["original", "28×28×1", "latent", "32", "reconstruction", "", "7", "2", "1", "0"]


def test_latents_without_negative_values_have_a_sequential_scale() -> None:
    figure = figures.triples(images(), values(4, 24, 4, 4, low=0.0), images())
    latent = figure.axes[1].images[0]
    assert latent.get_cmap().name == "viridis"
    assert latent.norm.vmin == 0.0
    assert latent.norm.vmax > 1.9
    assert "24×4×4" in [text.get_text() for text in figure.texts]


def test_an_outlier_does_not_flatten_the_scale_and_equal_latents_are_drawn() -> None:
    latents = values(4, 784)
    latents[0, 0] = 1000.0
    figure = figures.triples(images(), latents, images())
    assert figure.axes[1].images[0].norm.vmax < 3
    assert style.save_svg(figure) == style.save_svg(figures.triples(images(), latents, images()))
    for same in (np.zeros((4, 32), np.float32), np.full((4, 3), 5.0)):
        assert style.save_png(figures.triples(images(), same, images()), 40).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((images(4), values(3, 32), images(4)), "must be of the same images"),
        ((images(4), values(4, 32), images(3)), "must be of the same images"),
        ((images(4), values(4, 32) * np.nan, images(4)), "finite"),
        ((images(4), values(4, 32), images(4), ["a"]), "labels: 4 are needed, not 1"),
    ],
)
def test_triples_that_do_not_fit_are_refused(arguments, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        figures.triples(*arguments)


# ---- maps --------------------------------------------------------------------------------------------------------


def cloud(count: int = 200, classes: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    return rng.normal(size=(count, 2)) + np.stack([labels, -labels], axis=1), labels


def test_a_map_has_a_colour_a_marker_and_a_name_for_every_class() -> None:
    points, labels = cloud()
    figure = figures.latent_maps({"": (points, labels)}, (0.42, 0.17))
    (axes,) = figure.axes
    assert len(axes.collections) == 10
    for label, members in enumerate(axes.collections):
        np.testing.assert_array_equal(members.get_offsets(), points[labels == label])
        assert members.get_label() == str(label)
    colors = {tuple(members.get_facecolor()[0]) for members in axes.collections}
    shapes = {members.get_paths()[0].vertices.tobytes() for members in axes.collections}
    assert len(colors) == len(shapes) == 10
    assert {text.get_text() for text in axes.texts} == {str(label) for label in range(10)}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [str(label) for label in range(10)]
    assert axes.get_xlabel() == "1st principal component (42% of the variance)"
    assert axes.get_ylabel() == "2nd principal component (17% of the variance)"


def test_names_stand_at_the_medians_and_do_not_cover_each_other() -> None:
    points = np.repeat([[0.0, 0.0], [10.0, 10.0]], 50, axis=0) + np.random.default_rng(0).normal(size=(100, 2))
    labels = np.array([0, 1] * 25 + [2] * 50)
    (axes,) = figures.latent_maps({"": (points, labels)}, classes=["zero", "one", "two"]).axes
    places = {text.get_text(): text.get_position() for text in axes.texts}
    assert places["two"] == pytest.approx(tuple(np.median(points[50:], axis=0)))
    assert abs(places["zero"][0] - places["one"][0]) > 0.5 or abs(places["zero"][1] - places["one"][1]) > 0.5


def test_two_panels_share_view_legend_and_colours() -> None:
    train, test = cloud(400, seed=1), cloud(100, seed=2)
    figure = figures.latent_maps({"train": train, "test": test}, (0.4, 0.1))
    first, second = figure.axes
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["train", "test"]
    assert first.get_xlim() == second.get_xlim()
    assert first.get_ylim() == second.get_ylim()
    for axes, (points, _) in zip(figure.axes, (train, test), strict=True):
        low, high = np.transpose([axes.get_xlim(), axes.get_ylim()])
        assert (points > low).all()
        assert (points < high).all()
        assert sum(len(members.get_offsets()) for members in axes.collections) == len(points)
    for one, other in zip(first.collections, second.collections, strict=True):
        np.testing.assert_array_equal(one.get_facecolor(), other.get_facecolor())
    assert len(figure.legends) == 1


def test_points_without_labels_have_one_colour_and_many_classes_no_legend() -> None:
    points, labels = cloud(400, classes=40)
    for given, colours in ((None, 1), (labels, 40)):
        figure = figures.latent_maps({"": (points, given)})
        (axes,) = figure.axes
        assert len(axes.collections) == colours
        assert sum(len(members.get_offsets()) for members in axes.collections) == len(points)
        assert not figure.legends
        assert not axes.texts
        assert axes.get_xlabel() == "1st principal component"


def test_many_points_are_a_picture_in_the_svg_and_the_bytes_stay_the_same() -> None:
    points, labels = cloud(5000)
    svg = style.save_svg(figures.latent_maps({"": (points, labels)}))
    assert b"<image" in svg
    assert len(svg) < 400_000
    assert svg == style.save_svg(figures.latent_maps({"": (points, labels)}))
    few = style.save_svg(figures.latent_maps({"": (points[:50], labels[:50])}))
    assert b"<image" not in few


def test_points_on_a_line_or_in_one_place_are_drawn() -> None:
    line = np.stack([np.arange(20.0), np.zeros(20)], axis=1)
    for points in (line, line[:, ::-1], np.zeros((3, 2))):
        figure = figures.latent_maps({"": (points, None)})
        assert style.save_png(figure, 40).startswith(b"\x89PNG")
        width, height = figure.get_size_inches()
        assert 0.4 < height / width < 1.4


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: figures.latent_maps({}), "got none"),
        (lambda: figures.latent_maps({"": (np.zeros((4, 3)), None)}), r"must be \(N, 2\)"),
        (
            lambda: figures.latent_maps({"": (np.zeros((4, 2)), np.zeros(3, int))}),
            "4 points need as many labels, not 3",
        ),
        (
            lambda: figures.latent_maps({"": (np.zeros((2, 2)), np.array([0, 5]))}, classes=["a", "b"]),
            "class numbers 0 to 5",
        ),
    ],
)
def test_maps_that_do_not_fit_are_refused(call, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()
