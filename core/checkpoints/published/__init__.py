"""The families of published checkpoints that are recognised by the names and shapes they hold."""

from .codeformer import CODEFORMER
from .family import ATTRIBUTES, PublishedFamily, Shapes, Values
from .gfpgan import GFPGAN
from .image_translation import CYCLEGAN_RESNET, PATCHGAN, PIX2PIX_UNET
from .pggan import DISCRIMINATOR as PGGAN_DISCRIMINATOR
from .pggan import GENERATOR as PGGAN_GENERATOR
from .restoreformer import RESTOREFORMER
from .rosinality import DISCRIMINATOR as ROSINALITY_DISCRIMINATOR
from .rosinality import GENERATOR as ROSINALITY_GENERATOR
from .rrdbnet import RRDBNET
from .srvgg import SRVGG
from .stylegan1 import LERNAPPARAT as STYLEGAN1_LERNAPPARAT
from .stylegan1 import ROSINALITY as STYLEGAN1_ROSINALITY
from .stylegan1_discriminator import ROSINALITY as STYLEGAN1_DISCRIMINATOR
from .stylegan2 import DISCRIMINATOR as STYLEGAN2_DISCRIMINATOR
from .stylegan2 import GENERATOR as STYLEGAN2_GENERATOR
from .stylegan3 import GENERATOR as STYLEGAN3_GENERATOR

# Order matters where one file could pass for two: the first that detects it wins.
FAMILIES: tuple[PublishedFamily, ...] = (
    STYLEGAN2_GENERATOR,
    STYLEGAN2_DISCRIMINATOR,
    STYLEGAN3_GENERATOR,
    STYLEGAN1_LERNAPPARAT,
    STYLEGAN1_ROSINALITY,
    STYLEGAN1_DISCRIMINATOR,
    PGGAN_GENERATOR,
    PGGAN_DISCRIMINATOR,
    ROSINALITY_GENERATOR,
    ROSINALITY_DISCRIMINATOR,
    GFPGAN,
    CODEFORMER,
    RESTOREFORMER,
    RRDBNET,
    SRVGG,
    PIX2PIX_UNET,
    CYCLEGAN_RESNET,
    PATCHGAN,
)


def detect(shapes: Shapes) -> PublishedFamily | None:
    """The family that tensors of these names and shapes belong to, if any."""
    return next((family for family in FAMILIES if family.detect(shapes)), None)


__all__ = ["ATTRIBUTES", "FAMILIES", "PublishedFamily", "Shapes", "Values", "detect"]
