"""Variational autoencoder of images, with or without labels (Kingma and Welling 2013).

The encoder gives the mean and variance of a diagonal normal posterior q(z | x, c), the decoder the
mean of a normal likelihood p(x | z, c) whose standard deviation is one number for all pixels. The
prior of z is standard normal. Labels c make it a conditional VAE (Sohn et al. 2015).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .labels import checked_labels
from .levels import check_sizes, level_channels
from .noise import NoiseMode, NoiseSource

_SLOPE = 0.2
COARSEST = 4  # side of the maps between the convolutions and the linear layers
_GROUPS = 8  # of group normalisation, which, unlike batch normalisation, sees one image at a time
_GROUP_CHANNELS = 4  # at least, in each
_HIDDEN = 256  # features between the encoder's maps and its posterior
# exp() of the bounds is far beyond any posterior, and keeps the first steps finite.
_LOG_VARIANCE = (-30.0, 20.0)


@dataclass(frozen=True)
class VAEConfig:
    """Everything that a `VAE` was built from: its constructor's keyword arguments.

    Attributes:
        img_resolution: side of the images, 8, 16, ...
        img_channels: 3 for RGB.
        z_dim: latent dimensions.
        c_dim: numbers in a label; 0 for none.
        base_channels, channel_max: the level at 1 / 2**(i + 1) of the size has
            min(base_channels * 2**i, channel_max) channels.
    """

    img_resolution: int
    img_channels: int
    z_dim: int
    c_dim: int
    base_channels: int
    channel_max: int


class Posterior(NamedTuple):
    """A diagonal normal distribution for each image: mean and log variance, [N, z_dim] each."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """mean + deviation * noise, for standard normal noise [N, z_dim]."""
        return self.mean + (0.5 * self.log_variance).exp() * noise


class Halvings(nn.Module):
    """Convolutions of stride 2, each with its normalisation, as many as there are `widths`.

    Shapes: [N, channels, R, R] -> maps [N, widths[i], R / 2**(i + 1), R / 2**(i + 1)], before
    their activations.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 4, stride=2, padding=1)
            for before, after in itertools.pairwise([channels, *widths])
        )
        self.norms = nn.ModuleList(_norm(width) for width in widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            maps.append(norm(conv(activate(maps[-1]) if maps else x)))
        return maps


class Encoder(nn.Module):
    """Images to the posterior of their latents.

    Shapes: img [N, img_channels, R, R] in -1..1, c [N, c_dim] -> `Posterior` of [N, z_dim].
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        widths = _widths(config)
        self.halvings = Halvings(config.img_channels, widths)
        self.features = nn.Linear(widths[-1] * COARSEST**2 + config.c_dim, _HIDDEN)
        self.posterior = nn.Linear(_HIDDEN, 2 * config.z_dim)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Posterior:
        config = self.config
        check_img("VAE", img, config.img_channels, config.img_resolution)
        label = _label(config, c, img)
        x = activate(self.halvings(img)[-1]).flatten(1)
        x = torch.cat([x, label.to(x.dtype)], dim=1)
        x = activate(self.features(x))
        mean, log_variance = self.posterior(x).chunk(2, dim=1)
        precise = torch.promote_types(mean.dtype, torch.float32)  # autocast gives bfloat16
        return Posterior(mean.to(precise), log_variance.to(precise).clamp(*_LOG_VARIANCE))


class Decoder(nn.Module):
    """Latents to images: the mean of p(x | z, c); called as a generator is.

    Shapes: z [N, z_dim], c [N, c_dim] -> [N, img_channels, R, R] in -1..1.

    Attributes:
        log_scale: logarithm of the likelihood's standard deviation, on the images' scale.
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        widths = _widths(config)[::-1]
        self.start = nn.Linear(config.z_dim + config.c_dim, widths[0] * COARSEST**2)
        maps = [*widths, widths[-1]]
        self.convs = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)
            for before, after in itertools.pairwise(maps)
        )
        self.norms = nn.ModuleList(_norm(width) for width in maps)
        self.to_rgb = nn.Conv2d(widths[-1], config.img_channels, 3, padding=1)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: NoiseMode = "const",
        generator: NoiseSource = None,
    ) -> Tensor:
        """Draw the images.

        Args:
            z: [N, z_dim], standard normal.
            c: labels [N, c_dim] where the network has them.
            truncation_psi: 1; this network has no w to truncate.
            truncation_cutoff, noise_mode, generator: taken as StyleGAN2 takes them, and ignored.

        Raises:
            ValueError: an argument is not as above.
        """
        config = self.config
        if truncation_psi != 1:
            raise ValueError(f"VAE: expected truncation_psi 1, got {truncation_psi}")
        if z.ndim != 2 or z.shape[1] != config.z_dim:
            raise ValueError(f"VAE: expected z [N, {config.z_dim}], got {tuple(z.shape)}")
        label = _label(config, c, z)
        x = self.start(torch.cat([z, label.to(z.dtype)], dim=1))
        x = x.unflatten(1, (-1, COARSEST, COARSEST))
        x = activate(self.norms[0](x))
        for conv, norm in zip(self.convs, self.norms[1:], strict=True):
            x = activate(norm(conv(x)))
        return torch.tanh(self.to_rgb(x))


