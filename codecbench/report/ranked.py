"""The tables that rank codecs: at one quality, over a range of it, and against time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from codecbench.analysis import bd_rate, pareto, rd_curves, sizes
from codecbench.analysis.bootstrap import BootstrapMeans
from codecbench.analysis.per_image import QUANTILES, Contrast
from codecbench.analysis.points import ANNOTATIONS, TARGET_DB, is_exact, overview
from codecbench.columns import MEANINGS
from codecbench.errors import UnknownNameError
from codecbench.report.tables import Cell, Column, Row, Table, number, with_best, with_short_settings, word
from codecbench.text import format_rate, format_seconds, format_significant, format_ssim, join_words

MARKS = {"†": "trained on data of another kind", "‡": "these are its own training images", "": ""}
UNSTEADY = "**~** an unsteady time: the machine was not quiet."
MINUS = "\N{MINUS SIGN}"
WIDE_SHARE = 0.5
"""Share of the widest range of qualities that a BD-rate must be a mean over to be marked as the best."""
SIDES = {"whole": "whole files", "payload": "payload"}


def signed(value: float) -> str:
    """A percentage with its sign: ``−38.2 %``, ``+1,200 %``."""
    digits = f"{abs(value):,.0f}" if abs(value) >= 99.95 else f"{abs(value):.1f}"
    sign = "" if not float(digits.replace(",", "")) else "+" if value > 0 else MINUS
    return f"{sign}{digits}\N{NO-BREAK SPACE}%"


def marked_row(record: Any, cells: Sequence[Cell], note: str = "") -> Row:
    """A row of a codec's line, with its mark."""
    mark = str(record["mark"])
    return Row(str(record["codec"]), tuple(cells), note, mark, MARKS[mark])


def keys(rows: Sequence[Row]) -> tuple[str, ...]:
    """What the signs in some rows mean."""
    marks = {row.mark for row in rows}
    found = [f"**{mark}** {text}; never marked as best." for mark, text in MARKS.items() if mark and mark in marks]
    return (*found, *([UNSTEADY] if any(cell.unsteady for row in rows for cell in row.cells) else []))


# ---- at one quality -------------------------------------------------------------------------------------------------


def overview_table(points: pd.DataFrame) -> Table:
    """One row per codec: its rate at 30 dB, its smallest lossless rate, and the measured point that represents it."""
    meaning = MEANINGS
    table = with_short_settings(overview(points), points).assign(restored=lambda frame: is_exact(frame))
    timed = bool(table["encode_s"].notna().any())
    rows = []
    for _, row in table.iterrows():
        cells = [
            number(row["points"], lambda value: f"{value:.0f}"),
            number(row["rate_at_target"], format_rate) if row["rate_at_target"] > 0 else word(*_why_no_rate(row)),
            number(row["rate_lossless"], format_rate),
            word(str(row["short"]) or "–", str(row["settings"])),
            number(row["bits_per_image"] / 8, format_significant),
            number(row["bits_per_pixel"], format_rate),
            word("exact") if row["restored"] else number(row["psnr_db"], "{:.2f}".format),
            number(row["ssim"], format_ssim),
        ]
        if timed:
            unsteady = bool(row["unsteady"])
            cells += [number(row[name], format_seconds, unsteady=unsteady) for name in ("encode_s", "decode_s")]
        rows.append(marked_row(row, cells))
    for at in (1, 2):
        rows = with_best(rows, at, among=lambda row: row.head != "none")
    level = f"{TARGET_DB:g} dB"
    columns = [
        Column("Codec", numeric=False),
        Column("Points", "settings measured"),
        Column(f"bpp at {level}", "bits per pixel at this mean PSNR, interpolated between two points (over log rate)"),
        Column("bpp lossless", "smallest bits per pixel of a point that restored every pixel of every image"),
        Column("Its point", "settings of the measured point that the columns to the right describe", numeric=False),
        Column("Bytes", "mean bytes per image"),
        Column("bpp", meaning["bits_per_pixel"]),
        Column("PSNR dB", meaning["psnr_db"]),
        Column("SSIM", meaning["ssim"]),
    ]
    columns += [Column("Encode", meaning["encode_s"]), Column("Decode", meaning["decode_s"])] if timed else []
    about = (
        f"Bits per pixel (bpp) at {level}, the smallest on top, and without loss. The columns to the right describe "
        f"each codec's measured point nearest to {level}, or its smallest lossless one."
    )
    return Table("Overview", tuple(columns), tuple(rows), about, keys(rows))


