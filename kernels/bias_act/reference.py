"""Bias, activation, gain and clamp in plain PyTorch, and their first derivative."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Activation:
    """An elementwise function of (x, alpha), with the gain that keeps unit variance.

    `homogeneous` says f(g x) = g f(x) for g > 0, so the gain can be applied before it, for free.
    """

    function: Callable[[Tensor, float], Tensor]
    gain: float = 1.0
    alpha: float = 0.0
    homogeneous: bool = False


ACTIVATIONS: dict[str, Activation] = {
    "linear": Activation(lambda x, _: x, homogeneous=True),
    "relu": Activation(lambda x, _: functional.relu(x), gain=math.sqrt(2), homogeneous=True),
    "lrelu": Activation(functional.leaky_relu, gain=math.sqrt(2), alpha=0.2, homogeneous=True),
    "tanh": Activation(lambda x, _: torch.tanh(x)),
    "sigmoid": Activation(lambda x, _: torch.sigmoid(x)),
    "elu": Activation(lambda x, _: functional.elu(x)),
    "selu": Activation(lambda x, _: functional.selu(x)),
    "softplus": Activation(lambda x, _: functional.softplus(x)),
    "swish": Activation(lambda x, _: torch.sigmoid(x) * x, gain=math.sqrt(2)),
}

_aten = torch.ops.aten
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848, 1.0507009873554804934

# Gradient of z from (that of the activation at z, z, alpha).
_DERIVATIVES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "linear": lambda dy, z, alpha: dy,
    "relu": lambda dy, z, alpha: _aten.threshold_backward(dy, z, 0.0),
    "lrelu": lambda dy, z, alpha: _aten.leaky_relu_backward(dy, z, alpha, False),
    "tanh": lambda dy, z, alpha: _aten.tanh_backward(dy, torch.tanh(z)),
    "sigmoid": lambda dy, z, alpha: _aten.sigmoid_backward(dy, torch.sigmoid(z)),
    "elu": lambda dy, z, alpha: _aten.elu_backward(dy, 1.0, 1.0, 1.0, False, z),
    "selu": lambda dy, z, alpha: _aten.elu_backward(dy, _SELU_ALPHA, _SELU_SCALE, 1.0, False, z),
    "softplus": lambda dy, z, alpha: _aten.softplus_backward(dy, z, 1.0, 20.0),
    "swish": lambda dy, z, alpha: dy * torch.sigmoid(z) * (1 + z * torch.sigmoid(-z)),
}


def bias_act(
    x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float, gain: float, clamp: float | None
) -> Tensor:
    """clamp(gain * act(x + b)); arguments are checked by the public function."""
    activation = ACTIVATIONS[act]
    before = gain if activation.homogeneous and gain > 0 else 1.0
    if b is not None:
        x = torch.add(_along(b.to(x.dtype), dim, x.ndim) * before, x, alpha=before)
    elif before != 1.0:
        x = x * before
    y = activation.function(x, alpha)
    if before != gain:
        y = y * gain
    if clamp is not None:
        y = y.clamp(-clamp, clamp)
    return y


def bias_act_backward(
    dy: Tensor,
    saved: Tensor | None,
    b: Tensor | None,
    dim: int,
    act: str,
    alpha: float,
    gain: float,
    clamp: float | None,
    sums: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of bias_act.

    Args:
        dy: gradient of the result.
        saved: the result where `is_piecewise` (None for "linear" without a clamp), else x.
        b: as it was, where x is saved.
        dim, act, alpha, gain, clamp: as they were.
        sums: whether the gradient of the bias is wanted.

    Returns:
        dx of dy's shape and dtype, and its sum over all axes but `dim` in `sum_dtype`, or nothing
        of shape (0,).
    """
    dtype = sum_dtype(dy.dtype)
    if is_piecewise(act, alpha, gain):
        slope = negative_slope(act, alpha)
        dx = dy
        if slope != 1.0:
            assert saved is not None
            dx = _aten.leaky_relu_backward(dy, saved, slope, True)
        dx = dx * gain
        if clamp is not None:
            assert saved is not None
            dx = torch.where(saved.abs() < rounded(clamp, saved.dtype), dx, 0.0)
    else:
        assert saved is not None
        z = saved if b is None else saved + _along(b.to(saved.dtype), dim, saved.ndim)
        dx = _DERIVATIVES[act](dy * gain, z, alpha)
        if clamp is not None:
            bound = rounded(clamp, saved.dtype)
            dx = torch.where((ACTIVATIONS[act].function(z, alpha) * gain).abs() < bound, dx, 0.0)
    if not sums:
        return dx, dx.new_empty(0, dtype=dtype)
    return dx, dx.sum([axis for axis in range(dx.ndim) if axis != dim], dtype=dtype)


def _along(b: Tensor, dim: int, ndim: int) -> Tensor:
    return b.reshape([-1 if axis == dim else 1 for axis in range(ndim)])


def is_piecewise(act: str, alpha: float, gain: float) -> bool:
    """Whether the slope at any x follows from the sign of the result."""
    return act in ("linear", "relu", "lrelu") and gain > 0 and alpha >= 0


def negative_slope(act: str, alpha: float) -> float:
    """Slope below zero of a piecewise linear activation."""
    return {"linear": 1.0, "relu": 0.0}.get(act, alpha)


def rounded(clamp: float, dtype: torch.dtype) -> float:
    """The bound as a result of `dtype` has it."""
    return torch.tensor(clamp, dtype=dtype, device="cpu").item()


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """Dtype in which values of `dtype` are summed: at least float32."""
    return torch.promote_types(dtype, torch.float32)
