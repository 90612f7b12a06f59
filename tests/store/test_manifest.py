"""What several commands into one folder leave in ``run.json``."""

from __future__ import annotations

import pytest

from codecbench.store import manifest


def addition(fingerprint: str, used: dict[str, str]) -> manifest.Addition:
    codecs = {"net": {"fingerprint": fingerprint, "weights_used": used}}
    return manifest.Addition({}, codecs, {}, [], {})


@pytest.mark.parametrize(
    ("fingerprint", "expected"),
    [("1", {"size=8": "net-a", "size=9": "net-b"}), ("2", {"size=9": "net-b"})],
    ids=["the same codec", "an edited one"],
)
def test_points_of_earlier_commands_keep_their_weights(fingerprint: str, expected: dict[str, str]) -> None:
    held = manifest.joined(manifest.empty(), addition("1", {"size=8": "net-a"}))
    more = manifest.joined(held, addition(fingerprint, {"size=9": "net-b"}))
    assert more["codecs"]["net"]["weights_used"] == expected
    assert held["codecs"]["net"]["weights_used"] == {"size=8": "net-a"}