def _why_no_rate(row: pd.Series) -> tuple[str, str]:
    if row["highest_psnr_db"] < TARGET_DB:
        return f"below {TARGET_DB:g} dB", f"all its points have less than {TARGET_DB:g} dB"
    if row["lowest_psnr_db"] > TARGET_DB:
        return f"above {TARGET_DB:g} dB", f"all its lossy points have more than {TARGET_DB:g} dB"
    return ("–", "") if math.isnan(row["lowest_psnr_db"]) else ("not between two points", "")


def savings_table(points: pd.DataFrame, anchor: str) -> Table | None:
    """Bytes at 30, 35 and 40 dB, and what they save against the anchor; None where no line reaches any."""
    table = sizes.table(points, anchor)
    levels = sorted(set(table["quality_at"]))
    rows, absent, exact = [], {}, []
    for (codec, curve), members in table.groupby(["codec", "curve"], sort=False):
        at = members.set_index("quality_at")
        if at["bytes_per_image"].isna().all():
            if note := str(at["note"].iloc[0]):
                exact.append(f"`{codec}` ({note})")
            else:
                absent[f"`{codec}`"] = str(at["status"].iloc[0]).removeprefix(rd_curves.NOT_AVAILABLE)
            continue
        cells: list[Cell] = []
        for level in levels:
            row, why = at.loc[level], str(at.loc[level, "status"])
            known = math.isfinite(row["bytes_per_image"])
            cells.append(number(row["bytes_per_image"], format_significant) if known else Cell(hint=why))
            cells.append(
                word("anchor") if why == "anchor" else replace(number(row["against_anchor_percent"], signed), hint=why)
            )
        rows.append(marked_row(members.iloc[0], cells, str(curve)))
    if not rows:
        return None
    for place in range(len(levels)):
        rows = with_best(rows, 2 * place)
    rows.sort(key=lambda row: [cell.value if cell.has_value else math.inf for cell in row.cells[::2]])
    without_loss = (f"The same size at every quality, without loss: {join_words(exact)}.",) if exact else ()
    columns = [Column("Codec", numeric=False)]
    for level in levels:
        columns.append(
            Column(f"Bytes at {level:g} dB", "mean bytes of a whole file, interpolated between two measured points")
        )
        columns.append(Column(f"against {anchor}", f"bytes over those of {anchor} at {level:g} dB, less 100 %"))
    about = (
        f"Bytes per image at three levels of PSNR, since a mean over a range hides where curves cross; {MINUS}20 % "
        f"means a fifth fewer bytes than `{anchor}`."
    )
    return Table(
        f"Savings at {', '.join(f'{level:g}' for level in levels)} dB",
        tuple(columns),
        tuple(rows),
        about,
        keys(rows),
        (*without_loss, *absent_lines(absent)),
    )


