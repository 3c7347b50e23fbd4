"""Generators that have no mapping network: what they share, and how they are called."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .labels import checked_labels
from .noise import NoiseMode, NoiseSource
from .style_generator import check_ws

Self = TypeVar("Self", bound="PlainGenerator")


@dataclass(frozen=True)
class PlainConfig:
    """What every config of such a generator names.

    Attributes:
        z_dim: features of z, standard normal.
        c_dim: features of the labels (one-hot or multi-hot), 0 for an unconditional network.
        img_resolution: height and width.
        img_channels: 3 for RGB.
    """

    z_dim: int
    c_dim: int
    img_resolution: int
    img_channels: int

    @property
    def w_dim(self) -> int:
        """Features of the one latent that an image has: z and the labels side by side."""
        return self.z_dim + self.c_dim


class PlainGenerator(nn.Module, ABC):
    """z and labels to images, called as the StyleGAN generators are.

    There is one latent to an image, and it is z itself with the labels behind it. Truncation
    shortens z, whose mean is 0, and leaves the labels alone. Such latents can be drawn, mixed,
    interpolated and edited as those of StyleGAN.

    Subclasses set `config` and say how to `draw`.
    """

    config: PlainConfig
    num_ws = 1

    @classmethod
    def from_config(cls: type[Self], config: Any) -> Self:
        """Build an untrained network."""
        return cls(**asdict(config))

    @abstractmethod
    def draw(self, w: Tensor) -> Tensor:
        """Latents [N, w_dim] to images [N, img_channels, R, R], nominally -1..1."""

    def mapping(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """Latents [N, 1, w_dim] of z [N, z_dim] and labels c [N, c_dim].

        Args:
            z: standard normal.
            c: labels; None for an unconditional network.
            truncation_psi: factor of z; 0 gives the image of z = 0.
            truncation_cutoff: 0 switches truncation off, as there is one layer.

        Raises:
            ValueError: z or c has the wrong shape, or c is missing.
        """
        config = self.config
        if z.ndim != 2 or z.shape[1] != config.z_dim:
            raise ValueError(f"generator: expected z [N, {config.z_dim}], got {tuple(z.shape)}")
        z = z.to(next(self.parameters()).dtype)
        if truncation_cutoff != 0:
            z = z * truncation_psi
        return self.latents(z, c)[:, None]

    def latents(self, z: Tensor, c: Tensor | None) -> Tensor:
        """z and the labels side by side, [N, w_dim].

        Raises:
            ValueError: c has the wrong shape or is missing.
        """
        if self.config.c_dim == 0:
            return z
        return torch.cat(
            [z, checked_labels("generator", c, len(z), self.config.c_dim).to(z)], dim=1
        )

    def synthesis(
        self, ws: Tensor, noise_mode: NoiseMode = "const", generator: NoiseSource = None
    ) -> Tensor:
        """Images [N, img_channels, R, R] of latents [N, 1, w_dim].

        `noise_mode` and `generator` are taken as StyleGAN takes them; there is no noise.

        Raises:
            ValueError: ws has the wrong shape.
        """
        check_ws(ws, 1, self.config.w_dim)
        return self.draw(ws[:, 0])

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: NoiseMode = "const",
        generator: NoiseSource = None,
    ) -> Tensor:
        """Draw images; see `mapping` and `synthesis` for the arguments."""
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff)
        return self.synthesis(ws, noise_mode, generator)


def check_plain(network: str, config: PlainConfig, counts: Mapping[str, int]) -> None:
    """Refuse sizes that describe no network.

    Args:
        network: who asks, for messages.
        config: the common fields.
        counts: further fields, which must be 1 or more.

    Raises:
        ValueError: names the field, what it may be and what came.
    """
    if config.z_dim < 1:
        raise ValueError(f"{network}: expected z_dim >= 1, got {config.z_dim}")
    check_images(network, config.img_resolution, config.img_channels, config.c_dim, counts)


def check_images(
    network: str, resolution: int, channels: int, c_dim: int, counts: Mapping[str, int]
) -> None:
    """`check_plain` for a network that has no z, such as a discriminator."""
    if resolution < 4 or resolution & (resolution - 1):
        raise ValueError(f"{network}: expected img_resolution 4, 8, 16, ..., got {resolution}")
    if c_dim < 0:
        raise ValueError(f"{network}: expected c_dim >= 0, got {c_dim}")
    for name, count in {"img_channels": channels, **counts}.items():
        if count < 1:
            raise ValueError(f"{network}: expected {name} >= 1, got {count}")


def check_inputs(
    img: Tensor, c: Tensor | None, resolution: int, channels: int, c_dim: int
) -> Tensor | None:
    """Refuse what a discriminator does not take; gives the labels [N, c_dim], or None.

    Raises:
        ValueError: img or c has the wrong shape, or c is missing.
    """
    if img.ndim != 4 or tuple(img.shape[1:]) != (channels, resolution, resolution):
        raise ValueError(
            f"discriminator: expected img [N, {channels}, {resolution}, {resolution}], "
            f"got {tuple(img.shape)}"
        )
    return checked_labels("discriminator", c, len(img), c_dim) if c_dim else None
