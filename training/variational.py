"""The evidence lower bound of a variational autoencoder: pure functions of tensors.

Source: Kingma and Welling 2013, "Auto-encoding variational Bayes", equation 10.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

ACTIVE = 0.01  # variance of a posterior mean over images from which on its unit counts as used
_GREY_STEP = 2 / 255  # distance of neighbouring grey levels on -1..1


class _Posterior(Protocol):
    """What an encoder gives; see `core.models.vae.Posterior`."""

    @property
    def mean(self) -> Tensor: ...
    @property
    def log_variance(self) -> Tensor: ...
    def sample(self, noise: Tensor) -> Tensor:
        """Latents [N, z_dim] for standard normal noise [N, z_dim]."""
        ...


class Autoencoder(Protocol):
    """What the bound is taken of; see `core.models.vae.VAE`."""

    @property
    def log_scale(self) -> Tensor: ...
    def encode(self, img: Tensor, c: Tensor | None = None) -> _Posterior:
        """The posterior of images."""
        ...

    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The mean image of latents."""
        ...


class Evidence(NamedTuple):
    """The two sides of the bound, in nats.

    Attributes:
        log_likelihood: log p(x | z, c) of each image at one sampled z, [N].
        kl: KL(q(z | x, c) || p(z)) of each image and latent dimension, [N, z_dim].
    """

    log_likelihood: Tensor
    kl: Tensor

    @property
    def bound(self) -> Tensor:
        """The evidence lower bound of each image, [N]."""
        return self.log_likelihood - self.kl.sum(dim=1)

    def objective(self, beta: float, free_nats: float) -> Tensor:
        """What training raises, [N]: the bound, with a weight on its KL divergence.

        Args:
            beta: weight of the divergence (Higgins et al. 2017); 1 gives the bound itself.
            free_nats: nats of every latent dimension that cost nothing ("free bits", Kingma et al.
                2016, appendix C.8), counted for each image alone, so that no image's loss depends
                on the batch it is in.
        """
        cost = self.kl.clamp(min=free_nats) if free_nats > 0 else self.kl
        return self.log_likelihood - beta * cost.sum(dim=1)


def evidence(
    network: Autoencoder, img: Tensor, c: Tensor | None, noise: Tensor
) -> tuple[Evidence, Tensor]:
    """The bound of images at one sampled latent each, and the mean images of these latents.

    Args:
        network: encoder, decoder and the likelihood's deviation.
        img: [N, ...] on the decoder's scale.
        c: labels [N, c_dim], or None.
        noise: standard normal [N, z_dim].
    """
    posterior = network.encode(img, c)
    mean = network.decode(posterior.sample(noise), c)
    likelihood = log_likelihood(img, mean, network.log_scale)
    return Evidence(likelihood, kl_divergence(posterior.mean, posterior.log_variance)), mean


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)), element by element.

    Source: Kingma and Welling 2013, appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def log_likelihood(img: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log density of images under N(mean, exp(log_scale)^2) for every number, summed: [N].

    Args:
        img, mean: [N, ...]; low precision is raised to float32.
        log_scale: scalar.
    """
    precise = torch.promote_types(mean.dtype, torch.float32)
    error = (img.to(precise) - mean.to(precise)).flatten(1) * (-log_scale).exp()
    constant = log_scale + 0.5 * math.log(2 * math.pi)
    return -(0.5 * error.square() + constant).sum(dim=1)


def bits_per_dim(bound: Tensor, numbers: int) -> Tensor:
    """Bits for each 8-bit number of images on -1..1, from a bound on their log density in nats.

    The density is taken as constant over a grey level, which holds for deviations above it.
    """
    return -(bound / numbers + math.log(_GREY_STEP)) / math.log(2)


def active_units(means: Tensor) -> int:
    """Latent dimensions whose posterior mean varies over images, of means [N, z_dim].

    One that does not vary carries nothing: when all are so, the posterior has collapsed.
    Source: Burda et al. 2015, "Importance weighted autoencoders", section 5.2.
    """
    return int((means.float().var(dim=0, correction=0) > ACTIVE).sum())
