"""StyleGAN2's convolution with everything around it: styles, noise, bias and activation."""

import torch
from torch import Tensor

from ..bias_act import ACTIVATIONS, bias_act
from . import backward, reference
from .op import modulated_conv2d_op

__all__ = ["modulated_conv2d"]


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    up: int = 1,
    f: Tensor | None = None,
    demodulate: bool = True,
    noise: Tensor | None = None,
    noise_strength: Tensor | float | None = None,
    bias: Tensor | None = None,
    act: str = "linear",
    gain: float | None = None,
    clamp: float | None = None,
    next_styles: Tensor | None = None,
    modulated: bool = False,
) -> Tensor:
    """Convolve with per-sample styles (Karras et al. 2020, section 2.2), scaling activations.

    Computes `clamp(gain * act(conv(x * s, weight) * d + noise * noise_strength + bias))`, where
    d = rsqrt(sum over i, k of (weight s)^2 + 1e-8) in at least float32. Scaling activations rather
    than weights gives one plain convolution, so a sample's result does not depend on its batch.
    Differentiable twice in every tensor but f. The result has x's dtype; under autocast the
    convolution runs in, and the result has, the autocast dtype.

    Args:
        x: [N, I, H, W], any floating-point dtype and memory format.
        weight: [O, I, k, k], k odd; padded by k // 2.
        styles: [N, I].
        up: 1, or 2: a transposed convolution of stride 2, then the filter f with gain 4. k is 3.
        f: FIR filter for up 2, see `setup_filter`.
        demodulate: multiply by d.
        noise: [N, 1, H', W'] or [1, 1, H', W'], added before the bias.
        noise_strength: factor of the noise, one number; None is 1.
        bias: [O].
        act, gain, clamp: as in `bias_act`.
        next_styles: [N, O], multiplied onto the result, for a following call with `modulated`.
        modulated: x has been multiplied by the styles already (they still give d).

    Returns:
        [N, O, H * up, W * up].

    Raises:
        ValueError: an argument is not as above.
    """
    _check_tensors(x, weight, styles)
    if up not in (1, 2):
        raise ValueError(f"modulated_conv2d: expected up 1 or 2, got {up!r}")
    if up == 2 and (f is None or f.ndim not in (1, 2) or weight.shape[2] != 3):
        shape = None if f is None else tuple(f.shape)
        raise ValueError(
            "modulated_conv2d: expected a 1-D or 2-D f and a 3x3 weight for up 2, "
            f"got f {shape}, weight {tuple(weight.shape)}"
        )
    batch, out = x.shape[0], weight.shape[0]
    result = (x.shape[2] * up, x.shape[3] * up)
    if bias is not None and bias.shape != (out,):
        raise ValueError(f"modulated_conv2d: expected bias ({out},), got {tuple(bias.shape)}")
    if next_styles is not None and next_styles.shape != (batch, out):
        raise ValueError(
            f"modulated_conv2d: expected next_styles ({batch}, {out}), "
            f"got {tuple(next_styles.shape)}"
        )
    if noise is not None and tuple(noise.shape) not in {(batch, 1, *result), (1, 1, *result)}:
        raise ValueError(
            f"modulated_conv2d: expected noise [{batch} or 1, 1, {result[0]}, {result[1]}], "
            f"got {tuple(noise.shape)}"
        )
    if act not in ACTIVATIONS:
        raise ValueError(f"modulated_conv2d: expected act of {sorted(ACTIVATIONS)}, got {act!r}")
    if clamp is not None and not clamp >= 0:
        raise ValueError(f"modulated_conv2d: expected clamp >= 0 or None, got {clamp}")
    if noise_strength is not None:
        if noise is None:
            raise ValueError("modulated_conv2d: expected noise with noise_strength, got none")
        if isinstance(noise_strength, Tensor) and noise_strength.numel() != 1:
            raise ValueError(
                "modulated_conv2d: expected noise_strength of one number, "
                f"got {tuple(noise_strength.shape)}"
            )
    strength = None
    if isinstance(noise_strength, Tensor):
        strength = noise_strength.reshape(())
    elif noise is not None and noise_strength is not None:
        noise = noise * noise_strength
    gain = ACTIVATIONS[act].gain if gain is None else float(gain)

    compute = _compute_dtype(x)
    dtype = reference.statistics_dtype(compute)
    weight, styles = weight.to(dtype), styles.to(dtype)
    if demodulate and not modulated and compute is torch.float16:
        styles, weight = reference.small_styles(styles), reference.small_weight(weight)
    tensors = (
        x.to(compute),
        weight.to(compute),
        None if modulated else styles,
        reference.demodulation(weight, styles) if demodulate else None,
        *(None if t is None else t.to(dtype) for t in (noise, strength, bias)),
    )
    filtered = f if up == 2 else None
    fused = act in backward.INVERTIBLE and gain > 0 and next_styles is None
    if fused or not _differentiates(*tensors, next_styles):
        following = None if next_styles is None else next_styles.to(dtype)
        return modulated_conv2d_op(*tensors, following, filtered, up, act, gain, clamp)
    y = modulated_conv2d_op(*tensors, None, filtered, up, "linear", 1.0, None)
    y = bias_act(y, act=act, gain=gain, clamp=clamp)
    return y if next_styles is None else y * next_styles.to(y.dtype)[:, :, None, None]


def _compute_dtype(x: Tensor) -> torch.dtype:
    """Dtype in which a convolution of x runs here and now."""
    kind = x.device.type
    if x.dtype is torch.float64 or not torch.is_autocast_enabled(kind):
        return x.dtype
    return torch.get_autocast_dtype(kind)


def _differentiates(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def _check_tensors(x: Tensor, weight: Tensor, styles: Tensor) -> None:
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(
            "modulated_conv2d: expected floating-point x [N, I, H, W], "
            f"got {tuple(x.shape)} {x.dtype}"
        )
    square = weight.ndim == 4 and weight.shape[2] == weight.shape[3] and weight.shape[2] % 2 == 1
    if not square or weight.shape[1] != x.shape[1]:
        raise ValueError(
            f"modulated_conv2d: expected weight [O, {x.shape[1]}, k, k] with odd k, "
            f"got {tuple(weight.shape)}"
        )
    if styles.shape != x.shape[:2]:
        raise ValueError(
            f"modulated_conv2d: expected styles {tuple(x.shape[:2])}, got {tuple(styles.shape)}"
        )
