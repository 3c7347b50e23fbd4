"""Reasons for which backends refuse a tensor, in the same words everywhere."""

from collections.abc import Collection

import torch
from torch import Tensor


def refuse_tensor(x: Tensor, device: str, dtypes: Collection[torch.dtype]) -> str | None:
    """Why x is not what a backend takes, or None if it is.

    Args:
        x: the tensor.
        device: type of the backend's devices, "cpu" or "cuda".
        dtypes: all that it takes.
    """
    if x.device.type != device:
        return f"expected a {device.upper()} tensor, got {x.device.type}"
    if x.dtype in dtypes:
        return None
    *names, last = (str(dtype).removeprefix("torch.") for dtype in dtypes)
    listed = f"{', '.join(names)} or {last}" if names else last
    return f"expected {listed}, got {x.dtype}"
