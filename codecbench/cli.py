"""The command line: parse, call one library function, print. The only module that prints or exits."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from codecbench import __version__
from codecbench.errors import CodecbenchError, PluginError, UsageError

if TYPE_CHECKING:
    from codecbench.learned.training import Progress
    from codecbench.runner import Event

F = TypeVar("F", bound=Callable[..., Any])


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: what stands behind ``codecbench``; by default the process's own arguments.

    Returns:
        The exit code: 0, 1 when something could not be measured or done, 2 for a request that is wrong, 130 when
        interrupted.
    """
    try:
        code = cli.main(arguments, prog_name="codecbench", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; what was finished is kept, the same command goes on from there", err=True)
        return 130
    except (UsageError, PluginError) as error:
        click.echo(f"error: {error}", err=True)
        return 2
    except CodecbenchError as error:
        click.echo(f"error: {error}", err=True)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="codecbench")
def cli() -> None:
    """Which image codec? Rate, distortion and speed, measured on real bitstreams.

    A SPEC is a name (its default sweep) or NAME:KEY=VALUE[/VALUE...][,KEY=...], with ranges LO..HI[:STEP]:

        jpeg:quality=10..90:20,subsampling=4:4:4/4:2:0,png,svd:rank=5/13
    """


def codec_folders(command: F) -> F:
    """Adds ``--codec-dir`` to a command; the folders are put on the shelf before the command runs."""

    def put_on_shelf(context: click.Context, parameter: click.Parameter, folders: tuple[str, ...]) -> None:
        if folders:
            from codecbench.registry import CODECS

            for folder in folders:
                CODECS.add_folder(folder)

    return click.option(
        "--codec-dir",
        "codec_dirs",
        multiple=True,
        metavar="DIR",
        expose_value=False,
        callback=put_on_shelf,
        help="Also take codecs from this folder of plugin files (repeatable; or $CODECBENCH_CODEC_PATH).",
    )(command)


data_folder = click.option(
    "--data-dir",
    metavar="DIR",
    help="The data root [default: $CODECBENCH_DATA, else the user's cache folder].",
)


class ImageCount(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A number of images, or ``all``."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Turns the text into a number, or None for all."""
        if value == "all" or value is None:
            return None
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"{value!r} is not allowed; allowed: a whole number of 1 or more, or all")
        return int(value)


@cli.command()
@click.option("--codecs", multiple=True, metavar="SPEC[,SPEC...]", default=("all",), help="What to measure [all].")
@click.option("--datasets", multiple=True, metavar="SPEC[,SPEC...]", help="On what [mnist,stl10, or stand-ins].")
@click.option("--images", type=ImageCount(), default="1000", show_default=True, help="Images a dataset.")
@click.option("--out", metavar="DIR", help="The run folder [results/<datasets>-<images>].")
@click.option("--skip", multiple=True, metavar="NAME[,NAME...]", help="Codecs to leave out.")
@click.option("--workers", type=click.IntRange(1), help="Worker processes [one a core].")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--no-timing", is_flag=True, help="Take no timings.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the choice of images.")
@click.option("--fresh", is_flag=True, help="Throw away what the run folder holds and begin anew.")
@data_folder
@codec_folders
def run(
    codecs: tuple[str, ...],
    datasets: tuple[str, ...],
    images: int | None,
    out: str | None,
    skip: tuple[str, ...],
    workers: int | None,
    device: str,
    no_timing: bool,
    seed: int,
    fresh: bool,
    data_dir: str | None,
) -> int:
    """Measure codecs over datasets and write tables, figures and a report.

    Goes on where an interrupted run stopped; codecs measured later over the same images join the folder.
    """
    from codecbench import runner

    show = RunProgress()
    done = runner.run(
        codecs,
        datasets or None,
        images=images,
        out=out,
        skip=[name for text in skip for name in text.split(",") if name],
        workers=workers,
        timing=not no_timing,
        device=device,
        data_dir=data_dir,
        seed=seed,
        fresh=fresh,
        command=shlex.join(["codecbench", *_without_folders(sys.argv[1:])]),
        watch=show,
    )
    show.close()
    click.echo("drawing the report ...")
    report_file = done.report()
    if done.failed_tasks:
        click.echo(f"{done.failed_tasks} tasks failed; the table and the report say which and why", err=True)
    click.echo(f"table   {done.path / 'summary.csv'}\nreport  {report_file}")
    return 1 if done.failed_tasks else 0


