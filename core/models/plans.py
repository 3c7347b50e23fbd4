"""Generators that images can be drawn with, and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeGuard

from torch import Tensor, nn

from . import infogan, stylegan2, stylegan2_plan, stylegan3, stylegan3_plan

AnyGenerator: TypeAlias = stylegan2.Generator | stylegan3.Generator
"""What the type checker sees; every generator of the registry is called in the same way."""

AnyPlan: TypeAlias = Callable[..., Tensor]


def is_generator(network: nn.Module | None) -> TypeGuard[AnyGenerator]:
    """Whether a network draws images from z."""
    return isinstance(getattr(getattr(network, "config", None), "z_dim", None), int)


def has_latents(generator: nn.Module) -> bool:
    """Whether images are drawn in two steps, z to W and W to images; PGGAN has no W."""
    return hasattr(generator, "mapping") and hasattr(generator, "synthesis")


def class_fits(generator: AnyGenerator, class_index: int) -> bool:
    """Whether a generator has a class of this number, or, below 0, draws without being told one.

    That does a generator without classes, and InfoGAN, whose codes follow from z.
    """
    classes = generator.config.c_dim
    if class_index < 0:
        return classes == 0 or isinstance(generator, infogan.Generator)
    return class_index < classes


def plan_of(generator: AnyGenerator) -> AnyPlan:
    """What draws ws in the dtype of the generator's weights: the synthesis, prepared if it can be.

    Args:
        generator: one that has latents, see `has_latents`.

    Returns:
        A function of ws [N, num_ws, w_dim] that gives images [N, C, R, R].
    """
    if isinstance(generator, stylegan3.Generator):
        return stylegan3_plan.plan_of(generator)
    if isinstance(generator, stylegan2.Generator) and stylegan2_plan.fits(generator.synthesis):
        return stylegan2_plan.plan_of(generator)
    return generator.synthesis
