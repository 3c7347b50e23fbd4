"""Settings of StyleGAN2."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..config import DRY_RESOLUTION, MAX_CHANNELS, RunConfig

STDDEV_GROUP = 4  # samples that share one minibatch standard deviation


class StyleGAN2Config(RunConfig):
    """StyleGAN2 with optional ADA or DiffAugment, with or without labels."""

    conditional: bool = Field(
        default=False, description="labels in both networks; the data must have them"
    )
    z_dim: int = Field(default=512, ge=1, le=MAX_CHANNELS, description="features of z")
    w_dim: int = Field(default=512, ge=1, le=MAX_CHANNELS, description="features of w")
    mapping_layers: int = Field(
        default=8, ge=1, le=32, description="layers between z and w, and from a label to D's logit"
    )
    channel_base: int = Field(
        default=32768, ge=8, le=2**24, description="channels at resolution r: channel_base / r"
    )
    channel_max: int = Field(
        default=512, ge=1, le=MAX_CHANNELS, description="and at most this many"
    )
    conv_clamp: float | None = Field(
        default=None, gt=0, description="bound of every activation; none: no bound"
    )
    style_mixing: float = Field(
        default=0.9, ge=0, le=1, description="share of samples with two styles"
    )
    r1_gamma: float = Field(ge=0, description="weight of R1; 0: off")
    r1_interval: int = Field(default=16, ge=1, description="steps between R1 steps")
    r1_batch_shrink: int = Field(default=1, ge=1, description="R1 on 1/n of the batch")
    pl_weight: float = Field(default=2.0, ge=0, description="weight of the path length; 0: off")
    pl_interval: int = Field(default=4, ge=1, description="steps between path length steps")
    pl_batch_shrink: int = Field(default=2, ge=1, description="path length on 1/n of the batch")
    pl_decay: float = Field(
        default=0.01, gt=0, le=1, description="weight of a new mean path length in the running one"
    )
    w_avg_beta: float = Field(default=0.995, ge=0, lt=1, description="decay of the mean w")
    augment: Literal["none", "ada", "diffaugment"] = Field(
        default="none", description="of what the discriminator sees"
    )
    augment_p: float = Field(default=0.0, ge=0, le=1, description="ADA's probability at the start")
    ada_target: float = Field(
        default=0.6, ge=-1, le=1, description="wanted mean sign of D(real); 0: fixed p"
    )
    ada_interval: int = Field(default=4, ge=1, description="steps between moves of p")
    ada_kimg: float = Field(
        default=500.0, gt=0, description="p goes from 0 to 1 in this many kimg at most"
    )

    @property
    def group(self) -> int:
        """Samples that share a minibatch standard deviation."""
        return min(STDDEV_GROUP, self.batch)

    def dry(self, ranks: int) -> dict[str, object]:
        """Every regulariser in the first step, at a low resolution."""
        return super().dry(ranks) | {
            "resolution": min(self.resolution, DRY_RESOLUTION),
            "r1_interval": 2,
            "pl_interval": 2,
            "ada_interval": 1,
        }
