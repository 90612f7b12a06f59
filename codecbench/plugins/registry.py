"""Registries of codecs, datasets and metrics, which find plugins and import them.

A plugin is one file; its stem is its name, so listing names imports nothing. Names are looked up in codecbench's own
folder, then in the user's folders (``--codec-dir``, ``CODECBENCH_CODEC_PATH``), then among the entry points of the
group ``codecbench.codecs``; for datasets and metrics in the same way. Files whose stem begins with an underscore are
helpers and are skipped. Nothing is loaded from the current directory unless its folder was added.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import keyword
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from codecbench.columns import RESERVED
from codecbench.errors import PluginError, UnknownNameError, UsageError
from codecbench.fingerprint import digest
from codecbench.plugins.source import source_fingerprint
from codecbench.text import one_line

if TYPE_CHECKING:
    from codecbench.plugins.codec import Codec, Images, Shape
    from codecbench.plugins.dataset import Dataset
    from codecbench.plugins.metric import Metric, Values

P = TypeVar("P")
C = TypeVar("C", bound="Codec")
D = TypeVar("D", bound="Dataset")

NONE, DEFAULT = "none", "default"
"""Words that stand for no plugin metric, and for those that a run measures by default."""
_registered: dict[str, list[Any]] = {}
"""Plugins by the module that registered them."""


def register_codec(cls: type[C]) -> type[C]:
    """Class decorator: registers the codec under the stem of its file.

    Raises:
        PluginError: not a frozen dataclass derived from ``Codec``.
    """
    return _register(cls, CODECS.base)


def register_dataset(cls: type[D]) -> type[D]:
    """Class decorator: registers the dataset under the stem of its file.

    Raises:
        PluginError: not a frozen dataclass derived from ``Dataset``.
    """
    return _register(cls, DATASETS.base)


def register_metric(
    *,
    title: str,
    unit: str = "",
    better: str,
    description: str = "",
    default: bool = True,
    variant: Callable[[Shape], str] | None = None,
    missing: Callable[[], str] | None = None,
    packages: tuple[str, ...] = (),
) -> Callable[[Callable[[Images, Images], Values]], Metric]:
    """Decorator of a function: registers the metric under the stem of its file.

    The function takes original and decoded images, both uint8 (N, H, W, C), and returns float64 (N,), NaN where it has
    no value.

    Args:
        title: its name on axes and in tables.
        unit: its unit, empty for a ratio.
        better: ``"higher"`` or ``"lower"``.
        description: one line for ``codecbench list``; by default the first line of the function's docstring.
        default: a run measures it by default; for codecbench's own metrics.
        variant: returns what exactly is computed on images of a shape (height, width, channels), where that depends on
            the shape.
        missing: returns in one line why the metric is unavailable on this machine, or an empty string.
        packages: distributions whose versions decide its values.

    Returns:
        What makes a :class:`codecbench.plugins.metric.Metric` of the function; it can be called as the function can.

    Raises:
        PluginError: no function, no title, or another word for ``better``.
    """

    def register(function: Callable[[Images, Images], Values]) -> Metric:
        from codecbench.plugins.metric import Metric

        about = description or (getattr(function, "__doc__", None) or "").strip().partition("\n")[0]
        module = str(getattr(function, "__module__", ""))
        name = module.rpartition(".")[2]
        metric = Metric(function, title, unit, better, about, default, variant, missing, tuple(packages), name)
        metric.check()
        _registered.setdefault(module, []).append(metric)
        return metric

    return register


def _register(cls: type[P], base: type) -> type[P]:
    _check(cls, base)
    cls.name = cls.__module__.rpartition(".")[2]  # type: ignore[attr-defined]
    _registered.setdefault(cls.__module__, []).append(cls)
    return cls


def _check(cls: Any, base: type) -> None:
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise PluginError(f"{getattr(cls, '__name__', cls)} does not derive from codecbench.{base.__name__}")
    params = vars(cls).get("__dataclass_params__")
    if params is None or not params.frozen:
        raise PluginError(f"{cls.__name__} is no frozen dataclass; write @dataclass(frozen=True) below the decorator")
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        raise PluginError(f"{cls.__name__} lacks {', '.join(missing)}")
    from codecbench.plugins.answers import check_attributes
    from codecbench.plugins.settings import settings_of

    check_attributes(cls, base)
    for info in settings_of(cls).values():
        if not isinstance(info.sweep, tuple):
            raise PluginError(f"the sweep of {info.name} is {info.sweep!r}; allowed: a tuple of values")
        for value in info.sweep:
            info.check(value, "its sweep")


@dataclass(frozen=True)
class Origin:
    """Where a plugin was found: a file, or an entry point."""

    file: Path | None = None
    entry_point: importlib.metadata.EntryPoint | None = None

    def __str__(self) -> str:
        return str(self.file) if self.file else f"entry point {self.entry_point and self.entry_point.value}"


@functools.cache
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[importlib.metadata.EntryPoint, ...]:
    """The entry points of a group, found once for each ``sys.path``, as that reads all that is installed."""
    return tuple(importlib.metadata.entry_points(group=group))


class Registry(Generic[P]):
    """The plugins of one kind, ``"codec"`` or ``"dataset"``, which are classes."""

    reserved = frozenset({"all"})
    """Names that have a meaning of their own."""

    def __init__(self, kind: str):
        self.kind = kind
        self.package = f"codecbench.{kind}s"
        self.variable = f"CODECBENCH_{kind.upper()}_PATH"
        self.expected = f"{kind.capitalize()} class"  # of an entry point, in words

    @property
    def base(self) -> type:
        """The class that every plugin derives from; imported only here, so that listing names stays quick."""
        base: type = getattr(importlib.import_module(f"codecbench.plugins.{self.kind}"), self.kind.capitalize())
        return base

    def add_folder(self, folder: str | os.PathLike[str]) -> None:
        """Adds a folder of plugins, for this process and those that it starts; ``UsageError`` if there is none."""
        path = str(Path(folder).resolve())
        if not Path(path).is_dir():
            raise UsageError(f"no folder of {self.kind}s at {folder}")
        known = [part for part in os.environ.get(self.variable, "").split(os.pathsep) if part]
        if path not in known:
            os.environ[self.variable] = os.pathsep.join([*known, path])
        package = importlib.import_module(self.package)
        if path not in package.__path__:
            package.__path__.append(path)
        importlib.invalidate_caches()

    def origins(self) -> dict[str, Origin]:
        """Every plugin's name and where it was found, sorted by name; imports no plugin.

        ``PluginError`` if two have one name, ``UsageError`` if a folder of the environment variable does not exist.
        """
        found: dict[str, Origin] = {}
        package = importlib.import_module(self.package)
        for folder in dict.fromkeys(str(Path(part).resolve()) for part in package.__path__):
            if not Path(folder).is_dir():
                raise UsageError(f"${self.variable} names {folder}, which is no folder")
            for file in sorted(Path(folder).glob("*.py")):
                if not file.stem.startswith("_"):
                    self._add(found, file.stem, Origin(file=file))
        for point in _entry_points(self.package, tuple(sys.path)):
            self._add(found, point.name, Origin(entry_point=point))
        return dict(sorted(found.items()))

    def _add(self, found: dict[str, Origin], name: str, origin: Origin) -> None:
        if name in self.reserved:
            raise PluginError(f"no {self.kind} may be called {name!r}; rename {origin}")
        if name in found:
            raise PluginError(f"two {self.kind}s are called {name!r}: {found[name]} and {origin}")
        found[name] = origin

    def names(self) -> list[str]:
        """The names of all plugins, sorted; imports no plugin."""
        return list(self.origins())

    def built_in(self) -> list[str]:
        """The names of codecbench's own plugins, sorted; imports no plugin."""
        package = Path(__file__).parents[1] / f"{self.kind}s"
        folders = {package.resolve(), (package.parents[1] / package.name).resolve()}
        return [name for name, origin in self.origins().items() if origin.file and origin.file.parent in folders]

    def get(self, name: str) -> P:
        """Imports a plugin and returns its class, or the metric.

        ``UnknownNameError`` for an unknown name; ``PluginError`` if its file cannot be imported, or does not register
        exactly one plugin.
        """
        origins = self.origins()
        if name not in origins:
            raise UnknownNameError(self.kind, name, origins)
        origin, module = origins[name], f"{self.package}.{name}"
        try:
            plugin = origin.entry_point.load() if origin.entry_point else importlib.import_module(module)
        except BaseException as error:  # a plugin may raise anything, SystemExit included
            _registered.pop(module, None)
            if isinstance(error, KeyboardInterrupt):
                raise
            raise PluginError(f"{self.kind} {name!r} cannot be imported from {origin}: {one_line(error)}") from error
        if origin.entry_point:
            if not self._is_plugin(plugin):
                raise PluginError(f"{origin} is no {self.expected}")
            return self._named(plugin, name)
        plugins = [plugin for plugin in _registered.get(module, []) if self._is_plugin(plugin)]
        if len(plugins) != 1:
            _registered.pop(module, None)
            sys.modules.pop(module, None)  # so that a file that was mended meanwhile is read again
            raise PluginError(f"{origin} registers {len(plugins)} {self.kind}s; expected exactly one")
        found: P = plugins[0]
        return found

    def _is_plugin(self, found: Any) -> bool:
        return isinstance(found, type) and issubclass(found, self.base)

    def _named(self, plugin: Any, name: str) -> P:
        """A plugin from an entry point, under the entry point's name."""
        _check(plugin, self.base)
        plugin.name = name
        found: P = plugin
        return found


