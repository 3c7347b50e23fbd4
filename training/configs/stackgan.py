"""Settings of StackGAN."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..config import MAX_CHANNELS, MAX_KIMG, RunConfig
from .gan import Loss


class StackGanConfig(RunConfig):
    """Two stages of DCGAN-like networks, conditioned on labels."""

    noise_dim: int = Field(default=100, ge=1, le=MAX_CHANNELS, description="features of the noise")
    embed_dim: int = Field(
        default=32, ge=1, le=MAX_CHANNELS, description="features of the augmented labels"
    )
    channel_base: int = Field(
        default=2048, ge=8, le=2**24, description="channels at resolution r: channel_base / r"
    )
    channel_max: int = Field(
        default=512, ge=1, le=MAX_CHANNELS, description="and at most this many"
    )
    num_blocks: int = Field(
        default=2, ge=1, le=16, description="residual blocks of the second stage"
    )
    d_norm: Literal["batch", "layer", "none"] = Field(
        default="batch", description="normalisation in the discriminators"
    )
    loss: Loss = Field(default="non-saturating", description="of all networks")
    beta1: float = Field(default=0.5, ge=0, lt=1, description="decay of Adam's first moment")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="decay of Adam's second moment")
    stage1_kimg: float = Field(
        ge=0, le=MAX_KIMG, description="the first stage alone until here, the second one from here"
    )
    kl_weight: float = Field(
        default=0.05,
        ge=0,
        description="price of conditioning far from standard normal; 1 in the paper",
    )
    agree_weight: float = Field(
        default=10.0,
        ge=0,
        description="price of a second stage that, halved, departs from the first; 0: as published",
    )

    @model_validator(mode="after")
    def _check_stages(self) -> StackGanConfig:
        if self.resolution < 16:
            raise ValueError(f"resolution must be 16 or more for two stages, got {self.resolution}")
        return self

    def dry(self, ranks: int) -> dict[str, object]:
        """A step of each stage."""
        changes = super().dry(ranks)
        batch = changes["batch"]
        assert isinstance(batch, int)
        return changes | {"stage1_kimg": batch / 1000}
