"""The ops that the networks are built from, each with one readable reference.

All are differentiable twice and take float64; see each function for shapes and conventions.
"""

from .bias_act import ACTIVATIONS, bias_act
from .errors import BackendError
from .minibatch_stddev import minibatch_stddev
from .modulated_conv2d import modulated_conv2d
from .registry import backends, use_backend
from .upfirdn2d import setup_filter, upfirdn2d

__all__ = [
    "ACTIVATIONS",
    "BackendError",
    "backends",
    "bias_act",
    "minibatch_stddev",
    "modulated_conv2d",
    "setup_filter",
    "upfirdn2d",
    "use_backend",
]
