"""What keeps the adversarial game stable: penalties and constraints, as pure functions.

Gradient penalties are differentiable once more; call them on an uncompiled discriminator.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize

from .losses import at_least_float32

SHIFT = 8  # images are shifted by up to 1 / SHIFT of their side


def r1_penalty(real_logits: Tensor, real_images: Tensor) -> Tensor:
    """R1: half the mean squared gradient norm of D at real images (multiply by gamma).

    Args:
        real_logits: [N, ...], computed from `real_images`.
        real_images: [N, ...], requires grad; the discriminator's own input, that is after
            augmentation.

    Returns:
        Scalar; differentiable once more.

    Source: Mescheder et al. 2018, "Which training methods for GANs do actually converge?",
    equation 9.
    """
    return 0.5 * _gradient(real_logits, real_images).square().sum(dim=1).mean()


def r2_penalty(fake_logits: Tensor, fake_images: Tensor) -> Tensor:
    """R2: `r1_penalty` at fake images, which must be cut off the generator's graph.

    Source: Mescheder et al. 2018, equation 10.
    """
    return r1_penalty(fake_logits, fake_images)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real_images: Tensor, fake_images: Tensor, share: Tensor
) -> Tensor:
    """WGAN-GP: mean squared distance of D's gradient norm to 1, between real and fake images.

    Args:
        critic: images [N, ...] to logits, each sample by itself (no batch normalisation).
        real_images: [N, ...].
        fake_images: the same shape.
        share: [N] in 0..1, the part of the real image in each place between the two.

    Returns:
        Scalar (multiply by lambda); differentiable once more. 0 for a linear critic of slope 1.

    Source: Gulrajani et al. 2017, "Improved training of Wasserstein GANs", equation 3.
    """
    share = share.to(real_images).reshape(-1, *[1] * (real_images.ndim - 1))
    between = fake_images.detach().lerp(real_images.detach(), share).requires_grad_(True)
    norm = _gradient(critic(between), between).norm(dim=1)
    return (norm - 1).square().mean()


def consistency_penalty(logits: Tensor, augmented_logits: Tensor) -> Tensor:
    """Mean squared change of D's logits [N, ...] under an augmentation of its images.

    Applied to real and to fake images it is balanced consistency regularisation, bCR.

    Source: Zhao et al. 2021, "Improved consistency regularization for GANs", section 3.1.
    """
    return (at_least_float32(logits) - at_least_float32(augmented_logits)).square().mean()


def flip_and_shift(images: Tensor, draws: Tensor) -> Tensor:
    """The augmentation of the consistency penalty: a flip, and a shift by up to 1/8.

    Shapes: images [N, C, H, W], draws uniform in 0..1 [N, 3] -> [N, C, H, W]. Borders are
    reflected; gradients reach the images.
    """
    reach = images.shape[-1] // SHIFT
    padded = functional.pad(images, (reach,) * 4, mode="reflect")
    steps = (draws[:, 1:] * (2 * reach + 1)).long().tolist()
    flips = (draws[:, 0] < 0.5).tolist()
    height, width = images.shape[2:]
    moved = [
        image[:, y : y + height, x : x + width] for image, (y, x) in zip(padded, steps, strict=True)
    ]
    return torch.stack(
        [image.flip(2) if flip else image for image, flip in zip(moved, flips, strict=True)]
    )


def spectral_norm(network: nn.Module) -> nn.Module:
    """Divide the weights of a network's convolutions and linear layers by their spectral norms.

    In place. The vectors of the power iteration are buffers, so that a state dict holds them. They
    rest until `power_iteration` moves them.

    Source: Miyato et al. 2018, "Spectral normalization for generative adversarial networks",
    algorithm 1.
    """
    for module in list(network.modules()):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            parametrizations.spectral_norm(module)
    power_iteration(network)
    return network


@torch.no_grad()
def power_iteration(network: nn.Module) -> None:
    """Move the vectors of `spectral_norm` once; they rest in the forward passes that follow.

    One move a step, whatever the number of passes, makes a step the same however it is split.
    """
    for module in network.modules():
        if isinstance(module, parametrize.ParametrizationList):
            module.train()
            module()
            module.eval()


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
    return at_least_float32(gradient).square().sum(dim=2).mean(dim=1).sqrt()


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


def _gradient(logits: Tensor, images: Tensor) -> Tensor:
    """Gradient of each sample's logits by its image, flat, at least float32: [N, features]."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return at_least_float32(gradient).flatten(1)
