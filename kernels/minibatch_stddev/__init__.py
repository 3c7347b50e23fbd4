"""How much a batch varies, as extra channels for a discriminator."""

from torch import Tensor

from ..registry import register
from ..triton_host import register_triton
from . import reference
from .op import minibatch_stddev_op

__all__ = ["minibatch_stddev"]

for _op in ("minibatch_stddev", "minibatch_stddev_backward"):
    register_triton(_op, f"{__name__}.triton_backend", _op)
    register(_op, "eager", getattr(reference, _op))


def minibatch_stddev(
    x: Tensor, *, group_size: int = 4, num_channels: int = 1, eps: float = 1e-8
) -> Tensor:
    """Append the mean standard deviation within groups of samples (Karras et al. 2018, section 3).

    Group g holds the samples n with n mod (N / size) = g, as in published discriminators.
    Statistics are taken in at least float32. Differentiable twice.

    Args:
        x: [N, C, H, W], any floating-point dtype, not empty.
        group_size: samples compared with one another; min(group_size, N) must divide N.
        num_channels: channels appended, each over its own share of the C channels.
        eps: added to the variance.

    Returns:
        [N, C + num_channels, H, W] in x's dtype, the first C channels being x.

    Raises:
        ValueError: an argument is not as above.
    """
    if x.ndim != 4 or not x.is_floating_point() or x.numel() == 0:
        raise ValueError(
            "minibatch_stddev: expected non-empty floating-point x [N, C, H, W], "
            f"got {tuple(x.shape)} {x.dtype}"
        )
    if group_size < 1 or x.shape[0] % min(group_size, x.shape[0]):
        raise ValueError(
            "minibatch_stddev: expected a batch that min(group_size, N) divides, "
            f"got N {x.shape[0]}, group_size {group_size}"
        )
    if num_channels < 1 or x.shape[1] % num_channels:
        raise ValueError(
            "minibatch_stddev: expected num_channels that divides C, "
            f"got C {x.shape[1]}, num_channels {num_channels}"
        )
    size = min(group_size, x.shape[0])
    return minibatch_stddev_op(x, size, num_channels, float(eps))
