"""The losses of the adversarial game: pure functions of logits, and a table of them by name.

Logits are [N, ...], higher where the discriminator takes an image for real. Every loss is a scalar
in float32 or the logits' own higher precision, and is minimised by its network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Adversarial:
    """One adversarial game.

    Attributes:
        discriminator: its loss, of the logits of real and of fake images.
        generator: its loss, of the logits of fake and of real images.
        paired: whether the generator's loss looks at the real images' logits, sample by sample.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    paired: bool = False


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Logistic loss of the discriminator: mean softplus(-D(x)) + mean softplus(D(G(z))).

    Shapes: [N, 1] each -> scalar, float32. Source: Goodfellow et al. 2014, equation 1.
    """
    return (
        functional.softplus(-at_least_float32(real_logits)).mean()
        + functional.softplus(at_least_float32(fake_logits)).mean()
    )


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating loss of the generator: mean softplus(-D(G(z))).

    Shapes: [N, 1] -> scalar, float32. Source: Goodfellow et al. 2014, section 3.
    """
    return functional.softplus(-at_least_float32(fake_logits)).mean()


def minimax_generator_loss(fake_logits: Tensor) -> Tensor:
    """Mean log(1 - sigmoid(D(G(z)))), which is -softplus(D(G(z))): vanishing where D is sure.

    Source: Goodfellow et al. 2014, equation 1.
    """
    return -functional.softplus(at_least_float32(fake_logits)).mean()


def hinge_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Mean max(0, 1 - D(x)) + mean max(0, 1 + D(G(z))).

    Source: Lim and Ye 2017, "Geometric GAN"; Miyato et al. 2018, "Spectral normalization for
    generative adversarial networks", equation 16.
    """
    real, fake = at_least_float32(real_logits), at_least_float32(fake_logits)
    return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()


def critic_generator_loss(fake_logits: Tensor) -> Tensor:
    """-mean D(G(z)), the generator's half of the hinge loss and of the Wasserstein distance.

    Source: Arjovsky et al. 2017, algorithm 1; Miyato et al. 2018, equation 17.
    """
    return -at_least_float32(fake_logits).mean()


def least_squares_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Half the mean squared distances of D(x) to 1 and of D(G(z)) to 0.

    Source: Mao et al. 2017, "Least squares generative adversarial networks", equation 9.
    """
    real, fake = at_least_float32(real_logits), at_least_float32(fake_logits)
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def least_squares_generator_loss(fake_logits: Tensor) -> Tensor:
    """Half the mean squared distance of D(G(z)) to 1.

    Source: Mao et al. 2017, equation 9.
    """
    return 0.5 * (at_least_float32(fake_logits) - 1).square().mean()


def wasserstein_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Mean D(G(z)) - mean D(x); needs a discriminator held to slope 1.

    Source: Arjovsky et al. 2017, "Wasserstein GAN", equation 2.
    """
    return at_least_float32(fake_logits).mean() - at_least_float32(real_logits).mean()


def relativistic_loss(better_logits: Tensor, worse_logits: Tensor) -> Tensor:
    """Mean softplus(worse - better) over pairs: real before fake for D, fake before real for G.

    Shapes: [N, ...] each, row i of one paired with row i of the other -> scalar, float32.

    Source: Jolicoeur-Martineau 2019, "The relativistic discriminator", section 4.2 (RpGAN); Huang
    et al. 2024, "The GAN is dead; long live the GAN!", equation 2.
    """
    return functional.softplus(
        at_least_float32(worse_logits) - at_least_float32(better_logits)
    ).mean()


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32, or in its own precision where that is higher."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _alone(loss: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A generator's loss that does not look at real images."""
    return lambda fake_logits, real_logits: loss(fake_logits)


LOSSES: dict[str, Adversarial] = {
    "minimax": Adversarial(discriminator_loss, _alone(minimax_generator_loss)),
    "non-saturating": Adversarial(discriminator_loss, _alone(generator_loss)),
    "hinge": Adversarial(hinge_discriminator_loss, _alone(critic_generator_loss)),
    "least-squares": Adversarial(
        least_squares_discriminator_loss, _alone(least_squares_generator_loss)
    ),
    "wasserstein": Adversarial(wasserstein_discriminator_loss, _alone(critic_generator_loss)),
    "relativistic": Adversarial(relativistic_loss, relativistic_loss, paired=True),
}
