"""The command line: parse, call one library function, print. The only module that exits."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from codecbench import __version__
from codecbench.errors import CodecbenchError, PluginError, UsageError

F = TypeVar("F", bound=Callable[..., Any])
FOLDER_OPTIONS = ("--data-dir", "--out", "--codec-dir")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: what stands behind ``codecbench``; by default the process's own arguments.

    Returns:
        The exit code: 0, 1 when something could not be measured or done, 2 for a request that is wrong, 130 when
        interrupted.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = cli.main(given, prog_name="codecbench", standalone_mode=False, obj=given)
        return code if isinstance(code, int) else 0
    except Interrupted as error:
        click.echo(f"interrupted; {error.format_message()}", err=True)
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return error.exit_code
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
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


class Interrupted(click.ClickException):
    """Ctrl-C, with a word on how to go on."""


def _command_line() -> str:
    """The command that is running, without the folders of one machine, which say nothing to another reader."""
    arguments: list[str] = click.get_current_context().find_root().obj or []
    kept, skip_next = ["codecbench"], False
    for argument in arguments:
        name = argument.partition("=")[0]
        if not skip_next and name not in FOLDER_OPTIONS:
            kept.append(argument)
        skip_next = not skip_next and argument in FOLDER_OPTIONS
    return shlex.join(kept)


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
        if not str(value).isdecimal() or len(str(value)) > 18 or int(value) < 1:
            self.fail(f"{value!r} is not allowed; allowed: a whole number of 1 or more, or all")
        return int(value)


@cli.command()
@click.option("--codecs", multiple=True, metavar="SPEC[,SPEC...]", default=("all",), help="What to measure [all].")
@click.option("--datasets", multiple=True, metavar="SPEC[,SPEC...]", help="On what [mnist,stl10, or stand-ins].")
@click.option("--images", type=ImageCount(), default="1000", show_default=True, help="Images of each dataset.")
@click.option("--out", metavar="DIR", help="The run folder [results/<datasets>-<images>].")
@click.option("--skip", multiple=True, metavar="NAME[,NAME...]", help="Codecs to leave out.")
@click.option("--workers", type=click.IntRange(1), help="Worker processes [one a core].")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--no-timing", is_flag=True, help="Take no timings.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the choice of images.")
@click.option("--fresh", is_flag=True, help="First throw away what codecbench wrote into the run folder.")
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
    from codecbench.console import RunProgress

    show = RunProgress()
    try:
        done = runner.run(
            codecs,
            datasets or None,
            images=images,
            out=out,
            skip=[name.strip() for text in skip for name in text.split(",") if name.strip()],
            workers=workers,
            timing=not no_timing,
            device=device,
            data_dir=data_dir,
            seed=seed,
            fresh=fresh,
            command=_command_line(),
            watch=show,
        )
    except KeyboardInterrupt:
        raise Interrupted("what was measured is kept, the same command goes on from there") from None
    finally:
        show.close()
    if done.changed or not done.report_is_current:
        click.echo("drawing the report ...")
        done.report()
    if done.failed_tasks:
        tasks = "1 task" if done.failed_tasks == 1 else f"{done.failed_tasks} tasks"
        click.echo(
            f"{tasks} failed; the table and the report say which and why, {done.path / 'parts'} holds tracebacks",
            err=True,
        )
    click.echo(f"table   {done.path / 'summary.csv'}\nreport  {done.path / 'report.html'}")
    return 1 if done.failed_tasks else 0


@cli.command()
@click.argument("folder", metavar="RUN")
def report(folder: str) -> None:
    """Draw the table, the figures and the report of RUN again, without measuring."""
    from codecbench import runner

    click.echo(f"report  {runner.load_run(folder).report()}")


@cli.command()
@click.argument("folder", metavar="RUN")
@click.option("--codec", metavar="SPEC", required=True, help="Whose points are matched; settings narrow to some.")
@click.option("--against", metavar="SPEC", required=True, help="The codec whose curves are read; likewise.")
@click.option("--dataset", metavar="NAME", help="One of the run's datasets [all].")
@click.option(
    "--at", type=click.Choice(["error", "bytes"]), default="error", show_default=True, help="What is held equal."
)
@click.option(
    "--by",
    type=click.Choice(["mse", "mse_float", "psnr_db", "ssim"]),
    default="mse",
    show_default=True,
    help="The measure of error; mse_float is before clipping and rounding.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with every column and digit.")
def match(folder: str, codec: str, against: str, dataset: str | None, at: str, by: str, as_csv: bool) -> None:
    """At which setting one codec has another's error, and what each costs.

    Reads the curves of --against between measured neighbours, and beyond its points says so. Measures nothing.
    """
    from codecbench import runner

    table = runner.load_run(folder).match(codec, against, dataset=dataset, at=at, by=by)
    if as_csv:
        click.echo(table.to_csv(index=False, lineterminator="\n"), nl=False)
    else:
        from codecbench.console import print_matches

        print_matches(table, at=at, by=by)


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
        from codecbench.console import print_listing

        print_listing(content)


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
    if dataset.ask_first and not yes and not _confirmed():
        raise click.ClickException(f"{name} was not downloaded; --yes begins without asking")
    dataset.download(root, click.echo)


def _confirmed() -> bool:
    try:
        return click.confirm("Begin?")
    except click.Abort:  # no terminal to ask, or Ctrl-C
        click.echo()
        return False


@cli.command()
@click.argument("name", metavar="NAME")
@click.option("--recipe", help="One of the codec's recipes [its first].")
@click.option("--epochs", type=click.IntRange(1), help="Instead of the recipe's number of epochs.")
@click.option("--seed", type=click.IntRange(0), help="Instead of the recipe's seed.")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Another field of the recipe; repeatable.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--out", metavar="DIR", help="Checkpoint, log and weights [training/NAME-RECIPE].")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out.")
@click.option("--keep", metavar="N,N", help="Epochs whose weights stay in --out, as epoch-0001.safetensors.")
@click.option("--install", is_flag=True, help="At the end, put the best weights and their log beside the codec's file.")
@data_folder
@codec_folders
def train(
    name: str,
    recipe: str | None,
    epochs: int | None,
    seed: int | None,
    changes: tuple[str, ...],
    device: str,
    out: str | None,
    resume: bool,
    keep: str | None,
    install: bool,
    data_dir: str | None,
) -> None:
    """Train the learned codec NAME."""
    from codecbench.console import TrainProgress
    from codecbench.learned import outcome, training
    from codecbench.learned.jobs import make_job

    job = make_job(
        name,
        recipe=recipe,
        epochs=epochs,
        seed=seed,
        changes=changes,
        device=device,
        out=out,
        data_dir=data_dir,
        command=_command_line().replace(" --resume", ""),
    )
    kept = () if keep is None else _epochs(keep, job.recipe.epochs)
    show = TrainProgress()
    try:
        card = training.train(job, resume=resume, keep=kept, watch=show)
    except KeyboardInterrupt:
        raise Interrupted(f"go on with --resume; the last finished epoch is kept in {job.out}") from None
    finally:
        show.close()
    click.echo(
        f"best epoch {card['best_epoch']}: held-out MSE {card['held_out_mse']:.6g}, "
        f"test MSE {card['test_mse']:.6g} over {card['test_images']} images of {card['test']}"
    )
    click.echo(f"weights {Path(outcome.install(job) if install else job.out / 'best.safetensors')}")


def _epochs(text: str, most: int) -> list[int]:
    """The numbers of ``1,50,300``."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= most for part in parts):
        raise UsageError(f"--keep {text} is not allowed; allowed: epochs from 1 to {most}, such as 1,{most}")
    return [int(part) for part in parts]
