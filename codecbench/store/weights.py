"""What a run keeps about a learned codec's weight files: logs, model cards and sizes.

    RUN/training/WEIGHTS-SHA.csv     the training log found beside a weight file with this checksum
    RUN/training/WEIGHTS-SHA.json    its model card
    RUN/training/WEIGHTS-SHA.md      its model card as text, where there is one

Only the headers of weight files are read, and no library of learned codecs is loaded.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from codecbench.errors import StoreError
from codecbench.fingerprint import file_sha256
from codecbench.plugins.codec import TABLES, Codec, CodecSpec
from codecbench.plugins.registry import CODECS
from codecbench.store.folder import RunFolder, StoredRun

if TYPE_CHECKING:
    import pandas as pd

WEIGHTS = ".safetensors"
KEPT = (".csv", ".json", ".md")
"""Endings of the files beside a weight file that are kept: log, card, and card as text."""
MOST_BYTES = 4_000_000
"""Larger logs and cards are not kept."""
LOG_COLUMNS = ("epoch", "train_loss")
"""Columns that a training log has at least, beside one of ``JUDGED``."""
JUDGED = {"mse": "MSE", "score": "score"}
"""Measures that networks are judged by: endings of a log's columns ``held_out_`` and ``test_``, and what the report
calls them where a model card does not; see ``codecbench.learned.training.recipe.Recipe.score``."""


# ---- at the time of a run -------------------------------------------------------------------------------------------


def to_keep(store: RunFolder, codecs: Iterable[str]) -> dict[str, Path]:
    """Training logs and model cards of some codecs that the run folder does not have yet, by their paths in it."""
    found = {}
    for name in codecs:
        for weights in (Path(file) for file in CODECS.get(name).weight_files()):
            beside = [weights.with_suffix(suffix) for suffix in KEPT] if weights.suffix == WEIGHTS else []
            for file in (file for file in beside if file.is_file() and file.stat().st_size <= MOST_BYTES):
                place = f"training/{_kept_name(weights.name, file_sha256(weights), file.suffix)}"
                if not (store.path / place).is_file():
                    found[place] = file
    return found


def keep(store: RunFolder, files: Mapping[str, Path]) -> None:
    """Copies logs and cards into the run folder; raises a ``StoreError`` for what cannot be read or written."""
    for place, file in files.items():
        try:
            content = file.read_bytes()
        except OSError as error:
            raise StoreError(f"cannot read {file}: {error.strerror or error}") from error
        store.write_file(place, content)


def sizes(files: Iterable[str]) -> dict[str, dict[str, int | None]]:
    """Of each safetensors file, by name: ``bytes``, and ``parameters``, None where the header cannot be read.

    Parameters are the numbers in all tensors but an entropy coder's tables.
    """
    found: dict[str, dict[str, int | None]] = {}
    for path in (Path(file) for file in files):
        if path.suffix == WEIGHTS and path.is_file():
            found[path.name] = {"bytes": path.stat().st_size, "parameters": _parameters(path)}
    return found


def used(cls: type[Codec], points: Iterable[CodecSpec]) -> dict[str, str]:
    """The weight file that each point decodes with, by settings; empty for a codec with a single file.

    A codec that chooses among several networks has ``variant``, see ``codecbench.learned``.
    """
    files = {Path(file).stem: Path(file).name for file in cls.weight_files() if Path(file).suffix == WEIGHTS}
    found = {}
    for spec in points if len(files) > 1 else ():
        variant = getattr(cls(**spec.settings), "variant", None)
        if file := files.get(f"{spec.name}-{variant}" if variant else spec.name):
            found[spec.settings_text] = file
    return found


def _parameters(path: Path) -> int | None:
    """Numbers in the tensors of a safetensors file."""
    try:
        with safe_open(path, "np") as file:
            names = [name for name in file.keys() if not name.startswith(TABLES)]  # noqa: SIM118  # it is no mapping
            return sum(int(math.prod(file.get_slice(name).get_shape())) for name in names)
    except (OSError, SafetensorError):
        return None


# ---- at the time of a report ----------------------------------------------------------------------------------------


def weights_of(store: StoredRun, codec: str) -> dict[str, str]:
    """Weight files that a codec was measured with, and their SHA-256."""
    files = store.manifest["codecs"][codec].get("weights", {})
    return {file: sha256 for file, sha256 in sorted(files.items()) if Path(file).suffix == WEIGHTS}


def weight_bytes(codec: Mapping[str, Any], settings: str) -> float:
    """Bytes of the weights that a point decodes with, from the codec's record in ``run.json``; NaN without sizes.

    All the codec's weights count where the record does not say which the point uses.
    """
    sizes = {file: record.get("bytes") for file, record in codec.get("weight_sizes", {}).items()}
    used = codec.get("weights_used", {}).get(settings)
    counted = [size for file, size in sizes.items() if used in (None, file)]
    return float(sum(counted)) if counted and None not in counted else math.nan


def judged_by(columns: Iterable[object]) -> str | None:
    """What a training log with these columns was judged by, a key of ``JUDGED``; None for what is no log."""
    known = set(columns)
    return next((judged for judged in JUDGED if f"held_out_{judged}" in known), None)


def judged_words(card: Mapping[str, Any], columns: Iterable[object]) -> str:
    """What weights were judged by, with its unit: as their model card calls it, or else by the log's columns."""
    return str(card.get("judged_by") or JUDGED[judged_by(columns) or "mse"])


def training_logs(store: StoredRun, codec: str) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The training logs of the weights that a codec was measured with, and the weights without a readable log.

    By weights (``NAME``, or ``NAME-VARIANT`` where there are several), one row an epoch, with the columns ``epoch``,
    ``train_loss``, ``held_out_mse`` or ``held_out_score``, and others where they were logged.
    """
    import pandas as pd

    logs: dict[str, pd.DataFrame] = {}
    lacking = []
    for file, sha256 in weights_of(store, codec).items():
        try:
            log = pd.read_csv(io.BytesIO(store.training_file(_kept_name(file, sha256, ".csv")) or b""))
            held_out = f"held_out_{judged_by(log.columns)}"
            usable = all(pd.api.types.is_numeric_dtype(log[column]) for column in (*LOG_COLUMNS, held_out))
            usable = usable and bool(log[held_out].notna().any())
        except (OSError, ValueError, KeyError):
            usable = False
        if usable:
            logs[Path(file).stem] = log
        else:
            lacking.append(Path(file).stem)
    return logs, lacking


def cards(store: StoredRun, codec: str) -> dict[str, dict[str, Any]]:
    """The model cards of a codec's weights, by file name of the weights; ``text`` is the card as prose, if any."""
    found = {}
    for file, sha256 in weights_of(store, codec).items():
        card: dict[str, Any] = {}
        for suffix in (".json", ".md"):
            content = store.training_file(_kept_name(file, sha256, suffix))
            if content is None:
                continue
            try:
                read = json.loads(content) if suffix == ".json" else {"text": content.decode("utf-8")}
            except (ValueError, RecursionError):
                continue
            if isinstance(read, dict):
                card |= read
        if card:
            found[file] = card
    return found


def _kept_name(weights: str, sha256: str, suffix: str) -> str:
    return f"{Path(weights).stem}-{sha256[:12]}{suffix}"
