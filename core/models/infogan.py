"""InfoGAN (Chen et al. 2016): part of the latent is a code that the image must show.

The convolutions are DCGAN's. A third network Q reads the code off D's features.
"""

import math
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import dcgan
from .plain_generator import PlainConfig, PlainGenerator, check_plain

__all__ = ["Codes", "Discriminator", "DiscriminatorConfig", "Generator", "GeneratorConfig"]

_SLOPE = 0.1
# A generator without noise could make the information about a continuous code infinite. The bound
# is approached, not cut off at: beyond a cut, Q would have no gradient that leads back.
_MIN_LOG_STD = -3.0


@dataclass(frozen=True)
class GeneratorConfig(PlainConfig):
    """Everything that `Generator` was built from; other fields as in `PlainConfig`.

    Attributes:
        z_dim: noise, then continuous codes, then `num_categories` for each categorical code.
        c_dim: categorical codes one-hot, side by side: num_categorical * num_categories.
        num_categorical: categorical codes.
        num_categories: values of a categorical code.
        num_continuous: continuous codes.
        channel_base, channel_max: channels at r x r are min(channel_base // r, channel_max).
    """

    num_categorical: int
    num_categories: int
    num_continuous: int
    channel_base: int
    channel_max: int

    @property
    def w_dim(self) -> int:
        """Noise, continuous and one-hot codes: the numbers of z, the codes in place of its end."""
        return self.z_dim


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Everything that `Discriminator` was built from; other fields as in `GeneratorConfig`.

    Attributes:
        norm: of D's convolutions, "batch", "layer" or "none".
        hidden: features of Q's hidden layer.
    """

    img_resolution: int
    img_channels: int
    num_categorical: int
    num_categories: int
    num_continuous: int
    channel_base: int
    channel_max: int
    norm: dcgan.Norm
    hidden: int


class Codes(NamedTuple):
    """What Q believes of the codes, from [N, 3, R, R] images.

    Attributes:
        logits: [N, num_categorical, num_categories].
        mean: [N, num_continuous] of a normal distribution.
        log_std: [N, num_continuous], its deviation's logarithm.
    """

    logits: Tensor
    mean: Tensor
    log_std: Tensor


class Generator(PlainGenerator):
    """Noise and codes to images; see `GeneratorConfig` for the arguments.

    All codes follow from z, so that a seed gives an image: a normal number becomes a continuous
    code, uniform in -1..1, by its distribution function, and the largest of `num_categories`
    normal numbers names a category. Labels may be left out, and override: where a code's part of c
    is not all 0, it is taken. "class k" of a sampler thus fixes code k // num_categories to
    k % num_categories and leaves the others to the seed.

    Shapes: z [N, z_dim], c [N, c_dim] or None -> [N, img_channels, R, R] in -1..1.

    Raises:
        ValueError: the config does not describe a network.
    """

    config: GeneratorConfig

    def __init__(
        self,
        *,
        z_dim: int = 74,
        c_dim: int = 10,
        img_resolution: int,
        img_channels: int = 3,
        num_categorical: int = 1,
        num_categories: int = 10,
        num_continuous: int = 2,
        channel_base: int = 2048,
        channel_max: int = 512,
    ) -> None:
        super().__init__()
        self.config = GeneratorConfig(
            z_dim=z_dim,
            c_dim=c_dim,
            img_resolution=img_resolution,
            img_channels=img_channels,
            num_categorical=num_categorical,
            num_categories=num_categories,
            num_continuous=num_continuous,
            channel_base=channel_base,
            channel_max=channel_max,
        )
        check_plain("Generator", self.config, {})
        _check_codes("Generator", num_categorical, num_categories, num_continuous)
        codes = num_categorical * num_categories
        if c_dim != codes or z_dim < codes + num_continuous:
            raise ValueError(
                f"Generator: expected c_dim {codes} and z_dim >= {codes + num_continuous} for "
                f"these codes, got {c_dim} and {z_dim}"
            )
        self.network = dcgan.Generator(
            z_dim=self.config.w_dim,
            img_resolution=img_resolution,
            img_channels=img_channels,
            channel_base=channel_base,
            channel_max=channel_max,
        )

    def latents(self, z: Tensor, c: Tensor | None) -> Tensor:
        """Noise, continuous codes in -1..1 and one-hot categorical codes, [N, w_dim].

        Raises:
            ValueError: c has the wrong shape.
        """
        config = self.config
        noise = z.shape[1] - config.num_continuous - config.c_dim
        sizes = [noise, config.num_continuous, config.c_dim]
        noise, continuous, scores = z.split(sizes, dim=1)
        shape = (config.num_categorical, config.num_categories)
        best = scores.unflatten(1, shape).argmax(dim=2)
        chosen = functional.one_hot(best, config.num_categories).to(z)
        if c is not None:
            given = super().latents(z, c)[:, z.shape[1] :].unflatten(1, shape)
            chosen = torch.where(given.any(dim=2, keepdim=True), given, chosen)
        return torch.cat([noise, torch.erf(continuous / math.sqrt(2)), chosen.flatten(1)], dim=1)

    def codes(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Categories int64 [N, num_categorical], continuous codes [N, num_continuous] of w."""
        config = self.config
        chosen = w[:, w.shape[1] - config.c_dim :]
        continuous = w[:, : w.shape[1] - config.c_dim][:, -config.num_continuous :]
        shape = (config.num_categorical, config.num_categories)
        return chosen.unflatten(1, shape).argmax(dim=2), continuous[:, : config.num_continuous]

    def draw(self, w: Tensor) -> Tensor:
        return self.network.draw(w)


