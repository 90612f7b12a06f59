"""Learned codecs: sizes from headers alone, cards that a run keeps, and weights shared among images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import context, made, texts
from runs import MadeUpRun
from safetensors.numpy import save_file

from codecbench.plugins.codec import CodecSpec
from codecbench.report import learned
from codecbench.store import weights

SHA = "0123456789ab" + 52 * "0"


@pytest.fixture
def run(tmp_path: Path) -> MadeUpRun:
    """A classical codec and a learned one, whose point at 30 dB saves 75 bytes per image for 30,000 of weights."""
    made_up = made(tmp_path, {"lossy": {20: 50, 30: 100, 40: 200}, "net": {30: 25}}, {"net": ("data",)})
    sizes = {"net.safetensors": {"bytes": 30_000, "parameters": 7_500}, "other.safetensors": {"bytes": 10_000}}
    used = {"quality=30": "net.safetensors"}
    weights = {"net.safetensors": SHA}
    made_up.store.manifest["codecs"]["net"] |= {"weights": weights, "weight_sizes": sizes, "weights_used": used}
    return made_up


def test_parameters_are_counted_from_the_header(tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    shapes = {"encoder.0.weight": (4, 3, 3), "bias": (4,), "scalar": (), "tables.counts": (100,)}
    save_file({name: np.zeros(shape, np.float16) for name, shape in shapes.items()}, file, {"of": "x"})
    found = weights.sizes([str(file), str(tmp_path / "net.json"), str(tmp_path / "gone.safetensors")])
    assert found == {"net.safetensors": {"bytes": file.stat().st_size, "parameters": 36 + 4 + 1}}
    for content in (b"", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0[]", b'\x05\0\0\0\0\0\0\0{"a":'):
        file.write_bytes(content)
        assert weights.sizes([str(file)])["net.safetensors"] == {"bytes": len(content), "parameters": None}


def test_weights_are_shared_among_images(run: MadeUpRun) -> None:
    sheet = learned.shared_table(context(run), "data")
    # 25 bytes are 200 bits, and 30,000 bytes are 240,000 bits: 240, 24 and 0.24 an image.
    assert texts(sheet, "net") == ["30.0", "200", "440", "224", "200", "lossy", "800", "401 images"]
    pays = int(sheet.rows[0].cells[-1].value)
    assert learned.shared_bits(200, 30_000, pays) < 800 <= learned.shared_bits(200, 30_000, pays - 1)
    del run.store.manifest["codecs"]["net"]["weights_used"]
    assert texts(learned.shared_table(context(run), "data"), "net")[2] == "520", "all that may be needed: 40,000 bytes"
    run.curve("data", "net", {30: 300})
    assert texts(learned.shared_table(context(run), "data"), "net")[-1] == "never", "a larger stream never pays"


def test_a_codec_with_several_networks_tells_which_it_uses() -> None:
    class Several:
        def __init__(self, size: int):
            self.variant = f"{size}"

        @classmethod
        def weight_files(cls) -> tuple[str, ...]:
            return ("weights/net-8.safetensors", "weights/net-8.json", "weights/net-32.safetensors")

    points = [CodecSpec.of("net", {"size": 8}), CodecSpec.of("net", {"size": 32}), CodecSpec.of("net", {"size": 64})]
    found = weights.used(Several, points)  # type: ignore[arg-type]
    assert found == {"size=8": "net-8.safetensors", "size=32": "net-32.safetensors"}


@pytest.mark.parametrize(
    ("card", "facts"),
    [
        (
            {"best_epoch": 7, "test_mse": 0.0025984, "recipe": {"epochs": 90, "loss": "<mse>"}, "machine": {"a": "x"}},
            {"best epoch": "7", "MSE there": "0.0025984", "recipe": "epochs 90, loss <mse>"},
        ),
        (
            {"held_out_score": 1.125, "test_score": 1.25, "judged_by": "bits per pixel", "recipe": {"halved": []}},
            {"bits per pixel on held-out images": "1.125", "bits per pixel there": "1.25", "recipe": ""},
        ),
    ],
    ids=["error", "score"],
)
def test_cards_stand_on_the_page(run: MadeUpRun, card: dict[str, Any], facts: dict[str, str]) -> None:
    run.store.write_file("training/net-0123456789ab.json", json.dumps(card).encode())
    run.store.write_file("training/net-0123456789ab.md", b"# Card\n<i>told</i>")
    drawn = context(run)
    (found,) = learned.cards(drawn)
    assert dict(found["facts"]) == facts
    assert "&lt;i&gt;told&lt;/i&gt;" in learned.section(drawn).html
    assert learned.lacking(drawn) == []


def test_a_card_of_other_weights_does_not_show(run: MadeUpRun) -> None:
    run.store.write_file("training/net-ffffffffffff.json", b'{"best_epoch": 7}')
    run.store.write_file("training/net-0123456789ab.json", b"[1")
    drawn = context(run)
    assert learned.cards(drawn) == []
    assert "kept no model card of net" in learned.lacking(drawn)[0]


def test_a_run_that_did_not_record_sizes_says_so(run: MadeUpRun) -> None:
    del run.store.manifest["codecs"]["net"]["weight_sizes"]
    drawn = context(run)
    assert learned.shared_table(drawn, "data") is None
    assert "did not record how large the weights of net are" in learned.lacking(drawn)[0]
    text = learned.section(drawn).markdown
    assert "| net | net.safetensors | – | – | data |" in text
    assert "With the weights counted" not in text


def test_without_learned_codecs_there_is_no_section(tmp_path: Path) -> None:
    assert learned.section(context(made(tmp_path, {"lossy": {30: 100}}))) is None
