"""Progress and tables on the terminal."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from codecbench.text import printable

if TYPE_CHECKING:
    import pandas as pd

    from codecbench.execution.context import Event
    from codecbench.learned.training.loop import Progress
    from codecbench.report.tables import Table

PASSES = {"measured": "measuring", "packed": "coding whole sets", "timed": "timing"}


def say(text: object = "", err: bool = False, nl: bool = True, colour: str | None = None) -> None:
    """Prints a text of whatever origin: the one way of the commands to the terminal."""
    click.secho(printable(str(text)), err=err, nl=nl, fg=colour)


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
            self.bar.console.print(printable(text), markup=False, highlight=False)
        else:
            say(text)

    def _print(self, event: Event) -> None:
        now = time.monotonic()
        if now - self.last < self.EVERY_S and event.done < event.total and event.kind == self.kind:
            return
        self.last, self.kind = now, event.kind
        words = [PASSES[event.kind], f"{event.done}/{event.total}"]
        if event.codec:
            words += [event.dataset, event.codec]
        if event.seconds_left is not None and event.done < event.total:
            words.append(f"{clock(event.seconds_left)} left")
        say(" ".join(words))

    def _draw(self, event: Event) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        if self.bar is None or event.kind != self.kind:
            self.close()
            self.kind = event.kind
            self.bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}")
            )
            self.bar.start()
            self.bar_task = self.bar.add_task(PASSES[event.kind], total=event.total, left="")
        left = f"{clock(event.seconds_left)} left" if event.seconds_left is not None else ""
        description = f"{PASSES[event.kind]} {event.dataset} {event.codec.partition(':')[0]}".strip()
        shown = printable(f"{description:<32}")
        self.bar.update(self.bar_task, completed=event.done, description=shown, left=left)


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
            click.echo(f"\r{printable(line)}\033[K", nl=progress.finished)
        elif progress.finished:
            say(line)

    def close(self) -> None:
        """Ends the line that is written over."""
        if self.terminal:
            click.echo()


def _known(error: float) -> str:
    return "–" if math.isnan(error) else f"{error:.5g}"


def print_table(table: Table, indent: int = 0) -> None:
    """Prints a table without its notes, as wide as the terminal, or 160 characters if there is none."""
    from rich import table as rich_table
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    title = Text(printable(table.title)) if table.title else None
    drawn = rich_table.Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in table.columns:
        drawn.add_column(Text(printable(column.title)), justify="right" if column.numeric else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(printable(text)) for text in [row.head, *(cell.text for cell in row.cells)]))
    Console(width=None if sys.stdout.isatty() else 160).print(Padding(drawn, (0, 0, 0, indent), expand=False))


def print_csv(table: pd.DataFrame) -> None:
    """Prints all columns and digits of a table."""
    say(table.to_csv(index=False, lineterminator="\n"), nl=False)
