"""The autoencoder whose decoder is told the label: its networks, and how the encoder chooses the label."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from codecbench.plugins.registry import CODECS

CondAe = CODECS.get("cond_ae")
PARAMETERS = {"8": 234_025, "8-blind": 234_025, "32": 242_521, "32-blind": 242_521}


def build(variant: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return CondAe.networks[variant]().eval().requires_grad_(False)


@pytest.mark.parametrize("variant", PARAMETERS)
def test_networks(variant: str) -> None:
    network = build(variant)
    size = int(variant.partition("-")[0])
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[variant]
    images, labels = torch.rand(3, 1, 28, 28), torch.tensor([1, 7, 1])
    assert network.encoder(images).shape == (3, size, 1, 1)
    assert network(images, labels).shape == images.shape


def test_labelled_and_blind_start_alike() -> None:
    """The two that are compared differ in what the decoder is told, and in nothing else."""
    for size in ("8", "32"):
        told, blind = build(size), build(f"{size}-blind")
        state = blind.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in told.state_dict().items())
        recipes = [CondAe.recipes[name] for name in (size, f"{size}-blind")]
        assert dataclasses.replace(recipes[0], variant="") == dataclasses.replace(recipes[1], variant="")
        images, labels = torch.rand(4, 1, 28, 28), torch.tensor([0, 3, 5, 9])
        other = (labels + 1) % 10
        assert not torch.equal(told(images, labels), told(images, other))
        assert torch.equal(blind(images, labels), blind(images, other))
        assert (told.classes, blind.classes) == (10, 1)


def test_the_label_that_restores_best_is_chosen() -> None:
    network = build("8")
    images = torch.rand(20, 1, 28, 28)
    latents = network.encoder(images)
    labels = torch.arange(20) % 10
    targets = network.restore(latents, labels)  # of these images the label is known to restore every pixel
    assert torch.equal(network.choose(targets, latents), labels)
    assert torch.equal(build("8-blind").choose(targets, latents), torch.zeros(20, dtype=torch.int64))


@pytest.mark.parametrize("size", [8, 32])
@pytest.mark.parametrize("labels", [True, False])
def test_lengths_and_labels_in_the_stream(size: int, labels: bool) -> None:
    """The shipped weights: a byte of label in front of the floats, or none."""
    codec = CondAe(size=size, labels=labels)
    images = (torch.rand(12, 28, 28, 1, generator=torch.Generator().manual_seed(1)) * 255).byte().numpy()
    streams = codec.encode(images)
    assert {len(stream) for stream in streams} == {4 * size + labels}
    restored = codec.decode_float(streams)
    if labels:
        assert all(stream[0] < 10 for stream in streams)
        errors = ((restored - images / 255) ** 2).sum((1, 2, 3))
        for label in range(10):
            others = codec.decode_float([bytes([label]) + stream[1:] for stream in streams])
            assert (((others - images / 255) ** 2).sum((1, 2, 3)) >= errors * (1 - 1e-6)).all()
