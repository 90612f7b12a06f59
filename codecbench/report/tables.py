"""Tables of the page and of ``report.md``: the same cells, written twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from codecbench.analysis.points import short_settings, telling_settings
from codecbench.report import markup


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        hint: what the numbers mean, in a sentence.
        numeric: right-aligned, and sorted by value.
        page_only: of no use outside the page.
    """

    title: str
    hint: str = ""
    numeric: bool = True
    page_only: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: what is read; empty for a dash.
        value: the number behind it, for sorting and copying; NaN where there is none.
        best: the best of its column among those that compare.
        hint: what a reader may want to know about it.
        unsteady: a time of a machine that was not quiet.
        jump: where a click leads: the detail given to the image browser, or None.
    """

    text: str = ""
    value: float = math.nan
    best: bool = False
    hint: str = ""
    unsteady: bool = False
    jump: dict[str, Any] | None = None

    @property
    def has_value(self) -> bool:
        """Whether there is a number behind it."""
        return math.isfinite(self.value)


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        head: the first cell: a codec's name, with its mark.
        cells: the others, one a column but the first.
        note: the settings of its curve or point, below or beside the name.
        mark: † or ‡, or empty.
        hint: what the mark means.
    """

    head: str
    cells: tuple[Cell, ...]
    note: str = ""
    mark: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: its heading.
        columns: the first is that of the rows' heads.
        rows: in the order in which they stand.
        about: sentences above it; text between backticks is code.
        keys: what signs in it mean, below it.
        lacking: what is not there, and why.
        open: whether the page shows it unasked.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    about: str = ""
    keys: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    open: bool = True

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) + 1 != len(self.columns):
                raise ValueError(f"{self.title}: {len(row.cells) + 1} cells in a row of {len(self.columns)} columns")

    def markdown(self, level: int = 4) -> str:
        """The table in GitHub's Markdown, under a heading; best values are bold."""
        lines = [f"{'#' * level} {markup.markdown(self.title)}", ""]
        if self.about:
            lines += [markup.prose_markdown(self.about), ""]
        if self.rows:
            kept = [place for place, column in enumerate(self.columns) if not column.page_only]
            columns = [self.columns[place] for place in kept]
            lines += ["| " + " | ".join(markup.markdown(column.title) for column in columns) + " |"]
            lines += ["| " + " | ".join("--:" if column.numeric else ":--" for column in columns) + " |"]
            for row in self.rows:
                note = f" ({markup.markdown(row.note)})" if row.note else ""
                cells = [markup.markdown(row.head) + row.mark + note, *(_markdown(cell) for cell in row.cells)]
                lines.append("| " + " | ".join(cells[place] for place in kept) + " |")
            lines.append("")
        for line in (*self.keys, *self.lacking):
            lines += [markup.prose_markdown(line), ""]
        return "\n".join(lines)


def _markdown(cell: Cell) -> str:
    text = markup.markdown(cell.text or "–")
    text = f"**{text}**" if cell.best and cell.text else text
    return "~ " + text if cell.unsteady else text


def number(value: Any, write: Callable[[float], str], hint: str = "", unsteady: bool = False) -> Cell:
    """A cell of a number; a dash where there is none."""
    if markup.absent(value) or not math.isfinite(float(value)):
        return Cell()
    return Cell(write(float(value)), float(value), hint=hint, unsteady=unsteady)


def word(text: str, hint: str = "") -> Cell:
    """A cell of words: a name, or why there is no number."""
    return Cell(text, hint=hint)


def with_best(
    rows: Sequence[Row], at: int, lowest: bool = True, among: Callable[[Row], bool] = lambda row: True
) -> list[Row]:
    """Marks the best value of a column.

    Args:
        rows: of one table.
        at: which of the cells, from 0.
        lowest: whether less is better.
        among: which rows compare; those with a mark (trained on other data, or on these very images) never do.
    """
    values = [row.cells[at].value for row in rows if row.cells[at].has_value and not row.mark and among(row)]
    if len(values) < 2:
        return list(rows)
    best = min(values) if lowest else max(values)
    return [
        replace(
            row,
            cells=tuple(
                replace(cell, best=True) if place == at and cell.value == best and not row.mark and among(row) else cell
                for place, cell in enumerate(row.cells)
            ),
        )
        for row in rows
    ]


def with_short_settings(table: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Adds ``short``: the settings that differ among a codec's points, or all of them where none does.

    Args:
        table: some points.
        points: all points of the dataset.
    """
    keys = {codec: telling_settings(list(members["settings"])) for codec, members in points.groupby("codec")}
    pairs = zip(table["settings"], table["codec"], strict=True)
    return table.assign(short=[short_settings(settings, keys[codec]) for settings, codec in pairs])
