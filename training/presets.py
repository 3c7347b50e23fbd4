"""The table of training presets: one row per run, every number that matters visible.

The `stylegan2-faces-*` rows are small enough for two CPU cores and share their channel counts per
resolution, so that each starts from the one before (`init=RUN`): most images are then seen at 16
and 32 pixels, where they are cheap.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..core.errors import InputError
from .config import RunConfig, nearest
from .configs.restorer import RestorerConfig
from .configs.stylegan2 import StyleGAN2Config


@dataclass(frozen=True)
class Preset:
    """One row: a name, one line for `ganvas train --list`, and the settings."""

    name: str
    summary: str
    config: RunConfig


def _faces(resolution: int, total_kimg: float, r1_gamma: float) -> StyleGAN2Config:
    """Small networks; no path length, which costs time that a CPU does not have."""
    return StyleGAN2Config(
        resolution=resolution,
        total_kimg=total_kimg,
        batch=32,
        lr=0.0025,
        z_dim=128,
        w_dim=128,
        mapping_layers=4,
        channel_base=2048,
        channel_max=128,
        r1_gamma=r1_gamma,
        r1_interval=16,
        pl_weight=0.0,
        style_mixing=0.5,
        ema_kimg=5,
        snapshot_kimg=20,
        amp="bf16",
    )


def _published(resolution: int, batch: int, r1_gamma: float) -> StyleGAN2Config:
    """Published widths with ADA, whose rule for r1_gamma is 0.0002 resolution^2 / batch."""
    return StyleGAN2Config(
        resolution=resolution,
        total_kimg=25000,
        batch=batch,
        lr=0.0025,
        channel_base=16384,
        r1_gamma=r1_gamma,
        ema_kimg=10,
        amp="bf16",
        augment="ada",
        conv_clamp=256,
    )


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "stylegan2-faces-16",
            "StyleGAN2 for two CPU cores, 16 px: first stage of the demo generator",
            _faces(resolution=16, total_kimg=67, r1_gamma=0.02),
        ),
        Preset(
            "stylegan2-faces-32",
            "StyleGAN2 for two CPU cores, 32 px: second stage (init=the 16 px run)",
            _faces(resolution=32, total_kimg=43, r1_gamma=0.05),
        ),
        Preset(
            "stylegan2-faces-64",
            "StyleGAN2 for two CPU cores, 64 px: the demo generator (init=the 32 px run)",
            _faces(resolution=64, total_kimg=63, r1_gamma=0.1),
        ),
        Preset(
            "stylegan2-64",
            "StyleGAN2 at 64 px, published widths, for a GPU",
            _published(resolution=64, batch=64, r1_gamma=0.0128),
        ),
        Preset(
            "stylegan2-128",
            "StyleGAN2 at 128 px, published widths, for a GPU",
            _published(resolution=128, batch=32, r1_gamma=0.1024),
        ),
        Preset(
            "stylegan2-256",
            "StyleGAN2 at 256 px, published widths, for one large GPU or several",
            _published(resolution=256, batch=32, r1_gamma=0.4096),
        ),
        Preset(
            "restore-unet",
            "U-Net that restores degraded 64 px faces, L1 and PatchGAN, for two CPU cores",
            RestorerConfig(
                resolution=64,
                total_kimg=50,
                batch=16,
                lr=0.0005,
                lr_d=0.0002,
                base_channels=24,
                channel_max=96,
                num_levels=4,
                ema_kimg=5,
                snapshot_kimg=20,
                amp="bf16",
            ),
        ),
    )
}


def find_preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
        InputError: unknown, with the nearest names.
    """
    if name not in PRESETS:
        raise InputError(f"train: unknown preset {name!r}; {nearest(name, list(PRESETS))}")
    return PRESETS[name]
