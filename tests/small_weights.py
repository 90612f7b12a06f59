"""Weights of small untrained networks, in place of those that codecs are shipped with."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from codecbench.fingerprint import file_sha256
from codecbench.learned.weights import card_path, save_weights, weights_path


def store(path: Path, network: torch.nn.Module, tables: Mapping[str, torch.Tensor] | None = None) -> Path:
    """Writes a network's weights, an entropy coder's tables and a model card."""
    save_weights(path, network.state_dict(), tables)
    write_card(path)
    return path


def write_card(path: Path) -> None:
    """Writes a model card with the checksum that a weight file has now."""
    card_path(path).write_text(json.dumps({"sha256": file_sha256(path)}), encoding="utf-8")


def find_weights_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Every codec finds its weights in this folder instead of beside its own file."""

    def place(cls: type, variant: str = "") -> Path:
        return folder / weights_path(cls, variant).name

    for module in list(sys.modules.values()):
        if module.__name__.startswith("codecbench.") and "weights_path" in vars(module):
            patch.setattr(module, "weights_path", place)
