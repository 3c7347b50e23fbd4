"""Batch normalisation under training: equal statistics on all ranks, true ones for an average.

In a step the statistics are those of a part of the batch, on its rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from .distributed import Ranks


def synchronise(ranks: Ranks, networks: Iterable[nn.Module]) -> None:
    """Average the running statistics over ranks."""
    ranks.mean_(
        [
            buffer
            for network in networks
            for buffer in network.buffers()
            if buffer.is_floating_point()
        ]
    )


@torch.no_grad()
def calibrate(network: nn.Module, runs: Iterable[Callable[[], object]]) -> None:
    """Measure the statistics of a network in evaluation mode anew.

    Averaged weights go with no running statistics: those of the network that they average are of
    other activations.

    Args:
        network: left in evaluation mode.
        runs: forward passes over batches of equal size; the statistics are the mean over them.
    """
    layers = [module for module in network.modules() if isinstance(module, BatchNorm)]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over all passes
        layer.train()
    for run in runs:
        run()
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()
