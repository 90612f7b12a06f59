"""``codecbench run``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from codecbench.cli.options import (
    ImageCount,
    Interrupted,
    Memory,
    Seconds,
    codec_folders,
    command_line,
    data_folder,
    metric_folders,
)

if TYPE_CHECKING:
    from codecbench.api import Run


@click.command()
@click.option("--codecs", multiple=True, metavar="SPEC[,SPEC...]", default=("all",), help="Codecs to measure [all].")
@click.option(
    "--datasets", multiple=True, metavar="SPEC[,SPEC...]", help="Datasets to measure on [mnist,stl10, or stand-ins]."
)
@click.option(
    "--images", type=ImageCount(), default="1000", show_default=True, help="Number of images of each dataset."
)
@click.option("--out", metavar="DIR", help="The run folder [results/<datasets>-<images>].")
@click.option("--skip", multiple=True, metavar="NAME[,NAME...]", help="Codecs to leave out.")
@click.option(
    "--metrics",
    multiple=True,
    metavar="NAME[,NAME...]",
    help="Plugin metrics, in addition to those of every run; 'none' for no others [default: the usual ones].",
)
@click.option("--workers", type=click.IntRange(1), help="Number of worker processes [one per core].")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--no-timing", is_flag=True, help="Measure no times.")
@click.option(
    "--timing-threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of threads of a codec while it is timed.",
)
@click.option("--no-sets", is_flag=True, help="Do not code whole datasets as one stream.")
@click.option(
    "--task-timeout",
    type=Seconds(),
    default="3600",
    show_default=True,
    help="Time limit for a codec to encode or decode one task.",
)
@click.option("--memory-limit", type=Memory(), help="Memory that a codec's process may use, such as 4G [no limit].")
@click.option(
    "--scheduler", metavar="ADDRESS|local", help="Measure on a Dask cluster: tcp://HOST:PORT, or local [no cluster]."
)
@click.option("--worker-data-dir", metavar="DIR", help="The data root on the workers [their own, else the one here].")
@click.option(
    "--shared-out",
    is_flag=True,
    help="Workers write into the run folder themselves, which they see under the same path.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the choice of images.")
@click.option(
    "--keep-images",
    type=click.IntRange(0),
    default=24,
    show_default=True,
    help="Number of images of each dataset whose reconstructions are kept for viewing.",
)
@click.option("--fresh", is_flag=True, help="First delete what codecbench wrote into the run folder.")
@data_folder
@codec_folders
@metric_folders
def run(
    codecs: tuple[str, ...],
    datasets: tuple[str, ...],
    images: int | None,
    out: str | None,
    skip: tuple[str, ...],
    metrics: tuple[str, ...],
    workers: int | None,
    device: str,
    no_timing: bool,
    timing_threads: int,
    no_sets: bool,
    task_timeout: float | None,
    memory_limit: int | None,
    scheduler: str | None,
    worker_data_dir: str | None,
    shared_out: bool,
    seed: int,
    keep_images: int,
    fresh: bool,
    data_dir: str | None,
) -> int:
    """Measure codecs over datasets and write tables, figures and a report.

    An interrupted run is continued where it stopped; codecs measured later over the same images are added to
    the folder.
    """
    from codecbench import api
    from codecbench.cli.console import RunProgress

    show = RunProgress()
    try:
        done = api.run(
            codecs,
            datasets or None,
            images=images,
            out=out,
            metrics=metrics or None,
            skip=[name.strip() for text in skip for name in text.split(",") if name.strip()],
            workers=workers,
            timing=not no_timing,
            timing_threads=timing_threads,
            sets=not no_sets,
            task_timeout_s=task_timeout,
            memory_limit=memory_limit,
            scheduler=scheduler,
            worker_data_dir=worker_data_dir,
            shared_out=shared_out,
            device=device,
            data_dir=data_dir,
            seed=seed,
            keep_images=keep_images,
            fresh=fresh,
            command=command_line(),
            watch=show,
        )
    except KeyboardInterrupt:
        raise Interrupted("what was measured is kept, the same command goes on from there") from None
    finally:
        show.close()
    if done.changed or not done.report_is_current:
        click.echo("drawing the report ...")
        done.report()
    _show(done)
    if done.failed_tasks:
        tasks = "1 task" if done.failed_tasks == 1 else f"{done.failed_tasks} tasks"
        click.echo(
            f"{tasks} failed; the report says which and why, the details are in parts/, timings/ and sets/ "
            f"of {done.path}",
            err=True,
        )
    click.echo(f"table   {done.path / 'summary.csv'}\nreport  {done.path / 'report.html'}")
    return 1 if done.failed_tasks else 0


def _show(done: Run) -> None:
    """The run in short, from the table that was just written."""
    from codecbench.analysis import summary
    from codecbench.cli.show import print_brief
    from codecbench.report import brief
    from codecbench.store.folder import RunFolder

    table = summary.read_summary(done.path / "summary.csv")
    print_brief(brief.brief(RunFolder.existing(done.path), table), short=True)
