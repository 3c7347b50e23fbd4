"""Finding and applying directions in a generator's latent space."""

from .directions import Direction, apply_direction, parse_strengths
from .sefa import closed_form_directions, style_weights

__all__ = [
    "Direction",
    "apply_direction",
    "closed_form_directions",
    "parse_strengths",
    "style_weights",
]
