"""Restoration of damaged faces: the damage itself, and the baselines that a network must beat."""

from __future__ import annotations

from .baselines import bicubic, median
from .degrade import (
    DEFAULT,
    PRESETS,
    Box,
    Degradation,
    degrade,
    hole_boxes,
    sample_degradations,
)
from .networks import RESTORERS, convention_of

__all__ = [
    "DEFAULT",
    "PRESETS",
    "RESTORERS",
    "Box",
    "Degradation",
    "bicubic",
    "convention_of",
    "degrade",
    "hole_boxes",
    "median",
    "sample_degradations",
]
