"""The conformance kit: what every codec must do, for authors of plugins.

    from codecbench.testing import check_codec
    check_codec(cb.open_codec("mine:quality=50"))

``check_codec`` runs every check in a test of one's own; ``codecbench check mine`` runs them from outside and prints a
table. The single checks are here too, each of a codec and an image shape.
"""

from codecbench.testing.checks import check_batches as check_batches
from codecbench.testing.checks import check_containers as check_containers
from codecbench.testing.checks import check_determinism as check_determinism
from codecbench.testing.checks import check_floats as check_floats
from codecbench.testing.checks import check_lossless as check_lossless
from codecbench.testing.checks import check_memory as check_memory
from codecbench.testing.checks import check_settings as check_settings
from codecbench.testing.checks import check_shapes as check_shapes
from codecbench.testing.checks import check_silence as check_silence
from codecbench.testing.checks import check_types as check_types
from codecbench.testing.curves import check_rate as check_rate
from codecbench.testing.curves import check_sweep as check_sweep
from codecbench.testing.damage import check_damage as check_damage
from codecbench.testing.damage import check_truncation as check_truncation
from codecbench.testing.damage import damages as damages
from codecbench.testing.damage import decode_doubtful as decode_doubtful
from codecbench.testing.images import SHAPES as SHAPES
from codecbench.testing.images import sample_images as sample_images
from codecbench.testing.images import taken_shapes as taken_shapes
from codecbench.testing.isolated import check_plugin as check_plugin
from codecbench.testing.processes import check_devices as check_devices
from codecbench.testing.processes import check_fresh_process as check_fresh_process
from codecbench.testing.results import CheckFailed as CheckFailed
from codecbench.testing.results import Finding as Finding
from codecbench.testing.results import Report as Report
from codecbench.testing.results import Result as Result
from codecbench.testing.sets import check_sets as check_sets
from codecbench.testing.suite import CHECKS as CHECKS
from codecbench.testing.suite import Check as Check
from codecbench.testing.suite import check_codec as check_codec
from codecbench.testing.suite import run_check as run_check
