"""The conformance kit: what every codec must do, for authors of plugins.

    from codecbench.testing import check_codec
    check_codec(cb.open_codec("mine:quality=50"))

``check_codec`` runs every check in a test of one's own; ``codecbench check mine`` runs them from outside and prints a
table. The single checks are here too, each of a codec and an image shape.
"""

from codecbench.testing.checks import (
    check_batches,
    check_containers,
    check_determinism,
    check_floats,
    check_lossless,
    check_settings,
    check_shapes,
    check_silence,
    check_types,
)
from codecbench.testing.curves import check_rate, check_sweep
from codecbench.testing.damage import check_damage, check_truncation, damages, decode_doubtful
from codecbench.testing.images import SHAPES, sample_images, taken_shapes
from codecbench.testing.isolated import check_plugin
from codecbench.testing.processes import check_devices, check_fresh_process
from codecbench.testing.results import CheckFailed, Finding, Report, Result
from codecbench.testing.sets import check_sets
from codecbench.testing.suite import CHECKS, Check, check_codec, run_check

__all__ = [
    "CHECKS",
    "SHAPES",
    "Check",
    "CheckFailed",
    "Finding",
    "Report",
    "Result",
    "check_batches",
    "check_codec",
    "check_containers",
    "check_damage",
    "check_determinism",
    "check_devices",
    "check_floats",
    "check_fresh_process",
    "check_lossless",
    "check_plugin",
    "check_rate",
    "check_sets",
    "check_settings",
    "check_shapes",
    "check_silence",
    "check_sweep",
    "check_truncation",
    "check_types",
    "damages",
    "decode_doubtful",
    "run_check",
    "sample_images",
    "taken_shapes",
]
