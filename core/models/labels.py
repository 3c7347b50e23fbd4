"""Labels that conditional networks are given beside z or an image."""

from torch import Tensor


def checked_labels(network: str, c: Tensor | None, count: int, c_dim: int) -> Tensor:
    """The labels, where they are as many and as wide as they should be.

    Args:
        network: who asks, for messages.
        c: labels [count, c_dim].
        count: samples.
        c_dim: features of a label.

    Raises:
        ValueError: they are missing or of another shape.
    """
    if c is None or tuple(c.shape) != (count, c_dim):
        got = "none" if c is None else tuple(c.shape)
        raise ValueError(f"{network}: expected labels c [{count}, {c_dim}], got {got}")
    return c
