"""ADA: augmentation whose probability follows a sign of overfitting.

Source: Karras et al. 2020, "Training generative adversarial networks with limited data".
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .configs.stylegan2 import StyleGAN2Config
from .distributed import Ranks
from .meter import Meter
from .streams import Stream, uniforms

ADA_DRAWS = 27
"""Uniform numbers a sample uses: 13 choose its transforms, 14 their amounts."""

# Strengths of appendix B: shares of the image's side, standard deviations of shares and of octaves.
_BLIT, _SHIFT_STD = 0.125, 0.125
_SCALE_STD, _STRETCH_STD = 0.2, 0.2
_BRIGHTNESS_STD, _CONTRAST_STD, _SATURATION_STD = 0.2, 0.5, 1.0
_LUMA = 1 / math.sqrt(3)  # each component of the unit vector along the grey axis


class AdaptiveAugmenter:
    """Each transform happens with probability p, and p follows a sign of overfitting (section 3).

    r = E[sign D(real)] is held at `ada_target`: every `ada_interval` steps p moves by the images
    seen over `ada_kimg` thousand, up when r is above the target. p stays on the device.
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


def ada_augment(images: Tensor, u: Tensor, p: Tensor | float) -> Tensor:
    """ADA's pixel blitting, geometric and colour transforms ("bgc"), each with probability p.

    Args:
        images: float32 [N, 3, H, W], -1..1, square.
        u: uniform numbers [N, ADA_DRAWS].
        p: probability of each transform.

    Returns:
        [N, 3, H, W]; at p = 0 the very images. Resampling is bilinear on reflected borders;
        differentiable once through the geometry, any number of times through the colours.

    Source: appendix B.
    """
    if isinstance(p, Tensor) and p.device.type == "cpu" and float(p) == 0:
        return images
    # Columns of u: 0..5 choose the geometric transforms but rotations, 6..10 those of colour,
    # 11..12 the two rotations, which happen with probability p together; 13.. are amounts.
    gate = (u[:, :11] < p).float()
    p_rotate = 1 - (1 - torch.as_tensor(p)).clamp(0, 1).sqrt()
    rotate = (u[:, 11:13] < p_rotate.to(u.device)).float()
    v = u[:, 13:]
    normal = torch.special.ndtri(v.clamp(1e-6, 1 - 1e-6))  # it is infinite at 0 and 1

    matrix = _geometry(gate[:, :6], rotate, v, normal, images.shape[-1])
    grid = functional.affine_grid(matrix[:, :2], list(images.shape), align_corners=False)
    warped = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    still = (gate[:, :6].sum(1) + rotate.sum(1)) == 0
    warped = torch.where(still[:, None, None, None], images, warped)
    return _colours(warped, gate[:, 6:11], v[:, 8:], normal[:, 8:])


def _geometry(gate: Tensor, rotate: Tensor, v: Tensor, normal: Tensor, size: int) -> Tensor:
    """Flip, quarter turn, blit, scale, rotation, stretch, rotation, shift: [N, 3, 3] per sample.

    Shapes: gate [N, 6], rotate [N, 2], v and normal [N, >= 8]; `size` is the images' side.
    """
    flip = 1 - 2 * gate[:, 0] * (v[:, 0] < 0.5)
    quarter = gate[:, 1] * (v[:, 1] * 4).floor()
    blit = ((v[:, 2:4] * 2 - 1) * _BLIT * size).round() * (2 / size) * gate[:, 2:3]
    scale = torch.exp2(gate[:, 3] * normal[:, 4] * _SCALE_STD)
    stretch = torch.exp2(gate[:, 4] * normal[:, 5] * _STRETCH_STD)
    shift = normal[:, 6:8] * _SHIFT_STD * 2 * gate[:, 5:6]
    # v[:, 0:2] chose from few values; what is left of them inside those values is still uniform.
    before = rotate[:, 0] * (v[:, 0] * 2).frac() * 2 * math.pi
    after = rotate[:, 1] * (v[:, 1] * 4).frac() * 2 * math.pi

    matrix = _scaling(flip, torch.ones_like(flip))
    matrix = matrix @ _rotation(quarter * (math.pi / 2)) @ _translation(blit)
    matrix = matrix @ _scaling(scale, scale) @ _rotation(before)
    return matrix @ _scaling(stretch, 1 / stretch) @ _rotation(after) @ _translation(shift)


def _colours(images: Tensor, gate: Tensor, v: Tensor, normal: Tensor) -> Tensor:
    """Brightness, contrast, luma flip, hue and saturation as one affine map of RGB per sample.

    Shapes: images [N, 3, H, W], gate [N, 5], v and normal [N, >= 5].
    """
    eye = torch.eye(3, device=images.device)
    luma = torch.full((3, 3), _LUMA * _LUMA, device=images.device)  # projection on the grey axis
    brightness = gate[:, 0] * normal[:, 0] * _BRIGHTNESS_STD
    contrast = torch.exp2(gate[:, 1] * normal[:, 1] * _CONTRAST_STD)
    invert = gate[:, 2] * (v[:, 2] < 0.5)
    angle = gate[:, 3] * (v[:, 3] * 2 - 1) * math.pi
    saturation = torch.exp2(gate[:, 4] * normal[:, 4] * _SATURATION_STD)

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
