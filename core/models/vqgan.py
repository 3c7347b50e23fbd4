"""Layers of VQGAN's encoder and decoder (Esser et al. 2021; Ho et al. 2020), and its codebook."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .conv import conv2d, conv_after_nearest

_GROUPS = 32
_NORM_EPSILON = 1e-6
_PART_PIXELS = 4096  # whose values fit a cache, and add up without much error


def group_norm(channels: int) -> nn.GroupNorm:
    """Normalisation over groups of channels.

    Raises:
        ValueError: the groups do not divide the channels.
    """
    return nn.GroupNorm(_GROUPS, channels, eps=_NORM_EPSILON)


def swish_of(x: Tensor) -> Tensor:
    """x sigmoid(x), written over x where no gradient needs it; x must be a fresh result."""
    return functional.silu(x, inplace=not torch.is_grad_enabled())


def normalize(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """The layer's result, [N, C, H, W] -> the same, a fresh tensor.

    For float32 in channels_last on a CPU, PyTorch adds up a group's values one after another, which
    at 512 x 512 pixels is wrong by 1e-5 (relative L2). Here parts of an image are averaged first.
    """
    large = x.shape[2] * x.shape[3] > _PART_PIXELS
    exact = x.device.type != "cpu" or x.dtype != torch.float32 or torch.compiler.is_compiling()
    if not large or exact or torch.is_grad_enabled() or norm.weight is None:
        return norm(x)
    rows = max(1, _PART_PIXELS // x.shape[3])
    if x.shape[0] == 1:
        return _normalize_one(x, norm, rows)
    return torch.cat([_normalize_one(sample, norm, rows) for sample in x.split(1)])


def _normalize_one(x: Tensor, norm: nn.GroupNorm, rows: int) -> Tensor:
    parts = x.split(rows, dim=2)
    statistics = [torch.batch_norm_update_stats(part, None, None, 0.0) for part in parts]
    share = torch.tensor([part.shape[2] / x.shape[2] for part in parts], dtype=torch.float64)
    mean, variance = (torch.stack(s).double() for s in zip(*statistics, strict=True))  # [parts, C]
    channel = share @ mean
    variance = share @ (variance + (mean - channel).square())
    groups = channel.view(norm.num_groups, -1)
    center = groups.mean(dim=1, keepdim=True)
    spread = variance.view_as(groups) + (groups - center).square()
    spread = spread.mean(dim=1, keepdim=True).expand_as(groups)
    mean, variance = (m.flatten().float() for m in (center.expand_as(groups), spread))
    return functional.batch_norm(
        x, mean, variance, norm.weight, norm.bias, training=False, eps=norm.eps
    )


class ResidualBlock(nn.Module):
    """Two times normalisation, swish and convolution, added to the input.

    Shapes: [N, in_channels, H, W] -> [N, out_channels, H, W].

    Args:
        shortcut: name of the 1x1 convolution of the input, which exists where channels differ.
    """

    def __init__(self, in_channels: int, out_channels: int, *, shortcut: str) -> None:
        super().__init__()
        self.norm1 = group_norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = group_norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = shortcut if in_channels != out_channels else None
        if self.shortcut is not None:
            self.add_module(self.shortcut, nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = conv2d(swish_of(normalize(x, self.norm1)), self.conv1)
        y = conv2d(swish_of(normalize(y, self.norm2)), self.conv2)
        return y + (x if self.shortcut is None else self.get_submodule(self.shortcut)(x))


class Downsample(nn.Module):
    """Halve height and width: padding at the right and bottom only, convolution of stride 2.

    Shapes: [N, C, 2H, 2W] -> [N, C, H, W].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Repeat pixels, then convolve. [N, C, H, W] -> [N, C, 2H, 2W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return conv_after_nearest(x, self.conv)


def pixel_attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Attention between all pixels, [N, C, H, W] each -> [N, C, H, W]; C is split into heads."""
    batch, channels, height, width = q.shape
    q, k, v = (_tokens(x, heads) for x in (q, k, v))
    y = functional.scaled_dot_product_attention(q, k, v)  # [N, heads, H * W, C / heads]
    y = y.transpose(1, 2).reshape(batch, height, width, channels)
    return y.permute(0, 3, 1, 2)


def _tokens(x: Tensor, heads: int) -> Tensor:
    batch, channels, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(batch, height * width, heads, channels // heads)
    return x.transpose(1, 2)


class VectorQuantizer(nn.Module):
    """A codebook: the nearest entry for each pixel (van den Oord et al. 2017)."""

    def __init__(self, codebook_size: int, features: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codebook_size, features)

    def nearest(self, z: Tensor) -> Tensor:
        """Indices of the nearest entries, [N, features, H, W] -> int64 [N, H, W]."""
        rows = z.permute(0, 2, 3, 1)
        weight = self.embedding.weight
        # |z - e|^2 without |z|^2, which all entries share.
        distance = weight.square().sum(dim=1) - 2 * (rows @ weight.t())
        return distance.argmin(dim=-1)

    def look_up(self, codes: Tensor) -> Tensor:
        """The entries, int64 [N, H, W] -> [N, features, H, W]."""
        return functional.embedding(codes, self.embedding.weight).permute(0, 3, 1, 2)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Nearest entries and their indices; gradients pass to z as if nothing had happened."""
        codes = self.nearest(z)
        entries = self.look_up(codes)
        if torch.is_grad_enabled() and z.requires_grad:
            entries = z + (entries - z).detach()
        return entries, codes
