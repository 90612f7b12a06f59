"""The tables that rank codecs: at one quality, over a range of it, against time, and on whole sets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from codecbench.analysis import bd_rate, pareto, rd_curves, sizes
from codecbench.analysis.points import ANNOTATIONS, TARGET_DB, is_exact, overview
from codecbench.analysis.same_images import EVERY_IMAGE, SameImages
from codecbench.columns import MEANINGS
from codecbench.errors import UnknownNameError
from codecbench.report.tables import (
    Cell,
    Column,
    Table,
    file_bytes,
    keys,
    number,
    numbers,
    of,
    row_of,
    with_best,
    with_short_settings,
    words,
)
from codecbench.text import format_rate, format_seconds, format_significant, format_ssim, join_words

MINUS = "\N{MINUS SIGN}"
WIDE_SHARE = 0.5
"""Share of the widest range of qualities that a BD-rate must be a mean over to be marked as the best."""
SIDES = {"whole": "whole files", "payload": "payload"}
Compared = Mapping[tuple[str, str], pd.DataFrame]
"""Tables of BD-rates against one anchor, by quality and rate."""


def signed(value: float) -> str:
    """A percentage with its sign: ``−38.2 %``, ``+1,200 %``."""
    digits = f"{abs(value):,.0f}" if abs(value) >= 99.95 else f"{abs(value):.1f}"
    sign = "" if not float(digits.replace(",", "")) else "+" if value > 0 else MINUS
    return f"{sign}{digits}\N{NO-BREAK SPACE}%"


def absent_lines(reasons: Mapping[str, str]) -> tuple[str, ...]:
    """Which codecs are not in a table, by reason."""
    by_reason: dict[str, list[str]] = {}
    for codec, reason in reasons.items():
        by_reason.setdefault(reason.removeprefix(rd_curves.NOT_AVAILABLE), []).append(f"`{codec}`")
    return tuple(f"Not here: {join_words(names)} ({reason})." for reason, names in by_reason.items())


# ---- at one quality -------------------------------------------------------------------------------------------------


AT_TARGET = "bits per pixel at this mean PSNR, interpolated between two points (over log rate)"
WITHOUT_LOSS = "smallest bits per pixel of a point that restored every pixel of every image"


def overview_table(points: pd.DataFrame, same: pd.DataFrame) -> Table:
    """One row per codec: its rate at 30 dB, its smallest lossless rate, and the measured point that represents it.

    ``same`` are the points over the images that are compared by PSNR.
    """
    level = f"{TARGET_DB:g} dB"
    columns = [
        words("Codec", "codec"),
        numbers("Points", "points", "{:.0f}".format, "settings measured"),
        Column(f"bpp at {level}", _rate_at_target, AT_TARGET),
        numbers("bpp lossless", "rate_lossless", format_rate, WITHOUT_LOSS),
        words("Its point", short_point, "settings of the measured point that the columns to the right describe"),
        file_bytes("Bytes", "mean bytes per image"),
        numbers("bpp", "bits_per_pixel", format_rate, MEANINGS["bits_per_pixel"]),
        Column("PSNR dB", _psnr, MEANINGS["psnr_db"]),
        numbers("SSIM", "ssim", format_ssim, MEANINGS["ssim"]),
    ]
    table = with_short_settings(overview(points, same), points).assign(restored=lambda frame: is_exact(frame))
    if table["encode_s"].notna().any():
        columns += [_time("Encode", "encode_s"), _time("Decode", "decode_s")]
    rows = [row_of(row, columns, mark=row["mark"]) for row in table.to_dict("records")]
    for at in (1, 2):
        rows = with_best(rows, at, among=lambda row: row.head != "none")
    about = (
        f"Bits per pixel (bpp) at {level}, the smallest on top, and without loss. The columns to the right describe "
        f"each codec's measured point nearest to {level}, or its smallest lossless one."
    )
    return Table("Overview", tuple(columns), tuple(rows), about, keys(rows))


def short_point(row: Mapping[Any, Any]) -> Cell:
    """The settings that distinguish a point from others of its codec; all its settings as the hint."""
    return Cell(str(row["short"]) or "–", hint=str(row["settings"]))


def _rate_at_target(row: Mapping[Any, Any]) -> Cell:
    if row["rate_at_target"] > 0:
        return number(row["rate_at_target"], format_rate)
    if row["highest_psnr_db"] < TARGET_DB:
        return Cell(f"below {TARGET_DB:g} dB", hint=f"all its points have less than {TARGET_DB:g} dB")
    if row["lowest_psnr_db"] > TARGET_DB:
        return Cell(f"above {TARGET_DB:g} dB", hint=f"all its lossy points have more than {TARGET_DB:g} dB")
    return Cell("–" if math.isnan(row["lowest_psnr_db"]) else "not between two points")


def _psnr(row: Mapping[Any, Any]) -> Cell | str:
    return "exact" if row["restored"] else number(row["psnr_db"], "{:.2f}".format)


def _time(title: str, name: str) -> Column:
    return Column(title, lambda row: number(row[name], format_seconds, unsteady=bool(row["unsteady"])), MEANINGS[name])


def savings_table(points: pd.DataFrame, anchor: str) -> Table | None:
    """Bytes at 30, 35 and 40 dB, and what they save against the anchor; None where no curve reaches any."""
    table = sizes.table(points, anchor)
    if table.empty:
        return None
    levels = sorted(set(table["quality_at"]))
    columns = [words("Codec", of(levels[0], lambda row: str(row["codec"])))]
    for level in levels:
        interpolated = "mean bytes of a whole file, interpolated between two measured points"
        columns.append(Column(f"Bytes at {level:g} dB", of(level, _bytes), interpolated))
        against = f"bytes over those of {anchor} at {level:g} dB, less 100 %"
        columns.append(Column(f"against {anchor}", of(level, _against_anchor), against))
    rows, absent, exact = [], {}, []
    for (codec, curve), members in table.groupby(["codec", "curve"], sort=False):
        first = members.iloc[0]
        if members["bytes_per_image"].notna().any():
            by_level = dict(zip(members["quality_at"], members.to_dict("records"), strict=True))
            rows.append(row_of(by_level, columns, str(curve), str(first["mark"])))
        elif first["note"]:
            exact.append(f"`{codec}` ({first['note']})")
        else:
            absent[str(codec)] = str(first["status"])
    if not rows:
        return None
    for place in range(len(levels)):
        rows = with_best(rows, 2 * place)
    rows.sort(key=lambda row: [cell.value if cell.has_value else math.inf for cell in row.cells[::2]])
    without_loss = (f"The same size at every quality, without loss: {join_words(exact)}.",) if exact else ()
    about = (
        f"Bytes per image at three levels of PSNR, since a mean over a range hides where curves cross; {MINUS}20 % "
        f"means a fifth fewer bytes than `{anchor}`."
    )
    title = f"Savings at {', '.join(f'{level:g}' for level in levels)} dB"
    return Table(title, tuple(columns), tuple(rows), about, keys(rows), (*without_loss, *absent_lines(absent)))


def _bytes(row: Mapping[Any, Any]) -> Cell:
    cell = number(row["bytes_per_image"], format_significant)
    return cell if cell.has_value else Cell(hint=str(row["status"]))


def _against_anchor(row: Mapping[Any, Any]) -> Cell | str:
    cell = number(row["against_anchor_percent"], signed)
    return bd_rate.ANCHOR if row["status"] == bd_rate.ANCHOR else replace(cell, hint=str(row["status"]))


# ---- over a range ---------------------------------------------------------------------------------------------------


def bd_tables(same: SameImages, dataset: str, anchor: str) -> list[Table]:
    """BD-rates against the anchor, over whole files and payload, on the points of one dataset.

    One table is of PSNR and SSIM, one of the run's other measures of quality.
    """
    points = same.of(dataset)
    known = [name for name in rd_curves.known_qualities(points) if points[name].notna().any()]
    # The second PSNR is worth a column where the first one lacks images.
    measures = [name for name in known if name != EVERY_IMAGE or same.note(dataset, "psnr_db")]
    payload = "payload_bits_per_pixel" in points and points["payload_bits_per_pixel"].notna().any()
    tables: dict[tuple[str, str], pd.DataFrame] = {}
    for quality in measures:
        over = _slim(same.of(dataset, quality), measures)
        for rate in ("whole", "payload") if payload else ("whole",):
            asked: dict[str, Any] = {"quality": quality, "rate": rate, "resampled": same.resampled}
            first = next(iter(tables.values()), None)
            # One curve of the anchor for all columns of a row; the column's hint names another.
            curve = None if first is None or first.empty else str(first["anchor_curve"].iloc[0])
            try:
                tables[quality, rate] = bd_rate.table(over, anchor, anchor_curve=curve, **asked)
            except UnknownNameError:  # the curve has no such measure or rate
                tables[quality, rate] = bd_rate.table(over, anchor, **asked)
    main = {key: table for key, table in tables.items() if key[0] in ("psnr_db", "ssim")}
    others = {key: table for key, table in tables.items() if key not in main}
    found = [_bd_ranking(f"BD-rate against {anchor}", anchor, main)]
    if others:
        found.append(replace(_bd_ranking(f"BD-rate on other measures against {anchor}", anchor, others), open=False))
    for place, shown in enumerate((main, others)[: len(found)]):
        said = {same.note(dataset, quality): None for quality, _ in shown}
        found[place] = replace(found[place], lacking=(*found[place].lacking, *filter(None, said)))
    return [table for table in found if table.rows or table.lacking]


def _slim(points: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """The columns that curves are made of: dozens of others would be copied for every curve."""
    needed = ["dataset", "codec", "settings", "images", "exact_images", "reason", *ANNOTATIONS, *measures]
    needed += [f"{begin}bits_per_{unit}" for begin in rd_curves.RATES.values() for unit in ("image", "pixel")]
    return points[[name for name in dict.fromkeys(needed) if name in points]]


def _by_curve(tables: Compared) -> Iterable[list[pd.Series]]:
    """By codec and curve the rows of all tables, but for those of the anchor."""
    indexed = [table.set_index(["codec", "curve"], drop=False) for table in tables.values()]
    for key in indexed[0].index[indexed[0]["status"] != bd_rate.ANCHOR]:
        yield [table.loc[key] for table in indexed]


def _bd_ranking(title: str, anchor: str, tables: Compared) -> Table:
    first = next(iter(tables.values()))
    measure = _measure(next(iter(tables))[0])
    columns = [
        words("Codec", of(0, lambda row: str(row["codec"]))),
        *(
            Column(
                f"{_measure(quality)}, {SIDES[rate]}",
                of(place, _bd_cell),
                f"bits over those of {anchor}{_curve(table, ' ({})')} at equal {_measure(quality)}, less 100 %",
            )
            for place, ((quality, rate), table) in enumerate(tables.items())
        ),
        words(f"Over ({measure})", of(0, _reach), "the qualities that both codecs reach; of a single point its own"),
    ]
    rows, absent, widths = [], {}, {}
    for members in _by_curve(tables):
        whole = members[0]
        if all(math.isnan(member["bd_rate_percent"]) or member["single"] > whole["single"] for member in members):
            absent[str(whole["codec"])] = str(whole["status"])
            continue
        rows.append(row_of(members, columns, whole["curve"], whole["mark"]))
        width = abs(whole["to_quality"] - whole["from_quality"])
        widths[whole["codec"], whole["curve"]] = 0.0 if math.isnan(width) else width
    least = WIDE_SHARE * max(widths.values(), default=0.0)
    for place in range(len(tables)):
        rows = with_best(rows, place, among=lambda row: widths[row.head, row.note] >= least)
    rows.sort(key=lambda row: (not row.cells[0].has_value, row.cells[0].value if row.cells[0].has_value else 0.0))
    about = (
        f"How many per cent fewer ({MINUS}) or more (+) bytes than `{anchor}`{_curve(first, ', the curve {}')}, on "
        "average over the qualities that both reach (Bjøntegaard delta rate: piecewise cubic Hermite interpolation, "
        "PCHIP, of log rate; of SSIM in decibels). In brackets, the 95 % interval of a bootstrap over images. Payload "
        "is without headers. Means over different qualities are no ranking: the best is marked among those over at "
        "least half of the widest range. A codec with a single point is compared at the quality of that point."
    )
    return Table(title, tuple(columns), tuple(rows), about, keys(rows), absent_lines(absent))


def _measure(quality: str) -> str:
    return rd_curves.measure_word(quality).removesuffix("_db")


def _curve(table: pd.DataFrame, text: str) -> str:
    """A text with the anchor's curve in it; empty where the anchor has but one."""
    curve = "" if table.empty else table["anchor_curve"].iloc[0]
    return text.format(curve) if curve else ""