class VAE(nn.Module):
    """Encoder and decoder; see `VAEConfig` for the arguments.

    Raises:
        ValueError: the config does not describe a network.
    """

    def __init__(
        self,
        *,
        img_resolution: int,
        img_channels: int = 3,
        z_dim: int = 128,
        c_dim: int = 0,
        base_channels: int = 32,
        channel_max: int = 256,
    ) -> None:
        super().__init__()
        self.config = VAEConfig(
            img_resolution=img_resolution,
            img_channels=img_channels,
            z_dim=z_dim,
            c_dim=c_dim,
            base_channels=base_channels,
            channel_max=channel_max,
        )
        sizes = {
            "img_channels": img_channels,
            "z_dim": z_dim,
            "base_channels": base_channels,
            "channel_max": channel_max,
        }
        check_sizes("VAE", sizes)
        check_resolution("VAE", img_resolution)
        if c_dim < 0:
            raise ValueError(f"VAE: expected c_dim >= 0, got {c_dim}")
        self.encoder = Encoder(self.config)
        self.decoder = Decoder(self.config)

    @classmethod
    def from_config(cls, config: VAEConfig) -> "VAE":
        """Build an untrained network."""
        return cls(**asdict(config))

    @property
    def log_scale(self) -> Tensor:
        """Logarithm of the likelihood's standard deviation, on the images' scale."""
        return self.decoder.log_scale

    def encode(self, img: Tensor, c: Tensor | None = None) -> Posterior:
        """The posterior of images, see `Encoder`."""
        return self.encoder(img, c)

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The images of latents, see `Decoder`."""
        return self.decoder(z, c)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Reconstruct images from the means of their posteriors.

        Args:
            img: [N, img_channels, R, R] in -1..1.
            c: labels [N, c_dim] where the network has them.

        Raises:
            ValueError: an argument is not as above.
        """
        return self.decode(self.encode(img, c).mean, c)


def activate(x: Tensor) -> Tensor:
    """The leaky ReLU after every layer."""
    return functional.leaky_relu(x, _SLOPE)


def check_resolution(network: str, img_resolution: int) -> None:
    """Refuse sides that cannot be halved to `COARSEST`.

    Raises:
        ValueError: says what was expected and what came.
    """
    if img_resolution < 2 * COARSEST or img_resolution & (img_resolution - 1):
        raise ValueError(
            f"{network}: expected img_resolution {2 * COARSEST}, {4 * COARSEST}, ..., "
            f"got {img_resolution}"
        )


def check_img(network: str, img: Tensor, channels: int, side: int) -> None:
    """Refuse images of another size.

    Raises:
        ValueError: says what was expected and what came.
    """
    if img.ndim != 4 or img.shape[1:] != (channels, side, side):
        raise ValueError(
            f"{network}: expected img [N, {channels}, {side}, {side}], got {tuple(img.shape)}"
        )


def halvings_of(img_resolution: int) -> int:
    """How often a side is halved until it is `COARSEST`."""
    return img_resolution.bit_length() - COARSEST.bit_length()


def _widths(config: VAEConfig) -> list[int]:
    """Channels of the levels, from half the size down to the coarsest."""
    levels = halvings_of(config.img_resolution)
    return level_channels(config.base_channels, config.channel_max, levels)


def _norm(channels: int) -> nn.GroupNorm:
    # Groups of one channel would erase its mean, and with it the bias of the layer before.
    return nn.GroupNorm(math.gcd(_GROUPS, max(1, channels // _GROUP_CHANNELS)), channels)


def _label(config: VAEConfig, c: Tensor | None, like: Tensor) -> Tensor:
    """Labels [N, c_dim], which has no columns where the network takes none."""
    count = like.shape[0]
    if c is None and config.c_dim == 0:
        return like.new_zeros(count, 0)
    return checked_labels("VAE", c, count, config.c_dim).to(like.device)
