"""Minibatch standard deviation in plain PyTorch."""

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
