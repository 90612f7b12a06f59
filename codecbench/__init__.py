"""codecbench: which image codec? Rate, distortion and speed, measured on real bitstreams.

    >>> import codecbench as cb
    >>> df = cb.run(codecs="jpeg,svd", datasets="mnist", images=1000).summary()     # doctest: +SKIP

``__init__.pyi`` lists the names. Each is loaded when it is first used, so ``import codecbench`` is quick and loads
neither torch nor pandas.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