def _reach(record: pd.Series) -> str:
    ends = [record["from_quality"], record["to_quality"]]
    return "–" if math.isnan(ends[0]) else " to ".join(rd_curves.format_quality(end, record["quality"]) for end in ends)


def _bd_cell(record: pd.Series) -> Cell:
    value = float(record["bd_rate_percent"])
    if math.isnan(value):
        return Cell(hint=str(record["status"]))
    text = signed(value)
    if math.isfinite(record["low_percent"]):
        ends = [signed(float(record[f"{end}_percent"])).removesuffix("\N{NO-BREAK SPACE}%") for end in ("low", "high")]
        text += f" [{', '.join(ends)}]"
    beaten = f"left out, since other points of the same curve beat them: {record['dropped']}"
    hint = beaten if record["dropped"] else str(record["status"])
    return Cell(text, value, hint=hint)


# ---- against time ---------------------------------------------------------------------------------------------------


def pareto_tables(points: pd.DataFrame, same: pd.DataFrame) -> list[Table]:
    """Rate at 30 dB against encoding and decoding time: who is dominated, and by whom; and the same without loss.

    ``same`` are the points over the images that are compared by PSNR.
    """
    found = []
    known = list(rd_curves.read_curves(same))
    columns = [
        words("Codec", of(0, lambda row: str(row["codec"]))),
        Column("bpp", of(0, lambda row: number(row["bits_per_pixel"], format_rate)), "bits per pixel there"),
    ]
    for place, title in enumerate(("Encode", "Decode")):
        hint = f"seconds per image to {title.lower()}, interpolated between the same two points"
        columns.append(Column(title, of(place, _cost), hint))
        columns.append(words(f"{title}: beaten by", of(place, _standing), "a codec with no more bits and no more time"))
    for lossless in (False, True):
        tables = [pareto.table(points, cost=cost, lossless=lossless, known=known) for cost in pareto.COSTS]
        pairs = zip(*(table.to_dict("records") for table in tables), strict=True)
        rows = [
            row_of(pair, columns, pair[0]["curve"], pair[0]["mark"])
            for pair in pairs
            if not all(record["status"] for record in pair)
        ]
        if len(rows) < 2:
            continue
        rows.sort(key=lambda row: row.cells[0].value)
        where = "Without loss" if lossless else f"At {TARGET_DB:g} dB"
        about = (
            f"{where}: rate against time. **front**: no other codec is both smaller and faster. Otherwise a codec that "
            "is both; in brackets if the times differ by less than their spread."
        )
        title = "Rate against time, " + ("lossless" if lossless else f"at {TARGET_DB:g} dB")
        found.append(Table(title, tuple(columns), tuple(rows), about, keys(rows), open=False))
    return found


