"""``codecbench train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from codecbench.cli import options
from codecbench.errors import UsageError


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--recipe", help="One of the codec's recipes [its first].")
@click.option("--epochs", type=click.IntRange(1), help="Number of epochs [that of the recipe].")
@click.option("--seed", type=click.IntRange(0), help="Seed [that of the recipe].")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change the recipe (repeatable).")
@options.device()
@click.option("--out", metavar="DIR", help="Folder for checkpoint, log and weights [training/NAME-RECIPE].")
@click.option("--resume", is_flag=True, help="Continue from the checkpoint in --out; if finished, write weights again.")
@click.option("--keep", metavar="N,N", help="Epochs whose weights are kept in --out, as epoch-0001.safetensors.")
@click.option("--install", is_flag=True, help="At the end, copy the best weights and log beside the codec's file.")
@options.data_folder
@options.codec_folders
def train(name: str, resume: bool, keep: str | None, install: bool, **asked: Any) -> None:
    """Train the learned codec NAME."""
    from codecbench.cli.console import TrainProgress, say
    from codecbench.learned.training import loop, outcome
    from codecbench.learned.training.job import make_job

    job = make_job(name, command=options.command_line().replace(" --resume", ""), **asked)
    kept = () if keep is None else _epochs(keep, job.recipe.epochs)
    show = TrainProgress()
    try:
        card = loop.train(job, resume=resume, keep=kept, watch=show)
    except KeyboardInterrupt:
        raise options.Interrupted(f"go on with --resume; the last finished epoch is kept in {job.out}") from None
    finally:
        show.close()
    judged, words = job.recipe.judged_by, job.recipe.words
    say(
        f"best epoch {card['best_epoch']}: held-out {words} {card[f'held_out_{judged}']:.6g}, "
        f"test {words} {card[f'test_{judged}']:.6g} over {card['test_images']} images of {card['test']}"
    )
    say(f"weights {Path(outcome.install(job) if install else job.out / 'best.safetensors')}")


def _epochs(text: str, most: int) -> list[int]:
    """The numbers of ``1,50,300``."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= most for part in parts):
        raise UsageError(f"--keep {text} is not allowed; allowed: epochs from 1 to {most}, such as 1,{most}")
    return [int(part) for part in parts]
