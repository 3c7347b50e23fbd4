"""Separable filters of four taps, as the compiled passes for a CPU take them."""

import torch
from torch import Tensor

Taps = tuple[tuple[float, ...], tuple[float, ...]]


def separate(f: Tensor) -> Taps | None:
    """Factors (rows, columns) of a [4, 4] or [4] filter with sum 1 each; None if there are none.

    They come in the order of a correlation, which is reversed, and with a gain of 2 each.
    """
    f = f.detach().double().cpu()
    if f.ndim == 1:
        f = torch.outer(f, f)
    total = f.sum()
    if f.shape != (4, 4) or not bool(total.isfinite()) or float(total) == 0:
        return None
    rows, columns = f.sum(dim=1), f.sum(dim=0) / total
    if not torch.allclose(torch.outer(rows, columns), f, rtol=1e-5, atol=1e-7):
        return None
    return tuple((2 * rows.flip(0)).tolist()), tuple((2 * columns.flip(0)).tolist())
