"""Settings of pix2pix."""

from __future__ import annotations

from pydantic import Field

from .translation import TranslationConfig


class Pix2PixConfig(TranslationConfig):
    """U-Net from the first image of a pair to the second, against patches of both."""

    needs = "pairs"

    l1_weight: float = Field(default=100.0, ge=0, description="weight of the L1 distance")
    dropout: bool = Field(default=True, description="noise: dropout in the inner levels")
