"""A VAE-GAN under training: three networks, each with an optimizer of its own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...core.models.vae import VAE, Decoder, Encoder
from ...core.models.vae_gan import FeatureDiscriminator
from ..configs.vae import VAEGANConfig
from ..distributed import Ranks
from ..feed import Batch, Feed
from ..losses import LOSSES
from ..streams import Stream
from ..system import Trained, initial_weights
from ..variational import Evidence, kl_divergence
from .autoencoder import AutoencoderSystem, new_vae
from .vae import weight_of_kl

_BETAS = (0.5, 0.99)
_GAME = LOSSES["non-saturating"]


class VAEGANSystem(AutoencoderSystem):
    """Encoder, decoder and discriminator; likeness is measured in the discriminator's features.

    With features f of the discriminator and a reconstruction x', the likelihood is that of f(x)
    under N(f(x'), 1). The encoder lowers its negative logarithm and the KL divergence, the decoder
    the former times gamma and the GAN loss of reconstructions and samples, the discriminator the
    GAN loss. All likelihood terms are divided by the number of features.
    Source: Larsen et al. 2016, algorithm 1; the GAN loss here is the non-saturating one.

    Raises:
        InputError: the settings ask for labels, which the data lack.
    """

    config: VAEGANConfig

    def __init__(self, config: VAEGANConfig, feed: Feed, ranks: Ranks) -> None:
        self.vae = new_vae(config, feed)
        self.vae.log_scale.requires_grad_(False)  # the likelihood is not one of pixels
        levels = config.resolution.bit_length() - 4
        with initial_weights(config.seed + 1):
            self.d = FeatureDiscriminator(
                img_resolution=config.resolution,
                img_channels=self.vae.config.img_channels,
                base_channels=config.d_channels,
                channel_max=config.channel_max,
                feature_level=min(config.feature_level, levels),
            )
        lr_d = config.lr if config.lr_d is None else config.lr_d
        networks = {
            "E": Trained(self.vae.encoder, config.lr, _BETAS),
            "G": Trained(self.vae.decoder, config.lr, _BETAS),
            "D": Trained(self.d, lr_d, _BETAS),
        }
        super().__init__(config, feed, ranks, networks, {"EMA_E": "E", "EMA": "G"})

    @property
    def averaged(self) -> VAE:
        """The weight averages of encoder and decoder."""
        vae = VAE.from_config(self.vae.config).to("meta")
        encoder, decoder = self.averages["EMA_E"], self.averages["EMA"]
        assert isinstance(encoder, Encoder) and isinstance(decoder, Decoder)
        vae.encoder, vae.decoder = encoder, decoder
        return vae

    def weights_of(self, path: Path) -> dict[str, dict[str, Tensor]]:
        """An autoencoder's encoder and decoder, each for its network and average."""
        state = super().weights_of(path)["G"]
        encoder, decoder = (
            {key.removeprefix(part): value for key, value in state.items() if key.startswith(part)}
            for part in ("encoder.", "decoder.")
        )
        return {"E": encoder, "EMA_E": encoder, "G": decoder, "EMA": decoder}

    def step(self, step: int) -> None:
        """Discriminator, then encoder and decoder, then the weight averages."""
        drawn = [self._draw(part) for part in self.feed.batch(step)]
        self.d.requires_grad_(True)
        for draw in drawn:
            self._accumulate_discriminator(draw, len(drawn))
        self.update("D")
        self.d.requires_grad_(False)
        beta = weight_of_kl(self.config, step)
        for draw in drawn:
            self._accumulate_autoencoder(draw, beta, len(drawn))
        self.update("E")
        self.update("G")
        self.average(step)

    def _draw(self, part: Batch) -> _Draw:
        return _Draw(
            self.reals(part.images),
            self.labels(part),
            self.noise(Stream.POSTERIOR, part.sample),
            self.noise(Stream.PRIOR, part.sample),
        )

    def _accumulate_discriminator(self, draw: _Draw, parts: int) -> None:
        """Real images against reconstructions and samples, which count as one set."""
        with self.autocast():
            with torch.no_grad():
                rebuilt = self.vae.decode(
                    self.vae.encode(draw.img, draw.c).sample(draw.noise), draw.c
                )
                fakes = torch.cat([rebuilt, self.vae.decode(draw.z, draw.c)])
            real_logits, _ = self.d(draw.img)
            fake_logits, _ = self.d(fakes)
        loss = _GAME.discriminator(real_logits, fake_logits)
        (loss / parts).backward()
        self.meter.add("loss_d", loss)
        self.meter.add_distribution("logits_real", real_logits)
        self.meter.add_distribution("logits_fake", fake_logits)

    def _accumulate_autoencoder(self, draw: _Draw, beta: float, parts: int) -> None:
        """The two losses, each backward into its own network alone."""
        config = self.config
        with self.autocast():
            with torch.no_grad():
                real_logits, wanted = self.d(draw.img)
            posterior = self.vae.encode(draw.img, draw.c)
            rebuilt = self.vae.decode(posterior.sample(draw.noise), draw.c)
            logits, features = self.d(rebuilt)
            sample_logits, _ = self.d(self.vae.decode(draw.z, draw.c))
        count = features.shape[1]
        unlikeness = 0.5 * (features.float() - wanted.float()).square().sum(dim=1)
        found = Evidence(-unlikeness, kl_divergence(*posterior))
        loss_e = -found.objective(beta, config.free_nats).mean() / count
        loss_gan = _GAME.generator(torch.cat([logits, sample_logits]), real_logits)
        loss_g = config.gamma * unlikeness.mean() / count + loss_gan
        _backward(loss_e / parts, self.vae.encoder, keep=True)
        _backward(loss_g / parts, self.vae.decoder, keep=False)
        self.meter.add("kl", found.kl.sum(dim=1))
        self.meter.add("feature_distance", unlikeness / count)
        self.meter.add("loss_g", loss_gan)


class _Draw(NamedTuple):
    """A part of the batch on the device: images, labels, noise of posteriors, latents."""

    img: Tensor
    c: Tensor | None
    noise: Tensor
    z: Tensor


def _backward(loss: Tensor, network: nn.Module, *, keep: bool) -> None:
    """Add the loss's gradients to the parameters of one network."""
    inputs = [parameter for parameter in network.parameters() if parameter.requires_grad]
    torch.autograd.backward(loss, inputs=inputs, retain_graph=keep)
