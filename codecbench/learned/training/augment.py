"""Random changes of training images, drawn for each image, in batches on the images' device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from codecbench.errors import TrainingError
from codecbench.learned.training.recipe import Augment
from codecbench.text import format_shape


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)


def _in_share(share: float, changed: torch.Tensor, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A random ``share`` of the images as they were changed, the others as they are."""
    chosen = _uniform(len(images), 0.0, 1.0, generator).to(images.device) < share
    return torch.where(chosen[:, None, None, None], changed, images)


def affine(
    images: torch.Tensor, angle: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor, shear: torch.Tensor
) -> torch.Tensor:
    """Shears, magnifies, rotates and then shifts images (N, C, H, W) about their centre, bilinear, zeros outside.

    The same map as torchvision's ``affine``, with numbers of its own for each image: ``angle`` (N,) clockwise, in
    radians; ``shift`` (N, 2) to the right and down, in pixels; ``scale`` (N,); ``shear`` (N,), the angle in radians by
    which columns lean to the left at the bottom.
    """
    height, width = images.shape[2:]
    cosine, sine, slope = torch.cos(angle), torch.sin(angle), torch.tan(shear)
    # The inverse map, from places in the output to places in the input, in pixels from the centre.
    rows = torch.stack([cosine - slope * sine, sine + slope * cosine, -sine, cosine], dim=1).reshape(-1, 2, 2)
    inverse = rows / scale[:, None, None]
    offset = -(inverse @ shift[:, :, None])
    half = torch.tensor([width / 2, height / 2], device=inverse.device)  # affine_grid's unit, along x and y
    theta = torch.cat([inverse * half / half[:, None], offset / half[:, None]], dim=2)
    grid = F.affine_grid(theta.to(images.device, images.dtype), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@dataclass(frozen=True)
class RandomAffine:
    """Rotation, shift, scale and horizontal shear about the centre, bilinear, zeros outside."""

    degrees: float = 15.0  # rotation within ± this
    translate: float = 0.1  # shift within ± this fraction of the side
    scale: tuple[float, float] = (0.9, 1.1)  # smallest and largest magnification
    shear: float = 10.0  # within ± this angle, in degrees
    share: float = 1.0  # fraction of the images that are changed; the others pass as they are

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Changes float images (N, C, H, W)."""
        count, _, height, width = images.shape
        angle = torch.deg2rad(_uniform(count, -self.degrees, self.degrees, generator))
        shear = torch.deg2rad(_uniform(count, -self.shear, self.shear, generator))
        scale = _uniform(count, *self.scale, generator)
        right = _uniform(count, -self.translate, self.translate, generator) * width
        down = _uniform(count, -self.translate, self.translate, generator) * height
        moved = affine(images, angle, torch.stack([right, down], dim=1), scale, shear)
        return _in_share(self.share, moved, images, generator)


@dataclass(frozen=True)
class RandomCropFlip:
    """A random crop of ``height`` × ``width`` pixels, mirrored left to right in half the cases."""

    height: int
    width: int

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Cuts float images (N, C, H, W) to (N, C, height, width), each at a place of its own."""
        _check_size(images, self.height, self.width)
        count, _, height, width = images.shape
        device = images.device

        def places(room: int) -> torch.Tensor:
            return torch.randint(0, room + 1, (count, 1), generator=generator, device=generator.device).to(device)

        rows = places(height - self.height) + torch.arange(self.height, device=device)
        columns = places(width - self.width) + torch.arange(self.width, device=device)
        mirrored = _uniform(count, 0.0, 1.0, generator).to(device) < 0.5
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
        numbers = torch.arange(count, device=device)
        cut = images.permute(0, 2, 3, 1)[numbers[:, None, None], rows[:, :, None], columns[:, None, :]]
        return cut.permute(0, 3, 1, 2)


@dataclass(frozen=True)
class RandomColour:
    """Contrast, saturation and brightness changed a little, clipped to [0, 1]."""

    contrast: float = 0.3  # factor about the image's mean, within 1 ± this
    saturation: float = 0.3  # factor about each pixel's gray, within 1 ± this
    brightness: float = 0.1  # shift within ± this
    share: float = 0.5  # fraction of the images that are changed; the others pass as they are

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Changes float images (N, C, H, W)."""
        ranges = ((1.0, self.contrast), (1.0, self.saturation), (0.0, self.brightness))
        draws = (_uniform(len(images), about - by, about + by, generator) for about, by in ranges)
        contrast, saturation, brightness = (draw.to(images.device)[:, None, None, None] for draw in draws)
        gray = images.mean(1, keepdim=True)
        moved = gray + saturation * (images - gray)
        mean = moved.mean((1, 2, 3), keepdim=True)
        moved = (mean + contrast * (moved - mean) + brightness).clamp(0, 1)
        return _in_share(self.share, moved, images, generator)


@dataclass(frozen=True)
class RandomZoom:
    """Magnifies a ``share`` of the batches by one factor each, drawn between 1 and ``most``, bilinear."""

    most: float = 2.0
    share: float = 0.3

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Changes float images (N, C, H, W)."""
        drawn, factor = (float(_uniform(1, low, high, generator)) for low, high in ((0.0, 1.0), (1.0, self.most)))
        if drawn >= self.share:
            return images
        size = [round(side * factor) for side in images.shape[2:]]
        return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class RandomFlat:
    """Gives a ``share`` of the images one colour, that of their first pixel, which photographs hardly ever show."""

    share: float = 0.02

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Changes float images (N, C, H, W)."""
        return _in_share(self.share, images[:, :, :1, :1], images, generator)


@dataclass(frozen=True)
class Chain:
    """Random changes one after the other."""

    changes: tuple[Augment, ...]

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Changes float images (N, C, H, W)."""
        for change in self.changes:
            images = change(images, generator)
        return images


def center_crop(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The middle (N, C, height, width) of images (N, C, H, W)."""
    _check_size(images, height, width)
    top, left = (images.shape[2] - height) // 2, (images.shape[3] - width) // 2
    return images[:, :, top : top + height, left : left + width]


def _check_size(images: torch.Tensor, height: int, width: int) -> None:
    if images.shape[2] < height or images.shape[3] < width:
        size = format_shape(images.shape[2:])
        raise TrainingError(f"images of {size} pixels are smaller than the crop of {height}×{width}")
