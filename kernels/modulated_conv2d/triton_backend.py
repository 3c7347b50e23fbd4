"""The modulated convolution in Triton: cuDNN's or our own convolution, and our epilogues.

Imported only once a call needs it, since importing triton costs time and it may be absent.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..layout import channels_last, contiguous
from ..triton_host import POINTERS, AotCase, signature
from .reference import filter_padding
from .triton_backward import (
    BLOCK_C,
    epilogue_backward,
    epilogue_backward_kernel,
    styles_backward,
    styles_backward_kernel,
)
from .triton_convolution import CONV_TILES, convolution, convolution_kernel, pack_weight
from .triton_epilogue import (
    ACTS,
    Epilogue,
    epilogue,
    epilogue_kernel,
    fir_epilogue,
    fir_epilogue_kernel,
    pack_filter,
)
from .triton_registration import OWN_CHANNELS, OWN_LARGE_SIZE, OWN_SMALL_SIZE

__all__ = ["aot_cases", "epilogue_backward", "modulated_conv2d", "styles_backward"]


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor | None,
    d: Tensor | None,
    noise: Tensor | None,
    strength: Tensor | None,
    bias: Tensor | None,
    next_styles: Tensor | None,
    f: Tensor | None,
    up: int,
    act: str,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """See `reference.modulated_conv2d`."""
    x = channels_last(x)
    end = Epilogue(
        contiguous(d),
        contiguous(noise),
        strength,
        contiguous(bias),
        contiguous(next_styles),
        act,
        gain,
        clamp,
    )
    own = up == 1 and uses_own_convolution(x, weight.shape[0])
    if own:
        return convolution(x, pack_weight(weight), contiguous(styles), end)
    if styles is not None:
        x = x * styles.to(x.dtype)[:, :, None, None]
    if up == 1:
        u = functional.conv2d(x, weight, padding=weight.shape[2] // 2)
        y = epilogue(channels_last(u), end, x.dtype)
        assert y is not None
        return y
    assert f is not None
    u = functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    left, _, top, _ = filter_padding(f)
    u = channels_last(u)
    return fir_epilogue(u, pack_filter(f), (left, top), end, x.dtype)


def uses_own_convolution(x: Tensor, outputs: int) -> bool:
    """Whether our convolution is taken for a 16-bit x rather than cuDNN's."""
    if x.dtype == torch.float32:
        return False
    pixels = x.shape[2] * x.shape[3]
    thin = max(x.shape[1], outputs) <= OWN_CHANNELS
    return pixels <= OWN_SMALL_SIZE**2 or (pixels >= OWN_LARGE_SIZE**2 and thin)


def aot_cases() -> Iterator[AotCase]:
    """Every configuration of every kernel, for compilation without a GPU.

    Yields:
        kernel, signature, compile-time arguments, warps, stages, label.
    """
    for dtype, pointer in POINTERS.items():
        types = _types(pointer)
        name = str(dtype).removeprefix("torch.")
        for index, tile in enumerate(CONV_TILES):
            if dtype == torch.float32 and tile.rows > 64:
                continue  # never chosen, see `conv_tile`
            variants = [(False, True, 1), (False, False, 1), (False, True, 4)]
            if tile.rows <= 64:
                variants += [(True, False, 1), (True, False, 4)]
            for flat, modulate, splits in variants:
                chosen = {
                    "K": 3, "SPLITS": splits, "FLAT": flat, "EVEN": not flat, "MODULATE": modulate,
                    "F32DOT": False, "PRECISION": "tf32" if dtype == torch.float32 else "ieee",
                    "BLOCK_M": tile.rows, "BLOCK_N": tile.columns, "BLOCK_K": tile.depth,
                    **_FLAGS, "NEXT": True,
                }  # fmt: skip
                found = signature(convolution_kernel, chosen, types)
                if splits > 1:
                    found["y_ptr"] = "*fp32"
                label = (
                    f"convolution {name} tile {index} flat {flat} style {modulate} splits {splits}"
                )
                yield convolution_kernel, found, chosen, tile.num_warps, tile.num_stages, label
        for separable in (True, False):
            chosen = {
                "LEFT": 1, "TOP": 1, "SEPARABLE": separable, "ROWS": 8 if separable else 4,
                "BLOCK_X": 16, "BLOCK_C": 64, **_FLAGS, "NEXT": True,
            }  # fmt: skip
            found = signature(fir_epilogue_kernel, chosen, types)
            yield fir_epilogue_kernel, found, chosen, 4, 1, f"fir_epilogue {name} {separable}"
        for splits, image, block in ((1, 0, 64), (4, 0, 64), (1, 3, 512), (1, 3, 32)):
            chosen = {
                "SPLITS": splits, "BLOCK_P": 4096 // block, "BLOCK_C": block, **_FLAGS,
                "NEXT": True, "STORE": True, "IMAGE": image, "IMAGE_BIAS": True,
                "IMAGE_CLAMP": True, "IMAGE_ADD": True,
            }  # fmt: skip
            found = signature(epilogue_kernel, chosen, types)
            if splits > 1:
                found["u_ptr"] = "*fp32"
            label = f"epilogue {name} splits {splits} image {image} block {block}"
            yield epilogue_kernel, found, chosen, 4, 1, label
        chosen = {"BLOCK_P": 64, "BLOCK_C": BLOCK_C, **_FLAGS, "PER_PIXEL": True}
        found = signature(epilogue_backward_kernel, chosen, types)
        yield epilogue_backward_kernel, found, chosen, 8, 1, f"epilogue_backward {name}"
        chosen = {"BLOCK_P": 64, "BLOCK_C": BLOCK_C}
        found = signature(styles_backward_kernel, chosen, types)
        yield styles_backward_kernel, found, chosen, 4, 1, f"styles_backward {name}"


_FLAGS: dict[str, Any] = {
    "DEMODULATE": True, "NOISE": True, "STRENGTH": True, "BIAS": True,
    "ACT": ACTS["lrelu"], "CLAMP": True,
}  # fmt: skip
# Pointers to activations and weights; all others are float32.
_ACTIVATIONS = ("x_ptr", "w_ptr", "y_ptr", "u_ptr", "dy_ptr", "du_ptr", "dxs_ptr", "dx_ptr")
_FLOATS = ("gain", "clamp", "rgb_clamp")
# Divisible by 16 in every layer of a real network, as the launcher finds out at run time.
_ALIGNED = ("inputs", "outputs", "count", "size", "noise_stride", "split_stride")


def _types(pointer: str) -> dict[str, str]:
    """Types of the kernels' arguments, of those that `signature` cannot guess."""
    types: dict[str, str] = dict.fromkeys(_ACTIVATIONS, pointer)
    return types | dict.fromkeys(_FLOATS, "fp32") | dict.fromkeys(_ALIGNED, "i32:16")
