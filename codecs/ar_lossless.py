"""Lossless gray digits: an autoregressive network over causal neighbours, exact, and entropy-coded."""

from __future__ import annotations

import functools
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
from codecbench.learned import InterleavedDecoder, interleaved, neighbours, window

SIDE, VALUES = 28, 256
ABOVE, ASIDE = 8, 8
FEATURES = 3
"""Of each neighbour: its value, whether it is not 0, whether it is nearly white."""
NEARLY_WHITE = 250


class CausalNetwork(learned.ExactResidual):
    """Distribution of a pixel's value given its causal neighbours, its row and its column.

    Where all neighbours are 0, the distribution comes from a table by row and column, counted over the training images.
    """

    blank: torch.Tensor

    def __init__(self, width: int = 256, blocks: int = 2):
        super().__init__(FEATURES * len(window(ABOVE, ASIDE)), width, blocks, VALUES)
        self.rows = nn.Parameter(torch.zeros(SIDE * width))
        self.columns = nn.Parameter(torch.zeros(SIDE * width))
        self.register_buffer("blank", torch.zeros(SIDE * SIDE, VALUES))

    def logits(self, known: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Logits (P, VALUES) of values, given features of neighbours (P, K·FEATURES) and numbers of pixels (P,)."""
        hidden = self.first(known)
        hidden = hidden + F.embedding(place // SIDE, self.rows.view(SIDE, -1)).to(hidden.dtype)
        return self.behind(hidden + F.embedding(place % SIDE, self.columns.view(SIDE, -1)).to(hidden.dtype))

    def forward(self, images: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Bits of images in [0, 1] (N, 1, 28, 28): (N,)."""
        values = (images * 255).round()
        known = neighbours(values.to(torch.bfloat16) if self.training else values, ABOVE, ASIDE).flatten(0, 2)
        values = values.flatten().long()
        place = torch.arange(SIDE * SIDE, device=images.device).repeat(len(images))
        seen = known.any(1)
        chosen = seen.nonzero().squeeze(1)
        logits = self.logits(features(known[chosen]), place[chosen]).float()
        bits = F.embedding(place * VALUES + values, self.blank.view(-1, 1)).squeeze(1)
        costs = F.cross_entropy(logits, values[chosen], reduction="none") / 0.6931471805599453
        return torch.where(seen, torch.zeros_like(bits).index_copy(0, chosen, costs), bits).view(len(images), -1).sum(1)


def features(known: torch.Tensor) -> torch.Tensor:
    """Of values 0 to 255 (P, K): (P, K·FEATURES), multiples of 1/256."""
    return torch.cat([known / 256, (known > 0).to(known.dtype), (known >= NEARLY_WHITE).to(known.dtype)], 1)


def count_blanks(network: nn.Module, images: torch.Tensor) -> None:
    """Fills the table of pixels without neighbours: bits of each value, by its frequency, with a small prior."""
    assert isinstance(network, CausalNetwork)
    counts = torch.zeros(SIDE * SIDE * VALUES, dtype=torch.float64)
    place = torch.arange(SIDE * SIDE)
    for part in images.cpu().split(1000):  # type: ignore[no-untyped-call]
        values = part.float()
        blank = ~neighbours(values, ABOVE, ASIDE).flatten(2).any(2)
        index = (place * VALUES + values.flatten(1).long())[blank]
        counts += torch.bincount(index, minlength=len(counts))
    counts = counts.view(-1, VALUES)
    whole = counts[:, 1:].sum(0)
    prior = torch.cat([torch.zeros(1), 0.5 * (whole + 0.1) / (whole + 0.1).sum()]).double()
    prior[0] = 0.5
    counts = counts + prior
    network.blank.copy_(-torch.log2(counts / counts.sum(1, keepdim=True)))


def bits_per_pixel(network: learned.Network, images: torch.Tensor) -> torch.Tensor:
    """The loss: mean bits of a pixel."""
    return network(images).mean() / (SIDE * SIDE)


@learned.called("bits per pixel")
def each_bits_per_pixel(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The score: bits per pixel of each image, (N,)."""
    parts = images.split(50)  # type: ignore[no-untyped-call]
    return torch.cat([network(part) for part in parts]) / (SIDE * SIDE)


RECIPES = {
    "fast": learned.Recipe(
        dataset="mnist:split=train",
        test="mnist",
        held_out=2_000,
        epochs=2,
        batch_size=32,
        optimizer="muon",
        learning_rate=0.02,
        vector_learning_rate_scale=0.1,
        loss=bits_per_pixel,
        score=each_bits_per_pixel,
        start=count_blanks,
        bfloat16=True,
    )
}


IMAGES = 2_000
"""Images decoded at once; bounds the memory."""
PIXELS_AT_ONCE = 512
"""Pixels that go through the network at once on a CPU."""
ENCODED = 16
"""Images whose pixels are gathered at once while encoding; bounds the memory, too."""

HIGH, WIDE = ABOVE + 1, 2 * ASIDE + 1
"""The block of pixels about a pixel that holds its window; what of it comes after the window has no weight."""


class ExactModel:
    """The network as the coder needs it: integers in, integer counts out, the same on every machine."""

    @torch.no_grad()
    def __init__(self, network: CausalNetwork):
        weight = network.first.weight.detach()
        known, width = len(window(ABOVE, ASIDE)), len(weight)
        first = learned.ExactLinear(FEATURES * HIGH * WIDE, width, device=weight.device)
        first.weight.copy_(F.pad(weight.view(width, FEATURES, known), (0, HIGH * WIDE - known)).flatten(1))
        first.bias.copy_(network.first.bias.detach())
        self._network = learned.IntegerNetwork(first, list(network.inner), network.last)
        rows, columns = (learned.on_grid(p.detach()).view(SIDE, 1, -1) for p in (network.rows, network.columns))
        self._places = ((rows + columns.swapaxes(0, 1)) * _UNIT).flatten(0, 1)  # (SIDE², width)
        # Bits to natural logarithms on the grid, by one product that every machine rounds alike.
        blank = learned.on_grid(network.blank.double() * -0.6931471805599453) * _UNIT
        self.blank_starts = learned.Softmax(blank).starts().cpu().numpy()
        self.blank_counts = np.diff(self.blank_starts, append=interleaved.TOTAL)

    def distributions(self, blocks: torch.Tensor, places: torch.Tensor | int) -> learned.Softmax:
        """Distributions of P pixels, by :func:`planes` about them, (P, FEATURES, HIGH, WIDE), and their numbers."""
        return learned.Softmax(self._network(blocks.flatten(1), self._places[places]))


_UNIT = 2.0**learned.ACTIVATION_BITS


@functools.lru_cache(maxsize=4)
def _exact_model(network: CausalNetwork) -> ExactModel:
    with torch.inference_mode(False):
        return ExactModel(network)


def planes(values: torch.Tensor) -> torch.Tensor:
    """Features of all pixels: uint8 (N, SIDE, SIDE) to float64 (N, FEATURES, ABOVE + SIDE, ASIDE + SIDE + ASIDE).

    They are integers, in units of 2**−``ACTIVATION_BITS``; 0 outside the image.
    """
    padded = F.pad(values, (ASIDE, ASIDE, ABOVE, 0))
    found = features(padded.double().view(-1, 1)).view(*padded.shape, FEATURES)
    return (found * _UNIT).movedim(3, 1).contiguous()


@cb.register_codec
@dataclass(frozen=True)
class ArLossless(learned.LearnedCodec):
    """Lossless 28×28 gray digits: every pixel coded by a network's distribution, given the pixels before it.

    The network sees the 144 neighbours above and to the left, and computes with integers, so that each machine gets the
    same distributions (see :mod:`codecbench.learned.layers.exact`). Where those neighbours are all 0, the distribution
    comes from a table by row and column. A stream is one of the interleaved streams of
    :mod:`codecbench.learned.coding.interleaved`, without any header. (A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu,
    Pixel Recurrent Neural Networks, ICML 2016, code images pixel by pixel with a network.)
    """

    trained_on: ClassVar[tuple[str, ...]] = ("mnist",)
    image_shape: ClassVar[cb.Shape] = (SIDE, SIDE, 1)
    network: ClassVar[type[CausalNetwork]] = CausalNetwork
    recipes: ClassVar[dict[str, learned.Recipe]] = RECIPES

    @classmethod
    def versions(cls) -> dict[str, str]:
        """The version of PyTorch."""
        return {"torch": torch.__version__}

    @property
    def lossless(self) -> bool:
        """Always."""
        return True

    def check_shape(self, shape: cb.Shape) -> None:
        """Takes images of the network's shape."""
        if shape != self.image_shape:
            raise cb.UnsupportedImageError(
                f"{self.name} takes {cb.format_shape(self.image_shape)} images, not {cb.format_shape(shape)}"
            )

    def encode(self, images: cb.Images) -> list[bytes]:
        """Encodes uint8 images (N, 28, 28, 1)."""
        return interleaved.encode(*self._bounds(images))

    def decode(self, bitstreams: Sequence[bytes]) -> cb.Images:
        """Decodes to uint8 images (N, 28, 28, 1)."""
        parts = [self._decode(bitstreams[start : start + IMAGES]) for start in range(0, len(bitstreams), IMAGES)]
        return np.concatenate(parts)

    def container_bytes(self, bitstream: bytes) -> int:
        """0: a stream has no header."""
        return 0

    def estimate_bits(self, images: cb.Images) -> npt.NDArray[np.float64]:
        """The information of the pixels under their distributions, (N,)."""
        return -np.log2(self._bounds(images)[1] / interleaved.TOTAL).sum(0)

    @torch.inference_mode()
    def _bounds(self, images: cb.Images) -> npt.NDArray[np.int32]:
        """Starts and counts of the pixels, in the order of the stream: (2, 28², N)."""
        self.check_shape((images.shape[1], images.shape[2], images.shape[3]))
        model = _exact_model(self.shipped_network())
        every, values = np.arange(SIDE * SIDE)[:, None], images.reshape(len(images), -1).T
        found = np.empty((2, *values.shape), np.int32)
        found[0], found[1] = model.blank_starts[every, values], model.blank_counts[every, values]
        for begin in range(0, len(images), ENCODED):
            part = torch.tensor(images[begin : begin + ENCODED, :, :, 0], device=self.device)
            seen = neighbours(part[:, None], ABOVE, ASIDE).flatten(2).bool().any(2)
            image, place = seen.nonzero(as_tuple=True)
            blocks = planes(part).unfold(2, HIGH, 1).unfold(3, WIDE, 1).permute(0, 2, 3, 1, 4, 5)
            actual = part.flatten(1)[seen].long()
            for some in learned.batches(len(actual), self._batch_size):
                of, at = image[some], place[some]
                softmax = model.distributions(blocks[of, at // SIDE, at % SIDE], at)
                bounds = torch.stack(softmax.bounds(actual[some]))
                found[:, at.cpu().numpy(), of.cpu().numpy() + begin] = bounds.cpu().numpy()
        return found

    @torch.inference_mode()
    def _decode(self, bitstreams: Sequence[bytes]) -> cb.Images:
        """Decodes some images together, pixel by pixel."""
        model, decoder = _exact_model(self.shipped_network()), InterleavedDecoder(bitstreams, self.name)
        known = planes(torch.zeros(len(bitstreams), SIDE, SIDE, dtype=torch.uint8, device=self.device))
        images = np.zeros((len(bitstreams), SIDE * SIDE), np.uint8)
        for place in range(SIDE * SIDE):
            row, column = divmod(place, SIDE)
            values = self._step(model, decoder, known[:, :, row : row + HIGH, column : column + WIDE], place)
            images[:, place] = values
            (lit,) = values.nonzero()
            if len(lit):
                lit_features = features(torch.from_numpy(values[lit]).to(self.device).double()[:, None]) * _UNIT
                known[torch.from_numpy(lit).to(self.device), :, row + ABOVE, column + ASIDE] = lit_features
        decoder.finish()
        return images.reshape(-1, *self.image_shape)

    def _step(
        self, model: ExactModel, decoder: InterleavedDecoder, blocks: torch.Tensor, place: int
    ) -> interleaved.States:
        """Decodes one pixel of all images, (N,), given what is known about it: (N, FEATURES, HIGH, WIDE)."""
        slots = decoder.slots()
        values = np.searchsorted(model.blank_starts[place], slots, "right") - 1
        starts, counts = model.blank_starts[place][values], model.blank_counts[place][values]
        seen = blocks[:, 0].amax((1, 2)).nonzero().squeeze(1)
        wanted = torch.from_numpy(slots).to(self.device)[seen]
        stream = seen.cpu().numpy()
        for some in learned.batches(len(stream), self._batch_size):
            found = model.distributions(blocks[seen[some]], place).search(wanted[some])
            values[stream[some]], starts[stream[some]], counts[stream[some]] = torch.stack(found).cpu().numpy()
        decoder.advance(starts, counts)
        return values

    @property
    def _batch_size(self) -> int:
        """Pixels that go through the network at once."""
        return learned.batch_size(self.device, PIXELS_AT_ONCE)
