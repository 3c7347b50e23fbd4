"""Real-ESRGAN's compact networks: our names are the same."""

import math
import re

from ...errors import InputError
from .family import PublishedFamily, Shapes, Values, argument, not_inferable, shape_of

_LAYER = re.compile(r"body\.(\d+)\.(weight|bias)")


def _detect(shapes: Shapes) -> bool:
    if not shapes or not all(_LAYER.fullmatch(name) for name in shapes):
        return False
    convolutions = _convolutions(shapes)
    return len(convolutions) > 1 and convolutions == list(range(0, 2 * len(convolutions), 2))


def _convolutions(shapes: Shapes) -> list[int]:
    """Numbers of the layers that are convolutions, in order."""
    matches = ((_LAYER.fullmatch(name), shape) for name, shape in shapes.items())
    return sorted(int(m[1]) for m, shape in matches if m and len(shape) == 4)


def _infer(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    last = _convolutions(shapes)[-1]
    num_feat, channels = shape_of(shapes, "body.0.weight", 4)[:2]
    outputs = shape_of(shapes, f"body.{last}.weight", 4)[0]
    scale = math.isqrt(outputs // channels)
    if channels * scale**2 != outputs:
        raise InputError(
            f"the last layer's {outputs} channels are not {channels} times a square of the scale"
        )
    activation: object = "prelu"
    if "body.1.weight" not in shapes:
        activation = argument("activation", init, given, None)
        if activation is None:
            raise not_inferable("activation")
    return {
        "in_channels": channels,
        "out_channels": channels,
        "num_feat": num_feat,
        "num_conv": last // 2 - 1,
        "scale": scale,
        "activation": activation,
    }


SRVGG = PublishedFamily("srvgg", detect=_detect, infer=_infer, given=("activation",))
