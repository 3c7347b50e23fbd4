"""Finding, fitting and applying directions in a generator's latent space, and mixing latents."""

from .combine import combine_directions, project_out
from .directions import Direction, apply_direction, parse_strengths
from .fit import Fit, fit_direction, parse_targets
from .ganspace import principal_directions
from .mixing import average, interpolate, mix_styles
from .sefa import closed_form_directions, style_weights
from .walk import latent_walk

__all__ = [
    "Direction",
    "Fit",
    "apply_direction",
    "average",
    "closed_form_directions",
    "combine_directions",
    "fit_direction",
    "interpolate",
    "latent_walk",
    "mix_styles",
    "parse_strengths",
    "parse_targets",
    "principal_directions",
    "project_out",
    "style_weights",
]