def absent_lines(reasons: dict[str, str]) -> tuple[str, ...]:
    """Who is not in a table, by reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        by_reason.setdefault(reason, []).append(name)
    return tuple(f"Not here: {join_words(names)} ({reason})." for reason, names in by_reason.items())


# ---- over a range ---------------------------------------------------------------------------------------------------


def bd_tables(points: pd.DataFrame, anchor: str, resampled: BootstrapMeans | None) -> list[Table]:
    """BD-rates against the anchor, over whole files and payload, on the points of one dataset.

    One table is of PSNR and SSIM, one of the run's other measures of quality, one of codecs with a single point.
    """
    measures = [
        name
        for name in rd_curves.known_qualities(points)
        if points[name].notna().any() and name != "psnr_of_mean_mse_db"
    ]
    points = _slim(points, measures)
    rates = ["whole"]
    if "payload_bits_per_pixel" in points and points["payload_bits_per_pixel"].notna().any():
        rates.append("payload")
    tables: dict[tuple[str, str], pd.DataFrame] = {}
    for quality in measures:
        for rate in rates:
            first = next(iter(tables.values()), None)
            tables[quality, rate] = _bd_rates(points, anchor, quality, rate, resampled, first)
    main = [key for key in tables if key[0] in ("psnr_db", "ssim")]
    others = [key for key in tables if key not in main]
    found = [_bd_ranking(f"BD-rate against {anchor}", anchor, {key: tables[key] for key in main})]
    if others:
        found.append(
            _bd_ranking(f"BD-rate on other measures against {anchor}", anchor, {key: tables[key] for key in others})
        )
        found[-1] = replace(found[-1], open=False)
    single = _matched_table(anchor, {key: tables[key] for key in main})
    return [table for table in [*found, single] if table is not None and (table.rows or table.lacking)]


def _bd_rates(
    points: pd.DataFrame,
    anchor: str,
    quality: str,
    rate: str,
    resampled: BootstrapMeans | None,
    first: pd.DataFrame | None,
) -> pd.DataFrame:
    """BD-rates against the anchor's line of the first table, so that all columns of a row have one base."""
    asked: dict[str, Any] = {"quality": quality, "rate": rate, "resampled": resampled}
    if first is not None and len(first):
        try:
            return bd_rate.table(points, anchor, anchor_curve=str(first["anchor_curve"].iloc[0]), **asked)
        except UnknownNameError:  # the line has no such measure or rate: the column's hint names the other
            pass
    return bd_rate.table(points, anchor, **asked)


