"""Bias, activation, gain and clamp in one call."""

from torch import Tensor

from ..registry import register
from ..triton_host import register_triton
from . import cpu_backend, reference
from .op import bias_act_op
from .reference import ACTIVATIONS

__all__ = ["ACTIVATIONS", "bias_act"]

register("bias_act", "eager", reference.bias_act)
register("bias_act_backward", "eager", reference.bias_act_backward)
for _op in ("bias_act", "bias_act_backward"):
    register_triton(_op, f"{__name__}.triton_backend", _op)
register("bias_act", "cpu", cpu_backend.bias_act, refuse=cpu_backend.refuse)
register(
    "bias_act_backward",
    "cpu",
    cpu_backend.bias_act_backward,
    refuse=cpu_backend.refuse_backward,
)


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    *,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Compute `clamp(gain * act(x + b))`, in x's dtype, differentiable twice.

    Args:
        x: any shape, any floating-point dtype.
        b: [x.shape[dim]], added along axis `dim`; None adds nothing.
        dim: axis of the bias; negative counts from the end.
        act: a name in `ACTIVATIONS`.
        alpha: negative slope of "lrelu" (default 0.2); no other activation uses it.
        gain: factor after the activation; default sqrt 2 for relu, lrelu and swish, else 1.
        clamp: bounds the result to [-clamp, clamp]; None leaves it.

    Returns:
        A tensor of x's shape and dtype; x itself where there is nothing to do.

    Raises:
        ValueError: an argument is not as above.
    """
    if not x.is_floating_point():
        raise ValueError(f"bias_act: expected floating-point x, got {x.dtype}")
    if act not in ACTIVATIONS:
        raise ValueError(f"bias_act: expected act of {sorted(ACTIVATIONS)}, got {act!r}")
    if b is not None:
        if not -x.ndim <= dim < x.ndim:
            raise ValueError(f"bias_act: expected dim of a {x.ndim}-D x, got {dim}")
        dim %= x.ndim
        if b.shape != (x.shape[dim],):
            raise ValueError(
                f"bias_act: expected b of shape ({x.shape[dim]},), got {tuple(b.shape)}"
            )
    if clamp is not None and not clamp >= 0:
        raise ValueError(f"bias_act: expected clamp >= 0 or None, got {clamp}")
    activation = ACTIVATIONS[act]
    alpha = activation.alpha if alpha is None else float(alpha)
    gain = activation.gain if gain is None else float(gain)
    if act == "linear" and b is None and gain == 1.0 and clamp is None:
        return x
    return bias_act_op(x, b, dim, act, alpha, gain, None if clamp is None else float(clamp))
