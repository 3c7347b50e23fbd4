"""The compiled convolution with everything around it, as Python functions on tensors.

Images are channels-last float32 [N, H, W, C], their channels rounded up to whole vectors with
`padded`; see csrc/convolution.h.
"""

import ctypes
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import torch
from torch import Tensor

from .. import build


class Form(IntEnum):
    """How a convolution is computed; see csrc/transforms.h."""

    POINTWISE = 0  # 1x1
    DIRECT = 1
    WINOGRAD2 = 2
    WINOGRAD4 = 3
    UP_DIRECT = 4  # the transposed convolution of stride 2, and the FIR filter if there is one
    UP_WINOGRAD3 = 5
    DOWN_DIRECT = 6  # stride 2 without padding
    DOWN_WINOGRAD4 = 7


@dataclass(frozen=True)
class Method:
    """How one convolution runs.

    Attributes:
        form: the algorithm.
        shared: whether all threads work on one block of tiles at a time, which reads large weights
            only once, or each on its own, which keeps intermediates in its cache.
        tiles: tiles in a block.
    """

    form: Form
    shared: bool
    tiles: int


_TENSORS = (
    "x",
    "weight",
    "styles",
    "demodulation",
    "noise",
    "bias",
    "next_styles",
    "rgb_weight",
    "rgb_styles",
    "rgb_bias",
    "y",
    "image",
    "workspace",
)
_SIZES = (
    "n",
    "height",
    "width",
    "in",
    "out",
    "image_channels",
    "x_stride",
    "noise_stride",
    "styles_stride",
    "demodulation_stride",
    "next_stride",
    "rgb_stride",
    "form",
    "shared",
    "tiles",
    "threads",
    "filtered",
)
_NUMBERS = ("strength", "gain", "alpha", "clamp", "rgb_clamp")


class _Arguments(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in _TENSORS),
        *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_float) for name in _NUMBERS),
        ("fir_y", ctypes.c_float * 4),
        ("fir_x", ctypes.c_float * 4),
    )


@dataclass(frozen=True)
class ToRGB:
    """A 1x1 modulated convolution of the result, added to an image in the same pass.

    Attributes:
        weight: [channels, padded(C)].
        styles: [N, padded(C)], gain included.
        bias: [channels] or None.
        clamp: bound of what is added, before the addition.
        image: [N, channels, H, W], contiguous.
    """

    weight: Tensor
    styles: Tensor
    bias: Tensor | None
    clamp: float | None
    image: Tensor