def _without_folders(arguments: list[str]) -> list[str]:
    """The command without the folders of one machine, which say nothing to another reader."""
    kept: list[str] = []
    skip_next = False
    for argument in arguments:
        name = argument.partition("=")[0]
        if not skip_next and name not in ("--data-dir", "--out", "--codec-dir"):
            kept.append(argument)
        skip_next = not skip_next and argument in ("--data-dir", "--out", "--codec-dir")
    return kept


PASSES = {"measured": "measuring", "timed": "timing"}


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
        import time

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


@cli.command()
@click.argument("folder", metavar="RUN")
def report(folder: str) -> None:
    """Draw the table, the figures and the report of RUN again, without measuring."""
    from codecbench import runner

    click.echo(f"report  {runner.load_run(folder).report()}")


@cli.command(name="list")
@click.option("--names", is_flag=True, help="Only the codecs' names, one a line; imports no codec.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
@data_folder
@codec_folders
def list_(names: bool, as_json: bool, data_dir: str | None) -> None:
    """Show codecs, datasets and metrics."""
    from codecbench.registry import CODECS

    if names:
        click.echo("\n".join(CODECS.names()))
        return
    from codecbench import listing

    content = listing.everything(data_dir)
    if as_json:
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        print_listing(content)


def print_listing(content: dict[str, Any]) -> None:
    """Prints what ``codecbench.listing.everything`` found as three tables."""
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
        ["name", "unit", "better", "what"],
        [[metric["name"], metric["unit"], metric["better"], metric["description"]] for metric in content["metrics"]],
    )
    click.echo("`codecbench list --json` tells every setting and every point that is swept.")


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@cli.group()
def data() -> None:
    """Get the data sets."""


@data.command()
@click.argument("name", metavar="NAME")
@click.option("--yes", is_flag=True, help="Do not ask before a large download.")
@data_folder
def get(name: str, yes: bool, data_dir: str | None) -> None:
    """Download and verify a data set: mnist, stl10."""
    from codecbench.datadir import data_root
    from codecbench.registry import DATASETS

    dataset = DATASETS.get(name)()
    root = data_root(data_dir)
    if not dataset.downloads:
        click.echo(f"{name} needs no download")
        return
    click.echo(f"{name}: {dataset.downloads}, into {root}")
    if dataset.ask_first and not yes and not click.confirm("Begin?"):
        raise click.Abort
    dataset.download(root, click.echo)


@cli.command()
@click.argument("name", metavar="NAME")
@click.option("--recipe", help="One of the codec's recipes [its first].")
@click.option("--epochs", type=click.IntRange(1), help="Instead of the recipe's number of epochs.")
@click.option("--seed", type=click.IntRange(0), help="Instead of the recipe's seed.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--out", metavar="DIR", help="Checkpoint, log and weights [training/NAME-RECIPE].")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out.")
@click.option("--install", is_flag=True, help="At the end, put the best weights beside the codec's file.")
@data_folder
@codec_folders
def train(
    name: str,
    recipe: str | None,
    epochs: int | None,
    seed: int | None,
    device: str,
    out: str | None,
    resume: bool,
    install: bool,
    data_dir: str | None,
) -> None:
    """Train the learned codec NAME."""
    from codecbench.learned import training

    command = shlex.join(["codecbench", *_without_folders([part for part in sys.argv[1:] if part != "--resume"])])
    job = training.make_job(
        name,
        recipe=recipe,
        epochs=epochs,
        seed=seed,
        device=device,
        out=out,
        data_dir=data_dir,
        command=command,
    )
    show = TrainProgress()
    card = training.train(job, resume=resume, watch=show)
    show.close()
    click.echo(
        f"best epoch {card['best_epoch']}: held-out MSE {card['held_out_mse']:.6g}, "
        f"test MSE {card['test_mse']:.6g} over {card['test_images']} images of {card['test']}"
    )
    click.echo(f"weights {Path(training.install(job) if install else job.out / 'best.safetensors')}")


class TrainProgress:
    """Shows how a training run goes: one line an epoch, and a line that is written over on a terminal."""

    def __init__(self) -> None:
        self.epoch_shown = 0
        self.terminal = sys.stdout.isatty()

    def __call__(self, progress: Progress) -> None:
        """Shows one report of the training loop."""
        line = (
            f"epoch {progress.epoch}/{progress.epochs}  loss {progress.loss:.5g}  "
            f"held-out MSE {progress.held_out_mse:.5g}  {progress.images_per_s:,.0f} images/s  "
            f"{clock(progress.seconds_left)} left"
        )
        if self.terminal:
            click.echo(f"\r{line}\033[K", nl=False)
        elif progress.epoch != self.epoch_shown:
            self.epoch_shown = progress.epoch
            click.echo(line)

    def close(self) -> None:
        """Ends the line that is written over."""
        if self.terminal:
            click.echo()
