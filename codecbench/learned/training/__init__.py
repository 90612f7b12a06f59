"""From a recipe to weights and their model card."""