class MetricRegistry(Registry["Metric"]):
    """The plugin metrics; a plugin is a :class:`Metric`, and its name a column of rows and tables."""

    reserved = frozenset({"all", NONE, DEFAULT})

    def __init__(self) -> None:
        super().__init__("metric")
        self.expected = "metric made by register_metric"

    def _add(self, found: dict[str, Origin], name: str, origin: Origin) -> None:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise PluginError(f"{name!r} is no name for a column, as that of a metric must be; rename {origin}")
        if name in RESERVED:
            raise PluginError(f"a metric may not be called {name!r}, which is another column's name; rename {origin}")
        super()._add(found, name, origin)

    def _is_plugin(self, found: Any) -> bool:
        return isinstance(found, self.base)

    def _named(self, plugin: Any, name: str) -> Metric:
        named: Metric = replace(plugin, name=name)
        return named

    def choose(self, names: str | Iterable[str] | None = None) -> list[Metric]:
        """The plugin metrics that a run measures, sorted by name.

        One text may have several names, with commas between. ``"none"`` stands for none, ``"default"`` or None for
        codecbench's own metrics that are measured by default and available here; metrics that every run measures add
        nothing. ``UsageError`` for an unknown name, ``none`` beside others, or a metric that is unavailable here;
        ``PluginError`` if one that was named cannot be imported.
        """
        from codecbench.plugins.metric import ALWAYS

        texts = [DEFAULT] if names is None else [names] if isinstance(names, str) else list(names)
        asked = dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip())
        if not asked or (NONE in asked and len(asked) > 1):
            given = ",".join(texts)
            raise UsageError(f"metrics {given!r} are not allowed; allowed: names with commas between, or {NONE} alone")
        chosen: dict[str, Metric] = {}
        known = self.names()
        for name in asked:
            if name == DEFAULT:
                own = [self.get(name) for name in self.built_in()]
                chosen |= {metric.name: metric for metric in own if metric.default and not metric.unavailable()}
            elif name in known:
                chosen[name] = self.get(name)
                if reason := chosen[name].unavailable():
                    raise UsageError(f"metric {name} is not available: {reason}")
            elif name not in (NONE, *ALWAYS):
                raise UnknownNameError("metric", name, known)
        return [chosen[name] for name in sorted(chosen)]


