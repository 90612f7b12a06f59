"""What several commands into one folder leave in ``run.json``."""

from __future__ import annotations

import pytest

from codecbench.errors import UsageError
from codecbench.plan.tasks import Selection
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


def test_a_folder_takes_a_command_with_other_pictures_and_forgets_none() -> None:
    def addition(shown: tuple[int, ...], classes: tuple[tuple[int, int], ...] = ()) -> manifest.Addition:
        selection = Selection("digits", (0, 1, 2, 5), 9, 0, shown, "pixels", classes=classes)
        return manifest.Addition({"digits": selection}, {}, {}, [], {})

    held = manifest.joined(manifest.empty(), addition((5, 0), ((5, 3), (0, 7))))
    more = manifest.joined(held, addition((5, 0, 2), ((5, 3), (0, 7), (2, 1))))
    assert more["datasets"]["digits"]["shown"] == [5, 0, 2]
    assert more["datasets"]["digits"]["classes"] == {"5": 3, "0": 7, "2": 1}
    assert manifest.joined(more, addition(()))["datasets"] == more["datasets"]
    assert manifest.matches(more, addition((5, 0)).selections, {})
    assert not manifest.matches(held, addition((5, 0, 2)).selections, {})
    other = Selection("digits", (0, 1, 2), 9, 0, (), "pixels")
    with pytest.raises(UsageError, match="already has 4 images"):
        manifest.joined(held, manifest.Addition({"digits": other}, {}, {}, [], {}))
