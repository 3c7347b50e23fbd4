"""The published op boundaries in eager PyTorch: what the networks cost without kernels of ours.

Every step is one op that reads and writes memory, in the order in which the papers describe it:
each sample gets its own modulated and demodulated weight, one grouped convolution runs the batch
(Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", appendix B), an
up-sampling layer is a transposed convolution followed by a FIR pass, and noise, bias, activation,
gain and clamp follow one by one. A StyleGAN3 layer inserts zeros, filters, activates, filters and
drops samples (Karras et al. 2021, "Alias-free generative adversarial networks", section 3.2).

Written from those descriptions. Tensors stay in PyTorch's default memory format, as published.
"""

import torch
from torch import Tensor
from torch.nn import functional

_EPS = 1e-8
_SLOPE = 0.2


def upfirdn2d(
    x: Tensor,
    f: Tensor,
    *,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    gain: float = 1.0,
) -> Tensor:
    """Insert zeros, pad or crop, filter every channel, keep every `down`-th sample.

    Shapes: x [N, C, H, W]; f [taps], filtered in two passes, or [taps_y, taps_x] in one.
    Padding is (left, right, top, bottom); negative numbers crop.
    """
    if up > 1:
        N, C, H, W = x.shape
        x = functional.pad(x.reshape(N, C, H, 1, W, 1), [0, up - 1, 0, 0, 0, up - 1])
        x = x.reshape(N, C, H * up, W * up)
    grow = [max(n, 0) for n in padding]
    if any(grow):
        x = functional.pad(x, grow)
    left, right, top, bottom = (max(-n, 0) for n in padding)
    x = x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]
    # A convolution layer correlates, hence the flip; the gain belongs to the filter.
    kernel = (f * gain ** (f.ndim / 2)).to(x.dtype).flip(list(range(f.ndim)))
    if f.ndim == 2:
        x = _depthwise(x, kernel)
    else:
        x = _depthwise(x, kernel[None, :])
        x = _depthwise(x, kernel[:, None])
    return x[:, :, ::down, ::down]


def _depthwise(x: Tensor, kernel: Tensor) -> Tensor:
    weight = kernel[None, None].repeat(x.shape[1], 1, 1, 1)
    return functional.conv2d(x, weight, groups=x.shape[1])


def bias_act(
    x: Tensor,
    b: Tensor | None,
    *,
    act: str = "lrelu",
    gain: float = 1.0,
    clamp: float | None = None,
    slope: float = _SLOPE,
) -> Tensor:
    """Bias, activation ("lrelu" or "linear"), gain and clamp, one op each."""
    if b is not None:
        x = x + b.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))
    if act == "lrelu":
        x = functional.leaky_relu(x, slope)
    if gain != 1.0:
        x = x * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return x


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    up: int = 1,
    f: Tensor | None = None,
    demodulate: bool = True,
) -> Tensor:
    """One grouped convolution with a weight for each sample.

    Shapes: x [N, I, H, W], weight [O, I, k, k], styles [N, I] -> [N, O, H * up, W * up].
    """
    N, ins, H, W = x.shape
    outs, k = weight.shape[0], weight.shape[2]
    w = weight[None] * styles[:, None, :, None, None]  # [N, O, I, k, k]
    if demodulate:
        d = (w.square().sum(dim=(2, 3, 4)) + _EPS).rsqrt()
        w = w * d[:, :, None, None, None]
    w = w.to(x.dtype)
    x = x.reshape(1, N * ins, H, W)
    if up == 1:
        y = functional.conv2d(x, w.reshape(N * outs, ins, k, k), padding=k // 2, groups=N)
        return y.reshape(N, outs, H, W)
    assert f is not None
    w = w.transpose(1, 2).reshape(N * ins, outs, k, k)
    y = functional.conv_transpose2d(x, w, stride=2, groups=N)
    y = y.reshape(N, outs, 2 * H + 1, 2 * W + 1)
    before = (f.shape[-1] - 1) // 2
    after = f.shape[-1] - 2 - before
    return upfirdn2d(y, f, padding=(before, after, before, after), gain=4.0)


def synthesis_layer(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    up: int,
    f: Tensor | None,
    noise: Tensor | None,
    noise_strength: Tensor | None,
    bias: Tensor,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """Convolution, FIR, noise, bias and activation, each by itself."""
    y = modulated_conv2d(x, weight, styles, up=up, f=f)
    if noise is not None:
        y = y + (noise if noise_strength is None else noise * noise_strength).to(y.dtype)
    return bias_act(y, bias, gain=gain, clamp=clamp)


def to_rgb(
    x: Tensor, weight: Tensor, styles: Tensor, bias: Tensor, clamp: float | None = None
) -> Tensor:
    """1x1 modulated convolution without demodulation, then bias and clamp in float32 or wider."""
    y = modulated_conv2d(x, weight, styles, demodulate=False)
    y = y.to(torch.promote_types(y.dtype, torch.float32))
    return bias_act(y, bias, act="linear", clamp=clamp)


def filtered_lrelu(
    x: Tensor,
    fu: Tensor,
    fd: Tensor,
    b: Tensor,
    *,
    up: int,
    down: int,
    padding: tuple[int, int, int, int],
    gain: float,
    slope: float,
    clamp: float | None,
) -> Tensor:
    """StyleGAN3's nonlinearity: bias, up-sample, activate, down-sample; one op each.

    Padding is (left, right, top, bottom) of the up-sampled image.
    """
    y = bias_act(x, b, act="linear")
    y = upfirdn2d(y, fu, up=up, padding=padding, gain=float(up * up))
    y = bias_act(y, None, gain=gain, clamp=clamp, slope=slope)
    return upfirdn2d(y, fd, down=down)


def conv2d_layer(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    f: Tensor,
    down: int,
    act: str,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """A discriminator's layer: FIR pass and strided convolution where it halves the size."""
    k = weight.shape[2]
    if down == 1:
        y = functional.conv2d(x, weight, padding=k // 2)
    elif k == 1:
        y = functional.conv2d(upfirdn2d(x, f, down=2, padding=(1, 1, 1, 1)), weight)
    else:
        pad = 1 + k // 2
        y = functional.conv2d(upfirdn2d(x, f, padding=(pad, pad, pad, pad)), weight, stride=2)
    return bias_act(y, bias, act=act, gain=gain, clamp=clamp)


def minibatch_stddev(x: Tensor, *, group_size: int = 4, num_channels: int = 1) -> Tensor:
    """Deviation within groups of samples, appended as channels (Karras et al. 2018, section 3)."""
    N, C, H, W = x.shape
    size = min(group_size, N)
    y = x.reshape(size, N // size, num_channels, C // num_channels, H, W)
    y = y - y.mean(dim=0)
    y = (y.square().mean(dim=0) + _EPS).sqrt().mean(dim=(2, 3, 4))
    y = y.repeat(size, 1)[:, :, None, None].expand(N, num_channels, H, W)
    return torch.cat([x, y], dim=1)


def up_image(img: Tensor, f: Tensor) -> Tensor:
    """Double an image, [N, 3, H, W] -> [N, 3, 2H, 2W]."""
    return upfirdn2d(img, f, up=2, padding=(2, 1, 2, 1), gain=4.0)