def _cost(record: Mapping[Any, Any]) -> Cell:
    return number(record["cost_s"], format_seconds, str(record["settings"]), bool(record["unsteady"]))


def _standing(record: Mapping[Any, Any]) -> Cell:
    if record["status"]:
        return Cell(hint=str(record["status"]))
    if record["front"]:
        return Cell("front", hint="no codec beats it in both", best=True)
    name = str(record["dominated_by"])
    return Cell(name if record["clear"] else f"({name})")


# ---- whole sets -----------------------------------------------------------------------------------------------------


def sets_table(table: pd.DataFrame) -> Table | None:
    """Whole sets as one stream; None where the run has none. Never in one column with figures of single images."""
    if table.empty:
        return None
    table = with_short_settings(table, table).sort_values(["dataset", "bits_per_pixel", "codec"], kind="stable")
    rows = [row_of(record, SETS) for record in table.to_dict("records")]
    for name in dict.fromkeys(row.cells[0].text for row in rows):
        rows = with_best(rows, 4, among=lambda row, name=name: row.cells[0].text == name)  # type: ignore[misc]
    text = (
        "All images of a set in one stream, as papers quote general-purpose compressors and bits-back coders. One "
        "image cannot be decoded without the others, so **none of these figures compares with those of single images**."
    )
    return Table("The whole set as one stream", SETS, tuple(rows), text)


def _set_bytes(record: Mapping[Any, Any]) -> Cell | str:
    return str(record["status"]) if record["status"] else number(record["set_bytes"], "{:,.0f}".format)


SETS = (
    words("Codec", "codec"),
    words("Dataset", "dataset"),
    words("Settings", short_point),
    numbers("Images", "images", "{:,.0f}".format, "images in the stream"),
    Column("Bytes of the set", _set_bytes, "length of the one stream of all images"),
    numbers("bpp", "bits_per_pixel", format_rate, "its bits over the pixels of all images"),
    file_bytes("Bytes per image", "length of the stream over the number of its images"),
    numbers("Encode", "encode_s", format_seconds, "seconds for the whole set"),
    numbers("Decode", "decode_s", format_seconds, "seconds for the whole set"),
)
