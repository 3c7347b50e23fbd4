"""Settings of the GANs whose generator draws an image from z at once, with any loss."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..config import DRY_RESOLUTION, MAX_CHANNELS, RunConfig

Loss = Literal["minimax", "non-saturating", "hinge", "least-squares", "wasserstein", "relativistic"]


class GanConfig(RunConfig):
    """What all of them have: the game and its regularisers, which go together in any way."""

    z_dim: int = Field(default=100, ge=1, le=MAX_CHANNELS, description="features of z")
    conditional: bool = Field(
        default=False, description="labels in both networks; the data must have them"
    )
    loss: Loss = Field(default="non-saturating", description="of both networks")
    d_steps: int = Field(
        default=1, ge=1, le=1000, description="steps of the discriminator for one of the generator"
    )
    beta1: float = Field(default=0.5, ge=0, lt=1, description="decay of Adam's first moment")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="decay of Adam's second moment")
    r1_gamma: float = Field(default=0.0, ge=0, description="weight of R1, on reals; 0: off")
    r2_gamma: float = Field(default=0.0, ge=0, description="weight of R2, on fakes; 0: off")
    gp_weight: float = Field(
        default=0.0, ge=0, description="weight of WGAN-GP's gradient penalty; 0: off"
    )
    bcr_weight: float = Field(
        default=0.0, ge=0, description="weight of consistency under flips and shifts; 0: off"
    )
    spectral_norm: bool = Field(
        default=False, description="divide the discriminator's weights by their spectral norms"
    )

    @property
    def gradient_penalised(self) -> bool:
        """Whether the gradient of each sample by itself enters the loss."""
        return max(self.r1_gamma, self.r2_gamma, self.gp_weight) > 0

    def dry(self, ranks: int) -> dict[str, object]:
        """A step of the generator in each step."""
        return super().dry(ranks) | {"d_steps": 1}


class MlpGanConfig(GanConfig):
    """Two perceptrons."""

    hidden: int = Field(
        default=1024, ge=1, le=MAX_CHANNELS, description="features of the generator's layers"
    )
    d_hidden: int = Field(
        default=256, ge=1, le=MAX_CHANNELS, description="features of the discriminator's layers"
    )
    num_layers: int = Field(default=2, ge=1, le=16, description="hidden layers of each")
    pieces: int = Field(
        default=2, ge=1, le=16, description="linear pieces of the discriminator's maxout units"
    )


class DcganConfig(GanConfig):
    """DCGAN; with labels a conditional one."""

    channel_base: int = Field(
        default=2048, ge=8, le=2**24, description="channels at resolution r: channel_base / r"
    )
    channel_max: int = Field(
        default=512, ge=1, le=MAX_CHANNELS, description="and at most this many"
    )
    d_norm: Literal["batch", "layer", "none"] = Field(
        default="batch", description="normalisation in the discriminator"
    )
    labels: Literal["concat", "projection"] = Field(
        default="concat",
        description="how labels enter the discriminator, if the run is conditional",
    )

    @model_validator(mode="after")
    def _check_norm(self) -> DcganConfig:
        if self.gradient_penalised and self.d_norm == "batch":
            raise ValueError(
                "r1_gamma, r2_gamma and gp_weight take each sample by itself, which d_norm=batch "
                "does not allow; set d_norm=layer or d_norm=none"
            )
        return self


class R3ganConfig(GanConfig):
    """The modern baseline: plain residual networks without normalisation."""

    channel_base: int = Field(
        default=16384, ge=8, le=2**24, description="channels at resolution r: channel_base / r"
    )
    channel_max: int = Field(
        default=256, ge=1, le=MAX_CHANNELS, description="and at most this many"
    )
    num_blocks: int = Field(default=2, ge=1, le=16, description="residual blocks per resolution")
    group_width: int = Field(
        default=16, ge=1, le=MAX_CHANNELS, description="channels in a group of the convolutions"
    )

    @model_validator(mode="after")
    def _check_spectral_norm(self) -> R3ganConfig:
        if self.spectral_norm:
            raise ValueError(
                "spectral_norm must be off here, as it divides by the norms of convolutions that "
                "this network starts at 0; r1_gamma and r2_gamma hold it"
            )
        return self

    def dry(self, ranks: int) -> dict[str, object]:
        """Smaller images, as these networks are as wide at the full size as below."""
        return super().dry(ranks) | {"resolution": min(self.resolution, DRY_RESOLUTION)}
