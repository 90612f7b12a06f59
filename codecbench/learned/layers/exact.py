"""Layers whose results are the same integers on every machine, whatever the batch, the threads and the device.

An entropy decoder must see the very probabilities that the encoder saw. Sums of rounded floating-point numbers depend
on their order, and the order on the batch, the library and the chip. Here activations are multiples of 2**-10 and
weights multiples of 2**-14, computed in float64: each product and each partial sum is a multiple of 2**-24 far below
2**29, which float64 represents exactly, so every order of summation gives the same number. A result is rounded once,
back to the grid of activations. (J. Ballé, N. Johnston, D. Minnen, Integer Networks for Data Compression with
Latent-Variable Models, ICLR 2019, name the problem and solve it with integers.)

The layers are trained as ordinary float layers; rounding them costs next to nothing on grids this fine. ``exact`` is
for inference: no gradients. It raises ``WeightsError`` where weights are so large that sums would not be exact.
"""

from __future__ import annotations

import decimal
import itertools
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import nn

from codecbench.errors import WeightsError

ACTIVATION_BITS, WEIGHT_BITS = 10, 14
LARGEST = 2.0**11
"""Activations are clamped to ± this."""
ROWS = 512
"""How many inputs go through a :class:`IntegerNetwork` at once, on a processor."""

_SUMMABLE = 2.0 ** (53 - ACTIVATION_BITS - WEIGHT_BITS)


def decimals(digits: int) -> AbstractContextManager[decimal.Context]:
    """Decimal arithmetic of so many digits, whatever the caller's own settings: the same on every machine."""
    traps = [decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow]
    context = decimal.Context(
        prec=digits, rounding=decimal.ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999, capitals=1, clamp=0, traps=traps
    )
    return decimal.localcontext(context)


def on_grid(values: torch.Tensor) -> torch.Tensor:
    """The nearest activations: float64, multiples of 2**-10 within ± ``LARGEST``; ties go to the even one."""
    scaled = (values.double() * 2.0**ACTIVATION_BITS).round()
    return (scaled / 2.0**ACTIVATION_BITS).clamp(-LARGEST, LARGEST)


class ExactLinear(nn.Linear):
    """A linear layer with an exact version."""

    def exact(self, inputs: torch.Tensor) -> torch.Tensor:
        """Applies the rounded layer to activations on the grid: float64 (N, in) to (N, out)."""
        weight, bias = _rounded(self)
        return on_grid(inputs @ weight.T + bias)


class ExactConv2d(nn.Conv2d):
    """A convolution of stride 1 over zero-padded images, with an exact version."""

    def __init__(self, inputs: int, outputs: int, kernel: int):
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)

    def exact(self, inputs: torch.Tensor) -> torch.Tensor:
        """Applies the rounded layer to activations on the grid: float64 (N, in, H, W) to (N, out, H, W).

        As a matrix product over unfolded patches, since libraries' convolutions may transform what they multiply.
        """
        weight, bias = _rounded(self)
        size = inputs.shape[2:]
        if self.kernel_size == (1, 1):
            patches = inputs.flatten(2)
        else:
            patches = F.unfold(inputs, self.kernel_size, padding=self.kernel_size[0] // 2)
        return on_grid((weight.flatten(1) @ patches + bias[:, None]).reshape(len(inputs), -1, *size))


class ExactResidual(nn.Module):
    """A residual network of linear layers: a first one, ``blocks`` pairs beside the identity, a last one."""

    def __init__(self, inputs: int, width: int, blocks: int, outputs: int):
        super().__init__()
        self.first = ExactLinear(inputs, width)
        self.inner = nn.ModuleList(ExactLinear(width, width) for _ in range(2 * blocks))
        self.last = ExactLinear(width, outputs)
        for layer in self.inner[1::2]:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]

    def forward(self, inputs: torch.Tensor, bias: torch.Tensor | float = 0.0) -> torch.Tensor:
        """(P, inputs) to (P, outputs); ``bias`` (P, width) is added behind the first layer."""
        return self.behind(self.first(inputs) + bias)

    def behind(self, hidden: torch.Tensor) -> torch.Tensor:
        """All layers but the first, for what that gives: (P, width) to (P, outputs)."""
        for first, second in zip(self.inner[::2], self.inner[1::2], strict=True):
            hidden = hidden + second(F.relu(first(F.relu(hidden))))
        return self.last(F.relu(hidden))

    def exact(self, inputs: torch.Tensor, bias: torch.Tensor | float = 0.0) -> torch.Tensor:
        """The same on the grid, on which the bias is too."""
        hidden = (self.first.exact(inputs) + bias).clamp(-LARGEST, LARGEST)
        for first, second in zip(self.inner[::2], self.inner[1::2], strict=True):
            hidden = on_grid(hidden + second.exact(F.relu(first.exact(F.relu(hidden)))))  # type: ignore[operator]
        return self.last.exact(F.relu(hidden))


