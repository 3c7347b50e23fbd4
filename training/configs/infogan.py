"""Settings of InfoGAN."""

from __future__ import annotations

from pydantic import Field, model_validator

from ..config import MAX_CHANNELS
from .gan import DcganConfig


class InfoGanConfig(DcganConfig):
    """DCGAN with codes that can be read off its images; it needs no labels."""

    z_dim: int = Field(default=62, ge=1, le=MAX_CHANNELS, description="features of the noise")
    num_categorical: int = Field(default=1, ge=1, le=64, description="categorical codes")
    num_categories: int = Field(default=10, ge=2, le=1024, description="values of each")
    num_continuous: int = Field(default=2, ge=0, le=1024, description="continuous codes")
    q_hidden: int = Field(
        default=128, ge=1, le=MAX_CHANNELS, description="features of the hidden layer of Q"
    )
    info_weight: float = Field(
        default=1.0, ge=0, description="weight of the information on categorical codes"
    )
    continuous_weight: float = Field(
        default=0.1, ge=0, description="weight of the information on continuous codes"
    )

    @model_validator(mode="after")
    def _check_labels(self) -> InfoGanConfig:
        if self.conditional:
            raise ValueError("conditional must be off: InfoGAN finds its categories without labels")
        return self
