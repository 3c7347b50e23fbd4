"""Colours of the face, painted in directions from the head's centre."""

from .canvas import Canvas
from .eyes import paint_brows, paint_eyes
from .mouth import paint_mouth
from .skin import paint_beard, paint_skin

__all__ = ["Canvas", "paint_beard", "paint_brows", "paint_eyes", "paint_mouth", "paint_skin"]
