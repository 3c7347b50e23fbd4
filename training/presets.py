"""The table of training presets: one row per run, every number that matters visible.

The `stylegan2-faces-*` rows are small enough for two CPU cores and share their channel counts per
resolution, so that each starts from the one before (`init=RUN`): most images are then seen at 16
and 32 pixels, where they are cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..core.errors import InputError
from .config import RunConfig, nearest
from .configs.cyclegan import CycleGANConfig
from .configs.gan import DcganConfig, MlpGanConfig, R3ganConfig
from .configs.infogan import InfoGanConfig
from .configs.pix2pix import Pix2PixConfig
from .configs.progressive import PgganConfig, StyleGAN1Config
from .configs.restorer import RestorerConfig
from .configs.stackgan import StackGanConfig
from .configs.stylegan2 import StyleGAN2Config
from .configs.vae import VAEConfig, VAEGANConfig


@dataclass(frozen=True)
class Preset:
    """One row: a name, one line for `ganvas train --list`, and the settings."""

    name: str
    summary: str
    config: RunConfig


def _compared(resolution: int) -> int:
    """Samples whose sliced Wasserstein distance is logged; none where that takes gigabytes."""
    return 256 if resolution <= 128 else 0


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
        swd_images=_compared(resolution),
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
        swd_images=_compared(resolution),
        amp="bf16",
        augment="ada",
        conv_clamp=256,
    )


# Of all three systems with an encoder and a decoder.
_AUTOENCODER: dict[str, Any] = {
    "resolution": 64,
    "batch": 32,
    "z_dim": 64,
    "base_channels": 32,
    "channel_max": 256,
    "warmup_kimg": 20,
    "ema_kimg": 5,
    "snapshot_kimg": 20,
    "swd_images": 256,
    "amp": "bf16",
}


def _translation(total_kimg: float) -> dict[str, Any]:
    """Published: learning rate 0.0002, falling over the second half; widths of 64; 70 px patches.

    `gan_weight=2` of the CycleGAN rows makes up for the half in our least squares loss.
    """
    return {
        "resolution": 256,
        "total_kimg": total_kimg,
        "lr": 0.0002,
        "decay_from_kimg": total_kimg / 2,
        "decay_kimg": total_kimg / 2,
        "snapshot_kimg": total_kimg / 10,
        "amp": "bf16",
    }


def _small_translation(total_kimg: float) -> dict[str, Any]:
    """Half the widths, and patches of 34 px, which are to 64 px what 70 px are to 128 px."""
    smaller = {"resolution": 64, "ngf": 32, "ndf": 32, "d_layers": 2}
    return _translation(total_kimg) | smaller


def _growth(resolution: int, phase_kimg: float) -> dict[str, Any]:
    """Equal phases of growth, and two more at the end."""
    doublings = resolution.bit_length() - 4
    total = (2 * doublings + 2) * phase_kimg
    return {"total_kimg": total, "fade_kimg": phase_kimg, "stable_kimg": phase_kimg}


def _pggan(resolution: int, batch: int, phase_kimg: float, channel_max: int) -> PgganConfig:
    """Wasserstein distance with gradient penalty and drift, as published."""
    return PgganConfig(
        resolution=resolution,
        batch=batch,
        lr=0.001,
        z_dim=channel_max,
        channel_base=16 * channel_max,
        channel_max=channel_max,
        loss="wasserstein",
        gp_weight=10.0,
        drift_weight=0.001,
        ema_kimg=10,
        swd_images=_compared(resolution),
        amp="bf16",
        **_growth(resolution, phase_kimg),
    )


def _stylegan1(
    resolution: int,
    batch: int,
    phase_kimg: float,
    channel_max: int,
    lr: float = 0.001,
    r1_gamma: float = 10.0,
) -> StyleGAN1Config:
    """Non-saturating loss with R1, of weight 10 as published, where nothing else is said."""
    return StyleGAN1Config(
        resolution=resolution,
        batch=batch,
        lr=lr,
        z_dim=channel_max,
        w_dim=channel_max,
        channel_base=16 * channel_max,
        channel_max=channel_max,
        loss="non-saturating",
        r1_gamma=r1_gamma,
        ema_kimg=10,
        swd_images=_compared(resolution),
        amp="bf16",
        **_growth(resolution, phase_kimg),
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
            _faces(resolution=64, total_kimg=195, r1_gamma=0.1),
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
            "pggan-64",
            "PGGAN grown from 8 to 64 px, small enough for two CPU cores",
            _pggan(resolution=64, batch=32, phase_kimg=40, channel_max=128),
        ),
        *(
            Preset(
                f"pggan-{resolution}",
                f"PGGAN grown from 8 to {resolution} px, published widths, for a GPU",
                _pggan(resolution=resolution, batch=batch, phase_kimg=600, channel_max=512),
            )
            for resolution, batch in ((128, 32), (256, 16), (512, 16), (1024, 16))
        ),
        Preset(
            "stylegan1-64",
            "StyleGAN1 grown from 8 to 64 px, small enough for two CPU cores",
            _stylegan1(
                resolution=64, batch=32, phase_kimg=40, channel_max=128, lr=0.002, r1_gamma=0.1
            ),
        ),
        *(
            Preset(
                f"stylegan1-{resolution}",
                f"StyleGAN1 grown from 8 to {resolution} px, published widths, for a GPU",
                _stylegan1(resolution=resolution, batch=batch, phase_kimg=600, channel_max=512),
            )
            for resolution, batch in ((256, 16), (1024, 16))
        ),
        Preset(
            "vae-64",
            "variational autoencoder at 64 px, for two CPU cores",
            VAEConfig(**_AUTOENCODER, total_kimg=300, lr=0.001, learn_scale=True),
        ),
        Preset(
            "cvae-64",
            "conditional variational autoencoder at 64 px, labels in encoder and decoder",
            VAEConfig(**_AUTOENCODER, total_kimg=300, lr=0.001, conditional=True),
        ),
        Preset(
            "vae-gan-64",
            "VAE-GAN at 64 px: likeness in a discriminator's features, sharper than vae-64",
            VAEGANConfig(**_AUTOENCODER, total_kimg=300, lr=0.0003),
        ),
        Preset(
            "pix2pix-64",
            "pix2pix at 64 px from pairs of images, for two CPU cores",
            Pix2PixConfig(**_small_translation(100), batch=8, loss="non-saturating"),
        ),
        Preset(
            "pix2pix-256",
            "pix2pix at 256 px, published widths, for a GPU",
            Pix2PixConfig(**_translation(80), batch=4, loss="non-saturating"),
        ),
        Preset(
            "cyclegan-64",
            "CycleGAN at 64 px between two domains of images, for two CPU cores",
            CycleGANConfig(**_small_translation(80), batch=4, num_blocks=4, gan_weight=2.0),
        ),
        Preset(
            "cyclegan-256",
            "CycleGAN at 256 px, published widths, for a GPU",
            CycleGANConfig(**_translation(200), batch=2, num_blocks=9, gan_weight=2.0),
        ),
        Preset(
            "mlp-gan",
            "The first GAN, two perceptrons, 32 px (Goodfellow et al. 2014)",
            MlpGanConfig(resolution=32, total_kimg=500, batch=64, lr=0.0002, swd_images=256),
        ),
        Preset(
            "dcgan-64",
            "DCGAN, 64 px (Radford et al. 2016); any loss and regulariser by key=value",
            DcganConfig(
                resolution=64, total_kimg=1000, batch=64, lr=0.0002, swd_images=256, amp="bf16"
            ),
        ),
        Preset(
            "cgan-64",
            "Conditional GAN, 64 px, for data with labels (labels=concat: Mirza and Osindero 2014)",
            DcganConfig(
                resolution=64,
                total_kimg=1000,
                batch=64,
                lr=0.0002,
                lr_d=0.0008,
                conditional=True,
                labels="projection",
                loss="hinge",
                d_norm="none",
                spectral_norm=True,
                swd_images=256,
                amp="bf16",
            ),
        ),
        Preset(
            "wgan-gp-64",
            "DCGAN as Wasserstein GAN with gradient penalty, 64 px (Gulrajani et al. 2017)",
            DcganConfig(
                resolution=64,
                total_kimg=5000,
                batch=64,
                lr=0.0001,
                beta1=0.0,
                beta2=0.9,
                loss="wasserstein",
                gp_weight=10,
                d_steps=5,
                d_norm="layer",
                swd_images=256,
                amp="bf16",
            ),
        ),
        Preset(
            "r3gan-64",
            "Modern baseline: relativistic loss with R1 and R2, 64 px (Huang et al. 2024)",
            R3ganConfig(
                resolution=64,
                total_kimg=5000,
                batch=64,
                z_dim=64,
                lr=0.0002,
                beta1=0.0,
                beta2=0.99,
                loss="relativistic",
                r1_gamma=1.0,
                r2_gamma=1.0,
                swd_images=256,
                amp="bf16",
            ),
        ),
        Preset(
            "infogan",
            "InfoGAN, 32 px: finds categories and directions without labels (Chen et al. 2016)",
            InfoGanConfig(
                resolution=32,
                total_kimg=500,
                batch=64,
                lr=0.001,
                lr_d=0.0002,
                mirror=False,
                swd_images=256,
            ),
        ),
        Preset(
            "stackgan-64",
            "StackGAN, 32 then 64 px, for data with labels (Zhang et al. 2017)",
            StackGanConfig(
                resolution=64,
                total_kimg=1000,
                stage1_kimg=400,
                batch=64,
                lr=0.0002,
                swd_images=256,
                amp="bf16",
            ),
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
