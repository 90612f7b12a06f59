"""Lossless images of any size: a network predicts, from its neighbours, how each pixel differs from its prediction.

Decoding goes along slanted lines (``codecbench.learned.coding.wavefront``), with exact arithmetic
(``codecbench.learned.layers.exact``) and interleaved range coding (``codecbench.learned.coding.interleaved``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

import codecbench as cb
from codecbench import learned
from codecbench.learned import interleaved, wavefront

WINDOW = (
    *((-5, column) for column in range(-3, 4)),
    *((-4, column) for column in range(-3, 4)),
    *((-3, column) for column in range(-5, 6)),
    *((-2, column) for column in range(-6, 6)),
    *((-1, column) for column in range(-6, 3)),
    *((0, column) for column in range(-6, 0)),
)
"""Rows and columns of the neighbours from the pixel; all lie on earlier lines ``column + 3·row`` of the wavefront."""
SLANT = 3
MOST_LINES = 1 << 17
"""Longer images, which are thin ones, take too long: a line takes its time, however few pixels it has."""
TOP, LEFT, RIGHT = 5, 6, 5
"""How far the window reaches; pixels so near to a border are marked."""
MARKS = TOP + LEFT + RIGHT
UNIT = 32.0
"""Gray levels are divided by this on their way into the network, and multiplied behind it."""
MIXTURE = 5
MIDDLE = 128
TRAINING_SHARE = 8
"""One of so many pixels of a crop, drawn at random, is looked at in a training step."""
FINE = 2.0**learned.ACTIVATION_BITS
"""Inputs of the networks are integers in units of its inverse."""
SYMBOLS_AT_ONCE = 1 << 24
"""About so many are encoded together; one image at least."""
PIXELS_AT_ONCE = 1 << 15
"""About so many pixels are decoded together, and more on a GPU."""
SMALL = 127
"""Longest side of squares whose header is 1 byte."""


class ResidualNetwork(nn.Module):
    """Mixtures of logistic distributions about the median predictor, one network a channel.

    The median predictor of LOCO-I (M. Weinberger, G. Seroussi, G. Sapiro, IEEE Trans. Image Processing 2000) is
    subtracted from the neighbours, so the networks see differences alone. The first channel is green; the network of
    red sees green, that of blue both. Gray images have a network of their own.
    """

    def __init__(self, width: int = 128, blocks: int = 2):
        super().__init__()
        self.gray = learned.ExactResidual(len(WINDOW) + 1 + MARKS, width, blocks, 3 * MIXTURE)
        self.colour = nn.ModuleList(
            learned.ExactResidual(3 * (len(WINDOW) + 1) + known + MARKS, width, blocks, 3 * MIXTURE)
            for known in range(3)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Bits of images in [0, 1] (N, C, H, W): (N,)."""
        values = (images * 255).round()
        if images.shape[1] == 3:
            values = values[:, (1, 0, 2)]
        places = torch.arange(values[0, 0].numel(), device=values.device)
        if self.training:  # some of them tell as much as all
            places = torch.randperm(len(places)).to(values.device)[: -(-len(places) // TRAINING_SHARE)]
        inputs, base = surroundings(values, places)
        actual = values.flatten(2)[..., places].swapaxes(1, 2)  # (N, P, C)
        off = (actual - base) / UNIT
        bits = torch.zeros(len(images), device=images.device)
        for channel, network in enumerate(self.colour if images.shape[1] == 3 else [self.gray]):
            seen = torch.cat([inputs, off[..., :channel]], 2).flatten(0, 1)
            if self.training:
                seen = seen.bfloat16()
            parameters = network(seen).float().view(*actual.shape[:2], -1)
            bits = bits + mixture_bits(parameters, actual[..., channel], base[..., channel]).sum(1)
        return bits * (values[0, 0].numel() / len(places))


def surroundings(values: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The networks' inputs about pixels, (N, P, (K + 1)·C + MARKS), in units of 1/``UNIT``, and median predictors.

    Given values from 0 to 255, (N, C, H, W), and numbers of pixels, row by row, (P,); the predictors are (N, P, C).
    """
    width = values.shape[3]
    padded = padding(values)
    stride = padded.shape[3]
    corner = (TOP + places // width) * stride + LEFT + places % width
    reach = torch.tensor([row * stride + column for row, column in WINDOW], device=places.device)
    seen = padded.flatten(2).movedim(2, 1)[:, corner[:, None] + reach]  # (N, P, K, C)
    left, above, diagonal = (seen[:, :, WINDOW.index(place)] for place in ((0, -1), (-1, 0), (-1, -1)))
    base = median(left, above, diagonal)
    inputs = torch.cat([seen - base[:, :, None], base[:, :, None] - MIDDLE], 2).flatten(2) / UNIT
    marks = border_marks(places // width, places % width, width).to(values)
    return torch.cat([inputs, marks.expand(len(values), -1, -1)], 2), base


def padding(values: torch.Tensor) -> torch.Tensor:
    """Images with the window's reach about them: gray above, the pixel above on the left, the last one on the right."""
    above = F.pad(values[:, :, :, :1], (0, 0, 1, 0), value=MIDDLE)[:, :, :-1]
    across = torch.cat([above.expand(-1, -1, -1, LEFT), values, values[..., -1:].expand(-1, -1, -1, RIGHT)], 3)
    return F.pad(across, (0, 0, TOP, 0), value=MIDDLE)


def median(left: torch.Tensor, above: torch.Tensor, corner: torch.Tensor) -> torch.Tensor:
    """The median of left, above and left + above − corner."""
    low, high = torch.minimum(left, above), torch.maximum(left, above)
    return torch.minimum(torch.maximum(left + above - corner, low), high)


def border_marks(rows: torch.Tensor, columns: torch.Tensor, width: int) -> torch.Tensor:
    """Which borders are near to pixels: (P, MARKS) of 0 and 1; each mark means: at most so near."""
    marks = [rows <= near for near in range(TOP)] + [columns <= near for near in range(LEFT)]
    return torch.stack(marks + [columns >= width - 1 - near for near in range(RIGHT)], 1)


def mixture_bits(parameters: torch.Tensor, values: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """Bits of values under mixtures: (N, P), given (N, P, 3·MIXTURE), (N, P) and (N, P)."""
    weights, means, scales = parameters.chunk(3, 2)
    off = (values - base)[..., None] - means * UNIT
    rate = torch.exp(-scales.clamp(-2.5, 5.0))
    high = torch.sigmoid(torch.where(values[..., None] == 255, 1e4, (off + 0.5) * rate))
    low = torch.sigmoid(torch.where(values[..., None] == 0, -1e4, (off - 0.5) * rate))
    probability = (torch.softmax(weights, 2) * (high - low)).sum(2)
    return -torch.log2(probability + 1e-5)


def bits_per_pixel(network: learned.Network, images: torch.Tensor) -> torch.Tensor:
    """The loss: mean bits of a pixel, of images in colour and, a fifth as heavy, of the same in gray."""
    images = (images * 255).round() / 255
    mix = torch.rand(3).to(images.device) + 0.2
    gray = (images * (mix / mix.sum())[:, None, None]).sum(1, keepdim=True)
    return (network(images).mean() + 0.2 * network(gray).mean()) / images[0, 0].numel()


@learned.called("bits per pixel")
def each_bits_per_pixel(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The score: bits per pixel of each image, (N,)."""
    return torch.cat([network(part) for part in torch.split(images, 20)]) / images[0, 0].numel()


def wide_mixtures(network: nn.Module, images: torch.Tensor) -> None:
    """Starts the mixtures apart from one another, a few gray levels wide."""
    assert isinstance(network, ResidualNetwork)
    for part in (network.gray, *network.colour):
        assert isinstance(part, learned.ExactResidual)
        last = part.last
        last.weight.data[MIXTURE:] *= 0.1
        last.bias.data[MIXTURE : 2 * MIXTURE] = torch.linspace(-4, 4, MIXTURE) / UNIT
        last.bias.data[2 * MIXTURE :] = math.log(4.0)


RECIPES = {
    "fast": learned.Recipe(
        dataset="stl10:split=train,crop=none",
        test="stl10",
        held_out=200,
        epochs=5,
        passes=3,
        batch_size=16,
        optimizer="muon",
        learning_rate=0.015,
        vector_learning_rate_scale=0.1,
        augment=learned.Chain(
            (
                learned.RandomZoom(share=0.2),
                learned.RandomCropFlip(64, 64),
                learned.RandomColour(share=0.2),
                learned.RandomFlat(),
            )
        ),
        crop=(64, 64),
        loss=bits_per_pixel,
        score=each_bits_per_pixel,
        start=wide_mixtures,
        bfloat16=True,
    )
}


def exact_surroundings(
    canvas: wavefront.Canvas, images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """:func:`surroundings` of pixels in units of 1/``FINE``, with C − 1 columns for channels coded before; and (P, C).

    The canvas has the images as far as they are known; numbers of images, rows and columns are (P,) each. The last C −
    1 columns of the float64 (P, (K + 1)·C + MARKS + C − 1) are filled by :func:`condition`.
    """
    channels, near = canvas.channels, len(WINDOW) * canvas.channels
    inputs = torch.empty(len(rows), near + 2 * channels + MARKS - 1, dtype=torch.float64, device=rows.device)
    base = torch.empty(len(rows), channels, dtype=torch.float64, device=rows.device)
    for block in learned.batches(len(rows), learned.batch_size(rows.device.type)):
        seen = canvas.seen(images[block], rows[block], columns[block]).double()
        left, above, diagonal = (seen[:, WINDOW.index(place)] for place in ((0, -1), (-1, 0), (-1, -1)))
        middle = base[block] = median(left, above, diagonal)
        inputs[block, :near] = (seen - middle[:, None]).mul_(FINE / UNIT).flatten(1)
        inputs[block, near : near + channels] = (middle - MIDDLE) * (FINE / UNIT)
    inputs[:, near + channels : near + channels + MARKS] = border_marks(rows, columns, canvas.width) * FINE
    return inputs, base


def condition(inputs: torch.Tensor, channel: int, values: torch.Tensor, base: torch.Tensor) -> None:
    """Puts what is now known of a channel, (P,), into the inputs of the networks of later channels."""
    channels = base.shape[1]
    if channel < channels - 1:
        inputs[:, channel - channels + 1] = (values - base[:, channel]) * (FINE / UNIT)


def channel_order(channels: int) -> list[int]:
    """In which order channels are coded: green first."""
    return [1, 0, 2] if channels == 3 else [0]


class PixelCoder:
    """Exact distributions of pixels, in the encoder's order or in the decoder's; one ``ExactResidual`` a channel."""

    def __init__(self, networks: Sequence[nn.Module], device: str):
        self._networks = [learned.IntegerNetwork.of(network) for network in networks]  # type: ignore[arg-type]
        self._device = device

    @torch.inference_mode()
    def bounds(self, images: cb.Images) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Start and count of every symbol: both (N, H, W, C), given images with green in front."""
        number, height, width, channels = images.shape
        canvas = wavefront.Canvas(images.shape, WINDOW, MIDDLE, self._device)
        canvas.fill(images)
        starts, counts = (np.empty((number * height * width, channels), np.int32) for _ in range(2))
        actual = images.reshape(-1, channels)
        for block in learned.batches(len(actual), learned.batch_size(self._device)):
            place = torch.arange(block.start, block.stop, device=self._device)
            image, place = place.div(height * width, rounding_mode="floor"), place % (height * width)
            inputs, base = exact_surroundings(canvas, image, place.div(width, rounding_mode="floor"), place % width)
            values = torch.tensor(actual[block], device=self._device)
            for channel in range(channels):
                mixtures = self._mixtures(channel, inputs, base)
                condition(inputs, channel, values[:, channel], base)
                starts[block, channel], counts[block, channel] = mixtures.bounds(actual[block, channel])
        return starts.reshape(images.shape), counts.reshape(images.shape)

    @torch.inference_mode()
    def decode(self, reader: wavefront.WavefrontDecoder, size: tuple[int, int, int, int]) -> cb.Images:
        """Images with green in front, (N, H, W, C)."""
        number, height, width, channels = size
        canvas = wavefront.Canvas(size, WINDOW, MIDDLE, self._device)
        every = torch.arange(number, device=self._device)
        for rows, line in wavefront.lines(height, width, SLANT):
            row = torch.arange(rows.start, rows.stop, device=self._device).repeat_interleave(number)
            inputs, base = exact_surroundings(canvas, every.repeat(rows.stop - rows.start), row, line - SLANT * row)
            values = torch.empty(len(row), channels, dtype=torch.int64, device=self._device)
            for channel in range(channels):
                found = reader.decode(self._mixtures(channel, inputs, base), rows)
                values[:, channel] = torch.from_numpy(found).to(self._device)
                condition(inputs, channel, values[:, channel], base)
            canvas.put(values.view(-1, number, channels), rows, line, SLANT)
        reader.finish()
        return canvas.inside().cpu().numpy()

    def _mixtures(self, channel: int, inputs: torch.Tensor, base: torch.Tensor) -> learned.Mixtures:
        network = self._networks[channel]
        parameters = network(inputs[:, : inputs.shape[1] - len(self._networks) + 1 + channel]).div_(FINE)
        return learned.Mixtures(parameters.cpu().numpy(), base[:, channel].cpu().numpy(), UNIT)


def pack_header(shape: cb.Shape) -> bytes:
    """1 byte for small squares: the side, and 127 more where they are gray; else 0, height, and 2·width + gray."""
    height, width, channels = shape
    gray = channels == 1
    if height == width <= SMALL:
        return bytes([height + SMALL * gray])
    return bytes([0]) + cb.pack_numbers((height, 2 * width + gray))


def unpack_header(bitstream: bytes, owner: str) -> tuple[cb.Shape, int]:
    """Height, width and channels, and the number of bytes that code them.

    Raises ``BitstreamError`` where the header is truncated or :func:`pack_header` writes that shape otherwise.
    """
    if not bitstream:
        raise cb.BitstreamError(f"{owner}: the stream is empty")
    if bitstream[0]:
        gray, side = divmod(bitstream[0] - 1, SMALL)
        shape, size = (side + 1, side + 1, 1 if gray else 3), 1
    else:
        (height, width), size = cb.unpack_numbers(bitstream[1:], 2, owner)
        shape, size = (height, width // 2, 1 if width % 2 else 3), size + 1
    possible = 1 <= shape[0] * shape[1] <= cb.MAX_PIXELS and _lines(shape) <= MOST_LINES
    if not possible or pack_header(shape) != bitstream[:size]:
        raise cb.BitstreamError(f"{owner}: the header tells of no image ({cb.format_shape(shape)})")
    return shape, size


def _lines(shape: cb.Shape) -> int:
    """In how many lines an image is decoded."""
    return shape[1] + SLANT * shape[0]


@cb.register_codec
@dataclass(frozen=True)
class ResLossless(learned.LearnedCodec):
    """Lossless for gray and RGB images of any size: a network predicts each pixel's distribution from its neighbours.

    A stream is a header (1 byte for square images of up to 127 pixels a side), and range-coded residuals.
    """

    trained_on: ClassVar[tuple[str, ...]] = ("stl10",)
    network: ClassVar = ResidualNetwork
    recipes: ClassVar = RECIPES

    @property
    def lossless(self) -> bool:
        """Every pixel comes back."""
        return True

    def check_shape(self, shape: cb.Shape) -> None:
        """Takes gray and RGB images of at most ``MOST_LINES`` lines."""
        super().check_shape(shape)
        if _lines(shape) > MOST_LINES:
            limit = f"width + {SLANT}·height may be {MOST_LINES:,} at most"
            raise cb.UnsupportedImageError(f"{self.name}: {cb.format_shape(shape)} is too long an image; {limit}")

    def encode(self, images: cb.Images) -> list[bytes]:
        """Compresses a batch; images do not depend on one another."""
        height, width, channels = shape = images.shape[1:]
        self.check_shape(shape)
        header = pack_header(shape)
        coder, order = self._coder(channels), channel_order(channels)
        streams: list[bytes] = []
        for part in learned.batches(len(images), SYMBOLS_AT_ONCE // (height * width * channels)):
            bounds = coder.bounds(images[part][..., order])
            streams += [header + stream for stream in wavefront.encode(*bounds, SLANT)]
        return streams

    def decode(self, bitstreams: Sequence[bytes]) -> cb.Images:
        """Restores a batch, line by line of all its images."""
        headers = [unpack_header(stream, self.name) for stream in bitstreams]
        (shape, start), *others = headers
        if any(other != shape for other, _ in others):
            raise cb.BitstreamError(f"{self.name}: streams of one batch decode to images of different shapes")
        height, width, channels = shape
        coder, order = self._coder(channels), channel_order(channels)
        longest, found = min(height, -(-width // SLANT)), []
        for part in learned.batches(len(bitstreams), learned.batch_size(self.device, PIXELS_AT_ONCE) // longest):
            reader = wavefront.WavefrontDecoder([stream[start:] for stream in bitstreams[part]], shape, self.name)
            found.append(coder.decode(reader, (part.stop - part.start, *shape))[..., np.argsort(order)])
        return np.ascontiguousarray(np.concatenate(found))

    def container_bytes(self, bitstream: bytes) -> int | None:
        """The header, and the lengths of the interleaved streams."""
        (height, width, _), start = unpack_header(bitstream, self.name)
        streams = interleaved.split(bitstream[start:], wavefront.stream_count(height, width), self.name)
        return len(bitstream) - sum(map(len, streams))

    def estimate_bits(self, images: cb.Images) -> npt.NDArray[np.float64] | None:
        """The information of the symbols under their counts, without header and the coder's end."""
        height, width, channels = shape = images.shape[1:]
        self.check_shape(shape)
        coder, order = self._coder(channels), channel_order(channels)
        bits = []
        for part in learned.batches(len(images), SYMBOLS_AT_ONCE // (height * width * channels)):
            _, counts = coder.bounds(images[part][..., order])
            bits.append((interleaved.PRECISION - np.log2(counts)).sum((1, 2, 3), dtype=np.float64))
        return np.concatenate(bits)

    def _coder(self, channels: int) -> PixelCoder:
        network = self.shipped_network()
        return PixelCoder([network.gray] if channels == 1 else list(network.colour), self.device)
