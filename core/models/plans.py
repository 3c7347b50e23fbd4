"""Generators that images can be drawn with, and how."""

from typing import TypeAlias

from . import stylegan2, stylegan2_plan, stylegan3, stylegan3_plan

GENERATORS = (stylegan2.Generator, stylegan3.Generator)
AnyGenerator: TypeAlias = stylegan2.Generator | stylegan3.Generator
AnyPlan: TypeAlias = stylegan2_plan.SynthesisPlan | stylegan3_plan.SynthesisPlan


def plan_of(generator: AnyGenerator) -> AnyPlan:
    """The plan that draws in the dtype of the generator's weights."""
    if isinstance(generator, stylegan3.Generator):
        return stylegan3_plan.plan_of(generator)
    return stylegan2_plan.plan_of(generator)
