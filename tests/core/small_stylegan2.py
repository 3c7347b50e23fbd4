"""A StyleGAN2 generator of a few channels with random weights."""

from __future__ import annotations

import torch
from torch import nn

from ganvas.core.models.stylegan2 import Generator


def small_generator(c_dim: int = 0, seed: int = 0) -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Generator(
            z_dim=12,
            c_dim=c_dim,
            w_dim=16,
            img_resolution=16,
            channel_base=128,
            channel_max=24,
            num_mapping_layers=2,
        )
        for name, parameter in net.named_parameters():
            if name.endswith("noise_strength"):
                nn.init.constant_(parameter, 0.3)
        net.mapping.w_avg.normal_()
    return net.eval().requires_grad_(False)
