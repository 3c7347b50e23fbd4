"""Activation checkpointing: blocks keep their inputs only, and compute again going backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..core.errors import InputError


def checkpoint_blocks(networks: dict[str, nn.Module]) -> None:
    """Let every residual or synthesis block forget its activations, in place.

    Gradients stay the same, also those of gradients (R1, path length): whatever generators of
    random numbers a block is called with stand, the second time, where they stood the first; and
    its buffers, such as running statistics, move the first time only. A block is a module whose
    class is named so; it draws nothing from torch's own generator.

    Source: Chen et al. 2016, "Training deep nets with sublinear memory cost".

    Raises:
        InputError: the networks have no such blocks.
    """
    blocks = [block for network in networks.values() for block in _blocks(network)]
    if not blocks:
        raise InputError(
            "train: checkpoint_activations=true needs networks made of blocks, such as those of "
            "StyleGAN2; this preset has none"
        )
    for block in blocks:
        block.forward = _checkpointed(block, block.forward)


def _checkpointed(block: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose activations are computed again when they are needed."""

    def run(*args: Any) -> Any:
        generators = list(_generators(args))
        states = [generator.get_state() for generator in generators]
        again = False

        def repeatable(*args: Any) -> Any:
            nonlocal again
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)
            if not again:
                again = True
                return forward(*args)
            moving = list(block.buffers()) if block.training else []
            before = [buffer.clone() for buffer in moving]
            try:  # torch leaves by an exception once it has what it needs
                return forward(*args)
            finally:
                for buffer, old in zip(moving, before, strict=True):
                    buffer.copy_(old)

        return checkpoint(repeatable, *args, use_reentrant=False, preserve_rng_state=False)

    return run


def _generators(arguments: Sequence[Any]) -> Iterator[torch.Generator]:
    """Generators of random numbers among arguments, and in lists among them."""
    for argument in arguments:
        if isinstance(argument, torch.Generator):
            yield argument
        elif isinstance(argument, (list, tuple)):
            yield from _generators(argument)


def _blocks(module: nn.Module) -> list[nn.Module]:
    """Outermost blocks of a network."""
    if type(module).__name__.endswith("Block"):
        return [module]
    return [block for child in module.children() for block in _blocks(child)]
