"""Encode and decode times against rate at equal quality, and the table of speed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from codecbench import figures
from codecbench.analysis import pareto, rd_curves
from codecbench.analysis.points import HARNESS, TARGET_DB, is_exact, nearest_quality
from codecbench.columns import MEANINGS
from codecbench.report import markup
from codecbench.report.context import Context, Section, safe_name
from codecbench.report.tables import with_short_settings, with_unsteady_ways
from codecbench.text import join_words

KINDS = (("speed-encode", "encode_s", "Encoding time"), ("speed-decode", "decode_s", "Decoding time"))
LEVELS_DB = (20.0, 25.0, 30.0, 35.0, 40.0, 45.0)
"""The levels of PSNR at which codecs may be compared; those that two lines reach are offered."""
NEAR, LOSSLESS = "near", "lossless"


def section(context: Context) -> Section | None:
    """Plots and the table of every dataset; None where nothing was measured."""
    if not (context.points["images"] > 0).any():
        return None
    datasets = []
    for label in context.datasets:
        points = context.of(label)
        if (points["images"] > 0).any():
            drawings, lacking = _drawings(context, label, points)
            datasets.append({"label": label, "drawings": drawings, "lacking": lacking, "speed": _table(points)})
    data = plot_data(context)
    html = context.render("speed.html.j2", datasets=datasets, meaning=MEANINGS, drawable=bool(data["datasets"]))
    return Section("speed", "Speed", html, data=data, scripts=("speed.js",), style="speed.css")


def _drawings(context: Context, label: str, points: pd.DataFrame) -> tuple[list[dict[str, str]], list[str]]:
    drawings, lacking = [], []
    for kind, time, title in KINDS:
        timed = points[points[time].notna() & (points[time] > 0) & (points["bits_per_pixel"] > 0)]
        hosts = sorted(set(timed["timed_on"]))
        for host in hosts:  # times of different machines do not stand in one plot
            figure = figures.speed(context.points[context.points["timed_on"] == host], label, time, context.styles)
            file, where = (f"-{safe_name(host)}", f", machine {host or 'unknown'}") if len(hosts) > 1 else ("", "")
            name = f"{kind}-{safe_name(label)}{file}"
            drawings.append(context.drawing(name, figure, f"{title} per image on {label}{where}"))
        if len(hosts) > 1 and kind == "speed-encode":
            lacking.append(
                f"Times here are from {len(hosts)} machines; only times of the same machine can be compared."
            )
        if not hosts:
            lacking.append(f"{title} is not shown: no times were measured here.")
    return drawings, lacking


def plot_data(context: Context) -> dict[str, Any]:
    """What the script draws: rates and times of every codec at levels of quality, and what ``none`` takes.

    By dataset, level and time there are rows of codecs; those with a ``status`` cannot be drawn.
    """
    usable = context.points[(context.points["images"] > 0) & (context.points["bits_per_pixel"] > 0)]
    timed = usable[(usable["encode_s"] > 0) | (usable["decode_s"] > 0)]
    machines = sorted({_machine(row) for row in timed[["timed_on", "device", "threads"]].to_dict("records")})
    codecs = usable[usable["codec"] != HARNESS]
    same = context.same.over("psnr_db")
    by_level = _by_level(codecs, same[same.index.isin(codecs.index)], machines) if machines else {}
    levels = [key for key, found in by_level.items() if _reached(found) >= (1 if key == LOSSLESS else 2)]
    decibels = sorted((key for key in levels if key != LOSSLESS), key=lambda key: abs(float(key) - TARGET_DB))
    words = {key: "lossless" if key == LOSSLESS else f"{key} dB" for key in levels}
    datasets = {}
    for label in (label for label in context.datasets if (timed["dataset"] == label).any()):
        harness = usable[(usable["dataset"] == label) & (usable["codec"] == HARNESS)]
        near = {time: _nearest(codecs[codecs["dataset"] == label], time, machines) for _, time, _ in KINDS}
        datasets[label] = {
            "levels": {key: {time: rows.get(label, []) for time, rows in by_level[key].items()} for key in levels}
            | {NEAR: near},
            "harness": {time: _harness(harness, time, machines) for _, time, _ in KINDS},
        }
    return {
        "first": [*decibels, *levels, NEAR][0],
        "levels": [*([key, words[key]] for key in levels), [NEAR, f"each nearest to {TARGET_DB:g} dB"]],
        "machines": machines,
        "datasets": datasets,
    }


def _by_level(
    codecs: pd.DataFrame, same: pd.DataFrame, machines: list[str]
) -> dict[str, dict[str, dict[str, list[dict[str, Any]]]]]:
    """Rows for the script by level, time and dataset; ``same`` are the points over the images compared by PSNR."""
    found: dict[str, dict[str, dict[str, list[dict[str, Any]]]]] = {}
    spans = same[same["images"] > 0].groupby(["dataset", "codec", "curve"])["psnr_db"].agg(["min", "max"])
    within = [level for level in LEVELS_DB if ((spans["min"] <= level) & (spans["max"] >= level)).sum() > 1]
    lines = list(rd_curves.read_curves(same))
    for key in (*(f"{level:g}" for level in within), *([LOSSLESS] if is_exact(codecs).any() else [])):
        for _, time, _ in KINDS:
            if key == LOSSLESS:
                table = pareto.table(codecs, cost=time, lossless=True)
            else:
                table = pareto.table(codecs, cost=time, quality_db=float(key), known=lines)
            found.setdefault(key, {})[time] = {
                str(label): [_row(row, machines) for row in rows.to_dict("records")]
                for label, rows in table.groupby("dataset", sort=False)
            }
    return found


def _reached(found: Mapping[str, Mapping[str, list[dict[str, Any]]]]) -> int:
    """How many lines have a time at a level, on the dataset where most have."""
    tables = [rows for by_dataset in found.values() for rows in by_dataset.values()]
    return max((sum("cost" in row for row in rows) for rows in tables), default=0)


def _harness(rows: pd.DataFrame, time: str, machines: list[str]) -> list[list[float]]:
    """What ``none`` takes: pairs of machine and seconds."""
    timed = rows[rows[time] > 0]
    return [[machines.index(_machine(row)), float(row[time])] for row in timed.to_dict("records")]


def _machine(row: Any) -> str:
    """What times must share to be compared, in words."""
    threads = "" if markup.absent(row["threads"]) else f"{int(row['threads'])} thread" + "s" * (row["threads"] != 1)
    return ", ".join(part for part in (row["timed_on"] or "one machine", str(row["device"] or ""), threads) if part)


def _row(row: Mapping[Any, Any], machines: list[str]) -> dict[str, Any]:
    """A row of a table of fronts for the script."""
    name = f"{row['label']} {row['curve']}" if row["curve"] else str(row["label"])
    if row["status"]:
        return {"codec": row["codec"], "name": name, "status": str(row["status"])}
    return _without_empty(
        {
            "codec": row["codec"],
            "name": name,
            "mark": row["mark"],
            "bpp": row["bits_per_pixel"],
            "cost": row["cost_s"],
            "iqr": row["cost_iqr_s"],
            "by": row["dominated_by"],
            "front": bool(row["front"]),
            "unsteady": bool(row["unsteady"]),
            "settings": row["settings"],
            "machine": machines.index(_machine(row)),
            "clear": bool(row["clear"]),
        }
    )


def _nearest(points: pd.DataFrame, time: str, machines: list[str]) -> list[dict[str, Any]]:
    """The measured points nearest to ``TARGET_DB``; without a front, since their qualities differ."""
    found = []
    for row in with_short_settings(nearest_quality(points), points).to_dict("records"):
        about = {"codec": row["codec"], "name": str(row["label"])}
        if not row[time] > 0:
            found.append(about | {"status": pareto.NO_TIME})
            continue
        about |= {"mark": row["mark"], "bpp": row["bits_per_pixel"], "cost": row[time], "psnr": row["psnr_db"]}
        about |= {"settings": row["short"], "machine": machines.index(_machine(row)), "unsteady": bool(row["unsteady"])}
        found.append(_without_empty(about))
    return found


def _without_empty(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value not in ("", False) and not markup.absent(value)}


# ---- the table ------------------------------------------------------------------------------------------------------

ONCE = ["cold_encode_s", "cold_decode_s", "encode_peak_bytes", "decode_peak_bytes", "device_peak_bytes"]
"""What is measured once per codec and dataset, and may be recorded at any of its points."""


class Heading(NamedTuple):
    """A heading of the table."""

    title: str
    columns: tuple[str, ...]  # below it: one of encoding and one of decoding, or a single one
    write: Callable[[Any], str]
    text: str  # what the numbers mean


THROUGHPUT = "throughput: one over the median time per image, with as many images per call as the batch size"
BUSY = "CPU seconds of all threads and child processes over wall seconds: above 1 if several cores were used"
HEADINGS = tuple(
    Heading(title, columns, markup.FILTERS[form], text or MEANINGS[columns[0]])
    for title, columns, form, text in (
        ("Batch", ("batch",), "whole", ""),
        ("Images / s", ("encode_images_per_s", "decode_images_per_s"), "significant", THROUGHPUT),
        ("Megapixels / s", ("encode_megapixels_per_s", "decode_megapixels_per_s"), "significant", ""),
        ("One image", ("encode_latency_s", "decode_latency_s"), "seconds", ""),
        ("CPU / wall", ("encode_cpu_per_wall", "decode_cpu_per_wall"), "ratio", BUSY),
        ("Peak memory", ("encode_peak_bytes", "decode_peak_bytes"), "memory", ""),
        ("First call", ("cold_encode_s", "cold_decode_s"), "seconds", ""),
        ("GPU memory", ("device_peak_bytes",), "memory", ""),
        ("Transfer", ("transfer_s",), "seconds", ""),
    )
)


def _table(points: pd.DataFrame) -> dict[str, Any] | None:
    """The table of speed of a dataset, and what the template says of it; None without times."""
    table = with_unsteady_ways(with_short_settings(speeds(points), points))
    if table.empty:
        return None
    best: dict[str, set[Any]] = {}
    for way in ("encode", "decode"):
        column, steady = f"{way}_images_per_s", table[~table["harness"] & ~table[f"{way}_unsteady"]]
        best[column] = set(steady.dropna(subset=[column]).groupby("timed_on")[column].idxmax())
    threads = sorted({int(number) for number in table["threads"].dropna()})
    return {
        "rows": [
            row | {"best": [column for column, places in best.items() if index in places]}
            for index, row in zip(table.index, table.to_dict("records"), strict=True)
        ],
        "headings": [head for head in HEADINGS if table[list(head.columns)].notna().any(axis=None)],
        "threads": join_words([str(number) for number in threads], none=""),
        "harness": bool(table["harness"].any()),
        "machines": int(table["timed_on"].nunique()),
    }


def speeds(points: pd.DataFrame) -> pd.DataFrame:
    """One row per codec and machine, of the points that represent their codecs there (``nearest_quality``).

    They are sorted by machine, the fastest encoder first and ``none`` last. What is measured once per codec and dataset
    is filled in from whichever point has it. Beside the columns of the points there are ``encode_cpu_per_wall``,
    ``decode_cpu_per_wall`` and ``harness``, which is true for ``none``.
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
