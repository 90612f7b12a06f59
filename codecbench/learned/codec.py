"""What all learned codecs share: networks, recipes that train them, and weights beside the codec's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from codecbench.errors import BitstreamError
from codecbench.learned.training.recipe import Recipe
from codecbench.learned.weights import shipped_network, weights_path, with_cards
from codecbench.plugins.codec import Codec
from codecbench.text import format_shape


class LearnedCodec(Codec):
    """A codec that computes with one of its networks, on the device that the user chose.

    ``codecbench train NAME`` trains a network by one of the recipes; the weights are stored beside the codec's file, as
    ``weights/NAME.safetensors`` or ``weights/NAME-VARIANT.safetensors``, with a model card and the log.

    Attributes:
        network: the network's class, or another function that builds one.
        networks: the same by ``variant``, for codecs with several networks.
        variant: which of them the settings ask for; empty for the only one.
        recipes: how the weights are trained, by name; the first is the default.
    """

    uses_device: ClassVar[bool] = True
    network: ClassVar[Callable[[], Any]]
    networks: ClassVar[Mapping[str, Callable[[], Any]]] = {}
    variant: str = ""
    recipes: ClassVar[dict[str, Recipe]]

    @classmethod
    def weight_files(cls) -> tuple[str, ...]:
        """Paths of the weights of all networks and of their model cards."""
        return with_cards(cls, cls.networks or ("",))

    def weights_path(self) -> Path:
        """Where the weights of the network that the settings ask for are stored."""
        return weights_path(type(self), self.variant)

    def shipped_network(self) -> Any:
        """The network that the settings ask for, with its weights, in evaluation mode on the codec's device.

        It is loaded once a process, and again when its file changes.

        Raises:
            WeightsError: the weights are missing, damaged or made for another network.
        """
        build = self.networks[self.variant] if self.variant else type(self).network
        return shipped_network(build, self.weights_path(), self.device)


def check_shapes(shapes: Sequence[tuple[int, ...]], owner: str) -> None:
    """Raises ``BitstreamError`` unless all streams of a batch are of images of one shape."""
    for index, shape in enumerate(shapes):
        if shape != shapes[0]:
            both = f"stream {index} is of {format_shape(shape)}, the first of {format_shape(shapes[0])}"
            raise BitstreamError(f"{owner}: {both}")
