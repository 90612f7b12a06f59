"""What several tables of the page share."""

from __future__ import annotations

import pandas as pd

from codecbench.analysis.points import short_settings, telling_settings


def with_short_settings(table: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Adds ``short``: the settings that differ among a codec's points, or all of them where none does.

    Args:
        table: some points.
        points: all points of the dataset.
    """
    keys = {codec: telling_settings(list(members["settings"])) for codec, members in points.groupby("codec")}
    pairs = zip(table["settings"], table["codec"], strict=True)
    return table.assign(short=[short_settings(settings, keys[codec]) for settings, codec in pairs])
