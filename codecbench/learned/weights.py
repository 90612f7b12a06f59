"""Weight files: safetensors beside a model card that records their SHA-256.

The card is ``NAME.json`` beside ``NAME.safetensors``. Weights whose checksum differs from the card's, that belong to
another network, or that come from a pickle are refused. Parameters are float32, or bfloat16 where the recipe says so.
The file may also have the tables of an entropy coder, under names that begin with ``tables.``.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from codecbench.errors import TrainingError, WeightsError
from codecbench.plugins.codec import TABLES

SHOWN_REASON = 200
"""Most characters of a library's own words in a message."""


def weights_path(cls: type, variant: str = "") -> Path:
    """Where weights are: ``weights/NAME.safetensors`` or ``…/NAME-VARIANT.safetensors``, beside a codec's file."""
    name = cls.__module__.rpartition(".")[2] + (f"-{variant}" if variant else "")
    return Path(inspect.getfile(cls)).parent / "weights" / f"{name}.safetensors"


def card_path(weights: Path) -> Path:
    """Where the model card of a weight file is."""
    return weights.with_suffix(".json")


def with_cards(cls: type, variants: Iterable[str] = ("",)) -> tuple[str, ...]:
    """Paths of the weights of a codec's variants and of their model cards, for ``weight_files``."""
    paths = [weights_path(cls, variant) for variant in variants]
    return tuple(str(file) for path in paths for file in (path, card_path(path)))


def read_card(weights: Path) -> dict[str, Any]:
    """The model card of a weight file; ``WeightsError`` where it is missing or damaged."""
    card = card_path(weights)
    try:
        content = json.loads(card.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"no model card {card.name} beside {weights}; `codecbench train` writes both") from None
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"the model card {card} cannot be read: {_short(error)}") from error
    if not isinstance(content, dict) or not isinstance(content.get("sha256"), str):
        raise WeightsError(f"the model card {card} records no sha256")
    return content


def save_weights(
    path: Path,
    state: Mapping[str, torch.Tensor],
    tables: Mapping[str, torch.Tensor] | None = None,
    *,
    halved: tuple[str, ...] = (),
) -> None:
    """Writes a network's parameters and an entropy coder's tables, see :func:`writing`.

    Parameters are stored as float32; those whose names begin with one of ``halved`` as bfloat16, which takes half the
    space, and are read back as float32 of the same value. Leave out exact layers (``codecbench.learned.layers.exact``):
    their weights have a grid of their own and would be rounded twice.
    """
    state = {
        name: value.detach().to(torch.bfloat16 if name.startswith(halved) else torch.float32).cpu().contiguous().clone()
        for name, value in state.items()
    }
    for name, value in (tables or {}).items():
        state[TABLES + name] = value.detach().cpu().contiguous().clone()
    with writing(path) as temporary:
        safetensors.torch.save_file(state, temporary)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Gives a file beside the path to write to, which then replaces what is there; makes the folder.

    Any error becomes a ``TrainingError`` of one line.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except Exception as error:  # PyTorch and safetensors have errors of their own for a full disk
        raise TrainingError(f"cannot write to {path.parent}: {' '.join(str(error).split())}") from error


def load_weights(path: Path, module: torch.nn.Module, sha256: str) -> None:
    """Fills a network from a weight file; ``WeightsError`` where it is missing, altered or made for another network."""
    state, _ = _read(path, sha256)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(f"{path} holds weights of another network: {_short(error)}") from error


def _read(path: Path, sha256: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The network's parameters and the tables of a weight file; ``WeightsError`` where it is missing or altered."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise WeightsError(f"no weights at {path}; `codecbench train` makes them") from None
    except OSError as error:
        raise WeightsError(f"the weights {path} cannot be read: {_short(error)}") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != sha256:
        raise WeightsError(f"{path} has sha256 {actual[:12]}…, its model card says {sha256[:12]}…; it was altered")
    try:
        content_by_name = safetensors.torch.load(content)
    except Exception as error:  # the parser's errors differ between versions
        raise WeightsError(f"{path} is no safetensors file ({_short(error)}); pickled weights are refused") from error
    tables = {name: value for name, value in content_by_name.items() if name.startswith(TABLES)}
    parameters = {name: value for name, value in content_by_name.items() if name not in tables}
    return parameters, {name.removeprefix(TABLES): value for name, value in tables.items()}


def has_tables(path: Path) -> bool:
    """Whether a weight file has tables; by its header alone, and False where there is no such file."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            return any(name.startswith(TABLES) for name in file.keys())  # noqa: SIM118  # it is no mapping
    except (OSError, safetensors.SafetensorError):
        return False


def shipped_tables(path: Path) -> dict[str, torch.Tensor]:
    """The tables shipped with a network, by name; empty where there are none; ``WeightsError`` as for the network."""
    return _read(path, read_card(path)["sha256"])[1]


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= SHOWN_REASON else text[:SHOWN_REASON] + "…"


_loaded: dict[tuple[Callable[[], torch.nn.Module], Path, int, str], torch.nn.Module] = {}


def shipped_network(build: Callable[[], torch.nn.Module], path: Path, device: str) -> torch.nn.Module:
    """The network with its shipped weights, in evaluation mode on a device; loaded once a process and file.

    ``WeightsError`` where the weights or their card are missing, damaged or made for another network.
    """
    card = card_path(path)
    written = card.stat().st_mtime_ns if card.is_file() else 0
    key = (build, path, written, device)
    if key not in _loaded:
        module = build()
        load_weights(path, module, read_card(path)["sha256"])
        _loaded[key] = module.eval().requires_grad_(False).to(device)
    return _loaded[key]
