"""Settings of variational autoencoders: VAE, conditional VAE and VAE-GAN."""

from __future__ import annotations

from pydantic import Field

from ..config import MAX_CHANNELS, MAX_KIMG, RunConfig


class AutoencoderConfig(RunConfig):
    """What all of them have: an encoder, a decoder, and a price on the latents."""

    z_dim: int = Field(default=128, ge=1, le=MAX_CHANNELS, description="latent dimensions")
    conditional: bool = Field(
        default=False, description="labels in the encoder and the decoder; the data must have them"
    )
    base_channels: int = Field(
        default=32, ge=1, le=MAX_CHANNELS, description="at half size; twice as many a level below"
    )
    channel_max: int = Field(
        default=256, ge=1, le=MAX_CHANNELS, description="and at most this many"
    )
    beta: float = Field(default=1.0, ge=0, description="weight of the KL divergence")
    warmup_kimg: float = Field(
        default=0.0, ge=0, le=MAX_KIMG, description="the weight rises from 0 in this time"
    )
    free_nats: float = Field(
        default=0.0, ge=0, description="nats of each latent dimension that cost nothing"
    )
    heldout: int = Field(
        default=256,
        ge=2,
        description="images of the data, evenly spread, kept apart for the bound in the log",
    )

    def dry(self, ranks: int) -> dict[str, object]:
        """Few held-out images."""
        return super().dry(ranks) | {"heldout": 8}


class VAEConfig(AutoencoderConfig):
    """Variational autoencoder with a normal likelihood of pixels, with or without labels."""

    scale: float = Field(
        default=0.2,
        gt=0,
        le=10,
        description="standard deviation of a pixel's likelihood on -1..1, at the start",
    )
    learn_scale: bool = Field(default=True, description="learn that deviation; off: it is fixed")


class VAEGANConfig(AutoencoderConfig):
    """VAE whose likelihood is one of a discriminator's features, and whose decoder is a GAN's."""

    d_channels: int = Field(
        default=32, ge=1, le=MAX_CHANNELS, description="of the discriminator's first layer"
    )
    feature_level: int = Field(
        default=2, ge=0, le=8, description="level of the features; 0 is half the size"
    )
    gamma: float = Field(
        default=1.0, ge=0, description="weight of likeness against the GAN loss, for the decoder"
    )
