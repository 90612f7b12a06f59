"""The three networks of the source experiments, layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from codecbench.plugins.registry import CODECS

NAMES = ("lossy_ae", "lossless_ae", "stl10_ae")
LAYERS = {
    "lossy_ae": (
        [640, 64, 0, 73_856, 128, 0, 73_792, 64, 0, 2_080, 32],
        [9_248, 32, 25_632, 32, 25_104, 16, 25_616, 16, 3_208, 8, 73, 0],
    ),
    "lossless_ae": ([0, 615_440, 784, 615_440, 784], [615_440, 784, 615_440, 784, 0, 0]),
    "stl10_ae": ([588, 0, 4_632, 0, 18_480, 0, 18_456, 0], [18_480, 0, 18_456, 0, 4_620, 0, 579, 0]),
}
TOTALS = {"lossy_ae": 239_641, "lossless_ae": 2_464_896, "stl10_ae": 84_291}


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    return CODECS.get(name).network()


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_layers_and_shapes(name: str) -> None:
    codec, network = CODECS.get(name), build(name)
    for half, expected in zip((network.encoder, network.decoder), LAYERS[name], strict=True):
        assert [parameters(layer) for layer in half] == expected
    assert parameters(network) == TOTALS[name]
    height, width, channels = codec.image_shape
    images = torch.rand(4, channels, height, width, requires_grad=True)
    latents = network.encoder(images)
    assert latents.shape == (4, *codec.latent_shape)
    restored = network(images)
    assert torch.equal(restored, network.decoder(latents))
    assert 0 <= restored.min() < restored.max() <= 1  # a sigmoid at the end, and no constant image
    (latents * torch.rand_like(latents)).sum().backward()
    assert (images.grad.abs().sum(0) > 0).all()  # every pixel is seen
    assert not codec().lossless


def test_sides_of_lossy_ae() -> None:
    network = build("lossy_ae")

    def sides(half: nn.Sequential, tensor: torch.Tensor) -> list[int]:
        found = [tensor.shape[2]]
        for layer in half:
            tensor = layer(tensor)
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.AvgPool2d):
                found.append(tensor.shape[2])
        return found

    assert sides(network.encoder, torch.rand(1, 1, 28, 28)) == [28, 26, 13, 11, 4, 2, 1, 1]
    assert sides(network.decoder, torch.rand(1, 32, 1, 1)) == [1, 3, 7, 13, 22, 26, 28]
