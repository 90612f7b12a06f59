"""The columns of every table of results: name, type, meaning, and whether a higher or a lower value is better.

A name carries its unit at its end: ``_s`` seconds, ``_db`` decibels, ``_bytes`` bytes; times are per image. Nothing
here loads pandas or pyarrow, so that metrics can be listed without them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ColumnInfo:
    """What one column holds."""

    name: str
    kind: str
    """Of rows a type of Arrow, or ``text``; of other tables ``text``, ``flag``, ``count``, ``whole`` (a whole number
    that may be missing) or ``number``."""
    meaning: str
    better: str = ""
    """``higher``, ``lower``, or empty where neither is better."""


def described(*entries: tuple[str, ...]) -> dict[str, ColumnInfo]:
    """Entries are names (of columns that share the rest), kind, meaning, and which is better if either is."""
    return {name: ColumnInfo(name, *rest) for names, *rest in entries for name in names.split()}


ROWS = described(
    ("dataset", "text", "the dataset's label"),
    ("image", "int64", "index of the image in its dataset"),
    ("height width", "int32", "of the image, in pixels"),
    ("channels", "int8", "of the image"),
    ("codec", "text", "the codec's name"),
    ("settings", "text", "in the spec syntax, with every setting spelled out"),
    ("num_bytes", "int64", "length of the bitstream", "lower"),
    ("container_bytes", "float64", "how many of them are headers and tables, where the codec can tell", "lower"),
    ("estimated_bits", "float64", "bits by the entropy model, for codecs with one", "lower"),
    ("mse", "float64", "mean squared error of the 8-bit output, on the [0, 1] scale", "lower"),
    ("mse_float", "float64", "the same before clipping and rounding, where the output is floating point", "lower"),
    ("max_abs_error", "int16", "largest difference, in 8-bit levels", "lower"),
    ("exact_pixels", "float64", "share of the pixels restored exactly, in every channel", "higher"),
    ("ssim", "float64", "structural similarity", "higher"),
    ("lossless", "bool", "the codec claims to restore every pixel, which was checked"),
)
"""Of a run's rows, one per image and codec point; plugin metrics follow, each ``float64`` under its name."""

_RESULTS = described(
    ("dataset codec settings", "text", "the point, ``settings`` in the spec syntax with every setting spelled out"),
    ("images", "count", "images with a result"),
    ("bits_per_image", "number", "mean of 8 × the length of the bitstream", "lower"),
    ("bits_per_pixel", "number", "bits of all images over pixels (height × width) of all images", "lower"),
    ("compression_ratio", "number", "size as 8-bit samples over size of the bitstreams", "higher"),
    ("compression_ratio_float32", "number", "the same against 32-bit samples, as many papers count", "higher"),
    ("mse", "number", "mean squared error of the 8-bit output, on the [0, 1] scale", "lower"),
    ("mse_float", "number", "mean squared error before clipping and rounding, of codecs with float output", "lower"),
    ("psnr_db", "number", "mean of the images' PSNR, -10·log10(mse); images restored exactly have none", "higher"),
    ("psnr_of_mean_mse_db", "number", "PSNR of the mean MSE of all images, a different number", "higher"),
    (
        "ssim",
        "number",
        "structural similarity, mean over the images, the valid region and the channels: Gaussian window 11x11, sigma "
        "1.5, K1=0.01, K2=0.03, data range 255, population covariance; none for images smaller than the window (Wang "
        "et al. 2004)",
        "higher",
    ),
    ("max_abs_error", "whole", "largest difference over all images, in 8-bit levels", "lower"),
    ("lossless", "flag", "the codec claims to restore every pixel, and every image was checked"),
    ("encode_s decode_s", "number", "median wall seconds per image, ``batch`` images per call", "lower"),
    ("failed", "count", "images without a result", "lower"),
    ("exact_images", "count", "images restored exactly", "higher"),
    ("exact_pixels", "number", "share of all pixels restored exactly, in every channel", "higher"),
    ("out_of_domain", "flag", "a learned codec on data of another kind than it was trained on"),
    ("on_training_images", "flag", "a learned codec on images of the split that it was trained on"),
    ("container_bytes", "number", "mean bytes of headers and tables, where the codec can tell", "lower"),
    ("payload_bits_per_image", "number", "bits without the container's; empty if unknown for some image", "lower"),
    ("payload_bits_per_pixel", "number", "the same per pixel", "lower"),
    ("estimated_bits", "number", "mean bits per image by the entropy model, for codecs with one", "lower"),
)
_TIMES = described(
    ("encode_iqr_s decode_iqr_s", "number", "interquartile range over the rounds", "lower"),
    ("encode_min_s decode_min_s", "number", "the fastest round", "lower"),
    ("encode_cpu_s decode_cpu_s", "number", "median CPU seconds per image, all threads and child processes", "lower"),
    ("encode_latency_s decode_latency_s", "number", "median wall seconds of a call with one image", "lower"),
    ("batch", "whole", "images in one call; 1 for codecs that work image by image"),
    ("encode_images_per_s decode_images_per_s", "number", "throughput: one over the seconds per image", "higher"),
    ("encode_megapixels_per_s decode_megapixels_per_s", "number", "the same in millions of pixels", "higher"),
    (
        "cold_encode_s cold_decode_s",
        "number",
        "seconds of the first call in a fresh process: import, loading of weights and compiling of kernels; at one "
        "point of a codec on a set",
        "lower",
    ),
    (
        "encode_peak_bytes decode_peak_bytes",
        "whole",
        "peak resident memory of a process that did nothing else, with this codec on this dataset, libraries included",
        "lower",
    ),
    ("device_peak_bytes", "whole", "peak memory allocated on the accelerator, by encoding or decoding", "lower"),
    ("transfer_s", "number", "seconds per image to the accelerator and back, which both times include", "lower"),
    ("timed_images", "whole", "images that were timed"),
    ("threads", "whole", "threads that the codec could use"),
    ("device", "text", "where the codec ran: ``cpu`` or the accelerator's name"),
    ("timed_on", "text", "short name of the machine; times of two machines do not compare"),
    ("unsteady", "flag", "the machine was not quiet: rounds with an interquartile range above a quarter of the median"),
)
SUMMARY = _RESULTS | _TIMES | described(("reason", "text", "why images have no result"))
"""Of a summary, one row per dataset × codec × settings. Plugin metrics stand behind ``ssim``, each the mean over the
images that have a value. Times are empty where none were taken (docs/measuring.md)."""
TIMES = ("encode_s", "decode_s", *_TIMES)
"""The columns of a summary that come from the records of times."""
MEANINGS = {name: column.meaning for name, column in SUMMARY.items()}
"""By column of a summary, for headings."""
HIGHER_IS_BETTER = frozenset(name for name, column in SUMMARY.items() if column.better == "higher")

RESERVED = frozenset({
    *ROWS,
    *SUMMARY,
    # of sums that a summary is made from, and of tables made from a summary
    *("bits", "payload_bits", "pixels", "samples", "exact", "equal_pixels", "order", "curve", "swept", "label", "mark"),
    *("trained_on", "total_images", "value", "rate", "quality", "anchor", "status", "note", "best"),
})  # fmt: skip
"""Names that no plugin metric may take."""
