"""The optimisers that a recipe can name."""

from __future__ import annotations

import torch

from codecbench.learned.training.recipe import Recipe


def build_optimizer(recipe: Recipe, network: torch.nn.Module) -> torch.optim.Optimizer:
    """Builds a recipe's optimiser over all parameters of a network.

    Muon (K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) takes the momentum of every weight matrix
    to the nearest orthogonal one, so that no direction of a layer is learnt slower than the others. A convolution
    counts as the matrix (first axis, all others). What is no matrix, biases and slopes, gets AdamW.

    Args:
        recipe: names the optimiser, its learning rates and its weight decay.
        network: on its device.

    Returns:
        The optimiser; the entry ``scale`` of its groups says how their learning rate relates to the recipe's.
    """
    if recipe.optimizer == "adam":
        return torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    from pytorch_optimizer import Muon  # here: other recipes do without it, and it takes a second to import

    matrices = [parameter for parameter in network.parameters() if _is_matrix(parameter)]
    others = [parameter for parameter in network.parameters() if not _is_matrix(parameter)]
    groups = [
        {"params": matrices, "use_muon": True, "lr": recipe.learning_rate, "scale": 1.0},
        {"params": others, "use_muon": False, "lr": recipe.learning_rate, "scale": recipe.vector_learning_rate_scale},
    ]
    optimizer: torch.optim.Optimizer = Muon([group for group in groups if group["params"]], weight_decay=0.0)
    return optimizer


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Gives every group of parameters its learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)


def _is_matrix(parameter: torch.nn.Parameter) -> bool:
    return parameter.ndim >= 2 and min(parameter.shape[0], parameter.numel() // parameter.shape[0]) > 1
