"""Settings of the first restorer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..config import MAX_CHANNELS, RunConfig


class RestorerConfig(RunConfig):
    """U-Net that restores degraded faces, against a PatchGAN discriminator."""

    base_channels: int = Field(
        default=32, ge=1, le=MAX_CHANNELS, description="at full size; twice as many a level below"
    )
    channel_max: int = Field(
        default=128, ge=1, le=MAX_CHANNELS, description="and at most this many"
    )
    num_levels: int = Field(default=4, ge=1, le=8, description="resolutions of the U-Net")
    d_channels: int = Field(
        default=32, ge=1, le=MAX_CHANNELS, description="of the discriminator's first layer"
    )
    l1_weight: float = Field(default=1.0, gt=0, description="weight of the L1 distance")
    gan_weight: float = Field(
        default=0.02, ge=0, description="weight of the GAN loss; 0: no D at all"
    )
    gan_start_kimg: float = Field(default=20.0, ge=0, description="L1 alone until here")
    r1_gamma: float = Field(default=1.0, ge=0, description="weight of R1; 0: off")
    r1_interval: int = Field(default=16, ge=1, description="steps between R1 steps")
    strength: Literal["light", "default", "heavy"] = Field(
        default="default", description="damage around which the training pairs lie"
    )
    spread: float = Field(default=0.8, ge=0, le=1, description="how far they lie around it")
    clean_share: float = Field(default=0.1, ge=0, le=1, description="share of inputs left clean")
    heldout: int = Field(
        default=64,
        ge=2,
        description="faces of the data, evenly spread, kept apart for the PSNR in the log",
    )

    def dry(self, ranks: int) -> dict[str, object]:
        """The adversary, and its regulariser, from the first step on."""
        return super().dry(ranks) | {"r1_interval": 1, "gan_start_kimg": 0.0, "heldout": 4}
