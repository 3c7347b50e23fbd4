"""Differentiable augmentation of what the discriminator sees, so that little data lasts longer.

Every sample's draw is a function of its number alone. Real and fake images pass through the same
pipeline; gradients reach the generator through it.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .config import StyleGAN2Config
from .distributed import Ranks
from .report import Meter
from .streams import Stream, uniforms

_LUMA = 1 / math.sqrt(3)


class Augmenter(Protocol):
    """What the training step asks of an augmentation."""

    def __call__(self, images: Tensor, sample: np.ndarray, stream: Stream) -> Tensor:
        """Augment [n, 3, H, W] of these sample numbers; same shape, float32."""
        ...

    def observe(self, real_logits: Tensor) -> None:
        """See D's output on augmented real images."""
        ...

    def after_step(self, step: int, meter: Meter) -> None:
        """Adapt once the step is done."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Tensors that continue the run."""
        ...

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Continue from `state`'s tensors; KeyError when they are missing."""
        ...


def make_augmenter(config: StyleGAN2Config, ranks: Ranks) -> Augmenter | None:
    """The augmentation that a configuration asks for."""
    if config.augment == "ada":
        return AdaptiveAugmenter(config, ranks)
    if config.augment == "diffaugment":
        return DiffAugmenter(config)
    return None


class AdaptiveAugmenter:
    """ADA: each transform happens with probability p, and p follows a sign of overfitting.

    r = E[sign D(real)] is held at `ada_target`: every `ada_interval` steps p moves by the images
    seen over `ada_kimg` thousand, up when r is above the target. p stays on the device.

    Source: Karras et al. 2020, "Training generative adversarial networks with limited data",
    section 3.
    """

    def __init__(self, config: StyleGAN2Config, ranks: Ranks) -> None:
        self._config = config
        self._ranks = ranks
        self.p = torch.full((), config.augment_p, device=ranks.device)
        self._sum = torch.zeros((), device=ranks.device)
        self._count = torch.zeros((), device=ranks.device)

    def __call__(self, images: Tensor, sample: np.ndarray, stream: Stream) -> Tensor:
        """Augment [n, 3, H, W] of these sample numbers; same shape, float32."""
        u = uniforms(self._config.seed, stream, sample, ADA_DRAWS).to(images.device)
        return ada_augment(images.float(), u, self.p)

    def observe(self, real_logits: Tensor) -> None:
        """See D's output on augmented real images."""
        signs = real_logits.detach().sign()
        self._sum += signs.sum()
        self._count += signs.numel()

    def after_step(self, step: int, meter: Meter) -> None:
        """Move p every `ada_interval` steps."""
        meter.add("augment_p", self.p)
        config = self._config
        if config.ada_target == 0 or (step + 1) % config.ada_interval:
            return
        totals = torch.stack([self._sum, self._count])
        self._ranks.sum_(totals)
        sign = totals[0] / totals[1]
        meter.add("real_sign", sign)
        self.p = ada_update(self.p, sign, config.ada_target, totals[1], config.ada_kimg)
        self._sum = torch.zeros_like(self._sum)
        self._count = torch.zeros_like(self._count)

    def state(self) -> dict[str, Tensor]:
        """p and the signs seen since its last move, summed over ranks."""
        totals = torch.stack([self._sum, self._count])
        self._ranks.sum_(totals)
        return {"augment.p": self.p, "augment.signs": totals / self._ranks.world}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Continue from `state`'s tensors."""
        self.p = tensors["augment.p"].to(self.p.device)
        self._sum, self._count = tensors["augment.signs"].to(self.p.device).unbind()


def ada_update(p: Tensor, sign: Tensor, target: float, images: Tensor | int, kimg: float) -> Tensor:
    """One move of ADA's probability.

    Args:
        p: probability before, scalar.
        sign: mean sign of D(real), scalar.
        target: wanted mean sign.
        images: real images since the last move.
        kimg: thousands of images in which p goes from 0 to 1 at most.

    Returns:
        The new p in [0, 1].
    """
    return (p + torch.sign(sign - target) * images / (kimg * 1000)).clamp(0, 1)


ADA_DRAWS = 27  # uniform numbers a sample uses


def ada_augment(images: Tensor, u: Tensor, p: Tensor | float) -> Tensor:
    """ADA's pixel blitting, geometric and colour transforms ("bgc"), each with probability p.

    Args:
        images: float32 [N, 3, H, W], -1..1, square.
        u: uniform numbers [N, ADA_DRAWS].
        p: probability of each transform.

    Returns:
        [N, 3, H, W]; at p = 0 the very images. Resampling is bilinear on reflected borders;
        differentiable once through the geometry, any number of times through the colours.

    Source: Karras et al. 2020 (ADA), appendix B.
    """
    if isinstance(p, Tensor) and p.device.type == "cpu" and float(p) == 0:
        return images
    gate = (u[:, :13] < p).float()
    p_rot = 1 - (1 - torch.as_tensor(p)).clamp(0, 1).sqrt()
    rotate = (u[:, 11:13] < p_rot.to(u.device)).float()  # both together happen with probability p
    v = u[:, 13:]
    normal = torch.special.ndtri(v.clamp(1e-6, 1 - 1e-6))
    size = images.shape[-1]

    flip = 1 - 2 * gate[:, 0] * (v[:, 0] < 0.5)
    quarter = gate[:, 1] * (v[:, 1] * 4).floor()
    blit = ((v[:, 2:4] * 2 - 1) * 0.125 * size).round() * (2 / size) * gate[:, 2:3]
    scale = torch.exp2(gate[:, 3] * normal[:, 4] * 0.2)
    stretch = torch.exp2(gate[:, 4] * normal[:, 5] * 0.2)
    move = normal[:, 6:8] * 0.125 * 2 * gate[:, 5:6]
    # v[:, 0:2] chose from few values; what is left of them inside those values is still uniform.
    before = rotate[:, 0] * (v[:, 0] * 2).frac() * 2 * math.pi
    after = rotate[:, 1] * (v[:, 1] * 4).frac() * 2 * math.pi

    matrix = _scaling(flip, torch.ones_like(flip))
    matrix = matrix @ _rotation(quarter * (math.pi / 2)) @ _translation(blit)
    matrix = matrix @ _scaling(scale, scale) @ _rotation(before)
    matrix = matrix @ _scaling(stretch, 1 / stretch) @ _rotation(after) @ _translation(move)
    grid = functional.affine_grid(matrix[:, :2], list(images.shape), align_corners=False)
    warped = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    still = (gate[:, :6].sum(1) + rotate.sum(1)) == 0
    warped = torch.where(still[:, None, None, None], images, warped)
    return _colours(warped, gate[:, 6:11], v[:, 8:], normal[:, 8:])


