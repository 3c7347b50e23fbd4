"""Affine layers packed for the compiled matrix products of the executors for a CPU."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cpu_convolution.affine import AffineJob, affine, panels
from ..cpu_convolution.compiled import Form, pack_weight
from .description import Affine


@dataclass(frozen=True)
class PackedAffine:
    """A packed affine layer and where its styles start in a row of all styles.

    Attributes:
        weight: from `pack_matrix`.
        bias: [panels(features)], float32, zeros after its own.
        index: which of the ws.
        features: styles that it makes.
        start: of them in the row.
    """

    weight: Tensor
    bias: Tensor
    index: int
    features: int
    start: int


def pack_affine(layer: Affine, start: int) -> PackedAffine:
    """Pack a layer whose styles begin at `start`; the next begin `panels(features)` later."""
    features = layer.weight.shape[0]
    bias = layer.bias.new_zeros(panels(features), dtype=torch.float32)
    bias[:features] = layer.bias.detach()
    return PackedAffine(pack_matrix(layer.weight), bias, layer.index, features, start)


def run_affines(layers: Sequence[PackedAffine], ws: Tensor, styles: Tensor) -> None:
    """Write the layers' styles of ws [N, num_ws, w_dim] into rows of all styles, [N, width]."""
    affine(
        [
            AffineJob(
                ws[:, layer.index],
                layer.weight,
                layer.bias,
                styles[:, layer.start :],
                (ws.shape[2], layer.features),
            )
            for layer in layers
        ],
        ws.shape[0],
    )


def pack_matrix(matrix: Tensor) -> Tensor:
    """Pack [O, I] for `AffineJob` and pointwise convolutions."""
    return pack_weight(matrix.detach()[:, :, None, None], Form.POINTWISE)
