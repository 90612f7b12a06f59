"""What the command line shows: progress and tables. With ``cli`` the only module that prints."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

    from codecbench.execution.events import Event
    from codecbench.learned.training.loop import Progress
    from codecbench.report.brief import Shown

PASSES = {"measured": "measuring", "packed": "coding whole sets", "timed": "timing"}


class RunProgress:
    """Shows a run's events: a live bar on a terminal, a line every few seconds elsewhere."""

    EVERY_S = 5.0

    def __init__(self) -> None:
        self.bar: Any = None
        self.bar_task: Any = None
        self.kind = ""
        self.last = 0.0
        self.terminal = sys.stdout.isatty()

    def __call__(self, event: Event) -> None:
        """Shows one event."""
        if event.kind == "note":
            self._line(event.text)
        elif event.kind == "failed":
            self._line(f"failed: {event.codec} on {event.dataset}: {event.text}")
        elif self.terminal:
            self._draw(event)
        else:
            self._print(event)

    def close(self) -> None:
        """Ends the live bar."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _line(self, text: str) -> None:
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False)
        else:
            click.echo(text)

    def _print(self, event: Event) -> None:
        now = time.monotonic()
        if now - self.last < self.EVERY_S and event.done < event.total and event.kind == self.kind:
            return
        self.last, self.kind = now, event.kind
        click.echo(" ".join([PASSES[event.kind], *self._words(event)]))

    @staticmethod
    def _words(event: Event) -> list[str]:
        words = [f"{event.done}/{event.total}"]
        if event.codec:
            words += [event.dataset, event.codec]
        if event.seconds_left is not None and event.done < event.total:
            words.append(f"{clock(event.seconds_left)} left")
        return words

    def _draw(self, event: Event) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        if self.bar is None or event.kind != self.kind:
            self.close()
            self.kind = event.kind
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]}"),
            )
            self.bar.start()
            self.bar_task = self.bar.add_task(PASSES[event.kind], total=event.total, left="")
        left = f"{clock(event.seconds_left)} left" if event.seconds_left is not None else ""
        description = f"{PASSES[event.kind]} {event.dataset} {event.codec.partition(':')[0]}".strip()
        self.bar.update(self.bar_task, completed=event.done, description=f"{description:<32}", left=left)


def clock(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class TrainProgress:
    """Shows how a training run goes: one line an epoch, and a line that is written over on a terminal."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()

    def __call__(self, progress: Progress) -> None:
        """Shows one report of the training loop."""
        line = (
            f"epoch {progress.epoch}/{progress.epochs}  loss {progress.loss:.5g}  "
            f"{progress.judged_by} held-out {_known(progress.held_out_score)}, test {_known(progress.test_score)}  "
            f"{progress.images_per_s:,.0f} images/s  {clock(progress.seconds_left)} left"
        )
        if self.terminal:
            click.echo(f"\r{line}\033[K", nl=progress.finished)
        elif progress.finished:
            click.echo(line)

    def close(self) -> None:
        """Ends the line that is written over."""
        if self.terminal:
            click.echo()


def _known(error: float) -> str:
    return "–" if math.isnan(error) else f"{error:.5g}"


