"""The answer first: right sentences for numbers whose answer is known, and each claim as the summary has it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pages import context, made
from runs import MadeUpRun

from codecbench.analysis import best, claims
from codecbench.analysis.best import BestRate
from codecbench.analysis.claims import Claim
from codecbench.report import answer, sentences
from codecbench.report.answer import Answer
from codecbench.report.context import Context

SIZES = np.array([100, 140, 80, 120, 90, 130, 110, 100])
"""Bytes of eight images."""


def doubling(at_30_db):
    """Bytes at 20, 30 and 40 dB."""
    return {20.0: at_30_db / 2, 30.0: at_30_db, 40.0: at_30_db * 2}


def answered(run: MadeUpRun) -> tuple[Answer, str]:
    """The answer, and all of its sentences as plain text."""
    found = answer.answer(context(run), "data")
    return found, " ".join([found.lead, *found.lines]).replace(sentences.SPACE, " ")


def of_kind(found: Answer, kind: str) -> list[Claim]:
    return [claim for claim in found.claims if claim.kind == kind]


# ---- sentences for known numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codecs", "lead", "said"),
    [
        pytest.param(
            {"low": {20: 50, 32: 100, 45: 400}, "high": {20: 100, 32: 100, 45: 200}},
            "**At 25 and 30 dB take `low`; at 35 and 40 dB `high`**",
            [],
            id="other winners at other qualities",
        ),
        pytest.param(
            {"one": doubling(SIZES * 10), "other": doubling(SIZES * 10.5)},
            "**Take `one`**",
            [],
            id="a small difference that holds on every image",
        ),
        pytest.param(
            {
                "one": doubling(2 * SIZES),
                "other": {20: 1.001 * SIZES[::-1], 30: 2.002 * SIZES[::-1], 40: 8 * SIZES[::-1]},
            },
            "**Take `one`**: from 25 to 40 dB no other codec has significantly smaller files, of the 2 codecs here.",
            [],
            id="nowhere beaten",
        ),
        pytest.param(
            {"lossy": doubling(100), "exact": 150, "larger": 300},
            "**From 25 to 35 dB take `lossy`; at 40 dB lossless `exact`**",
            [
                "At 40 dB no lossy files are smaller than the lossless ones of `exact`, 150 bytes per image",
                "`exact` is smallest with 150 bytes per image, 50 % fewer than the next, `larger`",
            ],
            id="lossless wins where it does",
        ),
        pytest.param(
            {"exact": 150, "larger": 300},
            "**Take `exact`**, lossless: no lossy codec was measured over a range of quality here.",
            ["50 % fewer than the next, `larger`"],
            id="lossless alone",
        ),
        pytest.param(
            {"lossy": doubling(100), "coarse": {10: 20, 15: 40}},
            "Only `lossy` reaches 25, 30, 35 and 40 dB, of the 2 codecs here.",
            ["no other untrained codec reaches this quality"],
            id="one alone gets there",
        ),
        pytest.param(
            {"lossy": doubling(100)},
            "Only `lossy` can be judged here: 100 bytes per image at 30 dB. **Speed:**",
            [],
            id="a single codec is the best of nothing",
        ),
        pytest.param({"net": {30: 20}}, "No codec here can be compared with another", [], id="a learned codec alone"),
        pytest.param(
            {"lossy": doubling(100), "net": {30: 200}},
            "Only `lossy`",
            ["100 % more than the 100 of"],
            id="a learned codec that loses is not praised",
        ),
        pytest.param({"none": 10, "exact": 20}, "Only `exact`", [], id="the harness never wins"),
        pytest.param({"none": 10}, "Only `none` was measured here, which compresses nothing.", [], id="the harness"),
        pytest.param({}, "Nothing was measured here yet: there is no answer.", [], id="nothing"),
        pytest.param({"lossy": "no"}, "Every codec failed here: there is no answer.", [], id="failures"),
    ],
)
def test_what_is_taken(tmp_path: Path, codecs, lead: str, said: list[str]) -> None:
    _, text = answered(made(tmp_path, codecs, {"net": ("data",)} if "net" in codecs else None))
    assert text.startswith(lead)
    assert all(sentence in text for sentence in said)


def test_the_smallest_codec_is_named_with_what_it_saves_and_how_fast_it_is(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": (16, 16, 1)}, ["jpeg", "small", "middle"])
    run.curve("data", "jpeg", doubling(200), encode_s=(4e-3,) * 5)
    run.curve("data", "middle", doubling(160))
    run.curve("data", "small", doubling(120), encode_s=(1e-3,) * 5, decode_s=(2e-3,) * 5)
    found, text = answered(run)
    assert found.lead.startswith("**Take `small`**, lossy from 25 to 40")
    assert "of the 3 codecs here" in text
    assert (
        "At 30 dB `small` (`quality=30`) needs 120 bytes per image, 25 % fewer than the runner-up `middle` and" in text
    )
    assert "and 40 % fewer than `jpeg`." in text
    assert "`small` encodes an image in 1 ms and decodes it in 2 ms; `jpeg` takes 4 ms and 20 µs" in text
    assert "- **Speed:** `small` encodes" in answer.section(context(run)).markdown


def test_what_chance_may_have_made_is_level(tmp_path: Path) -> None:
    found, text = answered(made(tmp_path, {"one": doubling(SIZES), "other": doubling(SIZES[::-1] * 1.004)}))
    assert "`one` or `other` (level)" in text
    assert "`one` and `other` are level at" in text
    assert all(claim.loser == "" for claim in of_kind(found, "quality"))


def test_a_point_that_is_better_than_asked_for_counts(tmp_path: Path) -> None:
    """A codec whose worst point is 34 dB in 60 bytes is the answer at 30 dB, though it has no value there."""
    found, _ = answered(made(tmp_path, {"lossy": doubling(100), "fine": {34: 60, 44: 90}}))
    assert {claim.quality_db: claim.winners for claim in of_kind(found, "quality")}[30.0] == ("fine",)


def test_a_quality_that_most_codecs_were_not_measured_low_enough_for_is_not_asked_about(tmp_path: Path) -> None:
    """What two of three codecs take at 25 dB is not known: their smallest files are larger, and better."""
    alone = {"lossy": doubling(100)}
    assert 25.0 in best.comparable_levels(context(made(tmp_path / "alone", alone)).of("data"))
    fine = {34: 600, 44: 900}
    levels = best.comparable_levels(context(made(tmp_path, alone | {"fine": fine, "finer": fine})).of("data"))
    assert 25.0 not in levels
    assert 35.0 in levels


def test_it_is_said_whether_headers_decide(tmp_path: Path) -> None:
    light = "**Headers** are at most 1.0 % of a file at 30 dB and make no difference to the ranking."
    half = "of the 120 bytes with which `heavy` reaches 30 dB, 90.0 are headers and tables (75 %)"
    for lean, heavy, said in (((1000, 10), (2000, 20), light), ((100, 2), (120, 90), half)):
        run = MadeUpRun(tmp_path / f"{lean[0]}", {"data": (16, 16, 1)}, ["lean", "heavy"])
        run.curve("data", "lean", doubling(lean[0]), container_bytes=lean[1])
        run.curve("data", "heavy", {20: heavy[0] - 15, 30: heavy[0], 40: 5 * heavy[0] / 4}, container_bytes=heavy[1])
        found, text = answered(run)
        assert of_kind(found, "quality")[1].winners == ("lean",)
        assert said in text
    assert "By payload alone `heavy` would be first, with 69 % less than `lean`" in text


# ---- who may win ----------------------------------------------------------------------------------------------------


def test_a_learned_codec_stands_beside_the_best_of_its_quality(tmp_path: Path) -> None:
    codecs = {"lossy": doubling(100), "net": {25: 25}, "worse": {25: 500}}  # lossy takes 100/sqrt(2) at 25 dB
    run = made(tmp_path, codecs, {"net": ("data",), "worse": ("data",)})
    run.store.manifest["codecs"]["net"]["weight_sizes"] = {"net.safetensors": {"bytes": 355_940, "parameters": 88_985}}
    found, text = answered(run)
    assert "`net` reaches 25.0 dB with 25.0 bytes per image" in text
    assert "65 % fewer than the 70.7 of `lossy`, the smallest untrained codec, for at least that quality" in text
    assert "Its weights (356 kB), which a decoder needs as well, are not counted" in text
    assert "counting them, it is smaller for 7,790 images or more." in text  # 355,940 bytes over 70.71 - 25
    assert "Of the other learned codecs `worse` is larger than it." in text
    assert "No learned codec here reaches 30 dB." in text
    assert found.lead.startswith("Only `lossy` can be judged here")


@pytest.mark.parametrize(
    ("trained_on", "training", "images", "said"),
    [
        ("other", (), 8, "Not considered in these answers: `net`†"),
        ("data", ("data",), 8, "Not considered in these answers: `net`‡"),
        ("data", (), 3, "`net`, with results for fewer images than the others"),
    ],
)
def test_codecs_off_their_ground_and_results_for_fewer_images_never_win(
    tmp_path: Path, trained_on: str, training: tuple[str, ...], images: int, said: str
) -> None:
    run = MadeUpRun(tmp_path, {"data": (16, 16, 1)}, ["lossy"], {"net": (trained_on,)}, training=training)
    run.curve("data", "lossy", doubling(100))
    run.curve("data", "net", doubling(10), indices=range(images))
    found, text = answered(run)
    assert all("net" not in claim.rates for claim in found.claims)
    assert said in text


def test_few_images_say_nothing_certain(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, {"data": (16, 16, 1)}, ["one", "other"])
    run.store.manifest["datasets"]["data"]["images"] = 1
    for codec, size in (("one", 50), ("other", 100)):
        run.curve("data", codec, doubling(size), indices=[0])
    found, _ = answered(run)
    assert found.lead.startswith("On this one image, smallest of the 2 codecs here: **from 25 to 40")
    assert "nothing certain" in found.lead
    assert not any(claim.certain for claim in of_kind(found, "quality"))


def test_without_an_interval_codecs_are_neither_level_nor_certainly_apart() -> None:
    """Replicates that lack the quality leave no interval, and that is said."""
    replicates = np.where(np.arange(200) < 40, np.nan, 1.0)
    sides = [BestRate(name, bits, bits * replicates, "") for name, bits in (("small", 85.5), ("large", 100.0))]
    claim = claims.judge("data", "quality", 30.0, sides, "", 100)
    assert (claim.winners, claim.loser, claim.certain) == (("small",), "large", False)
    points = pd.DataFrame({"codec": ["small", "large"], "settings": ""})
    assert sentences.at_quality([claim], points).replace(sentences.SPACE, " ") == (
        "At 30 dB `small` needs 10.7 bytes per image, 15 % (interval not known: 40 of 200 replicates do not reach the "
        "quality) fewer than the runner-up `large`."
    )


# ---- every claim again, from the summary ----------------------------------------------------------------------------


def test_every_claim_is_what_the_summary_says(tmp_path: Path) -> None:
    """A run of random numbers: each claim is found again by brute force over the table."""
    rng = np.random.default_rng(5)
    codecs = {name: doubling(rng.integers(80, 400, 8)) for name in ("jpeg", "a", "b")}
    codecs |= {"exact": rng.integers(300, 500, 8), "net": {22: 40}}
    drawn = context(made(tmp_path, codecs, {"net": ("data",)}))
    found = answer.answer(drawn, "data")
    table = drawn.summary.set_index(["codec", "settings"])
    assert len(of_kind(found, "quality")) == 4
    for claim in of_kind(found, "quality"):
        sizes = {codec: _size_at(drawn, codec, claim.quality_db) for codec in ("jpeg", "a", "b", "exact")}
        ranked = sorted(sizes, key=lambda codec: sizes[codec])
        assert claim.winners == tuple(ranked[: len(claim.winners)])
        for codec, offer in claim.rates.items():
            assert offer.num_bytes == pytest.approx(sizes[codec])
            assert (codec, offer.settings) in table.index
        if claim.loser:
            assert claim.loser == ranked[len(claim.winners)]
            assert claim.saving.low > 0
            assert claim.saving.percent == pytest.approx(100 * (1 - sizes[ranked[0]] / sizes[claim.loser]))
    (learned,) = of_kind(found, "learned")
    assert claims.saved_by_learned(learned) == pytest.approx(
        100 * (1 - 40 / min(_size_at(drawn, codec, 22.0) for codec in ("jpeg", "a", "b", "exact")))
    )


def _size_at(drawn: Context, codec: str, quality_db: float) -> float:
    """Fewest bytes with which a codec reaches a quality: straight lines of log bytes between neighbours."""
    own = drawn.summary[drawn.summary["codec"] == codec].sort_values("bits_per_image")
    sizes, db = own["bits_per_image"].to_numpy() / 8, own["psnr_db"].fillna(math.inf).to_numpy()
    enough = [float(size) for size, quality in zip(sizes, db, strict=True) if quality >= quality_db]
    if len(sizes) > 1:
        enough.append(float(np.exp(np.interp(quality_db, db, np.log(sizes)))))
    return min(enough)
