"""Settings of CycleGAN."""

from __future__ import annotations

from pydantic import Field

from .translation import TranslationConfig

_DRY_RESOLUTION = 64


class CycleGANConfig(TranslationConfig):
    """Two residual networks between two domains, and a discriminator in each."""

    needs = "domains"

    num_blocks: int = Field(default=9, ge=0, le=64, description="residual blocks of a generator")
    cycle_weight: float = Field(default=10.0, ge=0, description="weight of the cycle's L1 distance")
    identity_weight: float = Field(
        default=5.0, ge=0, description="weight of what a generator changes in its own target domain"
    )
    pool: int = Field(
        default=50, ge=0, le=10000, description="generated images kept for each discriminator"
    )

    def dry(self, ranks: int) -> dict[str, object]:
        """Smaller images, which the same networks take."""
        return super().dry(ranks) | {"resolution": min(self.resolution, _DRY_RESOLUTION)}
