"""The families of published checkpoints that are recognised by the names and shapes they hold."""

from .family import ATTRIBUTES, PublishedFamily, Shapes, Values
from .rosinality import DISCRIMINATOR as ROSINALITY_DISCRIMINATOR
from .rosinality import GENERATOR as ROSINALITY_GENERATOR
from .stylegan2 import DISCRIMINATOR as STYLEGAN2_DISCRIMINATOR
from .stylegan2 import GENERATOR as STYLEGAN2_GENERATOR
from .stylegan3 import GENERATOR as STYLEGAN3_GENERATOR

# Order matters where one file could pass for two: the first that detects it wins.
FAMILIES: tuple[PublishedFamily, ...] = (
    STYLEGAN2_GENERATOR,
    STYLEGAN2_DISCRIMINATOR,
    STYLEGAN3_GENERATOR,
    ROSINALITY_GENERATOR,
    ROSINALITY_DISCRIMINATOR,
)


def detect(shapes: Shapes) -> PublishedFamily | None:
    """The family that tensors of these names and shapes belong to, if any."""
    return next((family for family in FAMILIES if family.detect(shapes)), None)


__all__ = ["ATTRIBUTES", "FAMILIES", "PublishedFamily", "Shapes", "Values", "detect"]
