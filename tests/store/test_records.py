"""Records: what is written is read back, and what is of another type, codec or dataset is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import MadeUpRun

from codecbench.store.folder import RunFolder
from codecbench.store.io import DatasetRecord
from codecbench.store.latents import Latents, LatentsRecord
from codecbench.store.pictures import StoredImage, WorstCase, WorstImagesRecord
from codecbench.store.sets import SetRecord

KEY = "0" * 24
ABOUT: dict[str, Any] = {
    "format": 1,
    "dataset": "a",
    "codec": "c",
    "settings": "q=1",
    "codec_fingerprint": "print-c",
    "data_fingerprint": "pixels of a",
}
IMAGE = StoredImage(3, 9, 9, 0, 0, 7, 0.5, *np.zeros((2, 9, 9, 1), np.uint8))
RECORDS = {
    "sets": SetRecord(
        **ABOUT, id=KEY, images=8, shape=(9, 9, 1), failed="", skipped="", set_bytes=70, encode_s=1, decode_s=0.5
    ),
    "no latents": LatentsRecord(**ABOUT, failed="ValueError: no"),
    "worst images": WorstImagesRecord(**ABOUT, failed="", codecs=("c", "d"), files=(KEY,)),
    "worst case": WorstCase(**ABOUT, worst_of="c", key=KEY, images=(IMAGE,), classes={3: 1}),
    "latents": Latents(
        **ABOUT,
        points=np.zeros((4, 2), np.float32),
        labels=np.arange(4),
        explained=(0.5, 0.25),
        shown={3: np.ones(5, np.float32)},
        shown_labels={3: 1},
    ),
}


@pytest.fixture
def store(tmp_path: Path) -> RunFolder:
    return MadeUpRun(tmp_path, {"a": (9, 9, 1)}, ["c"]).store


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_record_is_read_as_it_was_written_and_counts_for_its_codec_and_images(
    store: RunFolder, record: DatasetRecord
) -> None:
    store.write_record(KEY, record)
    (found,) = store.records(type(record))
    assert found.content() == record.content()
    for table, name, fingerprint in (("codecs", "c", "edited"), ("datasets", "a", "other pixels")):
        known = store.manifest[table][name]
        store.manifest[table][name] = known | {"fingerprint": fingerprint}
        assert store.records(type(record)) == []
        del store.manifest[table][name]
        assert store.records(type(record)) == []
        store.manifest[table][name] = known
    file = store.path / record.FOLDER / f"{KEY}{record.SUFFIX}"
    content = file.read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"[]", bytes(range(256))):
        file.write_bytes(damaged)
        assert store.records(type(record)) == []
    assert store.record(type(record), "1" * 24) is None


def test_values_of_another_type_and_figures_that_cannot_be_do_not_count(store: RunFolder) -> None:
    file = store.write_file(f"sets/{KEY}.json", RECORDS["sets"].content())
    whole = json.loads(file.read_text())
    for change in (
        *({"images": value} for value in ("8", 8.0, True, 0)),
        *({"shape": value} for value in ([9, 9], [9, 9, None], "9×9", [0, 9, 1])),
        *({"encode_s": value} for value in ("1", None)),
        {"set_bytes": None},
        {"failed": None},
        {"id": "1" * 24},
        {"format": SetRecord.FORMAT + 1},
    ):
        file.write_text(json.dumps(whole | change))
        assert store.records(SetRecord) == [], change
    file.write_text(json.dumps(whole))
    assert len(store.records(SetRecord)) == 1
