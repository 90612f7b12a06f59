"""Entropy coding: from symbols and their probabilities to bytes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["interleaved", "wavefront"])
