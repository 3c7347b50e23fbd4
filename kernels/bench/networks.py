"""StyleGAN2 as plain functions of a state dict, for the columns that are not our modules.

The networks are written once; `Style` says what a layer is made of: `COMPOSED` has the published
op boundaries, `REFERENCE` the references of our ops (which torch.compile sees through, unlike the
registered ops, so that Inductor may fuse them). Names in the state dict are those of published
checkpoints. Skip generator and residual discriminator only, which is what published faces use.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..bias_act import reference as bias_act_reference
from ..minibatch_stddev import reference as minibatch_stddev_reference
from ..modulated_conv2d import reference as modulated_conv2d_reference
from ..upfirdn2d import reference as upfirdn2d_reference
from . import composed

Parameters = Mapping[str, Tensor]

_SLOPE = 0.2
_ROOT = math.sqrt(2)
_HALF = math.sqrt(0.5)


@dataclass(frozen=True)
class Style:
    """What the networks below are made of; every member has the signature in `composed`."""

    synthesis_layer: Callable[..., Tensor]
    to_rgb: Callable[..., Tensor]
    up_image: Callable[..., Tensor]
    conv2d_layer: Callable[..., Tensor]
    minibatch_stddev: Callable[..., Tensor]
    memory_format: torch.memory_format


def _reference_layer(
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
    statistics = modulated_conv2d_reference.statistics_dtype(x.dtype)
    weight, styles = weight.to(statistics), styles.to(statistics)
    d = modulated_conv2d_reference.demodulation(weight, styles)
    return modulated_conv2d_reference.modulated_conv2d(
        x,
        weight.to(x.dtype),
        styles,
        d,
        noise,
        noise_strength,
        bias,
        None,
        f,
        up,
        "lrelu",
        gain,
        clamp,
    )


def _reference_to_rgb(
    x: Tensor, weight: Tensor, styles: Tensor, bias: Tensor, clamp: float | None = None
) -> Tensor:
    y = modulated_conv2d_reference.convolve(x, weight.to(x.dtype), styles, None, 1)
    y = y.to(torch.promote_types(y.dtype, torch.float32))
    return bias_act_reference.bias_act(y, bias, 1, "linear", 0.0, 1.0, clamp)


def _reference_up_image(img: Tensor, f: Tensor) -> Tensor:
    return upfirdn2d_reference.upfirdn2d(img, f, (2, 2), (1, 1), (2, 1, 2, 1), False, 4.0)


def _reference_conv2d_layer(
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
    k = weight.shape[2]
    stride = 1
    padding = k // 2
    if down == 2:
        pad = 1 + k // 2 if k > 1 else 1
        stride, padding = (2, 0) if k > 1 else (1, 0)
        keep = 1 if k > 1 else 2
        around = (pad, pad, pad, pad)
        x = upfirdn2d_reference.upfirdn2d(x, f, (1, 1), (keep, keep), around, False, 1.0)
    y = functional.conv2d(x, weight, stride=stride, padding=padding)
    return bias_act_reference.bias_act(y, bias, 1, act, _SLOPE, gain, clamp)


def _reference_minibatch_stddev(x: Tensor, *, group_size: int = 4, num_channels: int = 1) -> Tensor:
    size = min(group_size, x.shape[0])
    return minibatch_stddev_reference.minibatch_stddev(x, size, num_channels, 1e-8)


COMPOSED = Style(
    composed.synthesis_layer,
    composed.to_rgb,
    composed.up_image,
    composed.conv2d_layer,
    composed.minibatch_stddev,
    torch.contiguous_format,
)
REFERENCE = Style(
    _reference_layer,
    _reference_to_rgb,
    _reference_up_image,
    _reference_conv2d_layer,
    _reference_minibatch_stddev,
    torch.channels_last,
)


def synthesis(
    style: Style,
    p: Parameters,
    ws: Tensor,
    *,
    dtype: torch.dtype = torch.float32,
    clamp: float | None = None,
) -> Tensor:
    """W latents to images with stored noise, architecture "skip".

    Args:
        style: what the layers are made of.
        p: state dict of a synthesis network: "b4.const", "b8.conv0.weight", ...
        ws: [N, num_ws, w_dim], in the dtype of the parameters.
        dtype: of the convolutions; the image is summed in at least float32.
        clamp: bound of every activation.

    Returns:
        [N, 3, R, R].
    """
    latents = ws.unbind(dim=1)
    resolution = 4
    place = 0
    x = p["b4.const"].expand(ws.shape[0], -1, -1, -1)
    x = x.to(dtype, memory_format=style.memory_format)
    img: Tensor | None = None
    while f"b{resolution}.conv1.weight" in p:
        block = f"b{resolution}."
        f = p[block + "resample_filter"]
        for name, up in (("conv0", 2), ("conv1", 1)):
            layer = f"{block}{name}."
            if layer + "weight" not in p:
                continue  # the first block has no conv0
            x = style.synthesis_layer(
                x,
                p[layer + "weight"],
                linear(p, layer + "affine.", latents[place]),
                up=up,
                f=f,
                noise=p[layer + "noise_const"][None, None],
                noise_strength=p[layer + "noise_strength"],
                bias=p[layer + "bias"],
                gain=_ROOT,
                clamp=clamp,
            )
            place += 1
        weight = p[block + "torgb.weight"]
        styles = linear(p, block + "torgb.affine.", latents[place]) / math.sqrt(weight.shape[1])
        rgb = style.to_rgb(x, weight, styles, p[block + "torgb.bias"], clamp)
        img = rgb if img is None else style.up_image(img, f) + rgb
        resolution *= 2
    assert img is not None
    return img


def mapping(p: Parameters, z: Tensor, num_ws: int, lr_multiplier: float = 0.01) -> Tensor:
    """Latents z [N, z_dim] to ws [N, num_ws, w_dim], unconditional and without truncation."""
    x = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
    index = 0
    while f"fc{index}.weight" in p:
        x = linear(p, f"fc{index}.", x, lr_multiplier)
        x = functional.leaky_relu(x, _SLOPE) * _ROOT
        index += 1
    return x[:, None].expand(-1, num_ws, -1)


def discriminator(style: Style, p: Parameters, img: Tensor) -> Tensor:
    """Images [N, 3, R, R] to logits [N, 1], architecture "resnet", unconditional, float32."""
    x = img.contiguous(memory_format=style.memory_format)
    resolution = img.shape[2]

    def conv(name: str, x: Tensor, down: int = 1, act: str = "lrelu", gain: float = 1.0) -> Tensor:
        weight = p[name + "weight"]
        return style.conv2d_layer(
            x,
            weight / math.sqrt(weight[0].numel()),
            p.get(name + "bias"),
            f=p[f"b{img.shape[2]}.resample_filter"],
            down=down,
            act=act,
            gain=gain * (_ROOT if act == "lrelu" else 1.0),
            clamp=None,
        )

    x = conv(f"b{resolution}.fromrgb.", x)
    while resolution > 4:
        block = f"b{resolution}."
        y = conv(block + "skip.", x, down=2, act="linear", gain=_HALF)
        x = conv(block + "conv1.", conv(block + "conv0.", x), down=2, gain=_HALF) + y
        resolution //= 2
    x = conv("b4.conv.", style.minibatch_stddev(x))
    x = functional.leaky_relu(linear(p, "b4.fc.", x.flatten(1)), _SLOPE) * _ROOT
    return linear(p, "b4.out.", x)


def linear(p: Parameters, name: str, x: Tensor, lr_multiplier: float = 1.0) -> Tensor:
    """Linear layer with equalised learning rate (Karras et al. 2018, section 4.1)."""
    weight = p[name + "weight"]
    gain = lr_multiplier / math.sqrt(weight.shape[1])
    bias = p[name + "bias"] * lr_multiplier
    return torch.addmm(bias, x.to(weight.dtype), weight.t(), alpha=gain)
