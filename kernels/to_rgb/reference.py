"""toRGB in plain PyTorch: one small matrix product a sample, no modulated copy of the features."""

import torch
from torch import Tensor

from ..upfirdn2d.reference import upfirdn2d


def to_rgb(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    bias: Tensor | None,
    image: Tensor | None,
    f: Tensor | None,
    clamp: float | None,
) -> Tensor:
    """See the public function; the weight is [O, C], all but x are in at least float32."""
    y = project(x, weight, styles)
    if bias is not None:
        y = y + bias[:, None, None]
    if clamp is not None:
        y = y.clamp(-clamp, clamp)
    if image is not None:
        assert f is not None
        y = y + upfirdn2d(image, f, (2, 2), (1, 1), upsample_padding(f), False, 4.0)
    return y


def project(x: Tensor, weight: Tensor, styles: Tensor) -> Tensor:
    """The 1x1 convolution of x * styles, [N, O, H, W] in the weight's dtype."""
    own = (weight * styles[:, None]).to(x.dtype)  # [N, O, C]
    return torch.matmul(own, x.flatten(2)).unflatten(2, x.shape[2:]).to(weight.dtype)


def backward(dz: Tensor, x: Tensor, weight: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `project`: dx, and that of each sample's own weight [N, O, C]."""
    own = (weight * styles[:, None]).to(x.dtype)
    rows = dz.flatten(2).to(x.dtype)  # [N, O, H W]
    dx = torch.matmul(rows.transpose(1, 2), own)  # [N, H W, C]
    dx = dx.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
    return dx, torch.matmul(rows, x.flatten(2).transpose(1, 2)).to(weight.dtype)


def upsample_padding(f: Tensor) -> tuple[int, int, int, int]:
    """Padding (left, right, top, bottom) with which f takes H samples to 2H."""
    (left, right), (top, bottom) = (
        ((taps + 1) // 2, (taps - 2) // 2) for taps in (f.shape[-1], f.shape[0])
    )
    return left, right, top, bottom
