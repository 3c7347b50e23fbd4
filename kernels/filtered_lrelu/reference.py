"""Filtered leaky ReLU composed of the other ops' references, and its two derivatives.

One axis of the op, with samples x[i], filters as correlations g (up) and h (down):

    mid[Y] = up * sum_i x[i] g[i up + p - Y]          p: padding before; Y in [0, M)
    y[j]   = sum_k h[k] act(mid[j down + k])

The derivatives multiply by the slope of `act` at mid, which x decides and which is constant almost
everywhere: so each is linear in its direction, and the two are adjoints of one another.
"""

import torch
from torch import Tensor

from ..bias_act.reference import bias_act
from ..upfirdn2d.reference import Padding, upfirdn2d


def taps(f: Tensor | None) -> tuple[int, int]:
    """Extent (x, y) of a filter; one sample without it."""
    if f is None:
        return 1, 1
    return f.shape[-1], f.shape[0]


def before(padding: Padding) -> tuple[int, int]:
    """Padding (x, y) before the first sample."""
    return padding[0], padding[2]


def sizes(
    x: Tensor, fu: Tensor | None, fd: Tensor | None, up: int, down: int, padding: Padding
) -> tuple[tuple[int, int], tuple[int, int]]:
    """(height, width) of the image between the filters, and of the result."""
    (taps_x, taps_y), (after_x, after_y) = taps(fu), taps(fd)
    left, right, top, bottom = padding
    height = x.shape[2] * up + top + bottom - taps_y + 1
    width = x.shape[3] * up + left + right - taps_x + 1
    return (height, width), ((height - after_y) // down + 1, (width - after_x) // down + 1)


def filtered_lrelu(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: Padding,
    gain: float,
    slope: float,
    clamp: float | None,
    flip_filter: bool,
) -> Tensor:
    """See the public function; padding is (left, right, top, bottom)."""
    mid = _upsampled(x, fu, b, up, padding, flip_filter)
    mid = bias_act(mid, None, 1, "lrelu", slope, gain, clamp)
    return _downsampled(mid, fd, down, flip_filter)


def filtered_lrelu_vjp(
    dy: Tensor,
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: Padding,
    gain: float,
    slope: float,
    clamp: float | None,
    flip_filter: bool,
) -> Tensor:
    """Gradient of x against `dy`: both filters transposed, around the slopes at x."""
    slopes = _slopes(x, fu, b, up, padding, gain, slope, clamp, flip_filter)
    (height, width), (rows, columns) = sizes(x, fu, fd, up, down, padding)
    (taps_x, taps_y), (after_x, after_y) = taps(fu), taps(fd)
    pad = (after_x - 1, width - columns * down, after_y - 1, height - rows * down)
    dmid = _filter(dy, fd, down, 1, pad, not flip_filter, 1.0) * slopes
    left, top = taps_x - 1 - padding[0], taps_y - 1 - padding[2]
    right = (x.shape[3] - 1) * up + taps_x - width - left
    bottom = (x.shape[2] - 1) * up + taps_y - height - top
    pad = (left, right, top, bottom)
    return _filter(dmid, fu, 1, up, pad, not flip_filter, float(up * up))


def filtered_lrelu_jvp(
    tangent: Tensor,
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: Padding,
    gain: float,
    slope: float,
    clamp: float | None,
    flip_filter: bool,
) -> Tensor:
    """Change of the result as x moves along `tangent`: both filters, around the slopes at x."""
    slopes = _slopes(x, fu, b, up, padding, gain, slope, clamp, flip_filter)
    mid = _upsampled(tangent, fu, None, up, padding, flip_filter)
    return _downsampled(mid * slopes, fd, down, flip_filter)


def _slopes(
    x: Tensor,
    fu: Tensor | None,
    b: Tensor | None,
    up: int,
    padding: Padding,
    gain: float,
    slope: float,
    clamp: float | None,
    flip_filter: bool,
) -> Tensor:
    mid = _upsampled(x, fu, b, up, padding, flip_filter)
    # Of two numbers, `where` would make float32.
    slopes = torch.where(mid > 0, mid.new_full((), gain), mid.new_full((), gain * slope))
    return slopes if clamp is None else slopes * ((slopes * mid).abs() <= clamp)


def _upsampled(
    x: Tensor, fu: Tensor | None, b: Tensor | None, up: int, padding: Padding, flip_filter: bool
) -> Tensor:
    if b is not None:
        x = x + b.to(x.dtype)[:, None, None]
    return _filter(x, fu, up, 1, padding, flip_filter, float(up * up))


def _downsampled(mid: Tensor, fd: Tensor | None, down: int, flip_filter: bool) -> Tensor:
    return _filter(mid, fd, 1, down, (0, 0, 0, 0), flip_filter, 1.0)


def _filter(
    x: Tensor, f: Tensor | None, up: int, down: int, padding: Padding, flip: bool, gain: float
) -> Tensor:
    if f is None:
        if up == down == 1 and not any(padding):
            return x
        f = torch.ones(1, dtype=x.dtype, device=x.device)
    return upfirdn2d(x, f, (up, up), (down, down), padding, flip, gain)
