"""``codecbench list``."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import click

from codecbench.cli import options
from codecbench.cli.console import print_table, say
from codecbench.data import data_root
from codecbench.errors import PluginError
from codecbench.plugins.answers import versions_of
from codecbench.plugins.codec import Codec
from codecbench.plugins.metric import ALWAYS
from codecbench.plugins.registry import CODECS, DATASETS, METRICS
from codecbench.plugins.settings import Setting, format_settings, format_value, settings_of
from codecbench.text import format_shape


@click.command(name="list")
@click.option("--names", is_flag=True, help="Print only the names of the codecs, one per line, without importing them.")
@options.json
@options.data_folder
@options.codec_folders
@options.metric_folders
def list_(names: bool, as_json: bool, data_dir: str | None) -> None:
    """Show codecs, datasets and metrics."""
    if names:
        say("\n".join(CODECS.names()))
        return
    content = everything(data_dir)
    if as_json:
        say(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        _print(content)


def _print(content: dict[str, Any]) -> None:
    """Prints codecs, datasets and metrics as three tables."""
    from codecbench.report.tables import table_of, words

    codecs = (
        words("name", "name"),
        words("what", lambda codec: codec["about"] if codec["available"] else f"not available: {codec['reason']}"),
        words("settings: default (allowed)", lambda codec: "; ".join(map(_allowed, codec.get("settings", ())))),
        words("swept", lambda codec: f"{codec['swept']} ({len(codec['sweep'])} points)" if codec.get("swept") else ""),
        words("lossless", lambda codec: codec.get("lossless", "")),
    )
    datasets = (
        words("name", "name"),
        words("on disk", lambda dataset: "yes" if dataset["available"] else "no"),
        words("images", lambda dataset: str(dataset.get("images") or "")),
        words("shape", lambda dataset: format_shape(dataset.get("shape") or [])),
        words("where", "note"),
    )
    metrics = (
        *(words(key, key) for key in ("name", "unit", "better", "measured")),
        words("what", lambda one: one["description"] if one["available"] else f"not available: {one['reason']}"),
    )
    for title, columns in (("Codecs", codecs), ("Datasets", datasets), ("Metrics", metrics)):
        where = f" (data root: {content['data_dir']})" if title == "Datasets" else ""
        print_table(table_of(title + where, columns, content[title.lower()]))
        say()
    say("`codecbench list --json` shows every setting and every point of the default sweeps.")


def _allowed(setting: dict[str, Any]) -> str:
    default = setting["default"]
    return f"{setting['name']}={str(default).lower() if isinstance(default, bool) else default} ({setting['allowed']})"


def everything(data_dir: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Every codec, dataset and metric as JSON values; a plugin that cannot be imported is listed with its reason."""
    root = data_root(data_dir)
    found = {"available": True, "reason": "", "measured": "always"}
    always = [{"name": name, **metric.record(), **found} for name, metric in ALWAYS.items()]
    return {
        "codecs": [_codec(name) for name in CODECS.names()],
        "datasets": [_dataset(name, root) for name in DATASETS.names()],
        "metrics": always + [_metric(name) for name in METRICS.names()],
        "data_dir": str(root),
    }


def _metric(name: str) -> dict[str, Any]:
    """A plugin metric; measured ``by default`` or ``when asked for``."""
    try:
        metric = METRICS.get(name)
    except PluginError as error:
        blank = {"title": name, "unit": "", "better": "", "description": ""}
        return {"name": name, **blank, "available": False, "reason": str(error), "measured": "when asked for"}
    reason = metric.unavailable()
    measured = "by default" if metric.default and name in METRICS.built_in() else "when asked for"
    return {"name": name, **metric.record(), "available": not reason, "reason": reason, "measured": measured}


def _codec(name: str) -> dict[str, Any]:
    try:
        return _described(name, CODECS.get(name))
    except Exception as error:  # a plugin's own functions may raise anything
        reason = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
        return {"name": name, "available": False, "reason": reason}


def _described(name: str, cls: type[Codec]) -> dict[str, Any]:
    # For the shape that the codec is made for, or else for 64×64 colour.
    points = [cls(**point) for point in cls.default_points(cls.image_shape or (64, 64, 3))]
    claims = {codec.lossless for codec in points}
    return {
        "name": name,
        "available": True,
        "reason": "",
        "about": _first_line(cls),
        "lossless": "some settings" if len(claims) > 1 else "yes" if claims == {True} else "no",
        "trained_on": list(cls.trained_on),
        "uses_device": cls.uses_device,
        "settings": [_setting(info) for info in settings_of(cls).values()],
        "sweep": [format_settings(codec.settings) for codec in points],
        "swept": _swept(points),
        "versions": versions_of(cls),
    }


def _swept(codecs: Sequence[Codec]) -> str:
    """The settings that the sweep varies, with their values; the middle of a long list is left out."""
    parts = []
    for key in codecs[0].settings:
        values = list(dict.fromkeys(format_value(codec.settings[key]) for codec in codecs))
        if len(values) > 1:
            parts.append(f"{key}={'/'.join(values if len(values) <= 12 else [*values[:3], '…', values[-1]])}")
    return ", ".join(parts)


def _dataset(name: str, root: Any) -> dict[str, Any]:
    try:
        cls = DATASETS.get(name)
    except PluginError as error:
        return {"name": name, "available": False, "note": str(error), "settings": []}
    status = cls().status(root)
    return {
        "name": name,
        "about": _first_line(cls),
        "available": status.available,
        "images": status.images,
        "shape": list(status.shape) if status.shape else None,
        "note": status.note,
        "settings": [_setting(info) for info in settings_of(cls).values()],
    }


def _setting(info: Setting) -> dict[str, Any]:
    return {
        "name": info.name,
        "default": info.default,
        "allowed": info.allowed,
        "sweep": [format_value(value) for value in info.sweep],
        "help": info.help,
    }


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0]
