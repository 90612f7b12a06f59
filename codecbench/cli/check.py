"""``codecbench check``."""

from __future__ import annotations

import json
import math

import click

from codecbench.cli.console import say
from codecbench.cli.options import codec_folders
from codecbench.errors import UsageError

COLOURS = {"failed": "red", "warning": "yellow", "passed": "green"}


@click.command()
@click.argument("spec", metavar="NAME[:SETTINGS]")
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of the images and of the damage.")
@click.option(
    "--damages", type=click.IntRange(1), default=100, help="Number of damaged streams to decode at each point."
)
@click.option(
    "--time-limit",
    type=click.FloatRange(1, 86_400),
    default=60,
    metavar="SECONDS",
    help="Time limit of one step; a codec that takes longer counts as hanging.",
)
@click.option("--json", "as_json", is_flag=True, help="Print every check at every point as JSON.")
@codec_folders
def check(spec: str, seed: int, damages: int, time_limit: float, as_json: bool) -> int:
    """Check that a codec does what every codec must do.

    Without settings, the default is checked, and the first, middle and last point of the default sweep. The codec runs
    in a process of its own with limited time and memory. The exit code is 1 if a check fails.
    """
    from codecbench.testing.isolated import check_plugin

    if math.isnan(time_limit):
        raise UsageError("time limit nan is not allowed; allowed: seconds from 1 to 86400")
    report = check_plugin(spec, seed, damages, time_limit)
    if as_json:
        say(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        rows = report.rows()
        width = max(len(row.check) for row in rows) + 2
        for row in rows:
            say(f"{row.check:<{width}}", nl=False)
            say(f"{row.result:<16}", nl=False, colour=COLOURS.get(row.result))
            say(row.reason)
        say("\n".join(["", f"{report.summary()}; checked at", *(f"    {point}" for point in report.points)]))
    return int(report.failed)
