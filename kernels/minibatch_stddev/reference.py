"""Minibatch standard deviation and its first derivative in plain PyTorch."""

import torch
from torch import Tensor


def minibatch_stddev(x: Tensor, group_size: int, num_channels: int, eps: float) -> Tensor:
    """See the public function; `group_size` divides N and `num_channels` divides C."""
    N, C, H, W = x.shape
    groups = x.reshape(group_size, N // group_size, num_channels, C // num_channels, H, W)
    groups = groups.to(torch.promote_types(x.dtype, torch.float32))
    variance = (groups - groups.mean(dim=0)).square().mean(dim=0)
    statistic = (variance + eps).sqrt().mean(dim=(2, 3, 4))  # [N / group_size, num_channels]
    maps = statistic.to(x.dtype).repeat(group_size, 1)[:, :, None, None]
    return torch.cat([x, maps.expand(N, num_channels, H, W)], dim=1)


def minibatch_stddev_backward(
    dy: Tensor, x: Tensor, group_size: int, num_channels: int, eps: float
) -> Tensor:
    """Gradient of x, in its dtype, from that of the result [N, C + num_channels, H, W]."""
    N, C, H, W = x.shape
    dtype = torch.promote_types(x.dtype, torch.float32)
    shape = (group_size, N // group_size, num_channels, C // num_channels, H, W)
    groups = x.reshape(shape).to(dtype)
    centred = groups - groups.mean(dim=0)
    deviation = (centred.square().mean(dim=0) + eps).sqrt()
    dstatistic = dy[:, C:].to(dtype).sum((2, 3)).reshape(shape[:3]).sum(0)
    # Each of C / num_channels * H * W deviations has that share of the mean, and each sample its
    # share of 1 / group_size of their variance; the mean's own gradient is zero.
    scale = dstatistic / (group_size * (C // num_channels) * H * W)
    dx = centred * (scale[:, :, None, None, None] / deviation)
    return (dx.reshape(x.shape) + dy[:, :C]).to(x.dtype)
