"""Bias, activation, gain and clamp in plain PyTorch."""

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


def bias_act(
    x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float, gain: float, clamp: float | None
) -> Tensor:
    """clamp(gain * act(x + b)); arguments are checked by the public function."""
    activation = ACTIVATIONS[act]
    before = gain if activation.homogeneous and gain > 0 else 1.0
    if b is not None:
        shape = [-1 if axis == dim else 1 for axis in range(x.ndim)]
        x = torch.add(b.to(x.dtype).reshape(shape) * before, x, alpha=before)
    elif before != 1.0:
        x = x * before
    y = activation.function(x, alpha)
    if before != gain:
        y = y * gain
    if clamp is not None:
        y = y.clamp(-clamp, clamp)
    return y