def print_listing(content: dict[str, Any]) -> None:
    """Prints what ``codecbench.cli.list.everything`` found as three tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160)

    def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
        table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(cell.replace("[", "\\[") for cell in row))
        console.print(table)
        console.print()

    codecs = []
    for codec in content["codecs"]:
        if not codec["available"]:
            codecs.append([codec["name"], f"not available: {codec['reason']}", "", "", ""])
            continue
        settings = "; ".join(f"{s['name']}={_plain(s['default'])} ({s['allowed']})" for s in codec["settings"])
        swept = f"{codec['swept']} ({len(codec['sweep'])} points)" if codec["swept"] else ""
        codecs.append([codec["name"], codec["about"], settings, swept, codec["lossless"]])
    show("Codecs", ["name", "what", "settings: default (allowed)", "swept", "lossless"], codecs)
    datasets = [
        [
            dataset["name"],
            "yes" if dataset["available"] else "no",
            str(dataset.get("images") or ""),
            "×".join(map(str, dataset.get("shape") or [])),
            dataset["note"],
        ]
        for dataset in content["datasets"]
    ]
    show(
        f"Datasets (data root: {content['data_dir']})",
        ["name", "on disk", "images", "shape", "where"],
        datasets,
    )
    show(
        "Metrics",
        ["name", "unit", "better", "measured", "what"],
        [
            [
                *(metric[key] for key in ("name", "unit", "better", "measured")),
                metric["description"] if metric["available"] else f"not available: {metric['reason']}",
            ]
            for metric in content["metrics"]
        ],
    )
    click.echo("`codecbench list --json` tells every setting and every point that is swept.")


def print_matches(matches: pd.DataFrame, *, at: str, by: str) -> None:
    """Prints the table of ``codecbench.analysis.match.match``.

    Args:
        matches: the table; at least one row.
        at: what was held equal.
        by: the measure of error.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from codecbench.analysis import match
    from codecbench.analysis.points import short_settings, telling_settings

    ours, theirs = matches["codec"].iloc[0], matches["against"].iloc[0]
    inline = {match.MATCHED, match.OUTSIDE}  # their notes are about the row; the others' repeat themselves
    told = telling_settings([text for text in matches["settings"] if text])
    several = bool((matches["curve"] != "").any())

    def number(name: str) -> Callable[[Any], str]:
        measure = name.removeprefix("against_")
        return lambda row: "–" if math.isnan(row[name]) else match.number(row[name], measure)

    def plain(write: str, name: str) -> Callable[[Any], str]:
        return lambda row: "–" if math.isnan(row[name]) else write.format(row[name])

    def place(row: Any) -> str:
        return "–" if math.isnan(row["matched"]) else f"{row['swept']} {row['matched']:.4g}"

    def sides(row: Any) -> str:
        if math.isnan(row["matched"]):
            return ""
        ends = [f"{row[end]:g}" for end in ("below", "above")]
        return " and ".join(ends) if ends[0] != ends[1] else f"measured {ends[0]}"

    def status(row: Any) -> str:
        return ": ".join(text for text in (row["status"], row["note"]) if text)

    def curve(row: Any) -> str:
        return f"{row['curve']} {'*' if row['best'] else ''}".strip()

    errors = [by] if by == "psnr_db" or at == "error" else [by, "psnr_db"]
    shown: list[tuple[str, Callable[[Any], str]]] = [("dataset", lambda row: str(row["dataset"]))]
    if told:
        shown.append(("settings", lambda row: short_settings(row["settings"], told)))
    shown += [(match.word(name), number(name)) for name in errors]
    shown.append(("bits/image", number(match.RATE)))
    shown += [(f"{theirs} curve", curve)] if several else []
    shown += [(f"{theirs} at", place), ("between", sides)]
    if at == "error":
        shown.append((f"{theirs} bits/image", number("against_bits_per_image")))
        shown += [("ratio of bits", plain("{:,.3f}", "bits_ratio")), ("in %", plain("{:,.1f}", "bits_percent"))]
    else:
        shown += [(f"{theirs} {match.word(name)}", number(f"against_{name}")) for name in errors]
        shown.append(("PSNR difference", plain("{:+.2f} dB", "psnr_difference_db")))
    shown.append(("status", lambda row: status(row) if row["status"] in inline else row["status"]))

    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for head, _ in shown:
        table.add_column(Text(head), overflow="fold")
    notes: dict[str, None] = {}
    for row in matches.to_dict("records"):
        if row["status"] != match.NO_RESULTS:
            table.add_row(*(Text(write(row)) for _, write in shown))
        if row["status"] not in inline:
            notes[f"{row['dataset']}{' '.join(('', row['curve'])).rstrip()}: {status(row)}"] = None
    click.echo(f"{ours} against {theirs}, at equal {match.word(by if at == 'error' else match.RATE)}\n")
    if table.row_count:
        console.print(table)
        console.print()
    for note in notes:
        click.echo(note)
    click.echo(match.method(at, by))
    if several:
        click.echo(f"* of {theirs}'s curves the one of {'fewest bits' if at == 'error' else 'least error'} there.")
    flat = matches["status"].isin({match.ONE_POINT, match.NOT_NUMERIC})
    if flat.any() and not matches["status"].isin(inline).any():
        click.echo(f"{theirs} has no curve to read here. The other way round: --codec {theirs} --against {ours}")


def print_shown(found: Shown, short: bool = False) -> None:
    """Prints a run in short.

    Args:
        found: what ``codecbench.report.brief`` tells of it.
        short: only the best codecs, as at the end of a run.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from codecbench.report import brief as shown

    console = Console(width=None if sys.stdout.isatty() else 160)

    def show(title: str, columns: Sequence[shown.Column], records: Sequence[Mapping[str, Any]]) -> None:
        table = Table(title=Text(title), title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in columns:
            table.add_column(Text(column.title), justify="right" if column.numeric else "left", overflow="fold")
        before = ""
        for record in records:
            cells = [column.write(record) for column in columns]
            if columns is shown.BEST:  # a dataset's name stands once
                before, cells[0] = cells[0], "" if cells[0] == before else cells[0]
            table.add_row(*map(Text, cells))
        console.print(table)
        console.print()

    if found.best:
        show("Best codec", shown.BEST, found.best)
        click.echo(shown.READ)
    else:
        click.echo("Nothing was measured that could be compared.")
    if not short:
        click.echo()
        for label, images in found.datasets.items():
            own = [record for record in found.codecs if record["dataset"] == label]
            if own:
                show(f"{label}, {images:,} image{'s' * (images != 1)}", shown.CODECS, own)
        if found.sets:
            show("Whole sets as one stream", shown.SETS, found.sets)
    if any(record["unsteady"] for record in (found.best if short else [*found.best, *found.codecs])):
        click.echo("~ the machine was not quiet while this was timed")
    for line in [] if short else found.notes:
        click.echo(line)
    for note in found.grave:
        for line in note.lines:
            click.echo(f"{note.title.lower()}: {line}")
    if not short:
        runs = " ".join(found.runs)
        click.echo(f"report  {found.report}" if found.report else f"no report yet; draw it: codecbench report {runs}")


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
