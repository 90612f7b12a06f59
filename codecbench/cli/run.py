"""``codecbench run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from codecbench.cli import options
from codecbench.text import count

if TYPE_CHECKING:
    from codecbench.api import Run


@click.command()
@click.option("--codecs", multiple=True, metavar="SPEC[,SPEC...]", default=("all",), help="Codecs to measure.")
@click.option(
    "--datasets", multiple=True, metavar="SPEC[,SPEC...]", help="Datasets to measure on [mnist,stl10, or stand-ins]."
)
@click.option("--images", type=options.IMAGE_COUNT, default="1000", help="Number of images of each dataset.")
@click.option("--out", metavar="DIR", help="The run folder [results/<datasets>-<images>].")
@click.option("--skip", multiple=True, metavar="NAME[,NAME...]", help="Codecs to leave out.")
@click.option("--metrics", multiple=True, metavar="NAME[,NAME...]", help="Plugin metrics to add, or none [the usual].")
@click.option("--workers", type=click.IntRange(1), help="Number of worker processes [one per core].")
@options.device()
@click.option("--no-timing", is_flag=True, help="Measure no times.")
@click.option(
    "--timing-threads", type=click.IntRange(1), default=1, help="Number of threads of a codec while it is timed."
)
@click.option("--no-sets", is_flag=True, help="Do not code whole datasets as one stream.")
@click.option(
    "--task-timeout", "task_timeout_s", type=options.SECONDS, default="3600", help="Time limit for coding one task."
)
@click.option(
    "--memory-limit", type=options.MEMORY, help="Memory that a codec's process may use, such as 4G [no limit]."
)
@click.option(
    "--scheduler", metavar="ADDRESS|local", help="Measure on a Dask cluster: tcp://HOST:PORT, or local [no cluster]."
)
@click.option("--worker-data-dir", metavar="DIR", help="The data root on the workers [their own, else the one here].")
@click.option(
    "--shared-out", is_flag=True, help="Workers write into the run folder, which they see under the same path."
)
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of the choice of images.")
@click.option(
    "--keep-images", type=click.IntRange(0), default=24, help="Images of each dataset whose reconstructions are kept."
)
@click.option("--fresh", is_flag=True, help="First delete what codecbench wrote into the run folder.")
@options.data_folder
@options.codec_folders
@options.metric_folders
def run(
    codecs: tuple[str, ...],
    datasets: tuple[str, ...],
    skip: tuple[str, ...],
    metrics: tuple[str, ...],
    no_timing: bool,
    no_sets: bool,
    **others: Any,
) -> int:
    """Measure codecs over datasets and write tables, figures and a report.

    An interrupted run is continued where it stopped; codecs measured later over the same images are added to
    the folder.
    """
    from codecbench import api
    from codecbench.cli.console import RunProgress, say

    show = RunProgress()
    try:
        done = api.run(
            codecs,
            datasets or None,
            metrics=metrics or None,
            skip=[name.strip() for text in skip for name in text.split(",") if name.strip()],
            timing=not no_timing,
            sets=not no_sets,
            command=options.command_line(),
            watch=show,
            **others,
        )
    except KeyboardInterrupt:
        raise options.Interrupted("what was measured is kept, the same command goes on from there") from None
    finally:
        show.close()
    if done.changed or not done.report_is_current:
        say("drawing the report ...")
        done.report()
    _show(done)
    if done.failed_tasks:
        say(
            f"{count(done.failed_tasks, 'task')} failed; the report says which and why, the details are in parts/, "
            f"timings/ and sets/ of {done.path}",
            err=True,
        )
    say(f"table   {done.path / 'summary.csv'}\nreport  {done.path / 'report.html'}")
    return 1 if done.failed_tasks else 0


def _show(done: Run) -> None:
    """The run in short, from the table that was just written."""
    from codecbench.analysis import summary
    from codecbench.cli.show import print_brief
    from codecbench.report import brief
    from codecbench.store.folder import RunFolder

    table = summary.read_summary(done.path / "summary.csv")
    print_brief(brief.brief(RunFolder.existing(done.path), table), short=True)
