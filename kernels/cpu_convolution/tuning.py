"""Which method computes a convolution on a CPU: rules from measurements on two Zen 4 cores.

The rules know sizes of one image only, so that a sample's method does not depend on its batch.
Milliseconds at N=1, 512 to 512 channels below 64 px:

    x                  4      8      16     32     64
    direct             0.6    1.9    7.0    33     121
    F(2, 3)            0.6    1.1    3.5    14     52
    F(4, 3)            1.3    1.3    2.5    9.3    30
    up, direct         1.0    2.5    8.2    29
    up, F(3, 2)        1.4    2.3    6.1    18

Up to 256 x 256 channels, threads on their own blocks of tiles are up to twice as fast as together.
"""

from .compiled import Form, Method

# A larger weight is read from memory once for all threads; intermediates then leave the cache.
_LARGE_WEIGHT = 512 * 256
_SHARED_TILES, _TILES = 512, 24


def choose(channels: tuple[int, int], size: int, up: int) -> Method:
    """The method for a 3x3 convolution.

    Args:
        channels: (I, O).
        size: height or width of the input, the smaller.
        up: 1, or 2 for an up-sampling layer.
    """
    if up == 2:
        form = Form.UP_DIRECT if size <= 4 else Form.UP_WINOGRAD3
    elif size <= 4:
        form = Form.DIRECT
    else:
        form = Form.WINOGRAD2 if size <= 8 else Form.WINOGRAD4
    shared = channels[0] * channels[1] >= _LARGE_WEIGHT or size <= 8
    return Method(form, shared, _SHARED_TILES if shared else _TILES)
