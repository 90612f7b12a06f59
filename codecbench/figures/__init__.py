"""Figures, as Matplotlib figures in the house style.

Every function gives a ``matplotlib.figure.Figure``; none touches pyplot's global state or a person's Matplotlib
settings. A codec has one colour and one marker, whatever the figure: see ``codecbench.figures.style``, whose
``save_svg`` and ``save_png`` give the same bytes every time. In a notebook:
``IPython.display.Image(looks.save_png(figure))``.
"""

from codecbench.figures.bars import grouped_bars
from codecbench.figures.images import compare_rows, image_grid
from codecbench.figures.latents import MAP_COLORS, latent_map, latent_maps, latent_picture, triples
from codecbench.figures.ranks import rank_at, rank_curve
from codecbench.figures.rates import (
    BOTTOM_DB,
    MOST_RAW,
    SSIM_TOP,
    TOP_DB,
    beyond_ssim,
    can_draw,
    outside,
    rate_distortion,
    raw_rate,
    speed,
)
from codecbench.figures.training import best_epoch, learning_curves

__all__ = [
    "BOTTOM_DB",
    "MAP_COLORS",
    "MOST_RAW",
    "SSIM_TOP",
    "TOP_DB",
    "best_epoch",
    "beyond_ssim",
    "can_draw",
    "compare_rows",
    "grouped_bars",
    "image_grid",
    "latent_map",
    "latent_maps",
    "latent_picture",
    "learning_curves",
    "outside",
    "rank_at",
    "rank_curve",
    "rate_distortion",
    "raw_rate",
    "speed",
    "triples",
]