class Discriminator(nn.Module):
    """Images to logits, and Q on the same features; see `DiscriminatorConfig`.

    Shapes: img [N, img_channels, R, R] -> [N, 1].

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        img_resolution: int,
        img_channels: int = 3,
        num_categorical: int = 1,
        num_categories: int = 10,
        num_continuous: int = 2,
        channel_base: int = 2048,
        channel_max: int = 512,
        norm: dcgan.Norm = "batch",
        hidden: int = 128,
    ) -> None:
        super().__init__()
        self.config = DiscriminatorConfig(
            img_resolution=img_resolution,
            img_channels=img_channels,
            num_categorical=num_categorical,
            num_categories=num_categories,
            num_continuous=num_continuous,
            channel_base=channel_base,
            channel_max=channel_max,
            norm=norm,
            hidden=hidden,
        )
        _check_codes("Discriminator", num_categorical, num_categories, num_continuous)
        if hidden < 1:
            raise ValueError(f"Discriminator: expected hidden >= 1, got {hidden}")
        self.critic = dcgan.Discriminator(
            img_resolution=img_resolution,
            img_channels=img_channels,
            channel_base=channel_base,
            channel_max=channel_max,
            norm=norm,
        )
        outputs = num_categorical * num_categories + 2 * num_continuous
        self.q_hidden = nn.Linear(min(channel_base // 4, channel_max) * 16, hidden)
        self.q = nn.Linear(hidden, outputs)

    @classmethod
    def from_config(cls, config: DiscriminatorConfig) -> "Discriminator":
        """Build an untrained network."""
        return cls(**asdict(config))

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Score images; c is taken as other discriminators take it, and ignored.

        Raises:
            ValueError: img has the wrong shape.
        """
        return self.score(self.critic.features(img))

    def score(self, features: Tensor) -> Tensor:
        """The logit [N, 1] of `critic.features`."""
        return self.critic.main[-1](features).flatten(1)

    def read(self, features: Tensor) -> Codes:
        """What Q reads off `critic.features`."""
        config = self.config
        x = functional.leaky_relu(self.q_hidden(features.flatten(1)), _SLOPE)
        sizes = [config.num_categorical * config.num_categories, *[config.num_continuous] * 2]
        logits, mean, log_std = self.q(x).float().split(sizes, dim=1)
        return Codes(
            logits.unflatten(1, (config.num_categorical, config.num_categories)),
            mean,
            _MIN_LOG_STD + functional.softplus(log_std - _MIN_LOG_STD),
        )


def _check_codes(network: str, categorical: int, categories: int, continuous: int) -> None:
    if categorical < 1 or categories < 2 or continuous < 0:
        raise ValueError(
            f"{network}: expected num_categorical >= 1, num_categories >= 2 and "
            f"num_continuous >= 0, got {categorical}, {categories} and {continuous}"
        )
