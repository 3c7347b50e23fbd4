"""Many small matrix products in one call: styles and demodulation factors of a whole network."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .compiled import library


@dataclass(frozen=True)
class AffineJob:
    """`x @ weight.T + bias`, or for demodulation rsqrt(x^2 @ weight.T + epsilon).

    Attributes:
        x: [N, I], any distance between its rows.
        weight: packed from [O, I, 1, 1] in the pointwise form.
        bias: [panels(O)] or None.
        y: [N, panels(O)], any distance between its rows: the result, then padding.
        features: I and O.
        epsilon: of the second; None for the first.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    y: Tensor
    features: tuple[int, int]
    epsilon: float | None = None


class _AffineArguments(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("x", "weight", "bias", "y")),
        *((name, ctypes.c_int64) for name in ("x_stride", "y_stride", "in", "out", "demodulate")),
        ("epsilon", ctypes.c_float),
    )


def panels(features: int) -> int:
    """Features rounded up to what one step of a matrix product makes."""
    length = library().ganvas_panel_length()
    return -(-features // length) * length


def affine(jobs: Sequence[AffineJob], rows: int) -> None:
    """Run jobs that do not depend on one another, each on `rows` rows."""
    calls = (_AffineArguments * len(jobs))(
        *(
            _AffineArguments(
                job.x.data_ptr(),
                job.weight.data_ptr(),
                None if job.bias is None else job.bias.data_ptr(),
                job.y.data_ptr(),
                job.x.stride(0),
                job.y.stride(0),
                *job.features,
                job.epsilon is not None,
                job.epsilon or 0.0,
            )
            for job in jobs
        )
    )
    library().ganvas_affine(calls, len(jobs), rows, torch.get_num_threads())
