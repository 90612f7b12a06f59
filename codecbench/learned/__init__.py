"""The toolbox of learned codecs; all of it may load torch.

A codec's file needs ``import codecbench as cb`` and ``from codecbench import learned``. The base classes are in
``codec``, ``autoencoder`` and ``ratedistortion``; ``layers`` has networks that compute exactly, ``coding`` entropy
coders and their distributions, ``training`` all that makes weights.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
