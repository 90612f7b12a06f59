"""Figures, as Matplotlib figures in the house style.

Every function returns a ``matplotlib.figure.Figure``; none touches pyplot's global state or the user's Matplotlib
settings. A codec has the same colour and marker in every figure: see ``codecbench.figures.style``, whose ``save_svg``
and ``save_png`` write the same bytes every time. In a notebook: ``IPython.display.Image(style.save_png(figure))``.
"""

from codecbench.figures.latents import latent_maps, latent_picture, triples
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
    "MOST_RAW",
    "SSIM_TOP",
    "TOP_DB",
    "best_epoch",
    "beyond_ssim",
    "can_draw",
    "latent_maps",
    "latent_picture",
    "learning_curves",
    "outside",
    "rate_distortion",
    "raw_rate",
    "speed",
    "triples",
]
