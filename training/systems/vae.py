"""A variational autoencoder under training, with or without labels."""

from __future__ import annotations

import torch

from ...core.models.vae import VAE
from ..configs.vae import AutoencoderConfig, VAEConfig
from ..distributed import Ranks
from ..feed import Feed
from ..report import Headline
from ..streams import Stream
from ..system import Trained
from ..variational import bits_per_dim, evidence
from .autoencoder import CHUNK, AutoencoderSystem, new_vae, rows_of

_BETAS = (0.9, 0.999)


class VAESystem(AutoencoderSystem):
    """Encoder and decoder, raising the evidence lower bound together.

    Source: Kingma and Welling 2013, "Auto-encoding variational Bayes"; with labels, Sohn et al.
    2015, "Learning structured output representation using deep conditional generative models".

    Raises:
        InputError: the settings ask for labels, which the data lack.
    """

    config: VAEConfig
    headline = Headline("elbo", higher_is_better=True)

    def __init__(self, config: VAEConfig, feed: Feed, ranks: Ranks) -> None:
        self.vae = new_vae(config, feed)
        with torch.no_grad():
            self.vae.log_scale.fill_(config.scale).log_()
        self.vae.log_scale.requires_grad_(config.learn_scale)
        networks = {"G": Trained(self.vae, config.lr, _BETAS)}
        super().__init__(config, feed, ranks, networks, {"EMA": "G"})

    @property
    def averaged(self) -> VAE:
        """The weight average of encoder and decoder."""
        average = self.averages["EMA"]
        assert isinstance(average, VAE)
        return average

    def step(self, step: int) -> None:
        """One step on the bound, in nats for each number of an image, then the weight average."""
        config = self.config
        beta = weight_of_kl(config, step)
        batch = self.feed.batch(step)
        for part in batch:
            img = self.reals(part.images)
            noise = self.noise(Stream.POSTERIOR, part.sample)
            with self.autocast():
                found, _ = evidence(self.vae, img, self.labels(part), noise)
            objective = found.objective(beta, config.free_nats).mean() / img[0].numel()
            (-objective / len(batch)).backward()
            self.meter.add("elbo", found.bound)
            self.meter.add("kl", found.kl.sum(dim=1))
        self.meter.add("scale", self.vae.log_scale.exp())
        self.update("G")
        self.average(step)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Also the bound on held-out images: in nats an image, and in bits a number."""
        img, c, sample = self.heldout()
        noise = self.noise(Stream.HELDOUT, sample)
        bounds = [
            evidence(self.averaged, img[part], rows_of(c, part), noise[part])[0].bound
            for part in torch.arange(len(img)).split(CHUNK)
        ]
        bound = torch.cat(bounds).double().mean()
        return {
            "elbo": float(bound),
            "bits_per_dim": float(bits_per_dim(bound, img[0].numel())),
            "scale": float(self.averaged.log_scale.exp()),
            **super().evaluate(),
        }


def weight_of_kl(config: AutoencoderConfig, step: int) -> float:
    """Beta at a step: it rises linearly from 0 over `warmup_kimg`."""
    warmup = config.warmup_kimg * 1000
    return config.beta * min(1.0, step * config.batch / warmup) if warmup else config.beta
