"""Learned codecs: sizes from headers alone, cards that a run keeps, and weights shared among images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import MadeUpRun
from safetensors.numpy import save_file

from codecbench.plugins.codec import CodecSpec
from codecbench.report import learned
from codecbench.report.context import Context
from codecbench.report.tables import Table
from codecbench.store import weights

SHA = "0123456789ab" + 52 * "0"


def context(run: MadeUpRun) -> Context:
    return Context(run.store, run.store.path / "drawn")


def trained(path: Path, **record: Any) -> MadeUpRun:
    """A classical codec and a learned one, which saves 75 bytes an image at 30 dB."""
    run = MadeUpRun(path, {"data": (8, 8, 1)}, ["lossy"], {"net": ("data",)})
    for quality, mse, size in ((1, 1e-2, 50), (2, 1e-3, 100), (3, 1e-4, 200)):
        run.point("data", "lossy", {"quality": quality}, num_bytes=size, mse=mse)
    run.point("data", "net", {"latent": "int8"}, num_bytes=25, mse=1e-3)
    run.store.manifest["codecs"]["net"] |= {"weights": {"net.safetensors": SHA}} | record
    return run


def sized(path: Path) -> MadeUpRun:
    return trained(path, weight_sizes={"net.safetensors": {"bytes": 30_000, "parameters": 7_500}})


def row(sheet: Table, head: str) -> list[str]:
    (found,) = [row for row in sheet.rows if row.head == head]
    return [cell.text for cell in found.cells]


def test_parameters_are_counted_from_the_header(tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    shapes = {"encoder.0.weight": (4, 3, 3), "bias": (4,), "scalar": (), "tables.counts": (100,)}
    save_file({name: np.zeros(shape, np.float16) for name, shape in shapes.items()}, file, {"of": "x"})
    found = weights.sizes([str(file), str(tmp_path / "net.json"), str(tmp_path / "gone.safetensors")])
    assert found == {"net.safetensors": {"bytes": file.stat().st_size, "parameters": 36 + 4 + 1}}


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0[]", b'\x05\0\0\0\0\0\0\0{"a":'])
def test_a_file_that_is_none_has_no_parameters(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "net.safetensors"
    file.write_bytes(content)
    assert weights.sizes([str(file)])["net.safetensors"] == {"bytes": len(content), "parameters": None}


def test_weights_are_shared_among_images(tmp_path: Path) -> None:
    sheet = learned.shared_table(context(sized(tmp_path)), "data")
    assert sheet is not None
    # 25 bytes are 200 bits, and 30,000 bytes are 240,000 bits: 240, 24 and 0.24 an image.
    assert row(sheet, "net") == ["30.0", "200", "440", "224", "200", "lossy", "800", "401 images"]
    pays = sheet.rows[0].cells[-1].value
    assert learned.shared_bits(200, 30_000, int(pays)) < 800 <= learned.shared_bits(200, 30_000, int(pays) - 1)


def test_a_larger_stream_never_pays(tmp_path: Path) -> None:
    run = sized(tmp_path)
    run.point("data", "net", {"latent": "int8"}, num_bytes=300, mse=1e-3)
    sheet = learned.shared_table(context(run), "data")
    assert sheet is not None
    assert row(sheet, "net")[-1] == "never"


def test_the_weights_of_a_point_are_counted_where_the_run_knows_them() -> None:
    record = {
        "weight_sizes": {"net-a.safetensors": {"bytes": 10}, "net-b.safetensors": {"bytes": 30}},
        "weights_used": {"size=8": "net-a.safetensors"},
    }
    assert weights.weight_bytes(record, "size=8") == 10
    assert weights.weight_bytes(record, "size=9") == 40
    assert weights.weight_bytes({}, "size=8") != weights.weight_bytes({}, "size=8")  # NaN


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


def test_cards_stand_on_the_page(tmp_path: Path) -> None:
    run = sized(tmp_path)
    card = {"best_epoch": 7, "test_mse": 0.0025984, "recipe": {"epochs": 90, "loss": "<mse>"}, "machine": {"cpu": "x"}}
    run.store.write_file("training/net-0123456789ab.json", json.dumps(card).encode())
    run.store.write_file("training/net-0123456789ab.md", b"# Card\n<i>told</i>")
    drawn = context(run)
    (found,) = learned.cards(drawn)
    assert dict(found["facts"]) == {"best epoch": "7", "MSE there": "0.0025984", "recipe": "epochs 90, loss <mse>"}
    section = learned.section(drawn)
    assert section is not None
    assert "&lt;i&gt;told&lt;/i&gt;" in section.html
    assert learned.lacking(drawn) == []


def test_a_card_names_its_score(tmp_path: Path) -> None:
    run = sized(tmp_path)
    card = {"held_out_score": 1.125, "test_score": 1.25, "judged_by": "bits per pixel", "recipe": {"halved": []}}
    run.store.write_file("training/net-0123456789ab.json", json.dumps(card).encode())
    (found,) = learned.cards(context(run))
    assert dict(found["facts"]) == {
        "bits per pixel on held-out images": "1.125",
        "bits per pixel there": "1.25",
        "recipe": "",
    }


def test_a_card_of_other_weights_does_not_show(tmp_path: Path) -> None:
    run = sized(tmp_path)
    run.store.write_file("training/net-ffffffffffff.json", b'{"best_epoch": 7}')
    run.store.write_file("training/net-0123456789ab.json", b"[1")
    drawn = context(run)
    assert learned.cards(drawn) == []
    assert "kept no model card of net" in learned.lacking(drawn)[0]


def test_an_old_run_says_what_it_lacks(tmp_path: Path) -> None:
    drawn = context(trained(tmp_path))
    assert learned.shared_table(drawn, "data") is None
    assert "did not record how large the weights of net are" in learned.lacking(drawn)[0]
    text = learned.section(drawn).markdown
    assert "| net | net.safetensors | – | – | data |" in text
    assert "With the weights counted" not in text


def test_without_learned_codecs_there_is_no_section(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": (8, 8, 1)}, ["lossy"])
    run.point("data", "lossy")
    drawn = context(run)
    assert learned.section(drawn) is None
