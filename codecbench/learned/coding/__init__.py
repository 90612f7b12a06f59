"""Entropy coding: from symbols and their probabilities to bytes."""
