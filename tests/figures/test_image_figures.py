"""Pictures of images: every image is there, whole, in its place."""

from __future__ import annotations

import numpy as np
import pytest

from codecbench import figures
from codecbench.errors import UsageError
from codecbench.figures import style


def some(count: int, height: int = 28, width: int = 28, channels: int = 1) -> np.ndarray:
    shape = (count, height, width, channels)
    return np.random.default_rng(count).integers(0, 256, shape, dtype=np.uint8)


def pixels(axes) -> np.ndarray:
    (image,) = axes.images
    return np.asarray(image.get_array())


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_a_grid_shows_every_image_in_order_with_its_label() -> None:
    images = some(11)
    figure = figures.image_grid(images, [f"digit {n}" for n in range(11)], columns=4)
    assert len(figure.axes) == 11
    for image, axes in zip(images, figure.axes, strict=True):
        np.testing.assert_array_equal(pixels(axes), np.repeat(image, 3, axis=2))
    assert texts(figure) == [f"digit {n}" for n in range(11)]
    boxes = [axes.get_position() for axes in figure.axes]
    assert len({round(box.y0, 6) for box in boxes}) == 3
    assert boxes[0].x0 == pytest.approx(boxes[4].x0)
    assert boxes[0].x0 < boxes[1].x0
    assert boxes[4].y1 < boxes[0].y0


def test_pixels_are_squares_of_whole_dots() -> None:
    figure = figures.image_grid(some(3, 20, 28, 3))
    width, height = figure.get_size_inches() * style.DPI
    for axes in figure.axes:
        box = axes.get_position()
        across, down = box.width * width / 28, box.height * height / 20
        assert across == pytest.approx(down)
        assert across == pytest.approx(round(across))
        assert box.x0 * width == pytest.approx(round(box.x0 * width))


def test_large_images_are_shrunk() -> None:
    figure = figures.image_grid(some(2, 300, 600, 3))
    assert figure.get_size_inches()[0] < 2.5


def test_rows_show_the_same_images_in_several_forms() -> None:
    rows = {"original": some(3), "svd rank 5\n285 floats": some(3) // 2}
    figure = figures.compare_rows(rows, {"svd rank 5\n285 floats": ["a", "b", "c"]})
    drawn = [pixels(axes)[..., :1] for axes in figure.axes]
    np.testing.assert_array_equal(np.stack(drawn), np.concatenate(list(rows.values())))
    assert texts(figure) == ["original", "svd rank 5", "285 floats", "a", "b", "c"]
    tops = [axes.get_position().y1 for axes in figure.axes]
    assert tops[0] == tops[2] > tops[3] == tops[5]


def test_saving_images_gives_the_same_bytes() -> None:
    drawn = [figures.compare_rows({"one": some(2)}) for _ in range(2)]
    assert style.save_svg(drawn[0]) == style.save_svg(drawn[1])
    assert style.save_png(drawn[0]) == style.save_png(drawn[1])
    assert style.save_svg(drawn[0]).count(b"<image") == 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: figures.image_grid(some(2).astype(float)), "uint8"),
        (lambda: figures.image_grid(some(2)[0]), "N, H, W, C"),
        (lambda: figures.image_grid(some(2)[:0]), "N ≥ 1"),
        (lambda: figures.image_grid(some(2, channels=2)), "C = 1 or 3"),
        (lambda: figures.image_grid(some(2), ["one"]), "labels: 2 are needed, not 1"),
        (lambda: figures.image_grid(some(2), columns=0), "columns=0"),
        (lambda: figures.compare_rows({}), "no rows"),
        (lambda: figures.compare_rows({"a": some(2), "b": some(3)}), "2×28×28×1, 3×28×28×1"),
        (lambda: figures.compare_rows({"a": some(2)}, {"b": ["x", "y"]}), "captions of no row: b"),
        (lambda: figures.compare_rows({"a": some(2)}, {"a": ["x"]}), "captions of 'a': 2 are needed, not 1"),
    ],
)
def test_what_does_not_fit_is_a_clear_word(call, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()
