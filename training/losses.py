"""Losses of the adversarial game and its regularisers: pure functions of tensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Logistic loss of the discriminator: mean softplus(-D(x)) + mean softplus(D(G(z))).

    Shapes: [N, 1] each -> scalar, float32. Source: Goodfellow et al. 2014, equation 1.
    """
    return (
        functional.softplus(-real_logits.float()).mean()
        + functional.softplus(fake_logits.float()).mean()
    )


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating loss of the generator: mean softplus(-D(G(z))).

    Shapes: [N, 1] -> scalar, float32. Source: Goodfellow et al. 2014, section 3.
    """
    return functional.softplus(-fake_logits.float()).mean()


def r1_penalty(real_logits: Tensor, real_images: Tensor) -> Tensor:
    """R1: half the mean squared gradient norm of D at real images (multiply by gamma).

    Args:
        real_logits: [N, ...], computed from `real_images`.
        real_images: [N, C, H, W], requires grad; the discriminator's own input, that is after
            augmentation.

    Returns:
        Scalar; differentiable once more.

    Source: Mescheder et al. 2018, "Which training methods for GANs do actually converge?",
    equation 9.
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), real_images, create_graph=True)
    return 0.5 * gradient.float().square().sum(dim=[1, 2, 3]).mean()


def path_lengths(images: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """Length of J_w^T y for random image directions y: how far images move per step in W.

    Args:
        images: [N, C, H, W], computed from `ws`.
        ws: [N, num_ws, w_dim], requires grad.
        noise: [N, C, H, W], standard normal.

    Returns:
        [N]; differentiable once more. Root of the mean over layers of the squared norm over w_dim.

    Source: Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", equation 4.
    """
    scale = 1 / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * noise * scale).sum(), ws, create_graph=True)
    return gradient.float().square().sum(dim=2).mean(dim=1).sqrt()


def path_length_penalty(lengths: Tensor, target: Tensor | float) -> Tensor:
    """Mean squared distance of path lengths [N] to their running mean `target`."""
    return (lengths - target).square().mean()


def lazy_adam(
    lr: float, betas: tuple[float, float], interval: int | None
) -> tuple[float, tuple[float, float]]:
    """Adam's settings when a regulariser takes a step of its own every `interval` steps.

    With c = interval / (interval + 1): lr c, betas ** c; unchanged where `interval` is None.
    Source: Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", appendix B.
    """
    if interval is None:
        return lr, betas
    c = interval / (interval + 1)
    return lr * c, (betas[0] ** c, betas[1] ** c)