def metric_fingerprint(metric: Metric) -> str:
    """Identifies what decides a metric's values, its source and the versions of its packages: 24 hexadecimal digits."""
    return digest([source_fingerprint(metric.function), metric.versions()])


def describe_metrics(metrics: Iterable[Metric], shapes: Mapping[str, Iterable[Shape]]) -> dict[str, dict[str, Any]]:
    """What ``run.json`` says of plugin metrics, by name; ``shapes`` are those of the images by dataset label.

    Its ``variants`` say what exactly is computed, by dataset. ``PluginError`` if a metric's own ``variant`` raises.
    """
    found = {}
    for metric in metrics:
        try:
            variants = {
                label: "; ".join(dict.fromkeys(metric.describe(shape) for shape in sorted(several)))
                for label, several in shapes.items()
            }
        except Exception as error:  # a plugin's own function may raise anything
            raise PluginError(f"metric {metric.name!r} cannot tell its variant: {one_line(error)}") from error
        found[metric.name] = metric.record() | {
            "fingerprint": metric_fingerprint(metric),
            "versions": metric.versions(),
            "variants": variants,
        }
    return found


CODECS: Registry[type[Codec]] = Registry("codec")
DATASETS: Registry[type[Dataset]] = Registry("dataset")
METRICS = MetricRegistry()
