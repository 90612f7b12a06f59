"""Figures, as Matplotlib figures in the house style.

Every function returns a ``matplotlib.figure.Figure``; none touches pyplot's global state or the user's Matplotlib
settings. A codec has the same colour and marker in every figure: see ``codecbench.figures.style``, whose ``save_svg``
and ``save_png`` write the same bytes every time. In a notebook: ``IPython.display.Image(style.save_png(figure))``.
"""

from codecbench.figures.latents import latent_maps as latent_maps
from codecbench.figures.latents import latent_picture as latent_picture
from codecbench.figures.latents import triples as triples
from codecbench.figures.rates import BOTTOM_DB as BOTTOM_DB
from codecbench.figures.rates import MOST_RAW as MOST_RAW
from codecbench.figures.rates import SSIM_TOP as SSIM_TOP
from codecbench.figures.rates import TOP_DB as TOP_DB
from codecbench.figures.rates import beyond_ssim as beyond_ssim
from codecbench.figures.rates import can_draw as can_draw
from codecbench.figures.rates import outside as outside
from codecbench.figures.rates import rate_distortion as rate_distortion
from codecbench.figures.rates import raw_rate as raw_rate
from codecbench.figures.rates import speed as speed
from codecbench.figures.training import best_epoch as best_epoch
from codecbench.figures.training import learning_curves as learning_curves
