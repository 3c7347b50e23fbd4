"""Settings of the GANs that grow: PGGAN and StyleGAN1."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import Field, model_validator

from ..config import DRY_RESOLUTION, MAX_CHANNELS, MAX_KIMG, RunConfig
from .gan import Loss


class Stage(NamedTuple):
    """How far the networks have grown.

    Attributes:
        resolution: highest that takes part.
        alpha: weight of its image, 0..1; the rest is the image of the resolution before.
    """

    resolution: int
    alpha: float


class ProgressiveConfig(RunConfig):
    """What both have in common: the schedule of the growth, and the game.

    `start_resolution` alone trains for `stable_kimg`; then every next resolution fades in over
    `fade_kimg` and goes on for `stable_kimg`. Source: Karras et al. 2018, "Progressive growing of
    GANs for improved quality, stability, and variation", section 2 and appendix A.
    """

    start_resolution: int = Field(
        default=8, ge=4, description="at which the growth begins, a power of two"
    )
    fade_kimg: float = Field(
        default=600, ge=0, le=MAX_KIMG, description="over which a resolution fades in"
    )
    stable_kimg: float = Field(
        default=600, ge=0, le=MAX_KIMG, description="of each resolution before the next comes in"
    )
    z_dim: int = Field(default=512, ge=1, le=MAX_CHANNELS, description="features of z")
    channel_base: int = Field(
        default=8192, ge=8, le=2**24, description="channels at resolution r: channel_base / r"
    )
    channel_max: int = Field(
        default=512, ge=1, le=MAX_CHANNELS, description="and at most this many"
    )
    stddev_group: int = Field(
        default=4, ge=1, le=64, description="samples that share a minibatch standard deviation"
    )
    loss: Loss = Field(description="of both networks")
    gp_weight: float = Field(
        default=0.0, ge=0, description="weight of WGAN-GP's gradient penalty; 0: off"
    )
    drift_weight: float = Field(
        default=0.0, ge=0, description="weight of D's mean squared logit of real images; 0: off"
    )
    r1_gamma: float = Field(default=0.0, ge=0, description="weight of R1, on reals; 0: off")

    @model_validator(mode="after")
    def _check_growth(self) -> ProgressiveConfig:
        start = self.start_resolution
        if start & (start - 1) or start > self.resolution:
            raise ValueError(
                f"start_resolution must be a power of two of 4..{self.resolution}, got {start}"
            )
        if self.total_kimg < self.growth_kimg:
            raise ValueError(
                f"total_kimg must be at least {self.growth_kimg:g}, when {self.resolution} px has "
                f"faded in (stable_kimg {self.stable_kimg:g}, fade_kimg {self.fade_kimg:g}), "
                f"got {self.total_kimg:g}"
            )
        return self

    @property
    def group(self) -> int:
        """Samples that share a minibatch standard deviation."""
        return min(self.stddev_group, self.batch)

    @property
    def growth_kimg(self) -> float:
        """After which the last resolution has faded in."""
        doublings = (self.resolution // self.start_resolution).bit_length() - 1
        return doublings * (self.stable_kimg + self.fade_kimg)

    def stage(self, step: int) -> Stage:
        """How far the networks have grown in step number `step`, from 0."""
        seen = step * self.batch
        stable, fade = round(self.stable_kimg * 1000), round(self.fade_kimg * 1000)
        resolution = self.start_resolution
        while resolution < self.resolution and seen >= stable:
            resolution *= 2
            seen -= stable
            if seen < fade:
                return Stage(resolution, min(1.0, (seen + self.batch) / fade))
            seen -= fade
        return Stage(resolution, 1.0)

    def dry(self, ranks: int) -> dict[str, object]:
        """One step before a resolution, the last one if it is low, and one while it fades in."""
        changes = super().dry(ranks)
        step_kimg = changes["tick_kimg"]
        assert isinstance(step_kimg, float)
        return changes | {
            "start_resolution": max(4, min(self.resolution, DRY_RESOLUTION) // 2),
            "stable_kimg": step_kimg,
            "fade_kimg": 2 * step_kimg,
        }


class PgganConfig(ProgressiveConfig):
    """PGGAN."""


class StyleGAN1Config(ProgressiveConfig):
    """StyleGAN1."""

    w_dim: int = Field(default=512, ge=1, le=MAX_CHANNELS, description="features of w")
    mapping_layers: int = Field(default=8, ge=1, le=32, description="layers between z and w")
    style_mixing: float = Field(
        default=0.9, ge=0, le=1, description="share of samples with two styles"
    )
    w_avg_beta: float = Field(default=0.995, ge=0, lt=1, description="decay of the mean w")
