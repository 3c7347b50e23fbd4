"""Procedural faces: parameters by seed, pictures with exact ground truth."""

from .landmarks import LANDMARKS
from .parameters import (
    IDENTITY,
    PARAMETERS,
    POSE,
    Parameter,
    default_parameters,
    face_labels,
)
from .render import Faces, render
from .sampling import sample_parameters
from .segments import SEGMENTS

__all__ = [
    "IDENTITY",
    "LANDMARKS",
    "PARAMETERS",
    "POSE",
    "SEGMENTS",
    "Faces",
    "Parameter",
    "default_parameters",
    "face_labels",
    "render",
    "sample_parameters",
]
