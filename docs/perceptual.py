"""What ``gan_ae`` makes of the streams of ``rd_ae``, beside classical codecs at the nearest bytes.

python docs/perceptual.py [--images 1000] [--out FOLDER]

Prints a table, and writes docs/perceptual.md and docs/perceptual.png, or the same into FOLDER. The test crops of STL-10
are those of a run with as many images. Features are those of a classifier of our own that took no part in the training
of ``gan_ae`` (``codecbench train gan_ae --recipe judge``), so their Fréchet distance can be compared with no other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from codecbench import open_codec
from codecbench.data import data_root
from codecbench.errors import CodecbenchError
from codecbench.figures.style import save_png
from codecbench.learned.autoencoder import to_tensor
from codecbench.learned.training.losses import FeatureNetwork
from codecbench.learned.weights import read_card, shipped_network, weights_path
from codecbench.measure.distortion import measure, psnr_db
from codecbench.plan.planner import choose_datasets, select
from codecbench.plugins.codec import Codec, Images
from codecbench.plugins.registry import CODECS

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "notebooks"))
from plots import compare_rows  # noqa: E402

QUALITIES = (1, 2, 3)
CLASSICAL = {"webp": ("webp:method=6,quality={}", 0), "avif": ("avif:quality={}", 0), "jpeg": ("jpeg:quality={}", 1)}
"""Specs with the lowest quality there is; the highest is 100."""
TRIED = 100
"""Images over which the quality is sought whose files are as large as wanted."""
SHOWN = 8
"""Images in the picture."""
DRAWS = 200
"""Samples, with replacement, behind an interval."""
BATCH = 250

Features = npt.NDArray[np.float64]


class Judged(NamedTuple):
    """What a codec made of the images.

    Attributes:
        name: codec and quality.
        num_bytes: mean of an image's bytes.
        psnr: mean PSNR in dB.
        ssim: mean SSIM.
        images: as decoded, uint8 (N, 64, 64, 3).
        features: theirs.
        classes: that the classifier gives them, (N,).
    """

    name: str
    num_bytes: float
    psnr: float
    ssim: float
    images: Images
    features: Features
    classes: npt.NDArray[np.int64]


def judge_network() -> FeatureNetwork:
    """The classifier that judges."""
    cls = CODECS.get("gan_ae")
    networks: dict[str, Callable[[], torch.nn.Module]] = cls.networks  # type: ignore[attr-defined]
    network = shipped_network(networks["judge"], weights_path(cls, "judge"), "cpu")
    assert isinstance(network, FeatureNetwork)
    return network


@torch.inference_mode()
def features(network: FeatureNetwork, images: Images) -> tuple[Features, npt.NDArray[np.int64]]:
    """Features (N, D) and classes (N,) of images."""
    found, classes = [], []
    for start in range(0, len(images), BATCH):
        vectors = network.features(to_tensor(images[start : start + BATCH], "cpu"))
        found.append(vectors.double().numpy())
        classes.append(network.head(vectors).argmax(1).numpy())
    return np.concatenate(found), np.concatenate(classes)


def frechet_distance(features: Features, others: Features) -> float:
    """The squared Fréchet distance of two sets of vectors (N, D) and (M, D), each taken for a normal distribution.

    D. Dowson, B. Landau, The Fréchet distance between multivariate normal distributions (1982); between features of
    images first by M. Heusel et al. (NeurIPS 2017). It is larger for small sets than for the distributions they were
    drawn from, so only distances between sets of one size can be compared.
    """
    (mean, covariance), (mean_of_others, of_others) = (
        (each.mean(0), np.cov(each, rowvar=False).reshape(each.shape[1], -1)) for each in (features, others)
    )
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ of_others @ root).clip(0)).sum()
    apart = np.square(mean - mean_of_others).sum() + np.trace(covariance) + np.trace(of_others) - 2 * shared
    return float(max(apart, 0.0))


def nearest(codecs: Sequence[Codec], images: Images, wanted: float) -> Codec:
    """The codec whose mean bytes are nearest to those wanted; of some in the order of their bytes."""
    sizes: dict[int, float] = {}

    def size(place: int) -> float:
        if place not in sizes:
            sizes[place] = float(np.mean([len(stream) for stream in codecs[place].encode(images)]))
        return sizes[place]

    below, above = 0, len(codecs) - 1
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if size(middle) <= wanted else (below, middle)
    return codecs[min((below, above), key=lambda place: abs(size(place) - wanted))]


def judged(name: str, network: FeatureNetwork, originals: Images, streams: list[bytes], decoder: Codec) -> Judged:
    """What a codec made of the originals."""
    decoded = decoder.decode(streams)
    rows = measure(originals, decoded)
    num_bytes = float(np.mean([len(stream) for stream in streams]))
    psnr = float(psnr_db(rows["mse"])[rows["mse"] > 0].mean())
    return Judged(name, num_bytes, psnr, float(rows["ssim"].mean()), decoded, *features(network, decoded))


def interval(wanted: Features, one: Features, other: Features, seed: int = 0) -> tuple[float, float]:
    """Where 95 % of the differences of two Fréchet distances lie, one less the other, over images drawn anew."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(DRAWS):
        drawn = rng.integers(0, len(wanted), len(wanted))
        found.append(frechet_distance(wanted[drawn], one[drawn]) - frechet_distance(wanted[drawn], other[drawn]))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def compared(network: FeatureNetwork, originals: Images, say: Callable[[str], None]) -> list[list[Judged]]:
    """For each quality ``rd_ae``, ``gan_ae`` and the classical codecs at the bytes that are nearest."""
    found = []
    for quality in QUALITIES:
        codecs = [open_codec(f"{name}:quality={quality},shape=64x64x3") for name in ("rd_ae", "gan_ae")]
        streams = codecs[0].encode(originals)
        assert codecs[1].encode(originals[:32]) == streams[:32], "gan_ae writes other streams than rd_ae"
        row = [judged(f"{codec.name} {quality}", network, originals, streams, codec) for codec in codecs]
        for name, (spec, low) in CLASSICAL.items():
            points = [open_codec(spec.format(at)) for at in range(101)[low:]]
            codec = nearest(points, originals[:TRIED], row[0].num_bytes)
            at = codec.settings["quality"]
            row.append(judged(f"{name} {at}", network, originals, codec.encode(originals), codec))
        say(f"quality {quality}")
        found.append(row)
    return found


