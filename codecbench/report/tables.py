"""Tables for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from codecbench.analysis.points import short_settings, telling_settings
from codecbench.analysis.summary import unsteady
from codecbench.report import markup
from codecbench.text import format_significant

MARKS = {"†": "trained on data of another kind", "‡": "these are its own training images", "": ""}
UNSTEADY = "**~** an unsteady time: the machine was not quiet."


@dataclass(frozen=True)
class Cell:
    """One cell."""

    text: str = ""  # empty for a dash
    value: float = math.nan  # the number behind the text, for sorting and copying
    best: bool = False  # the best of its column among those that compare
    hint: str = ""
    unsteady: bool = False  # a time of a machine that was not quiet
    jump: dict[str, Any] | None = None  # where a click leads: what the image browser then shows

    @property
    def has_value(self) -> bool:
        """Whether there is a number behind the text."""
        return math.isfinite(self.value)


@dataclass(frozen=True)
class Column:
    """A column of a table, and how its cells are made from records."""

    title: str
    cell: Callable[[Any], Cell | str]  # of the first column, which has the rows' heads, always a text
    hint: str = ""  # what the numbers mean, in a sentence
    numeric: bool = True  # right-aligned, and sorted by value
    page_only: bool = False  # of no use outside the page


@dataclass(frozen=True)
class Row:
    """One row: a head, usually a codec's name, and a cell for each further column."""

    head: str
    cells: tuple[Cell, ...] = ()
    note: str = ""  # the settings of its curve or point, beside the head
    mark: str = ""  # see MARKS

    @property
    def hint(self) -> str:
        """What the mark means."""
        return MARKS[self.mark]


@dataclass(frozen=True)
class Table:
    """A table for people, written as HTML (``table.html.j2``), as Markdown, and to the terminal (``cli.console``).

    Its sentences (``about``, ``keys``, ``lacking``) may have code between backticks and strong words between ``**``.
    """

    title: str
    columns: tuple[Column, ...]  # the first is that of the rows' heads
    rows: tuple[Row, ...]
    about: str = ""  # above the table
    keys: tuple[str, ...] = ()  # what its signs mean, below the table
    lacking: tuple[str, ...] = ()  # what is not in it, and why
    open: bool = True  # whether the page shows it unasked

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


def words(title: str, cell: str | Callable[[Any], Cell | str], hint: str = "") -> Column:
    """A column of words; ``cell`` makes one from a record, or is the key of the words in it."""
    return Column(title, (lambda record: str(record[cell])) if isinstance(cell, str) else cell, hint, numeric=False)


def numbers(title: str, key: str, write: Callable[[float], str], hint: str = "") -> Column:
    """A column of the numbers that records have under a key."""
    return Column(title, lambda record: number(record[key], write), hint)


def file_bytes(title: str, hint: str) -> Column:
    """A column of the mean bytes of an image."""
    return Column(title, lambda record: number(record["bits_per_image"] / 8, format_significant), hint)


def number(value: Any, write: Callable[[float], str], hint: str = "", unsteady: bool = False) -> Cell:
    """A cell of a number; a dash where there is none."""
    if markup.absent(value) or not math.isfinite(float(value)):
        return Cell()
    return Cell(write(float(value)), float(value), hint=hint, unsteady=unsteady)


def of(key: Any, cell: Callable[[Any], Cell | str]) -> Callable[[Any], Cell | str]:
    """Makes a cell from one of several records that are the row's together."""
    return lambda records: cell(records[key])


def row_of(record: Any, columns: Sequence[Column], note: str = "", mark: str = "") -> Row:
    """The row of a record."""
    head, *cells = (column.cell(record) for column in columns)
    return Row(str(head), tuple(Cell(cell) if isinstance(cell, str) else cell for cell in cells), note, mark)


def table_of(title: str, columns: Sequence[Column], records: Iterable[Any], **sentences: Any) -> Table:
    """A table with a row for each record, none of them marked; ``sentences`` are further fields of it."""
    return Table(title, tuple(columns), tuple(row_of(record, columns) for record in records), **sentences)


def keys(rows: Sequence[Row]) -> tuple[str, ...]:
    """What the signs in some rows mean."""
    marks = {row.mark for row in rows}
    found = [f"**{mark}** {text}; never marked as best." for mark, text in MARKS.items() if mark and mark in marks]
    return (*found, *([UNSTEADY] if any(cell.unsteady for row in rows for cell in row.cells) else []))


def with_best(rows: Sequence[Row], at: int, among: Callable[[Row], bool] = lambda row: True) -> list[Row]:
    """Marks the lowest value of the cells ``at`` in some rows; rows with a mark († or ‡) never compete."""
    values = [row.cells[at].value for row in rows if row.cells[at].has_value and not row.mark and among(row)]
    if len(values) < 2:
        return list(rows)

    def judged(row: Row) -> Row:
        cell = row.cells[at]
        if cell.value != min(values) or row.mark or not among(row):
            return row
        return replace(row, cells=(*row.cells[:at], replace(cell, best=True), *row.cells[at + 1 :]))

    return [judged(row) for row in rows]


def with_short_settings(table: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Adds ``short``: the settings that differ among a codec's points of the dataset, or all of them if none does."""
    keys = {codec: telling_settings(list(members["settings"])) for codec, members in points.groupby("codec")}
    pairs = zip(table["settings"], table["codec"], strict=True)
    return table.assign(short=[short_settings(settings, keys[codec]) for settings, codec in pairs])


def with_unsteady_ways(table: pd.DataFrame) -> pd.DataFrame:
    """Adds ``encode_unsteady`` and ``decode_unsteady``, see ``codecbench.analysis.summary.unsteady``."""
    return table.assign(**{f"{way}_unsteady": unsteady(table, (way,)) for way in ("encode", "decode")})