def new_floats(*shape: int) -> Tensor:
    """Memory without values, whatever dtype and device torch was told to prefer."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


class Workspace:
    """Memory that calls share one after another; it grows to the largest need."""

    def __init__(self) -> None:
        self._memory = new_floats(0)

    def take(self, shape: Sequence[int]) -> Tensor:
        """A float32 tensor of any content, aligned to 64 bytes; the one taken before is gone."""
        floats = math.prod(shape)
        if self._memory.numel() < floats + 16:
            self._memory = new_floats(0)  # frees the old memory first
            self._memory = new_floats(floats + 16)
        start = -self._memory.data_ptr() % 64 // 4
        return self._memory[start : start + floats].view(shape)


class _Kept(Workspace):
    """Memory for calls that are far apart; more than `LIMIT` floats is not kept."""

    LIMIT = 32 << 20

    def take(self, shape: Sequence[int]) -> Tensor:
        owner = super() if math.prod(shape) <= self.LIMIT else Workspace()
        return owner.take(shape)


_workspaces = threading.local()


def kept(name: str) -> Workspace:
    """This thread's own workspace of that name, whose memory stays for later calls (to 128 MiB).

    Training packs weights anew at each call, which is not to wait for fresh pages.
    """
    if not hasattr(_workspaces, name):
        setattr(_workspaces, name, _Kept())
    return getattr(_workspaces, name)


def padded(channels: int) -> int:
    """Channels rounded up to whole vectors."""
    length = library().ganvas_vector_length()
    return -(-channels // length) * length


def pad_channels(x: Tensor) -> Tensor:
    """[..., C] to contiguous float32 [..., padded(C)], the rest zeros."""
    extra = padded(x.shape[-1]) - x.shape[-1]
    return torch.nn.functional.pad(x.float(), (0, extra)).contiguous()


def pack_weight(
    weight: Tensor,
    form: Form,
    *,
    adjoint: bool = False,
    gain: float = 1.0,
    workspace: Workspace | None = None,
) -> Tensor:
    """Transform and reorder gain * weight for `form`; float64 within.

    Args:
        weight: [O, I, k, k], any strides.
        form: for which.
        adjoint: pack the weight [I, O, k, k] of the adjoint, whose taps are turned around.
        gain: factor.
        workspace: where the result goes; None allocates it.
    """
    functions = library()
    weight = weight.detach().float()
    start, strides, (out, channels) = weight.data_ptr(), weight.stride(), weight.shape[:2]
    if adjoint:
        last = (weight.shape[2] - 1) * strides[2] + (weight.shape[3] - 1) * strides[3]
        start += last * weight.element_size()
        strides = (strides[1], strides[0], -strides[2], -strides[3])
        out, channels = channels, out
    size = [functions.ganvas_packed_weight(form, out, channels)]
    packed = new_floats(*size) if workspace is None else workspace.take(size)
    functions.ganvas_pack_weight(
        form,
        start,
        (ctypes.c_int64 * 4)(*strides),
        out,
        channels,
        gain,
        torch.get_num_threads(),
        packed.data_ptr(),
    )
    return packed


class _GradientArguments(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("x", "dy", "dw", "workspace")),
        *((name, ctypes.c_int64) for name in ("n", "height", "width", "in", "out")),
        ("strides", ctypes.c_int64 * 4),
        *((name, ctypes.c_int64) for name in ("form", "threads")),
        ("gain", ctypes.c_float),
    )


def weight_gradient(
    x: Tensor, dy: Tensor, dweight: Tensor, form: Form, workspace: Workspace, gain: float = 1.0
) -> None:
    """Write gain times the gradient of a convolution's weight.

    Args:
        x: [N, H, W, I], contiguous, I in whole vectors.
        dy: [N, H', W', O], contiguous, O in whole vectors; of the raw result for up-sampling forms.
        dweight: [O, I, k, k], any strides.
        form: how to compute it.
        workspace: where intermediates go.
        gain: factor.
    """
    call = _GradientArguments()
    call.x, call.dy, call.dw = x.data_ptr(), dy.data_ptr(), dweight.data_ptr()
    call.n, call.height, call.width = x.shape[:3]
    setattr(call, "in", dweight.shape[1])
    call.out = dweight.shape[0]
    call.strides[:] = dweight.stride()
    call.form, call.threads, call.gain = form, torch.get_num_threads(), gain
    functions = library()
    memory = workspace.take([functions.ganvas_weight_gradient_workspace(ctypes.byref(call))])
    call.workspace = memory.data_ptr()
    functions.ganvas_weight_gradient(ctypes.byref(call))


def convolve(
    x: Tensor,
    weight: Tensor,
    channels: tuple[int, int],
    method: Method,
    workspace: Workspace,
    *,
    styles: Tensor | None = None,
    demodulation: Tensor | None = None,
    noise: Tensor | None = None,
    strength: float = 1.0,
    bias: Tensor | None = None,
    alpha: float = 1.0,
    gain: float = 1.0,
    clamp: float | None = None,
    next_styles: Tensor | None = None,
    fir: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
    rgb: ToRGB | None = None,
    y: Tensor | None = None,
) -> None:
    """Compute clamp(gain * lrelu(conv(x * s) * d + noise * strength + bias)) * next_styles.

    Args:
        x: [N, H, W, padded(I)], or expanded from [1, ...].
        weight: from `pack_weight` with the method's form.
        channels: (I, O).
        method: how to compute it.
        workspace: where intermediates go.
        styles: [N, padded(I)].
        demodulation: [N, padded(O)].
        noise: [N or 1, 1, H', W'], contiguous.
        strength: factor of the noise.
        bias: [padded(O)].
        alpha: slope below zero, 1 for a linear layer.
        gain: factor above 0.
        clamp: bound, or None.
        next_styles: [N, padded(O)].
        fir: rows and columns of the filter after an up-sampling form, four taps each, in the order
            of a correlation and with a gain of 2 each; None keeps the raw result.
        rgb: what to add to an image; not together with `next_styles`.
        y: [N, H', W', padded(O)], contiguous: the result. None where only the image is wanted.
    """
    count, height, width = x.shape[:3]
    call = _Arguments()
    call.x, call.x_stride = x.data_ptr(), x.stride(0) if count > 1 else 0
    call.weight = weight.data_ptr()
    if styles is not None:
        call.styles, call.styles_stride = styles.data_ptr(), styles.stride(0)
    if demodulation is not None:
        call.demodulation = demodulation.data_ptr()
        call.demodulation_stride = demodulation.stride(0)
    if noise is not None:
        call.noise = noise.data_ptr()
        call.noise_stride = 0 if noise.shape[0] == 1 else noise.stride(0)
    if bias is not None:
        call.bias = bias.data_ptr()
    if next_styles is not None:
        call.next_styles, call.next_stride = next_styles.data_ptr(), next_styles.stride(0)
    if rgb is not None:
        _set_rgb(call, rgb)
    if y is not None:
        call.y = y.data_ptr()
    call.n, call.height, call.width = count, height, width
    setattr(call, "in", channels[0])
    call.out = channels[1]
    call.form, call.shared, call.tiles = method.form, method.shared, method.tiles
    call.threads = torch.get_num_threads()
    call.strength, call.gain, call.alpha = strength, gain, alpha
    call.clamp = float("inf") if clamp is None else clamp
    if fir is not None:
        call.fir_y[:], call.fir_x[:] = fir
        call.filtered = 1
    functions = library()
    memory = workspace.take([functions.ganvas_convolution_workspace(ctypes.byref(call))])
    call.workspace = memory.data_ptr()
    functions.ganvas_convolution(ctypes.byref(call))


def to_rgb(x: Tensor, channels: int, rgb: ToRGB) -> None:
    """Add toRGB of x [N, H, W, padded(channels)] to the image."""
    call = _Arguments()
    call.y = x.data_ptr()
    call.n, call.height, call.width = x.shape[:3]
    call.out = channels
    call.threads = torch.get_num_threads()
    _set_rgb(call, rgb)
    library().ganvas_to_rgb(ctypes.byref(call))


def _set_rgb(call: _Arguments, rgb: ToRGB) -> None:
    call.rgb_weight, call.image = rgb.weight.data_ptr(), rgb.image.data_ptr()
    call.rgb_styles, call.rgb_stride = rgb.styles.data_ptr(), rgb.styles.stride(0)
    call.image_channels = rgb.weight.shape[0]
    if rgb.bias is not None:
        call.rgb_bias = rgb.bias.data_ptr()
    call.rgb_clamp = float("inf") if rgb.clamp is None else rgb.clamp


@cache
def library() -> ctypes.CDLL:
    """The compiled library, its functions typed; a failed build is asked for again."""
    library = build.cpu_library()
    integer, address = ctypes.c_int64, ctypes.c_void_p
    for name, result, arguments in (
        ("vector_length", integer, ()),
        ("panel_length", integer, ()),
        ("packed_weight", integer, (integer, integer, integer)),
        (
            "pack_weight",
            None,
            (integer, address, address, integer, integer, ctypes.c_double, integer, address),
        ),
        ("weight_gradient_workspace", integer, (address,)),
        ("weight_gradient", None, (address,)),
        ("convolution_workspace", integer, (address,)),
        ("convolution", None, (address,)),
        ("to_rgb", None, (address,)),
        ("affine", None, (address, integer, integer, integer)),
    ):
        function = getattr(library, "ganvas_" + name)
        function.restype, function.argtypes = result, arguments
    return library
