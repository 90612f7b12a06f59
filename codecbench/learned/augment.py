"""Random changes of training images, drawn one an image, in batches on the images' device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)


@dataclass(frozen=True)
class RandomAffine:
    """Rotation, shift, scale and horizontal shear about the centre, bilinear, zeros outside.

    Attributes:
        degrees: rotation within ± this angle.
        translate: shift within ± this fraction of the side.
        scale: smallest and largest magnification.
        shear: shear within ± this angle.
        share: fraction of the images that are changed; the others pass as they are.
    """

    degrees: float = 15.0
    translate: float = 0.1
    scale: tuple[float, float] = (0.9, 1.1)
    shear: float = 10.0
    share: float = 1.0

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Changes float images (N, C, H, W), each by a draw of its own."""
        count = len(images)
        angle = torch.deg2rad(_uniform(count, -self.degrees, self.degrees, generator))
        shear = torch.tan(torch.deg2rad(_uniform(count, -self.shear, self.shear, generator)))
        zoom = 1.0 / _uniform(count, *self.scale, generator)
        cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        shift_x = _uniform(count, -2 * self.translate, 2 * self.translate, generator)
        shift_y = _uniform(count, -2 * self.translate, 2 * self.translate, generator)
        theta = torch.stack(
            [
                torch.stack([cosine, cosine * shear - sine, shift_x], dim=1),
                torch.stack([sine, sine * shear + cosine, shift_y], dim=1),
            ],
            dim=1,
        )
        kept = _uniform(count, 0.0, 1.0, generator) >= self.share
        identity = torch.eye(2, 3, device=images.device)
        theta = torch.where(kept[:, None, None], identity, theta.to(images.device))
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@dataclass(frozen=True)
class RandomCropFlip:
    """A random crop, mirrored left to right in half the cases.

    Attributes:
        height: of the crop, in pixels.
        width: of the crop, in pixels.
    """

    height: int
    width: int

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Cuts float images (N, C, H, W) to (N, C, height, width), each at a place of its own."""
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


def center_crop(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The middle (N, C, height, width) of images (N, C, H, W)."""
    top = math.floor((images.shape[2] - height) / 2)
    left = math.floor((images.shape[3] - width) / 2)
    return images[:, :, top : top + height, left : left + width]