def _colours(images: Tensor, gate: Tensor, v: Tensor, normal: Tensor) -> Tensor:
    """Brightness, contrast, luma flip, hue and saturation as one affine map of RGB per sample.

    Shapes: images [N, 3, H, W], gate [N, 5], v and normal [N, >= 5].
    """
    eye = torch.eye(3, device=images.device)
    luma = torch.full((3, 3), _LUMA * _LUMA, device=images.device)  # projection on the grey axis
    brightness = gate[:, 0] * normal[:, 0] * 0.2
    contrast = torch.exp2(gate[:, 1] * normal[:, 1] * 0.5)
    invert = gate[:, 2] * (v[:, 2] < 0.5)
    angle = gate[:, 3] * (v[:, 3] * 2 - 1) * math.pi
    saturation = torch.exp2(gate[:, 4] * normal[:, 4])

    matrix = eye * contrast[:, None, None]
    offset = (brightness * contrast)[:, None].expand(-1, 3)
    flip = eye - 2 * luma * invert[:, None, None]  # a reflection at the plane of zero luma
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=images.device) * _LUMA
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    hue = cos * eye + sin * cross + (1 - cos) * luma  # Rodrigues' formula about the grey axis
    vivid = luma + (eye - luma) * saturation[:, None, None]
    turn = vivid @ hue @ flip
    matrix = turn @ matrix
    offset = (turn @ offset[:, :, None])[:, :, 0]
    mixed = torch.einsum("nij,njhw->nihw", matrix, images) + offset[:, :, None, None]
    return torch.where((gate.sum(1) == 0)[:, None, None, None], images, mixed)


def _rotation(angle: Tensor) -> Tensor:
    """[N] -> [N, 3, 3]."""
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = [angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero, zero, zero, one]
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    """[N], [N] -> [N, 3, 3]."""
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], dim=1))


def _translation(shift: Tensor) -> Tensor:
    """[N, 2] in units of half an image -> [N, 3, 3]."""
    matrix = torch.eye(3, device=shift.device).repeat(len(shift), 1, 1)
    matrix[:, :2, 2] = shift
    return matrix


class DiffAugmenter:
    """DiffAugment with colour, translation and cutout on every image.

    Source: Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training".
    """

    def __init__(self, config: StyleGAN2Config) -> None:
        self._seed = config.seed

    def __call__(self, images: Tensor, sample: np.ndarray, stream: Stream) -> Tensor:
        """Augment [n, 3, H, W] of these sample numbers; same shape, float32."""
        u = uniforms(self._seed, stream, sample, DIFF_DRAWS).to(images.device)
        return diff_augment(images.float(), u)

    def observe(self, real_logits: Tensor) -> None:
        """Nothing adapts."""

    def after_step(self, step: int, meter: Meter) -> None:
        """Nothing adapts."""

    def state(self) -> dict[str, Tensor]:
        """Nothing to keep."""
        return {}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Nothing to restore."""


DIFF_DRAWS = 7


def diff_augment(images: Tensor, u: Tensor) -> Tensor:
    """Brightness, saturation, contrast; shift by up to 1/8; a grey square of half the side.

    Shapes: images float32 [N, 3, H, W] in -1..1, u uniform [N, DIFF_DRAWS] -> [N, 3, H, W].
    """
    n, _, height, width = images.shape
    images = images + (u[:, 0] - 0.5)[:, None, None, None]
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (u[:, 1] * 2)[:, None, None, None] + grey
    mean = images.mean(dim=[1, 2, 3], keepdim=True)
    images = (images - mean) * (u[:, 2] + 0.5)[:, None, None, None] + mean

    reach = (height // 8, width // 8)
    dy = (u[:, 3] * (2 * reach[0] + 1)).long() - reach[0]
    dx = (u[:, 4] * (2 * reach[1] + 1)).long() - reach[1]
    rows = torch.arange(height, device=u.device) + dy[:, None]  # [N, H]
    columns = torch.arange(width, device=u.device) + dx[:, None]  # [N, W]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[
        :, None
    ]
    index = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]
    flat = index.view(n, 1, -1).expand(-1, images.shape[1], -1)
    images = images.flatten(2).gather(2, flat).view_as(images) * inside[:, None]

    top = (u[:, 5] * (height + 1)).long()[:, None] - height // 4
    left = (u[:, 6] * (width + 1)).long()[:, None] - width // 4
    y = torch.arange(height, device=u.device)
    x = torch.arange(width, device=u.device)
    in_y = (y >= top) & (y < top + height // 2)
    in_x = (x >= left) & (x < left + width // 2)
    return images * ~(in_y[:, :, None] & in_x[:, None])[:, None]
