"""Up-sample, leaky ReLU, down-sample: the nonlinearity of StyleGAN3, free of aliasing."""

import math
from collections.abc import Sequence

from torch import Tensor

from ..registry import register
from ..upfirdn2d.reference import four_sides
from . import cpu_backend, cuda_backend, op, reference
from .triton_registration import register_triton_backend

__all__ = ["filtered_lrelu"]

for _backend, _module in (("cuda", cuda_backend), ("cpu", cpu_backend)):
    register("filtered_lrelu", _backend, _module.filtered_lrelu, refuse=_module.refuse)
    for _name in ("filtered_lrelu_vjp", "filtered_lrelu_jvp"):
        register(_name, _backend, getattr(_module, _name), refuse=_module.refuse_derivative)
register_triton_backend()
for _name in ("filtered_lrelu", "filtered_lrelu_vjp", "filtered_lrelu_jvp"):
    register(_name, "eager", getattr(reference, _name))


def filtered_lrelu(
    x: Tensor,
    fu: Tensor | None = None,
    fd: Tensor | None = None,
    b: Tensor | None = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: int | Sequence[int] = 0,
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
) -> Tensor:
    """Add a bias, up-sample, apply a leaky ReLU with clamp, down-sample; each channel by itself.

    The wide image between the filters, in which the ReLU's new frequencies still fit, is never
    written to memory by the fused backends. An axis of n samples becomes
    (n up + padding - taps_u + 1 - taps_d) // down + 1. Differentiable in x and b to any order; the
    filters receive no gradient (StyleGAN3, section 3.1 and appendix D).

    Args:
        x: [N, C, H, W], any floating-point dtype and memory format (channels_last is fastest on a
            CPU).
        fu: [taps] of a separable filter, or [taps_y, taps_x], applied after `up`; its gain of
            `up` * `up` is included. None filters nothing.
        fd: likewise, applied before `down`, without a gain.
        b: [C], added to x before it is padded.
        up: each sample is followed by `up` - 1 zeros.
        down: every `down`-th sample of the result stays.
        padding: zeros around the up-sampled image: one number, (x, y), or (left, right, top,
            bottom). Negative numbers crop.
        gain: factor of the leaky ReLU.
        slope: factor of negative values.
        clamp: bounds the leaky ReLU's result to [-clamp, clamp], after `gain`; None leaves it.
        flip_filter: False convolves, True correlates; the same for symmetric filters.

    Returns:
        [N, C, H', W'] in x's dtype, channels_last if x is.

    Raises:
        ValueError: an argument is not as above, or nothing would be left of an axis.
    """
    if x.ndim != 4 or not x.is_floating_point() or 0 in x.shape[2:]:
        raise ValueError(
            "filtered_lrelu: expected floating-point x [N, C, H, W] of at least one pixel, "
            f"got {tuple(x.shape)} {x.dtype}"
        )
    for name, f in (("fu", fu), ("fd", fd)):
        _check_filter(name, f, x)
    if b is not None and (
        b.shape != (x.shape[1],) or not b.is_floating_point() or b.device != x.device
    ):
        raise ValueError(
            f"filtered_lrelu: expected floating-point b [{x.shape[1]}] on {x.device}, "
            f"got {tuple(b.shape)} {b.dtype} on {b.device}"
        )
    for name, number in (("up", up), ("down", down)):
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"filtered_lrelu: expected {name} >= 1, got {number!r}")
    for name, number in (("gain", gain), ("slope", slope)):
        if not math.isfinite(number):
            raise ValueError(f"filtered_lrelu: expected a finite {name}, got {number}")
    if clamp is not None and not clamp >= 0:
        raise ValueError(f"filtered_lrelu: expected clamp >= 0 or None, got {clamp}")
    pads = four_sides("filtered_lrelu", padding)
    (height, width), _ = reference.sizes(x, fu, fd, up, down, pads)
    for name, size, axis in (("width", width, 0), ("height", height, 1)):
        before, after = reference.taps(fu)[axis], reference.taps(fd)[axis]
        if size < after:
            raise ValueError(
                f"filtered_lrelu: expected a padded {name} of at least {before + after - 1} "
                f"(taps of both filters less 1), got {size + before - 1}"
            )
    return op.filtered_lrelu(
        x,
        fu,
        fd,
        b,
        up,
        down,
        pads,
        float(gain),
        float(slope),
        None if clamp is None else float(clamp),
        bool(flip_filter),
    )


def _check_filter(name: str, f: Tensor | None, x: Tensor) -> None:
    if f is None:
        return
    if f.ndim not in (1, 2) or f.numel() == 0 or not f.is_floating_point():
        raise ValueError(
            f"filtered_lrelu: expected floating-point {name}, 1-D or 2-D, "
            f"got {tuple(f.shape)} {f.dtype}"
        )
    if f.requires_grad:
        raise ValueError(
            f"filtered_lrelu: expected {name} without gradient, got one that requires it"
        )
    if f.device != x.device:
        raise ValueError(f"filtered_lrelu: expected {name} on {x.device}, got one on {f.device}")
