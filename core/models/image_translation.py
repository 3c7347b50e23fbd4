"""What pix2pix's and CycleGAN's networks share: layers by name, and how these run when used."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from .noise import NoiseSource, check_noise

Norm = Literal["batch", "instance", "none"]
Statistics = Literal["batch", "running"]
Dropout = Literal["off", "seeded"]

DROPPED = 0.5  # share of features that dropout drops (Isola et al. 2017, section 6.1)


@dataclass(frozen=True)
class Usage:
    """How layers that differ between training and use run in evaluation mode.

    Attributes:
        bn: "batch": batch normalisation takes each sample's own statistics, as the published test
            scripts do, which see one image at a time; "running": it takes those of training.
        dropout: "off", or "seeded": features are dropped, drawn from `generator`.
        generator: as `noise.check_noise` gives it.
    """

    bn: Statistics
    dropout: Dropout
    generator: NoiseSource


def check_usage(
    network: str, bn: Statistics, dropout: Dropout, generator: NoiseSource, count: int
) -> Usage:
    """How `count` samples are to be run.

    Raises:
        ValueError: an argument is not as `Usage` says.
    """
    if bn not in get_args(Statistics) or dropout not in get_args(Dropout):
        raise ValueError(
            f"{network}: expected bn of {get_args(Statistics)} and dropout of {get_args(Dropout)}, "
            f"got {bn!r} and {dropout!r}"
        )
    return Usage(bn, dropout, check_noise(network, "random", generator, count))


def check_norm(network: str, norm: Norm) -> None:
    """Refuse unknown names.

    Raises:
        ValueError: says which are known.
    """
    if norm not in get_args(Norm):
        raise ValueError(f"{network}: expected norm of {get_args(Norm)}, got {norm!r}")


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Batch normalisation has weights and statistics, instance normalisation neither."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels) if norm == "instance" else nn.Identity()


def has_bias(norm: Norm) -> bool:
    """Whether convolutions before the normalisation have a bias: only with "instance"."""
    return norm == "instance"


def run_layers(layers: Iterable[nn.Module], x: Tensor, usage: Usage) -> Tensor:
    """Run layers one after another, [N, C, H, W] -> [N, C', H', W']."""
    for layer in layers:
        x = run_layer(layer, x, usage)
    return x


def run_layer(layer: nn.Module, x: Tensor, usage: Usage) -> Tensor:
    """Run one layer; in training mode, `usage` changes nothing."""
    if isinstance(layer, nn.BatchNorm2d) and not layer.training and usage.bn == "batch":
        return functional.instance_norm(x, weight=layer.weight, bias=layer.bias, eps=layer.eps)
    if isinstance(layer, nn.Dropout) and not layer.training and usage.dropout == "seeded":
        return x * _kept(x, layer.p, usage.generator)
    return layer(x)


def _kept(x: Tensor, p: float, generator: NoiseSource) -> Tensor:
    """Zeros, a share p, and 1 / (1 - p), of x's shape."""
    if isinstance(generator, Sequence):
        return torch.cat([_draw(x[:1], p, rng) for rng in generator])
    assert not isinstance(generator, Tensor)
    return _draw(x, p, generator)


def _draw(like: Tensor, p: float, rng: torch.Generator | None) -> Tensor:
    device = like.device if rng is None else rng.device
    # The same numbers for every memory format and dtype of the features.
    numbers = torch.rand(like.shape, generator=rng, device=device)
    return (numbers >= p).to(like.device, like.dtype) / (1 - p)