def _slim(points: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """The columns that curves are made of: dozens of others would be copied for every line."""
    needed = ["dataset", "codec", "settings", "images", "exact_images", "reason", *ANNOTATIONS, *measures]
    needed += [f"{begin}bits_per_{unit}" for begin in rd_curves.RATES.values() for unit in ("image", "pixel")]
    return points[[name for name in dict.fromkeys(needed) if name in points]]


def _bd_ranking(title: str, anchor: str, tables: dict[tuple[str, str], pd.DataFrame]) -> Table:
    first = next(iter(tables.values()))
    indexed = [table.set_index(["codec", "curve"]) for table in tables.values()]
    rows, absent, widths = [], {}, []
    for _, record in first.iterrows():
        key = (record["codec"], record["curve"])
        if record["status"] == bd_rate.ANCHOR:
            continue
        members = [table.loc[key] for table in indexed if key in table.index]
        if all(math.isnan(member["bd_rate_percent"]) or member["single"] for member in members):
            if not record["single"]:
                absent[f"`{record['codec']}`"] = str(record["status"]).removeprefix(rd_curves.NOT_AVAILABLE)
            continue
        cells = [_bd_cell(member) for member in members]
        span = members[0]
        widths.append(0.0 if math.isnan(span["from_quality"]) else abs(span["to_quality"] - span["from_quality"]))
        reach = (
            f"{rd_curves.format_quality(span['from_quality'], span['quality'])} to "
            f"{rd_curves.format_quality(span['to_quality'], span['quality'])}"
        )
        rows.append(
            marked_row(record, [*cells, word(reach if not math.isnan(span["from_quality"]) else "–")], record["curve"])
        )
    width_of = {(row.head, row.note): width for row, width in zip(rows, widths, strict=True)}
    least = WIDE_SHARE * max(widths, default=0.0)
    for place in range(len(tables)):
        rows = with_best(rows, place, among=lambda row: width_of[row.head, row.note] >= least)
    rows.sort(key=lambda row: (not row.cells[0].has_value, row.cells[0].value if row.cells[0].has_value else 0.0))
    columns = [Column("Codec", numeric=False)]
    for (quality, rate), table in tables.items():
        line = f" ({table['anchor_curve'].iloc[0]})" if len(table) and table["anchor_curve"].iloc[0] else ""
        hint = f"bits over those of {anchor}{line} at equal {_measure(quality)}, less 100 %"
        columns.append(Column(f"{_measure(quality)}, {SIDES[rate]}", hint))
    columns.append(
        Column(f"Over ({_measure(next(iter(tables))[0])})", "the qualities that both codecs reach", numeric=False)
    )
    base = f", the curve {first['anchor_curve'].iloc[0]}" if len(first) and first["anchor_curve"].iloc[0] else ""
    about = (
        f"How many per cent fewer ({MINUS}) or more (+) bytes than `{anchor}`{base}, on average over the qualities "
        "that both reach (Bjøntegaard delta rate: piecewise cubic Hermite interpolation, PCHIP, of log rate; of SSIM "
        "in decibels). In brackets, the 95 % interval of a bootstrap over images. Payload is without headers. Means "
        "over different qualities are no ranking: the best is marked among those over at least half of the widest "
        "range."
    )
    return Table(title, tuple(columns), tuple(rows), about, keys(rows), absent_lines(absent))


def _measure(quality: str) -> str:
    return {"psnr_db": "PSNR", "ssim": "SSIM"}.get(quality, quality.removesuffix("_db"))


def _bd_cell(record: pd.Series, single: bool = False) -> Cell:
    value = float(record["bd_rate_percent"])
    if math.isnan(value) or bool(record["single"]) != single:
        return Cell(hint=str(record["status"]))
    text = signed(value)
    if math.isfinite(record["low_percent"]):
        text += f" [{_end(record['low_percent'])}, {_end(record['high_percent'])}]"
    hint = (
        "left out, since other points of the same curve beat them: " + str(record["dropped"])
        if record["dropped"]
        else ""
    )
    return Cell(text, value, hint=hint)


def _end(value: float) -> str:
    return signed(float(value)).removesuffix("\N{NO-BREAK SPACE}%")


def _matched_table(anchor: str, tables: dict[tuple[str, str], pd.DataFrame]) -> Table | None:
    """Codecs of a single point, at that point's quality."""
    first = next(iter(tables.values()))
    indexed = [table.set_index(["codec", "curve"]) for table in tables.values()]
    rows: list[Row] = []
    for _, record in first[first["single"] & (first["status"] != bd_rate.ANCHOR)].iterrows():
        key = (record["codec"], record["curve"])
        cells = [_bd_cell(table.loc[key], single=True) if key in table.index else Cell() for table in indexed]
        if any(cell.has_value for cell in cells):
            at = number(record["from_quality"], "{:.1f}".format)
            rows.append(marked_row(record, [at, *cells], str(record["curve"])))
    if not rows:
        return None
    columns = [Column("Codec", numeric=False), Column("Its PSNR dB", "the mean PSNR of its only point")]
    for quality, rate in tables:
        hint = f"bytes over those of {anchor} at the point's own {_measure(quality)}, less 100 %"
        columns.append(Column(f"{_measure(quality)}, {SIDES[rate]}", hint))
    about = f"Codecs with a single point have no range: each is compared with `{anchor}` at the quality of that point."
    return Table(
        "Single points at matched distortion", tuple(columns), tuple(rows), about, keys(rows), open=len(rows) <= 6
    )


# ---- against time ---------------------------------------------------------------------------------------------------


def pareto_tables(points: pd.DataFrame) -> list[Table]:
    """Rate at 30 dB against encoding and decoding time: who is dominated, and by whom; and the same without loss."""
    found = []
    known = list(rd_curves.read_curves(points))
    for lossless in (False, True):
        tables = [pareto.table(points, cost=cost, lossless=lossless, known=known) for cost in pareto.COSTS]
        rows = []
        for (_, encode), (_, decode) in zip(tables[0].iterrows(), tables[1].iterrows(), strict=True):
            if encode["status"] and decode["status"]:
                continue
            cells = [number(encode["bits_per_pixel"], format_rate)]
            for record in (encode, decode):
                cells.append(
                    number(record["cost_s"], format_seconds, str(record["settings"]), bool(record["unsteady"]))
                )
                cells.append(_standing(record))
            rows.append(marked_row(encode, cells, str(encode["curve"])))
        if len(rows) < 2:
            continue
        rows.sort(key=lambda row: row.cells[0].value)
        columns = [Column("Codec", numeric=False), Column("bpp", "bits per pixel there")]
        for title in ("Encode", "Decode"):
            columns.append(
                Column(title, f"seconds per image to {title.lower()}, interpolated between the same two points")
            )
            columns.append(Column(f"{title}: beaten by", "a codec with no more bits and no more time", numeric=False))
        where = "Without loss" if lossless else f"At {TARGET_DB:g} dB"
        about = (
            f"{where}: rate against time. **front**: no other codec is both smaller and faster. Otherwise a codec that "
            "is both; in brackets if the times differ by less than their spread."
        )
        title = "Rate against time, " + ("lossless" if lossless else f"at {TARGET_DB:g} dB")
        found.append(Table(title, tuple(columns), tuple(rows), about, keys(rows), open=False))
    return found


def _standing(record: pd.Series) -> Cell:
    if record["status"]:
        return Cell(hint=str(record["status"]))
    if record["front"]:
        return Cell("front", hint="no codec beats it in both", best=True)
    name = str(record["dominated_by"])
    return word(name if record["clear"] else f"({name})")


BLOCKS = "\u2800▁▂▃▄▅▆▇█"
"""Heights of a bar in eighths, from none on; the first is as wide as the others, and no white space."""


def contrast_table(
    found: Sequence[Contrast], dataset: str, anchor: str, shown: Callable[[int], bool] = lambda image: False
) -> Table | None:
    """How codecs compare with the anchor on single images, and on which they lose most; None if none compares.

    ``shown`` tells whether the page's image browser has an image.
    """
    rows, absent = [], {}
    for one in found:
        if one.status:
            absent[f"`{one.codec}`"] = one.status.removeprefix(rd_curves.NOT_AVAILABLE)
            continue
        by_share = dict(zip(QUANTILES, one.quantiles, strict=True))
        look = next((image for image in one.worst if shown(image.image)), None)
        # Without an image to its loss, the one of the browser where it wins least.
        look = look or next((image for image in reversed(one.best) if shown(image.image)), None)
        cells = [
            number(one.images, lambda value: f"{value:,.0f}", f"{one.not_available:,} images left out"),
            number(one.mean_percent, signed),
            number(by_share[0.05], signed),
            number(by_share[0.5], signed),
            number(by_share[0.95], signed),
            Cell(
                bars(one.histogram), hint=f"images by their bits against {anchor}: fewer to the left, more to the right"
            ),
            Cell(share(one.wins), one.wins),
            word(", ".join(f"{image.image} ({signed(image.percent)})" for image in one.worst[:3]) or "none"),
            Cell()
            if look is None
            else Cell(
                f"image {look.image}",
                hint=f"{signed(look.percent)} against {anchor}",
                jump={"dataset": dataset, "image": look.image, "a": one.codec, "b": anchor},
            ),
        ]
        rows.append(Row(one.codec, tuple(cells), one.curve, one.mark, MARKS[one.mark]))
    if not rows:
        return None
    columns = (
        Column("Codec", numeric=False),
        Column("Images", f"images whose curves reach {TARGET_DB:g} dB in both codecs"),
        Column("Mean", f"geometric mean over the images of their bits against {anchor}"),
        Column("5 %", "5 % of the images are below"),
        Column("Median", "half of the images are below"),
        Column("95 %", "95 % of the images are below"),
        Column(
            "Spread",
            "images by their bits against the anchor, on a log scale from an eighth to eight times",
            numeric=False,
        ),
        Column("Smaller on", "share of the images on which it needs fewer bits"),
        Column("Loses most on", "index of the image in its dataset", numeric=False),
        Column("Look", "of the images on this page, the one where it compares worst", numeric=False, page_only=True),
    )
    about = (
        f"Bits of every single image against those of `{anchor}` at {TARGET_DB:g} dB of that image. A codec that is "
        "smaller on average may be larger on many images."
    )
    return Table("Image by image", columns, tuple(rows), about, keys(rows), absent_lines(absent), open=False)


def bars(histogram: Sequence[int], bins: int = 24) -> str:
    """A histogram as text, one block per bin, with a line in the middle; neighbouring bins are added up to ``bins``."""
    width = max(1, len(histogram) // bins)
    counts = [sum(histogram[at : at + width]) for at in range(0, len(histogram), width)]
    most = max(counts, default=0)
    if not most:
        return ""
    blocks = [BLOCKS[math.ceil(8 * number / most)] for number in counts]
    middle = len(blocks) // 2
    return "".join([*blocks[:middle], "│", *blocks[middle:]])


def share(value: float) -> str:
    """A share in per cent; 0 and 100 only where they are exact."""
    percent = 100 * value
    text = f"{percent:.0f}" if percent in (0, 100) or 1 <= percent <= 99 else f"{min(max(percent, 0.1), 99.9):.1f}"
    return f"{text}\N{NO-BREAK SPACE}%"
