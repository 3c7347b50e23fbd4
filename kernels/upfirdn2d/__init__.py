"""Up-sample, FIR-filter and down-sample images."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..registry import register
from ..triton_host import register_triton
from . import cpu_backend, cuda_backend, reference
from .op import upfirdn2d_op

__all__ = ["setup_filter", "upfirdn2d"]

register("upfirdn2d", "eager", reference.upfirdn2d)
register_triton("upfirdn2d", f"{__name__}.triton_backend", "upfirdn2d")
register("upfirdn2d", "cuda", cuda_backend.upfirdn2d, refuse=cuda_backend.refuse)
register("upfirdn2d", "cpu", cpu_backend.upfirdn2d, refuse=cpu_backend.refuse)


def setup_filter(taps: Sequence[float]) -> Tensor:
    """Normalise `taps` to a sum of 1, as the 1-D float32 filter of `upfirdn2d`.

    Raises:
        ValueError: no taps, or their sum is zero or not finite.
    """
    f = torch.tensor(list(taps), dtype=torch.float64, device="cpu")  # read below, also under "meta"
    if f.ndim != 1 or f.numel() == 0:
        raise ValueError(f"setup_filter: expected a list of numbers, got {taps!r}")
    total = float(f.sum())
    if total == 0 or total != total or abs(total) == float("inf"):
        raise ValueError(f"setup_filter: expected taps with a finite sum, not 0, got {taps!r}")
    return torch.tensor((f / total).tolist(), dtype=torch.float32)


def upfirdn2d(
    x: Tensor,
    f: Tensor,
    *,
    up: int | tuple[int, int] = 1,
    down: int | tuple[int, int] = 1,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Insert zeros, pad or crop, filter, keep every `down`-th sample; each channel by itself.

    With `up` u, `down` d and t taps, an axis of n samples becomes (n u + padding - t) // d + 1.
    Differentiable in x to any order; f receives no gradient.

    Args:
        x: [N, C, H, W], any floating-point dtype and memory format.
        f: [taps] for a separable filter, or [taps_y, taps_x].
        up: each sample is followed by `up` - 1 zeros; a pair is (x, y).
        down: every `down`-th filtered sample stays; a pair is (x, y).
        padding: zeros around the up-sampled image: one number, (x, y), or (left, right, top,
            bottom). Negative numbers crop.
        flip_filter: False convolves, True correlates; the same for symmetric filters.
        gain: factor of the result; up * up keeps the brightness when up-sampling.

    Returns:
        [N, C, H', W'] in x's dtype.

    Raises:
        ValueError: an argument is not as above, or nothing would be left of an axis.
    """
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(
            f"upfirdn2d: expected floating-point x [N, C, H, W], got {tuple(x.shape)} {x.dtype}"
        )
    if f.ndim not in (1, 2) or f.numel() == 0 or not f.is_floating_point():
        raise ValueError(
            f"upfirdn2d: expected floating-point f, 1-D or 2-D, got {tuple(f.shape)} {f.dtype}"
        )
    if f.requires_grad:
        raise ValueError("upfirdn2d: expected f without gradient, got one that requires it")
    ups, downs, pads = (
        _pair("up", up),
        _pair("down", down),
        reference.four_sides("upfirdn2d", padding),
    )
    for axis, extent in enumerate((x.shape[3], x.shape[2])):
        total = extent * ups[axis] + pads[2 * axis] + pads[2 * axis + 1]
        taps = f.shape[-1 - axis] if f.ndim == 2 else f.shape[0]
        if total < taps:
            name = "width" if axis == 0 else "height"
            raise ValueError(
                f"upfirdn2d: expected a padded {name} of at least {taps} (taps), got {total}"
            )
    return upfirdn2d_op(x, f, ups, downs, pads, bool(flip_filter), float(gain))


def _pair(name: str, value: int | tuple[int, int]) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(not isinstance(n, int) or n < 1 for n in pair):
        raise ValueError(f"upfirdn2d: expected {name} >= 1 or a pair of such, got {value!r}")
    return pair[0], pair[1]
