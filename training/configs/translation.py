"""Settings that systems translating images into images share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..config import MAX_CHANNELS, MAX_KIMG, RunConfig


class TranslationConfig(RunConfig):
    """Generators of images from images, against discriminators of patches."""

    ngf: int = Field(
        default=64, ge=1, le=MAX_CHANNELS, description="channels of the generator's first layer"
    )
    ndf: int = Field(
        default=64, ge=1, le=MAX_CHANNELS, description="channels of the discriminator's first layer"
    )
    d_layers: int = Field(
        default=3,
        ge=1,
        le=6,
        description="layers of stride 2: 1, 2, 3 see patches of 16, 34, 70 pixels",
    )
    loss: Literal["least-squares", "non-saturating", "hinge"] = Field(
        default="least-squares", description="adversarial loss"
    )
    gan_weight: float = Field(default=1.0, ge=0, description="its weight for the generator")
    decay_from_kimg: float = Field(
        default=0.0, ge=0, le=MAX_KIMG, description="the learning rates are constant until here"
    )
    decay_kimg: float = Field(
        default=0.0,
        ge=0,
        le=MAX_KIMG,
        description="and fall linearly to 0 in this time; 0: they do not fall",
    )
    ema_kimg: float = Field(default=1.0, ge=0, description="half-life of the weight average")
    heldout: int = Field(
        default=64,
        ge=2,
        description="images of the data, evenly spread, kept apart for errors in the log",
    )

    @model_validator(mode="after")
    def _check_patches(self) -> TranslationConfig:
        least = 3 * 2**self.d_layers  # as `core.models.patchgan.PatchGAN` asks
        if self.resolution < least:
            raise ValueError(
                f"resolution must be at least {least} with d_layers={self.d_layers}, "
                f"got {self.resolution}"
            )
        return self

    def dry(self, ranks: int) -> dict[str, object]:
        """Few held-out images."""
        return super().dry(ranks) | {"heldout": 4}

    def lr_factor(self, step: int) -> float:
        """What learning rates are multiplied with at a step: 1, then falling to 0."""
        over = step * self.batch / 1000 - self.decay_from_kimg
        return 1.0 if self.decay_kimg == 0 else max(0.0, 1 - max(0.0, over) / self.decay_kimg)
