"""How a generator's latents spread in W: fixed samples that directions are found and scaled by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..chunks import Report, in_chunks
from ..errors import InputError
from ..latents import seeded_z
from ..models.plans import has_latents

if TYPE_CHECKING:
    from ..models.plans import AnyGenerator

CHUNK = 1024
"""Latents mapped at once."""


def check_count(generator: AnyGenerator, count: int) -> None:
    """Refuse a generator without W, or more directions than W has dimensions.

    Raises:
        InputError: naming the input.
    """
    if not has_latents(generator):
        raise InputError("generator: this one (PGGAN) has no W, so it has no directions to find")
    w_dim = generator.config.w_dim
    if not 1 <= count <= w_dim:
        raise InputError(f"count: expected 1..{w_dim} directions for this generator, got {count}")


@torch.no_grad()
def sample_w(generator: AnyGenerator, count: int, report: Report | None = None) -> Tensor:
    """W latents of the seeds 0 .. count-1, [count, w_dim] float64 on the CPU, without truncation.

    A conditional generator gets its classes in turn.
    """
    config = generator.config
    device = next(generator.parameters()).device

    def run(start: int, stop: int) -> Tensor:
        z = seeded_z(start, stop - start, config.z_dim).to(device)
        c = None
        if config.c_dim:
            classes = torch.arange(start, stop, device=device) % config.c_dim
            c = torch.nn.functional.one_hot(classes, config.c_dim).float()
        return generator.mapping(z, c)[:, 0].double().cpu()

    return in_chunks(run, count, CHUNK, report)


def fix_signs(vectors: Tensor) -> Tensor:
    """Give each row the sign that makes its largest component positive.

    An eigenvector's sign is arbitrary and differs between linear algebra libraries.
    """
    index = vectors.abs().argmax(dim=1, keepdim=True)
    return vectors * vectors.gather(1, index).sign()
