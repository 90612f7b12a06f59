"""Weight files that are missing, altered, foreign or unsafe are refused in one clear line."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_weights import store, write_card
from torch import nn

from codecbench.errors import WeightsError
from codecbench.fingerprint import file_sha256
from codecbench.learned.weights import card_path, has_tables, read_card, save_weights, shipped_network, shipped_tables


class Network(nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 2)


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """Good weights of ``Network`` with their card."""
    path = tmp_path / "weights" / "net.safetensors"
    return store(path, Network())


def flip_the_last_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def refusal(path: Path, build: Callable[[], nn.Module] = Network) -> str:
    with pytest.raises(WeightsError) as caught:
        shipped_network(build, path, "cpu")
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


def test_good_weights_come_back_ready_for_inference(shipped: Path) -> None:
    network = Network()
    store(shipped, network)
    loaded = shipped_network(Network, shipped, "cpu")
    assert torch.equal(loaded.weight, network.weight)
    assert torch.equal(loaded.bias, network.bias)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert shipped_network(Network, shipped, "cpu") is loaded
    assert [file.name for file in sorted(shipped.parent.iterdir())] == ["net.json", "net.safetensors"]
    store(shipped, Network())  # new weights are noticed in the same process
    assert not torch.equal(shipped_network(Network, shipped, "cpu").weight, loaded.weight)


def test_the_same_parameters_give_the_same_file(tmp_path: Path) -> None:
    network = nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)
    save_weights(tmp_path / "a", network.state_dict())
    save_weights(tmp_path / "b", network.to(memory_format=torch.contiguous_format).state_dict())
    assert file_sha256(tmp_path / "a") == file_sha256(tmp_path / "b")


def test_wrong_sha256_or_another_architecture(shipped: Path) -> None:
    assert "weights of another network" in refusal(shipped, lambda: nn.Linear(4, 2))
    flip_the_last_bit(shipped)
    message = refusal(shipped)
    for words in (str(shipped), file_sha256(shipped)[:12], read_card(shipped)["sha256"][:12], "altered"):
        assert words in message


def test_a_pickle_is_refused_and_not_executed(shipped: Path) -> None:
    shipped.write_bytes(pickle.dumps({"weight": pytest.fail}))
    write_card(shipped)
    message = refusal(shipped)
    assert "no safetensors file" in message
    assert "pickled weights are refused" in message


@pytest.mark.parametrize("kept", [0, 4, 20, -1])
def test_a_truncated_file(shipped: Path, kept: int) -> None:
    shipped.write_bytes(shipped.read_bytes()[:kept])
    assert "altered" in refusal(shipped)
    write_card(shipped)
    assert "no safetensors file" in refusal(shipped)
    shipped.write_bytes((1 << 62).to_bytes(8, "little") + b"{}")  # a header that asks for all memory
    write_card(shipped)
    assert "no safetensors file" in refusal(shipped)


def test_missing_weights(shipped: Path) -> None:
    shipped.unlink()
    assert refusal(shipped) == f"no weights at {shipped}; `codecbench train` makes them"
    shipped.mkdir()
    assert "cannot be read" in refusal(shipped)
    card_path(shipped).unlink()
    assert refusal(shipped).startswith(f"no model card net.json beside {shipped}")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"{}", b'{"sha256": 3}', b"[" * 5000])
def test_damaged_card(shipped: Path, content: bytes) -> None:
    card_path(shipped).write_bytes(content)
    message = refusal(shipped)
    assert str(card_path(shipped)) in message
    assert "cannot be read" in message or "records no sha256" in message


def test_tables_are_stored_beside_the_parameters(shipped: Path) -> None:
    assert shipped_tables(shipped) == {}
    assert not has_tables(shipped)
    assert not has_tables(shipped.with_name("missing.safetensors"))
    network, tables = Network(), {"counts": torch.arange(6, dtype=torch.int32).view(2, 3), "mean": torch.rand(3)}
    store(shipped, network, tables)
    assert torch.equal(shipped_network(Network, shipped, "cpu").weight, network.weight)
    found = shipped_tables(shipped)
    assert found.keys() == tables.keys()
    for name, value in tables.items():
        assert torch.equal(found[name], value)
        assert found[name].dtype == value.dtype
    assert has_tables(shipped)
    flip_the_last_bit(shipped)
    with pytest.raises(WeightsError, match="altered"):
        shipped_tables(shipped)