class IntegerNetwork:
    """An :class:`ExactResidual` prepared to be applied many times, to activations times 2**``ACTIVATION_BITS``.

    It gives what ``exact`` gives, in less time: activations are rounded and bounded in place, without being scaled
    before and after, and go through the network in parts that fit a processor's caches. A power of two changes no
    digit, so sums are as exact as there. ``inner`` has pairs of layers beside the identity, each behind a ReLU;
    ``WeightsError`` for weights so large that sums would not be exact.
    """

    def __init__(self, first: ExactLinear, inner: Sequence[nn.Module], last: ExactLinear):
        self._first, self._last = _integer_weights(first), _integer_weights(last)
        self._inner = [
            (_integer_weights(one), _integer_weights(two)) for one, two in zip(inner[::2], inner[1::2], strict=True)
        ]

    @classmethod
    def of(cls, network: ExactResidual) -> IntegerNetwork:
        """The integer version of a network, on its device."""
        return cls(network.first, list(network.inner), network.last)

    def __call__(self, inputs: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """Applies the network to integers (float64), at most 2**``ACTIVATION_BITS`` · ``LARGEST``: (P, in) to (P, out).

        The bias, integers as float64, (width,) or (P, width), is added to what the first layer gives.
        """
        rows = ROWS if inputs.device.type == "cpu" else len(inputs)
        if len(inputs) <= rows:
            return self._apply(inputs, bias)
        biases: Iterable[torch.Tensor | None] = itertools.repeat(bias)
        if bias is not None and bias.dim() == 2:
            biases = torch.split(bias, rows)
        return torch.cat([self._apply(*part) for part in zip(torch.split(inputs, rows), biases, strict=False)])

    def _apply(self, inputs: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        weight, own = self._first
        hidden = torch.addmm(own, inputs, weight).round_().clamp_(-_MOST, _MOST)
        if bias is not None:
            hidden.add_(bias).clamp_(-_MOST, _MOST)
        for (one, one_bias), (two, two_bias) in self._inner:
            inside = torch.addmm(one_bias, F.relu(hidden), one).round_().clamp_(0.0, _MOST)
            hidden += torch.addmm(two_bias, inside, two).round_().clamp_(-_MOST, _MOST)
            hidden.clamp_(-_MOST, _MOST)
        weight, own = self._last
        return torch.addmm(own, hidden.relu_(), weight).round_().clamp_(-_MOST, _MOST)


_MOST = LARGEST * 2.0**ACTIVATION_BITS


def _integer_weights(layer: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer's weight, (in, out), and bias, rounded as ``exact`` rounds them, the bias for integers."""
    assert isinstance(layer, ExactLinear)
    weight, bias = _rounded(layer)
    return weight.T.contiguous(), bias * 2.0**ACTIVATION_BITS


def _rounded(layer: nn.Linear | nn.Conv2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias on their grid, float64; made once for each state of the layer."""
    assert layer.bias is not None
    key = tuple(_state(parameter) for parameter in (layer.weight, layer.bias))
    kept = layer.__dict__.get("_exact")
    if kept is None or kept[0] != key:
        weight, bias = (
            (parameter.detach().double() * 2.0**WEIGHT_BITS).round() / 2.0**WEIGHT_BITS
            for parameter in (layer.weight, layer.bias)
        )
        most = weight.flatten(1).abs().sum(1) * LARGEST + bias.abs()
        if not bool((most < _SUMMABLE).all()):
            raise WeightsError("a layer's weights are too large for exact sums; train it anew")
        kept = layer.__dict__["_exact"] = (key, weight, bias)
    return kept[1], kept[2]


def _state(parameter: torch.Tensor) -> tuple[int, int, torch.device]:
    """What changes with a parameter; changes through ``.data``, and those in inference mode, are not counted."""
    return parameter.data_ptr(), 0 if parameter.is_inference() else parameter._version, parameter.device
