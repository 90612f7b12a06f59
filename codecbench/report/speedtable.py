"""The report's table of speed: how fast each codec is on a dataset, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from codecbench.analysis.points import HARNESS, nearest_quality
from codecbench.report import markup
from codecbench.text import join_words

ONCE = ["cold_encode_s", "cold_decode_s", "encode_peak_bytes", "decode_peak_bytes", "device_peak_bytes"]
"""What is taken once per codec and dataset, and may stand at any of its points."""


@dataclass(frozen=True)
class Heading:
    """A heading of the table.

    Attributes:
        title: its words.
        columns: what stands below it: one of encoding and one of decoding, or a single one.
        filter: which filter of ``codecbench.report.markup`` writes the numbers.
        text: what they mean; by default the meaning of the first column in ``codecbench.analysis.summary``.
    """

    title: str
    columns: tuple[str, ...]
    filter: str
    text: str = ""


HEADINGS = (
    Heading("Batch", ("batch",), "whole"),
    Heading(
        "Images / s",
        ("encode_images_per_s", "decode_images_per_s"),
        "significant",
        "throughput: one over the median time an image, with as many images a call as the batch says",
    ),
    Heading("Megapixels / s", ("encode_megapixels_per_s", "decode_megapixels_per_s"), "significant"),
    Heading("One image", ("encode_latency_s", "decode_latency_s"), "seconds"),
    Heading(
        "CPU / wall",
        ("encode_cpu_per_wall", "decode_cpu_per_wall"),
        "ratio",
        "CPU seconds of all threads and child processes over wall seconds: above 1 where several cores worked",
    ),
    Heading("Peak memory", ("encode_peak_bytes", "decode_peak_bytes"), "memory"),
    Heading("First call", ("cold_encode_s", "cold_decode_s"), "seconds"),
    Heading("GPU memory", ("device_peak_bytes",), "memory"),
    Heading("Transfer", ("transfer_s",), "seconds"),
)


def speeds(points: pd.DataFrame) -> pd.DataFrame:
    """One row per codec and machine.

    Args:
        points: marked points of one dataset, see ``codecbench.analysis.points.mark_points``.

    Returns:
        Of the points that were timed on a machine those that stand for their codecs (``nearest_quality``): by machine,
        the fastest encoder first and ``none`` last. What is taken once per codec and dataset is there whichever of its
        points carries it. Beside the columns of the points ``encode_cpu_per_wall`` and ``decode_cpu_per_wall``, and
        ``harness`` for ``none``.
    """
    timed = points[(points["images"] > 0) & points["encode_s"].notna()]
    tables = [timed.head(0)]
    for _, members in timed.groupby("timed_on", sort=True):
        table = nearest_quality(members)
        first = members.groupby("codec")[ONCE].first()  # the first that is not missing
        tables.append(table.assign(**{name: table["codec"].map(first[name]) for name in ONCE}))
    found = pd.concat(tables[1:] or tables)
    for way in ("encode", "decode"):
        found[f"{way}_cpu_per_wall"] = found[f"{way}_cpu_s"] / found[f"{way}_s"]
    found["harness"] = found["codec"] == HARNESS
    return found.sort_values(["timed_on", "harness", "encode_s", "codec"], kind="stable")


def headings(table: pd.DataFrame) -> list[Heading]:
    """The headings under which a table of :func:`speeds` has at least one number, each with its meaning."""
    meaning = markup.column_meanings()
    return [
        Heading(head.title, head.columns, head.filter, head.text or meaning[head.columns[0]])
        for head in HEADINGS
        if table[list(head.columns)].notna().any(axis=None)
    ]


def about(table: pd.DataFrame) -> dict[str, Any]:
    """What the template wants to know beside the rows of a table of :func:`speeds`.

    Returns:
        ``headings``; ``threads`` in words; ``harness``, whether ``none`` is there; ``machines``, how many.
    """
    threads = sorted({int(number) for number in table["threads"].dropna()})
    return {
        "headings": headings(table),
        "threads": join_words([str(number) for number in threads], none=""),
        "harness": bool(table["harness"].any()),
        "machines": int(table["timed_on"].nunique()),
    }
