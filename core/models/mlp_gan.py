"""The first GAN: two perceptrons (Goodfellow et al. 2014, "Generative adversarial nets").

With labels it is the first conditional GAN (Mirza and Osindero 2014), which appends them to the
inputs of both networks.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from .plain_generator import (
    PlainConfig,
    PlainGenerator,
    check_images,
    check_inputs,
    check_plain,
)

__all__ = ["Discriminator", "DiscriminatorConfig", "Generator", "GeneratorConfig"]


@dataclass(frozen=True)
class GeneratorConfig(PlainConfig):
    """Everything that `Generator` was built from; other fields as in `PlainConfig`.

    Attributes:
        hidden: features of every hidden layer.
        num_layers: hidden layers.
    """

    hidden: int
    num_layers: int


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Everything that `Discriminator` was built from; other fields as in `GeneratorConfig`.

    Attributes:
        pieces: linear functions of which a maxout unit takes the largest.
    """

    c_dim: int
    img_resolution: int
    img_channels: int
    hidden: int
    num_layers: int
    pieces: int


class Generator(PlainGenerator):
    """Rectified hidden layers, and tanh at the pixels; see `GeneratorConfig` for the arguments.

    The paper's sigmoid became tanh, as images lie in -1..1.

    Shapes: z [N, z_dim], c [N, c_dim] or None -> [N, img_channels, R, R] in -1..1.

    Raises:
        ValueError: the config does not describe a network.
    """

    config: GeneratorConfig

    def __init__(
        self,
        *,
        z_dim: int = 100,
        c_dim: int = 0,
        img_resolution: int,
        img_channels: int = 3,
        hidden: int = 1024,
        num_layers: int = 2,
    ) -> None:
        super().__init__()
        self.config = GeneratorConfig(
            z_dim=z_dim,
            c_dim=c_dim,
            img_resolution=img_resolution,
            img_channels=img_channels,
            hidden=hidden,
            num_layers=num_layers,
        )
        check_plain("Generator", self.config, {"hidden": hidden, "num_layers": num_layers})
        sizes = [self.config.w_dim, *[hidden] * num_layers]
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.get_parameter("weight"), nonlinearity="relu")
        self.pixels = nn.Linear(hidden, img_channels * img_resolution**2)

    def draw(self, w: Tensor) -> Tensor:
        x = w
        for layer in self.layers:
            x = layer(x).relu()
        size = self.config.img_resolution
        return self.pixels(x).tanh().unflatten(1, (-1, size, size))


class Maxout(nn.Module):
    """The largest of several linear functions (Goodfellow et al. 2013). [N, I] -> [N, O]."""

    def __init__(self, in_features: int, out_features: int, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(in_features, out_features * pieces)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(dim=2)


class Discriminator(nn.Module):
    """Maxout layers, and a logit; see `DiscriminatorConfig` for the arguments.

    Without the paper's dropout, whose random state would have to be part of an exact resume.

    Shapes: img [N, img_channels, R, R], c [N, c_dim] or None -> [N, 1].

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        c_dim: int = 0,
        img_resolution: int,
        img_channels: int = 3,
        hidden: int = 256,
        num_layers: int = 2,
        pieces: int = 2,
    ) -> None:
        super().__init__()
        self.config = DiscriminatorConfig(
            c_dim=c_dim,
            img_resolution=img_resolution,
            img_channels=img_channels,
            hidden=hidden,
            num_layers=num_layers,
            pieces=pieces,
        )
        counts = {"hidden": hidden, "num_layers": num_layers, "pieces": pieces}
        check_images("Discriminator", img_resolution, img_channels, c_dim, counts)
        sizes = [img_channels * img_resolution**2 + c_dim, *[hidden] * num_layers]
        self.layers = nn.ModuleList(
            Maxout(before, after, pieces) for before, after in pairwise(sizes)
        )
        self.logit = nn.Linear(hidden, 1)

    @classmethod
    def from_config(cls, config: DiscriminatorConfig) -> "Discriminator":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Score images.

        Raises:
            ValueError: img or c has the wrong shape, or c is missing.
        """
        config = self.config
        c = check_inputs(img, c, config.img_resolution, config.img_channels, config.c_dim)
        x = img.flatten(1)
        x = x if c is None else torch.cat([x, c.to(x)], dim=1)
        for layer in self.layers:
            x = layer(x)
        return self.logit(x)
