"""A network small enough to be trained in a test."""

import torch
from torch import nn


class Gray(nn.Module):
    """A small autoencoder for 28×28 gray images."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 7, stride=7), nn.PReLU(4))
        self.decoder = nn.Sequential(nn.ConvTranspose2d(4, 1, 7, stride=7), nn.Sigmoid())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(images))