def page(rows: list[list[Judged]], originals: Images, network: FeatureNetwork) -> str:
    """The table, with what it says, as Markdown."""
    wanted, classes = features(network, originals)
    card = read_card(weights_path(CODECS.get("gan_ae"), "judge"))
    right = 100 * (1 - card["held_out_score"])
    lines = [
        "# `gan_ae` beside `rd_ae` and classical codecs",
        "",
        "Made by `python docs/perceptual.py`; [learned-codecs.md](learned-codecs.md) explains it.",
        "",
        f"{len(originals):,} test crops of STL-10. `gan_ae` and `rd_ae` decode the same streams. The classifier "
        f"behind the features classifies {right:.1f} % of its held-out training images correctly; it took no part in "
        "the training of `gan_ae`. "
        '"Same class": share of the crops that it puts into the class of their original.',
        "",
        "| Codec, quality | Bytes | PSNR, dB | SSIM | Fréchet distance on our own classifier's features | Same class |",
        "| :-- | --: | --: | --: | --: | --: |",
    ]
    for row in rows:
        for one in row:
            distance, same = frechet_distance(wanted, one.features), 100 * np.mean(one.classes == classes)
            quality = f"{one.num_bytes:,.0f} | {one.psnr:.2f} | {one.ssim:.4f}"
            lines.append(f"| {one.name} | {quality} | {distance:.3f} | {same:.1f} % |")
    lines += ["", "Fréchet distance of `gan_ae` less that of `rd_ae`, 95 % interval over crops drawn anew:", ""]
    for quality, row in zip(QUALITIES, rows, strict=True):
        low, high = interval(wanted, row[1].features, row[0].features)
        lines.append(f"- quality {quality}: {low:+.3f} to {high:+.3f}")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Writes table and picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    options = parser.parse_args(arguments)
    try:
        (dataset,), _ = choose_datasets("stl10", data_root())
        image_set = dataset.load(data_root())
        selection = select(dataset, image_set, options.images, 0)
        originals = image_set.read(selection.indices)
        network = judge_network()
        rows = compared(network, originals, lambda line: print(line, file=sys.stderr))
        text = page(rows, originals, network)
    except CodecbenchError as error:
        print(error, file=sys.stderr)
        return 1
    order = [selection.indices.index(number) for number in selection.shown[:SHOWN]]
    forms = {"original": originals[order]} | {
        f"{one.name}\n{one.num_bytes:,.0f} bytes": one.images[order] for row in rows[:2] for one in row[:4]
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "perceptual.md").write_text(text, encoding="utf-8")
    (options.out / "perceptual.png").write_bytes(save_png(compare_rows(forms), dpi=192))
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
