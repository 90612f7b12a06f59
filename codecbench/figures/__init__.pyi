"""The names of ``codecbench.figures`` and the modules that define them; ``__init__.py`` reads this file."""

from .latents import latent_maps as latent_maps
from .latents import latent_picture as latent_picture
from .latents import triples as triples
from .rates import BOTTOM_DB as BOTTOM_DB
from .rates import MOST_RAW as MOST_RAW
from .rates import SSIM_TOP as SSIM_TOP
from .rates import TOP_DB as TOP_DB
from .rates import beyond_ssim as beyond_ssim
from .rates import can_draw as can_draw
from .rates import outside as outside
from .rates import rate_distortion as rate_distortion
from .rates import raw_rate as raw_rate
from .rates import speed as speed
from .training import best_epoch as best_epoch
from .training import learning_curves as learning_curves
