"""Random changes of images: what they do, and that they stay within what was asked."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from codecbench.errors import TrainingError
from codecbench.learned.training import augment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(height: int = 28, width: int = 28, count: int = 1, channels: int = 1) -> torch.Tensor:
    noise = np.random.default_rng(0).random((count, channels, height, width))
    return torch.from_numpy(ndimage.gaussian_filter(noise, (0, 0, 1.5, 1.5))).float()


def expected(image: torch.Tensor, degrees: float, shift: tuple[float, float], scale: float, shear: float) -> np.ndarray:
    """The same by SciPy: the forward map in (x, y) from the centre, written down factor by factor and inverted."""
    angle = math.radians(degrees)
    rotate = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])  # clockwise: y is down
    lean = np.array([[1.0, -math.tan(math.radians(shear))], [0.0, 1.0]])
    inverse = np.linalg.inv(scale * rotate @ lean)[::-1, ::-1]  # SciPy counts (row, column)
    centre = (np.array(image.shape) - 1) / 2
    offset = centre - inverse @ (centre + np.array(shift)[::-1])
    return ndimage.affine_transform(image.double().numpy(), inverse, offset, order=1, mode="grid-constant", cval=0.0)


@pytest.mark.parametrize(
    ("degrees", "shift", "scale", "shear"),
    [
        (15, (0, 0), 1, 0),
        (0, (0, 0), 1, 0),
        (12, (1.5, -2.25), 0.9, -8),
        (-33, (-4, 3), 1.2, 20),
    ],
)
@pytest.mark.parametrize("size", [(28, 28), (19, 40)])
def test_affine_is_what_scipy_makes_of_it(degrees, shift, scale, shear, size):
    image, angles = smooth(*size), torch.tensor([[degrees], [shear]]).deg2rad()
    ours = augment.affine(image, angles[0], torch.tensor([shift]).float(), torch.tensor([float(scale)]), angles[1])[
        0, 0
    ]
    assert np.abs(ours.numpy() - expected(image[0, 0], degrees, shift, scale, shear)).max() < 2e-5


def fills(values: np.ndarray, low: float, high: float, slack: float) -> None:
    """All within the range, and the range nearly filled."""
    assert low - slack < values.min() < low + 0.05 * (high - low) + slack
    assert high + slack > values.max() > high - 0.05 * (high - low) - slack


def test_ranges_of_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[torch.Tensor] = []
    monkeypatch.setattr(augment, "affine", lambda images, *draws: drawn.extend(draws) or images)
    augment.RandomAffine(degrees=15, translate=0.1, scale=(0.9, 1.1), shear=10)(
        torch.rand(400, 1, 20, 50), generator(7)
    )
    angle, shift, scale, shear = (draw.numpy() for draw in drawn)
    fills(np.degrees(angle), -15, 15, 0.01)
    fills(np.degrees(shear), -10, 10, 0.01)
    fills(scale, 0.9, 1.1, 0.0001)
    fills(shift[:, 0], -5, 5, 0.01)  # of the width
    fills(shift[:, 1], -2, 2, 0.01)  # of the height
    assert np.abs(np.corrcoef(np.column_stack([angle, shear, scale, shift]).T) - np.eye(5)).max() < 0.2


CHANGES = [augment.RandomAffine(share=0.25), augment.RandomColour(share=0.25), augment.RandomFlat(share=0.25)]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_a_share_of_the_images_is_changed(change) -> None:
    images = torch.rand(2000, 3, 8, 8)
    same = (change(images, generator()) == images).flatten(1).all(1)
    assert 0.7 < same.float().mean() < 0.8
    assert torch.equal(dataclasses.replace(change, share=0.0)(images, generator()), images)
    assert (dataclasses.replace(change, share=1.0)(images, generator()) != images).flatten(1).any(1).all()


@pytest.mark.parametrize("change", [*CHANGES, augment.RandomCropFlip(5, 5), augment.RandomZoom(share=1.0)], ids=str)
def test_the_generator_decides_and_each_image_has_its_own_draw(change) -> None:
    images = torch.rand(1, 3, 9, 9, generator=generator(1)).repeat(6, 1, 1, 1)
    torch.manual_seed(1)
    once = change(images, generator(3))
    torch.manual_seed(2)
    assert torch.equal(once, change(images, generator(3)))
    assert any(not torch.equal(once, change(images, generator(seed))) for seed in range(4, 9))
    assert 0.0 <= float(once.min()) < float(once.max()) <= 1.0
    if not isinstance(change, augment.RandomZoom):
        assert len({row.numpy().tobytes() for row in once}) > 1


@pytest.mark.parametrize("size", [(6, 5), (9, 11), (9, 4), (1, 1)])
def test_crop_flip_cuts_true_parts(size: tuple[int, int]) -> None:
    height, width = size
    images = torch.rand(60, 3, 9, 11)
    seen = set()
    for image, part in zip(images, augment.RandomCropFlip(height, width)(images, generator()), strict=True):
        places = np.ndindex(10 - height, 12 - width, 2)
        windows = {place: image[:, place[0] : place[0] + height, place[1] : place[1] + width] for place in places}
        found = {
            place for place, window in windows.items() if torch.equal(window.flip(2) if place[2] else window, part)
        }
        assert found, "a part that is no crop of its own image"
        seen |= found
    for axis, count in enumerate((10 - height, 12 - width, 2)):
        assert {place[axis] for place in seen} == set(range(count))


def test_center_crop_and_images_that_are_too_small() -> None:
    images = torch.arange(6 * 7.0).reshape(1, 1, 6, 7)
    assert torch.equal(augment.center_crop(images, 4, 3), images[:, :, 1:5, 2:5])
    assert torch.equal(augment.center_crop(images, 6, 7), images)
    for height, width in ((8, 4), (4, 8)):
        small = torch.rand(2, 1, height, width)
        words = f"images of {height}×{width} pixels are smaller than the crop of 5×5"
        with pytest.raises(TrainingError, match=words):
            augment.RandomCropFlip(5, 5)(small, generator())
        with pytest.raises(TrainingError, match=words):
            augment.center_crop(small, 5, 5)


# --- Colour, zoom, chains -----------------------------------------------------------------------------------


def colours(count: int = 200, side: int = 6) -> torch.Tensor:
    """Images far enough from black and white that nothing is clipped."""
    return 0.4 + 0.2 * torch.rand((count, 3, side, side), generator=generator(4))


def test_brightness_contrast_and_saturation_are_what_they_are_called() -> None:
    images = colours()
    mean, gray = images.mean((1, 2, 3), keepdim=True), images.mean(1, keepdim=True)
    lighter = augment.RandomColour(0.0, 0.0, 0.1, 1.0)(images, generator()) - images
    shift = lighter.mean((1, 2, 3))
    assert torch.allclose(lighter, shift[:, None, None, None].expand_as(lighter), atol=1e-6)
    fills(shift.numpy(), -0.1, 0.1, 0.02)
    for change, centre in (
        (augment.RandomColour(0.3, 0.0, 0.0, 1.0), mean),
        (augment.RandomColour(0.0, 0.3, 0.0, 1.0), gray),
    ):
        before, after = images - centre, change(images, generator()) - centre
        factor = (after * before).sum((1, 2, 3)) / (before * before).sum((1, 2, 3))
        assert torch.allclose(after, factor[:, None, None, None] * before, atol=1e-6)
        fills(factor.numpy(), 0.7, 1.3, 0.06)


def test_zoom_magnifies_some_batches_as_a_whole() -> None:
    images, drawer = smooth(20, 30, count=2, channels=3), generator(2)
    zoomed = [augment.RandomZoom(most=2.0, share=0.4)(images, drawer) for _ in range(200)]
    sizes = [tuple(some.shape[2:]) for some in zoomed]
    assert 0.5 < sizes.count((20, 30)) / 200 < 0.7
    heights = [height for height, _ in sizes if height > 20]
    assert 38 <= max(heights) <= 40
    assert min(heights) <= 22
    assert all(abs(width / 30 - height / 20) <= 0.05 for height, width in sizes)
    for some in zoomed[:20]:
        back = torch.nn.functional.interpolate(some, size=(20, 30), mode="bilinear", align_corners=False)
        assert float((back - images).abs().mean()) < 0.02
    assert torch.equal(augment.RandomZoom(share=0.0)(images, drawer), images)


def test_a_chain_goes_from_left_to_right_with_one_generator() -> None:
    images = smooth(16, 16, count=5, channels=3)
    crop, colour = augment.RandomCropFlip(8, 8), augment.RandomColour(share=1.0)
    drawer = generator(5)
    expected = colour(crop(images, drawer), drawer)
    assert torch.equal(augment.Chain((crop, colour))(images, generator(5)), expected)
    assert torch.equal(augment.Chain(())(images, generator(5)), images)
