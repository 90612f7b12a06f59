"""The source experiment's own recipe for both of its MNIST networks."""

from __future__ import annotations

from codecbench import learned

SOURCE = learned.Recipe(
    dataset="mnist:split=train",
    test="mnist",
    held_out=5_000,
    epochs=300,
    passes=5,
    batch_size=100,
    learning_rate=1e-3,
    schedule="exponential",
    gamma=0.98,
    weight_decay=1e-9,
    augment=learned.RandomAffine(share=0.8),
)
"""The source's own: five times as many images, four of five moved by a random affine map.

The source drew one map for each copy of all 60,000 images, once; here every image gets one of its own, anew in every
epoch. It had no images held out; here they choose the best epoch.
"""
