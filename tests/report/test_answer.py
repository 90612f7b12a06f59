"""The answer first: right sentences for numbers whose answer is known, and each claim as the summary has it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from runs import MadeUpRun

from codecbench.analysis import best, claims
from codecbench.analysis.best import BestRate
from codecbench.analysis.claims import Claim
from codecbench.analysis.points import crossing, read_at
from codecbench.report import answer, sentences
from codecbench.report.answer import Answer
from codecbench.report.context import Context

SHAPE = (16, 16, 1)
SWEEP = ((10, 20.0), (30, 30.0), (50, 40.0))
"""Setting and PSNR of the points of a made-up lossy codec."""


def context(run: MadeUpRun) -> Context:
    return Context(run.store, run.store.path / "drawn")


def lossy(run: MadeUpRun, codec: str, at_30_db: float, label: str = "data", header: float = math.nan, **more) -> None:
    """Three points at 20, 30 and 40 dB, each twice the bytes of the one before."""
    for number, (quality, db) in enumerate(SWEEP):
        size = np.broadcast_to(np.asarray(at_30_db) * 2.0 ** (number - 1), 8).round().astype(int)
        run.point(
            label,
            codec,
            {"quality": quality},
            num_bytes=[int(each) for each in size],
            mse=10 ** (-db / 10),
            container_bytes=header,
            **more,
        )


def answered(run: MadeUpRun, label: str = "data") -> tuple[Answer, str]:
    """The answer, and all of its sentences as plain text."""
    found = answer.answer(context(run), label)
    return found, " ".join([found.lead, *found.lines]).replace(sentences.SPACE, " ")


def made(path: Path, codecs: list[str], learned: dict[str, tuple[str, ...]] | None = None, **more) -> MadeUpRun:
    return MadeUpRun(path, {"data": SHAPE}, codecs, learned, **more)


def of_kind(found: Answer, kind: str) -> list[Claim]:
    return [claim for claim in found.claims if claim.kind == kind]


# ---- sentences for known numbers ------------------------------------------------------------------------------------


def test_the_smallest_codec_is_named_with_what_it_saves_and_how_fast_it_is(tmp_path: Path) -> None:
    run = made(tmp_path, ["jpeg", "small", "middle"])
    lossy(run, "jpeg", 200, encode_s=(4e-3,) * 5)
    lossy(run, "middle", 160)
    lossy(run, "small", 120, encode_s=(1e-3,) * 5, decode_s=(2e-3,) * 5)
    found, text = answered(run)
    assert found.lead.startswith("**Take `small`**, lossy from 25 to 40")
    assert "of the 3 codecs here" in text
    assert (
        "At 30 dB `small` (`quality=30`) needs 120 bytes per image, 25 % fewer than the runner-up `middle` and" in text
    )
    assert "and 40 % fewer than `jpeg`." in text
    assert "`small` encodes an image in 1 ms and decodes it in 2 ms; `jpeg` takes 4 ms and 20 µs" in text


def test_different_winners_at_different_qualities(tmp_path: Path) -> None:
    run = made(tmp_path, ["low", "high"])
    for quality, db, first, second in ((1, 20.0, 50, 100), (2, 32.0, 100, 100), (3, 45.0, 400, 200)):
        for codec, size in (("low", first), ("high", second)):
            run.point("data", codec, {"quality": quality}, num_bytes=size, mse=10 ** (-db / 10))
    found, _ = answered(run)
    assert found.lead.replace(sentences.SPACE, " ").startswith("**At 25 and 30 dB take `low`; at 35 and 40 dB `high`**")


def test_what_chance_may_have_made_is_level(tmp_path: Path) -> None:
    run = made(tmp_path, ["one", "other"])
    sizes = np.array([100, 140, 80, 120, 90, 130, 110, 100])
    lossy(run, "one", sizes)
    lossy(run, "other", sizes[::-1] * 1.004)
    found, text = answered(run)
    assert "`one` or `other` (level)" in text
    assert "`one` and `other` are level at" in text
    assert all(claim.loser == "" for claim in of_kind(found, "quality"))


def test_a_small_difference_that_holds_on_every_image_is_no_chance(tmp_path: Path) -> None:
    run = made(tmp_path, ["one", "other"])
    sizes = np.array([1000, 1400, 800, 1200, 900, 1300, 1100, 1000])
    lossy(run, "one", sizes)
    lossy(run, "other", sizes * 1.05)
    assert answered(run)[0].lead.startswith("**Take `one`**")


def test_a_codec_that_is_nowhere_beaten_is_taken(tmp_path: Path) -> None:
    run = made(tmp_path, ["one", "other"])
    sizes = np.array([100, 140, 80, 120, 90, 130, 110, 100])
    for quality, db in SWEEP:
        factor = {20.0: 1, 30.0: 2, 40.0: 4}[db]
        run.point("data", "one", {"q": quality}, num_bytes=[int(n) for n in sizes * factor], mse=10 ** (-db / 10))
        theirs = sizes[::-1] * factor * (2 if db == 40.0 else 1.001)
        run.point("data", "other", {"q": quality}, num_bytes=[round(n) for n in theirs], mse=10 ** (-db / 10))
    lead = answered(run)[0].lead.replace(sentences.SPACE, " ")
    assert (
        lead == "**Take `one`**: from 25 to 40 dB no other codec has significantly smaller files, of the 2 codecs here."
    )


def test_lossless_is_said_to_win_where_it_does(tmp_path: Path) -> None:
    run = made(tmp_path, ["lossy", "exact", "larger"])
    lossy(run, "lossy", 100)  # 200 bytes at 40 dB
    run.point("data", "exact", num_bytes=150, mse=0.0, lossless=True)
    run.point("data", "larger", num_bytes=300, mse=0.0, lossless=True)
    found, text = answered(run)
    assert found.lead.replace(sentences.SPACE, " ").startswith(
        "**From 25 to 35 dB take `lossy`; at 40 dB lossless `exact`**"
    )
    assert "At 40 dB no lossy files are smaller than the lossless ones of `exact`, 150 bytes per image" in text
    assert "`exact` is smallest with 150 bytes per image, 50 % fewer than the next, `larger`" in text


def test_a_point_that_is_better_than_asked_for_counts(tmp_path: Path) -> None:
    """A codec whose worst point is 34 dB in 60 bytes is the answer at 30 dB, though it has no value there."""
    run = made(tmp_path, ["lossy", "fine"])
    lossy(run, "lossy", 100)
    for quality, db, size in ((1, 34.0, 60), (2, 44.0, 90)):
        run.point("data", "fine", {"quality": quality}, num_bytes=size, mse=10 ** (-db / 10))
    found, _ = answered(run)
    assert {claim.quality_db: claim.winners for claim in of_kind(found, "quality")}[30.0] == ("fine",)


def test_a_quality_that_most_codecs_were_not_measured_low_enough_for_is_not_asked_about(tmp_path: Path) -> None:
    """What two of three codecs take at 25 dB is not known: their smallest files are larger, and better."""
    run = made(tmp_path, ["lossy", "fine", "finer"])
    lossy(run, "lossy", 100)
    points = context(run).of("data")
    assert 25.0 in best.comparable_levels(points)
    for codec in ("fine", "finer"):
        for quality, db, size in ((1, 34.0, 600), (2, 44.0, 900)):
            run.point("data", codec, {"quality": quality}, num_bytes=size, mse=10 ** (-db / 10))
    points = context(run).of("data")
    assert 25.0 not in best.comparable_levels(points)
    assert 35.0 in best.comparable_levels(points)


def test_headers_that_decide_are_told(tmp_path: Path) -> None:
    run = made(tmp_path, ["lean", "heavy"])
    lossy(run, "lean", 100, header=2)
    for number, (quality, db) in enumerate(SWEEP):
        size = 90 + 30 * 2 ** (number - 1) * 1
        run.point("data", "heavy", {"quality": quality}, num_bytes=int(size), mse=10 ** (-db / 10), container_bytes=90)
    found, text = answered(run)
    assert of_kind(found, "quality")[1].winners == ("lean",)
    assert "of the 120 bytes with which `heavy` reaches 30 dB, 90.0 are headers and tables (75 %)" in text
    assert "By payload alone `heavy` would be first, with 69 % less than `lean`" in text


def test_headers_that_change_nothing_are_told_so(tmp_path: Path) -> None:
    run = made(tmp_path, ["lean", "heavy"])
    lossy(run, "lean", 1000, header=10)
    lossy(run, "heavy", 2000, header=20)
    assert "**Headers** are at most 1.0 % of a file at 30 dB and make no difference to the ranking." in answered(run)[1]


def test_a_learned_codec_stands_beside_the_best_of_its_quality(tmp_path: Path) -> None:
    run = made(tmp_path, ["lossy"], {"net": ("data",), "worse": ("data",)})
    lossy(run, "lossy", 100)
    run.point("data", "net", {"latent": "int8"}, num_bytes=25, mse=10**-2.5)  # lossy takes 100/sqrt(2) at 25 dB
    run.point("data", "worse", num_bytes=500, mse=10**-2.5)
    run.store.manifest["codecs"]["net"]["weight_sizes"] = {"net.safetensors": {"bytes": 355_940, "parameters": 88_985}}
    found, text = answered(run)
    assert "`net` reaches 25.0 dB with 25.0 bytes per image" in text
    assert "65 % fewer than the 70.7 of `lossy`, the smallest untrained codec, for at least that quality" in text
    assert "Its weights (356 kB), which a decoder needs as well, are not counted" in text
    assert "counting them, it is smaller for 7,790 images or more." in text  # 355,940 bytes over 70.71 - 25
    assert "Of the other learned codecs `worse` is larger than it." in text
    assert "No learned codec here reaches 30 dB." in text
    assert found.lead.startswith("Only `lossy` can be judged here")


def test_a_learned_codec_that_loses_is_not_praised(tmp_path: Path) -> None:
    run = made(tmp_path, ["lossy"], {"net": ("data",)})
    lossy(run, "lossy", 100)
    run.point("data", "net", num_bytes=200, mse=10**-3.0)
    assert "100 % more than the 100 of" in answered(run)[1]


@pytest.mark.parametrize(("trained_on", "training", "mark"), [("other", (), "†"), ("data", ("data",), "‡")])
def test_codecs_off_their_ground_never_win(
    tmp_path: Path, trained_on: str, training: tuple[str, ...], mark: str
) -> None:
    run = made(tmp_path, ["lossy"], {"net": (trained_on,)}, training=training)
    lossy(run, "lossy", 100)
    lossy(run, "net", 10)
    found, text = answered(run)
    assert all("net" not in claim.rates for claim in found.claims)
    assert f"Not considered in these answers: `net`{mark}" in text


def test_results_for_fewer_images_never_win(tmp_path: Path) -> None:
    run = made(tmp_path, ["lossy", "partial"])
    lossy(run, "lossy", 100)
    run.point("data", "partial", {"quality": 1}, num_bytes=10, mse=1e-4, indices=range(3))
    found, text = answered(run)
    assert all("partial" not in claim.rates for claim in found.claims)
    assert "`partial`, with results for fewer images than the others" in text


def test_the_harness_never_wins(tmp_path: Path) -> None:
    run = made(tmp_path, ["none", "exact"])
    run.point("data", "none", num_bytes=10, mse=0.0, lossless=True)
    run.point("data", "exact", num_bytes=20, mse=0.0, lossless=True)
    assert answered(run)[0].lead.startswith("Only `exact`")


# ---- odd runs -------------------------------------------------------------------------------------------------------


def test_a_single_codec_is_the_best_of_nothing(tmp_path: Path) -> None:
    run = made(tmp_path, ["lossy"])
    lossy(run, "lossy", 100)
    found, text = answered(run)
    assert found.lead.replace(sentences.SPACE, " ") == "Only `lossy` can be judged here: 100 bytes per image at 30 dB."
    assert "fewer" not in text


def test_nothing_measured(tmp_path: Path) -> None:
    run = made(tmp_path, ["lossy"])
    assert answered(run)[0].lead == "Nothing was measured here yet: there is no answer."
    run.failure("data", "lossy", "ValueError: no")
    assert answered(run)[0].lead == "Every codec failed here: there is no answer."


def test_only_the_harness(tmp_path: Path) -> None:
    run = made(tmp_path, ["none"])
    run.point("data", "none", num_bytes=10, mse=0.0, lossless=True)
    assert "compresses nothing" in answered(run)[0].lead


def test_lossless_codecs_alone(tmp_path: Path) -> None:
    run = made(tmp_path, ["exact", "larger"])
    run.point("data", "exact", num_bytes=150, mse=0.0, lossless=True)
    run.point("data", "larger", num_bytes=300, mse=0.0, lossless=True)
    found, text = answered(run)
    assert found.lead == "**Take `exact`**, lossless: no lossy codec was measured over a range of quality here."
    assert "50 % fewer than the next, `larger`" in text


def test_few_images_say_nothing_certain(tmp_path: Path) -> None:
    run = made(tmp_path, ["one", "other"])
    run.store.manifest["datasets"]["data"]["images"] = 1
    for codec, size in (("one", 50), ("other", 100)):
        for quality, db in SWEEP:
            run.point("data", codec, {"quality": quality}, num_bytes=size * quality, mse=10 ** (-db / 10), indices=[0])
    found, _ = answered(run)
    assert found.lead.startswith("On this one image, smallest of the 2 codecs here: **from 25 to 40")
    assert "nothing certain" in found.lead
    assert not any(claim.certain for claim in of_kind(found, "quality"))


def test_a_codec_that_alone_gets_there_is_not_called_the_best(tmp_path: Path) -> None:
    run = made(tmp_path, ["lossy", "coarse"])
    lossy(run, "lossy", 100)
    for quality, db in ((1, 10.0), (2, 15.0)):
        run.point("data", "coarse", {"quality": quality}, num_bytes=20 * quality, mse=10 ** (-db / 10))
    found, text = answered(run)
    assert found.lead.replace(sentences.SPACE, " ") == (
        "Only `lossy` reaches 25, 30, 35 and 40 dB, of the 2 codecs here."
    )
    assert "no other untrained codec reaches this quality" in text


def test_a_learned_codec_alone(tmp_path: Path) -> None:
    run = made(tmp_path, [], {"net": ("data",)})
    run.point("data", "net", num_bytes=20, mse=1e-3)
    found, _ = answered(run)
    assert "none is the best" in found.lead
    assert found.lines == []


def test_names_are_written_as_they_are(tmp_path: Path) -> None:
    label = "folder:/a/<b>|*x*"
    run = MadeUpRun(tmp_path, {label: SHAPE}, ["lossy"])
    lossy(run, "lossy", 100, label=label)
    drawn = context(run)
    section = answer.section(drawn)
    assert section is not None
    assert "&lt;b&gt;" in section.html
    assert "<b>" not in section.html
    assert "### folder:/a/&lt;b>\\|\\*x\\*" in answer.section(drawn).markdown


# ---- every claim again, from the summary ----------------------------------------------------------------------------


def test_every_claim_is_what_the_summary_says(tmp_path: Path) -> None:
    """A run of random numbers: each claim is found again by brute force over the table."""
    rng = np.random.default_rng(5)
    run = made(tmp_path, ["jpeg", "a", "b", "exact"], {"net": ("data",)})
    for codec in ("jpeg", "a", "b"):
        lossy(run, codec, rng.integers(80, 400, 8))
    run.point("data", "exact", num_bytes=[int(n) for n in rng.integers(300, 500, 8)], mse=0.0, lossless=True)
    run.point("data", "net", num_bytes=40, mse=10**-2.2)
    drawn = context(run)
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


def test_replicates_are_read_as_the_whole_is() -> None:
    rates = np.array([[100.0, 100.0], [200.0, 400.0], [400.0, 400.0]])
    qualities = np.array([[20.0, 31.0], [30.0, 33.0], [40.0, 34.0]])
    found = read_at(rates, *crossing(qualities, 25.0))
    assert found[0] == pytest.approx(math.sqrt(100 * 200))
    assert math.isnan(found[1])


def test_without_an_interval_nobody_wins_but_of_few_images() -> None:
    """Replicates that lack the quality leave no interval: what was not tested is not called won."""
    sides = [BestRate(name, bits, np.full(200, np.nan), "") for name, bits in (("small", 90.0), ("large", 100.0))]
    judged = {images: claims.judge("data", "quality", 30.0, sides, "", images) for images in (7, 100)}
    assert judged[7].winners == ("small",)
    assert judged[100].winners == ("small", "large")
