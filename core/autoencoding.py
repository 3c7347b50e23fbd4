"""Running autoencoders over images of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from .chunks import Report, in_chunks
from .errors import InputError
from .models.vae import VAE
from .ranges import parse_numbers
from .restoration.networks import resized

if TYPE_CHECKING:
    from .checkpoints import Model

AUTOENCODERS = ("vae",)
"""Ids of the architectures that turn images into latents and back."""


def autoencoder_of(model: Model) -> VAE:
    """The network of a model that encodes and decodes RGB images.

    Raises:
        InputError: the model is none.
    """
    if model.arch not in AUTOENCODERS or not isinstance(model.network, VAE):
        raise InputError(f"expected an autoencoder, got a {model.arch}")
    if model.network.config.img_channels not in (1, 3):
        channels = model.network.config.img_channels
        raise InputError(f"expected an autoencoder of grey or RGB images, got {channels} channels")
    return model.network


def parse_label(text: str, c_dim: int) -> Tensor | None:
    """A label [1, c_dim] from numbers such as "1, 0, 0.5"; None for a network without labels.

    Raises:
        InputError: not `c_dim` numbers, or some where the network takes none.
    """
    values = parse_numbers(text)
    if values is None:
        raise InputError(f"label: expected numbers such as 1, 0, 0.5, got {text[:60]!r}")
    if len(values) != c_dim:
        expected = f"{c_dim} numbers" if c_dim else "none, as this autoencoder takes no label"
        raise InputError(f"label: expected {expected}, got {len(values)} ({text[:60]!r})")
    return torch.tensor([values]) if c_dim else None


@torch.no_grad()
def autoencode(
    network: VAE,
    images: Tensor,
    *,
    label: Tensor | None = None,
    seeds: Sequence[int] | None = None,
    chunk: int = 8,
    report: Report | None = None,
) -> Tensor:
    """Encode images and decode them again.

    The network has one size: images of another are enlarged or reduced to it, after edges are
    repeated to a square, and the result is brought back to theirs.

    Args:
        network: as `autoencoder_of` gives it, on any device.
        images: RGB [N, 3, H, W] in -1..1, left as they are.
        label: [1, c_dim] for all images, where the network takes labels.
        seeds: draw a latent from each image's posterior, with these seeds; None takes its mean.
        chunk: images per pass; it changes memory and speed only.
        report: called after each chunk with decoded images in -1..1.

    Returns:
        Tensor [N, 1 or 3, H, W] float32 on the CPU, -1..1.

    Raises:
        ValueError: another shape, label or number of seeds.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"autoencode: images must be [N, 3, H, W], got {tuple(images.shape)}")
    if seeds is not None and len(seeds) != len(images):
        raise ValueError(f"autoencode: {len(images)} images need as many seeds, got {len(seeds)}")
    config = network.config
    device = next(network.parameters()).device
    height, width = images.shape[2:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    edges = (left, side - width - left, top, side - height - top)

    def run(start: int, stop: int) -> Tensor:
        square = pad(images[start:stop].float().cpu(), edges, mode="replicate")
        seen = resized(square, config.img_resolution, config.img_resolution).clamp(-1, 1)
        if config.img_channels == 1:
            seen = seen.mean(dim=1, keepdim=True)
        c = None if label is None else label.to(device).expand(stop - start, -1)
        posterior = network.encode(seen.to(device), c)
        z = posterior.mean
        if seeds is not None:
            own = [torch.Generator().manual_seed(seed) for seed in seeds[start:stop]]
            noise = torch.stack([torch.randn(config.z_dim, generator=rng) for rng in own])
            z = posterior.sample(noise.to(device))
        decoded = resized(network.decode(z, c).float().cpu(), side, side)
        return decoded[:, :, top : top + height, left : left + width]

    return in_chunks(run, len(images), chunk, report)
