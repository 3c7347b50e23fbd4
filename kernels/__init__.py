"""The ops that the networks are built from, each with one readable reference.

All are differentiable twice and take float64; see each function for shapes and conventions.
"""

from .bias_act import ACTIVATIONS, bias_act
from .errors import BackendError, BuildError
from .minibatch_stddev import minibatch_stddev
from .modulated_conv2d import modulated_conv2d
from .registry import backends, explain, ops, use_backend
from .upfirdn2d import setup_filter, upfirdn2d

__all__ = [
    "ACTIVATIONS",
    "BackendError",
    "BuildError",
    "backends",
    "bias_act",
    "explain",
    "minibatch_stddev",
    "modulated_conv2d",
    "ops",
    "setup_filter",
    "upfirdn2d",
    "use_backend",
]
