"""Figures, as Matplotlib figures in the house style.

Every function returns a ``matplotlib.figure.Figure``; none touches pyplot's global state or the user's Matplotlib
settings. A codec has the same colour and marker in every figure: see ``codecbench.figures.style``, whose ``save_svg``
and ``save_png`` write the same bytes every time. In a notebook: ``IPython.display.Image(style.save_png(figure))``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
