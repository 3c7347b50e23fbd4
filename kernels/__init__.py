"""The ops that the networks are built from: one readable reference each, and faster backends.

All are differentiable twice and take float64; see each function for shapes and conventions, and
README.md here for the backends and what was measured.
"""

from .bias_act import ACTIVATIONS, bias_act
from .convolution import conv2d, convolution, transposed_convolution
from .errors import BackendError, BuildError
from .filtered_lrelu import filtered_lrelu
from .minibatch_stddev import minibatch_stddev
from .modulated_conv2d import modulated_conv2d
from .registry import backends, explain, ops, use_backend
from .to_rgb import to_rgb
from .upfirdn2d import setup_filter, upfirdn2d

__all__ = [
    "ACTIVATIONS",
    "BackendError",
    "BuildError",
    "backends",
    "bias_act",
    "conv2d",
    "convolution",
    "explain",
    "filtered_lrelu",
    "minibatch_stddev",
    "modulated_conv2d",
    "ops",
    "setup_filter",
    "to_rgb",
    "transposed_convolution",
    "upfirdn2d",
    "use_backend",
]
