"""The registry of op rows: which op, at which layer of which network, in which phase and dtype.

Sizes come from `layers` and from StyleGAN3's own geometry. Whole networks need models, which are
not known here: the caller hands them in as entries, see `networks` and
`core.benchmark_networks`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..bias_act import bias_act
from ..bias_act.reference import bias_act as bias_act_reference
from ..convolution import conv2d, convolution
from ..filtered_lrelu import filtered_lrelu
from ..filtered_lrelu.geometry import LayerGeometry, layer_geometry
from ..filtered_lrelu.reference import filtered_lrelu as filtered_lrelu_reference
from ..minibatch_stddev import minibatch_stddev
from ..minibatch_stddev.reference import minibatch_stddev as minibatch_stddev_reference
from ..modulated_conv2d import modulated_conv2d
from ..to_rgb import to_rgb
from ..to_rgb.reference import to_rgb as to_rgb_reference
from ..upfirdn2d import setup_filter, upfirdn2d
from ..upfirdn2d.reference import upfirdn2d as upfirdn2d_reference
from . import composed, layers, networks
from .phases import BACKWARD, FORWARD, GRADIENT, PHASES, R1, Column, Inputs, op_phase
from .protocol import COMPOSED, EAGER, OURS, Case, Entry
from .schema import Cache
from .work import Work

ROOT = 2**0.5
FIR_TAPS = (1.0, 3.0, 3.0, 1.0)
_SEED = 0
_COMPARED = 8  # channels
_VECTOR = 16  # channels in the widest registers
_SLOPE = 0.2
_LEAST_SIZE = 64  # pixels, of conv2d
_CLAMP = 256.0  # StyleGAN3 clamps every activation

Function = Callable[[Inputs], Tensor]


@dataclass(frozen=True)
class _Op:
    """An op at one size, before a phase is chosen.

    Attributes:
        shapes: of the random inputs.
        result: shape of the result, which "dy" has.
        fixed: inputs that are no random numbers, such as filters.
        wanted: inputs with gradients.
        ours, eager, composed: functions of all inputs.
        forward: least work of a forward pass.
        backward: of forward and backward together.
        sizes: for the reader.
        wide: the result, and so "dy", is in at least float32.
        separate: channels do not depend on one another, so that a few of them tell the accuracy.
    """

    shapes: dict[str, tuple[int, ...]]
    result: tuple[int, ...]
    fixed: dict[str, Tensor]
    wanted: Sequence[str]
    ours: Function
    eager: Function
    composed: Function
    forward: Work
    backward: Work
    sizes: dict[str, int]
    wide: bool = False
    separate: bool = False

    def case(self, phase: str, dtype: torch.dtype, device: torch.device) -> Case:
        """Inputs and columns of one phase."""
        rng = torch.Generator(device).manual_seed(_SEED)

        def draw(name: str, shape: tuple[int, ...]) -> Tensor:
            x = torch.randn(shape, generator=rng, device=device)
            if name == "styles":
                x = 1 + 0.3 * x
            elif name in ("bias", "strength"):
                x = 0.3 * x
            # Parameters and styles stay in float32, as in a network that computes in 16 bits.
            narrow = name == "x" or (name == GRADIENT and not self.wide)
            return x.to(dtype) if narrow or dtype.itemsize > 4 else x

        inputs = {name: draw(name, shape) for name, shape in self.shapes.items()}
        inputs |= {name: tensor.to(device) for name, tensor in self.fixed.items()}
        if phase != FORWARD:
            inputs[GRADIENT] = draw(GRADIENT, self.result)
        functions = {COMPOSED: self.composed, EAGER: self.eager, OURS: self.ours}
        exact = op_phase(phase, self.eager, self.wanted)
        part = None
        if self.separate and phase == FORWARD:
            last = self.result[1] - 1
            part = tuple(sorted({round(last * i / (_COMPARED - 1)) for i in range(_COMPARED)}))
            exact = _of_channels(exact, part)
        return Case(
            inputs=inputs,
            columns={
                name: op_phase(phase, function, self.wanted) for name, function in functions.items()
            },
            exact=exact,
            work={FORWARD: [self.forward], BACKWARD: [self.backward], R1: []}[phase],
            shape=self.sizes,
            part=part,
            axis=1,
        )


def _of_channels(function: Column, part: Sequence[int]) -> Column:
    """The function on some channels of x and bias alone."""

    def run(inputs: Inputs) -> tuple[Tensor, ...]:
        index = torch.tensor(part, device=inputs["x"].device)
        narrow = {"x": inputs["x"].index_select(1, index)}
        if "bias" in inputs:
            narrow["bias"] = inputs["bias"].index_select(0, index)
        return function({**inputs, **narrow})

    return run


def op_entries(device: torch.device, *, quick: bool = False) -> list[Entry]:
    """All op rows for a device.

    On a CPU, forward rows are the layers that draw one image, in float32, and gradients those of
    the 64 px network that is trained there. On a GPU every layer runs in bfloat16, for 1 and 8
    images, with a warm and a cold cache.
    """
    if quick:
        return _quick_entries(device)
    rows: list[Entry] = []
    if device.type == "cuda":
        dtype = torch.bfloat16
        for batch in (1, 8):
            for layer in layers.synthesis_layers(1024):
                name = f"modulated_conv2d/stylegan2-1024/{layer.name}/n{batch}"
                op = _modulated_conv2d(layer, batch, dtype)
                for phase, cache in _GPU_VARIANTS:
                    rows.append(_entry(name, "modulated_conv2d", op, phase, dtype, device, cache))
        rows += _small_ops(dtype, device, 8, 256, 128, "warm")
        rows += _small_ops(dtype, device, 8, 1024, 32, "cold")
        rows += _stylegan3_entries(device, torch.float16, "cold")
        return rows
    dtype = torch.float32
    for layer in layers.synthesis_layers(1024):
        op = _modulated_conv2d(layer, 1, dtype)
        name = f"modulated_conv2d/stylegan2-1024/{layer.name}/n1"
        rows.append(_entry(name, "modulated_conv2d", op, FORWARD, dtype, device))
    for layer in layers.synthesis_layers(64, 8192):
        op = _modulated_conv2d(layer, 8, dtype)
        name = f"modulated_conv2d/stylegan2-64/{layer.name}/n8"
        for phase in (BACKWARD, R1):
            rows.append(_entry(name, "modulated_conv2d", op, phase, dtype, device))
    rows += _small_ops(dtype, device, 8, 64, 128, None)
    rows += _small_ops(dtype, device, 1, 256, 128, None)
    return rows + _stylegan3_entries(device, dtype, None)


_GPU_VARIANTS: tuple[tuple[str, Cache], ...] = (
    (FORWARD, "warm"),
    (FORWARD, "cold"),
    (BACKWARD, "warm"),
    (R1, "warm"),
)


def _entry(
    name: str,
    op_name: str,
    op: _Op,
    phase: str,
    dtype: torch.dtype,
    device: torch.device,
    cache: Cache | None = None,
    part_of: str | None = None,
) -> Entry:
    return Entry(
        name=name,
        group="op",
        op=op_name,
        phase=phase,
        dtype=dtype,
        make=lambda: op.case(phase, dtype, device),
        cache=cache,
        part_of=part_of,
    )


def _quick_entries(device: torch.device) -> list[Entry]:
    """A layer of each kind at a size that takes milliseconds; to try the benchmark itself."""
    dtype = torch.float32
    cache: Cache | None = "warm" if device.type == "cuda" else None
    rows = []
    for layer in layers.synthesis_layers(8, 64, 8):
        op = _modulated_conv2d(layer, 2, dtype)
        for phase in PHASES:
            name = f"modulated_conv2d/quick/{layer.name}/n2"
            rows.append(_entry(name, "modulated_conv2d", op, phase, dtype, device, cache))
    rows += _small_ops(dtype, device, 4, 8, 4, cache)
    for radial in (False, True):
        geometry = layer_geometry(32, radial=radial, channel_base=64, channel_max=4)[0]
        rows.append(_stylegan3_entry("quick", radial, geometry, device, dtype, cache))
        op = _filtered_lrelu(geometry, 1, dtype)
        for phase in (BACKWARD, R1):
            name = rows[-1].name
            rows.append(_entry(name, "filtered_lrelu", op, phase, dtype, device, cache))
    return rows


def _modulated_conv2d(layer: layers.Layer, batch: int, dtype: torch.dtype) -> _Op:
    size = layer.resolution
    up = layer.up

    def arguments(i: Inputs) -> dict:
        return {
            "up": up,
            "f": i["f"],
            "noise": i["noise"],
            "noise_strength": i["strength"],
            "bias": i["bias"],
            "gain": ROOT,
            "clamp": None,
        }

    def ours(i: Inputs) -> Tensor:
        return modulated_conv2d(i["x"], i["weight"], i["styles"], act="lrelu", **arguments(i))

    def eager(i: Inputs) -> Tensor:
        layer_of = networks.REFERENCE.synthesis_layer
        return layer_of(i["x"], i["weight"], i["styles"], **arguments(i))

    def published(i: Inputs) -> Tensor:
        return composed.synthesis_layer(i["x"], i["weight"], i["styles"], **arguments(i))

    ins, outs = layer.in_channels, layer.out_channels
    f = setup_filter(FIR_TAPS)
    return _Op(
        shapes={
            "x": (batch, ins, layer.in_resolution, layer.in_resolution),
            "weight": (outs, ins, layers.KERNEL, layers.KERNEL),
            "styles": (batch, ins),
            "noise": (1, 1, size, size),
            "strength": (),
            "bias": (outs,),
        },
        result=(batch, outs, size, size),
        fixed={"f": torch.outer(f, f)},
        wanted=("x", "weight", "styles", "strength", "bias"),
        ours=ours,
        eager=eager,
        composed=published,
        forward=layer.work(batch, dtype),
        backward=layer.work(batch, dtype, passes=3),
        sizes={
            "N": batch,
            "I": ins,
            "O": outs,
            "H": layer.in_resolution,
            "W": layer.in_resolution,
            "up": up,
        },
    )


def _small_ops(
    dtype: torch.dtype,
    device: torch.device,
    batch: int,
    size: int,
    channels: int,
    cache: Cache | None,
) -> list[Entry]:
    """Every phase of the ops around the convolutions, at a block of `size` pixels."""
    ops = {
        ("bias_act", "layer"): _bias_act(batch, channels, size, dtype),
        ("upfirdn2d", "after up-convolution"): _upfirdn2d(
            (batch, channels, size + 1, size + 1), 1, 1, (1, 1, 1, 1), 4.0, dtype
        ),
        ("upfirdn2d", "down"): _upfirdn2d(
            (batch, channels, size, size), 1, 2, (1, 1, 1, 1), 1.0, dtype
        ),
        ("upfirdn2d", "up image"): _upfirdn2d(
            (batch, 3, size // 2, size // 2), 2, 1, (2, 1, 2, 1), 4.0, dtype
        ),
        ("to_rgb", "with image"): _to_rgb(batch, channels, size, dtype),
    }
    if batch > 1:
        ops["minibatch_stddev", "layer"] = _minibatch_stddev(batch, 512 if size > 16 else 8, dtype)
    if device.type == "cpu":  # elsewhere no kernel of ours runs
        for stride in (1, 2):
            # Whole vectors of channels, which the compiled pass asks for.
            wide = max(channels, _VECTOR)
            op = _convolution(batch, wide, size, stride, dtype)
            ops["convolution", f"stride {stride}"] = op
        # From that size on, the compiled pass takes it.
        ops["conv2d", "of a restorer"] = _conv2d(
            batch, max(channels, _VECTOR), max(size, _LEAST_SIZE), dtype
        )
    rows = []
    for (op_name, use), op in ops.items():
        for phase in (FORWARD,) if op_name == "conv2d" else PHASES:
            name = f"{op_name}/{use}/{op.result[2]}/n{batch}"
            rows.append(_entry(name, op_name, op, phase, dtype, device, cache))
    return rows


def _bias_act(batch: int, channels: int, size: int, dtype: torch.dtype) -> _Op:
    shape = (batch, channels, size, size)
    moved = dtype.itemsize * batch * channels * size**2
    return _Op(
        shapes={"x": shape, "bias": (channels,)},
        result=shape,
        fixed={},
        wanted=("x", "bias"),
        ours=lambda i: bias_act(i["x"], i["bias"], act="lrelu"),
        eager=lambda i: bias_act_reference(i["x"], i["bias"], 1, "lrelu", _SLOPE, ROOT, None),
        composed=lambda i: composed.bias_act(i["x"], i["bias"], gain=ROOT),
        forward=Work(2 * moved, 0),
        backward=Work(5 * moved, 0),  # x, y | dy, y, dx
        sizes={"N": batch, "C": channels, "H": size, "W": size},
        separate=True,
    )


def _upfirdn2d(
    shape: tuple[int, int, int, int],
    up: int,
    down: int,
    padding: tuple[int, int, int, int],
    gain: float,
    dtype: torch.dtype,
) -> _Op:
    N, C, H, W = shape
    height = (H * up + padding[2] + padding[3] - layers.FIR) // down + 1
    width = (W * up + padding[0] + padding[1] - layers.FIR) // down + 1
    result = (N, C, height, width)
    moved = dtype.itemsize * N * C * (H * W + height * width)
    flop = layers.fir_flop(N * C * height * width, layers.FIR // up)
    f = setup_filter(FIR_TAPS)
    return _Op(
        shapes={"x": shape},
        result=result,
        fixed={"f": torch.outer(f, f)},
        wanted=("x",),
        ours=lambda i: upfirdn2d(i["x"], i["f"], up=up, down=down, padding=padding, gain=gain),
        eager=lambda i: upfirdn2d_reference(
            i["x"], i["f"], (up, up), (down, down), padding, False, gain
        ),
        composed=lambda i: composed.upfirdn2d(
            i["x"], i["f"], up=up, down=down, padding=padding, gain=gain
        ),
        forward=Work(moved, flop),
        backward=Work(2 * moved, 2 * flop),
        sizes={"N": N, "C": C, "H": H, "W": W, "up": up, "down": down},
        separate=True,
    )


def _to_rgb(batch: int, channels: int, size: int, dtype: torch.dtype) -> _Op:
    shape = (batch, channels, size, size)
    half = (batch, 3, size // 2, size // 2)
    pixels = batch * size**2
    features = dtype.itemsize * channels * pixels
    image = 4 * 3 * pixels
    flop = 2 * 3 * channels * pixels + layers.fir_flop(3 * pixels, layers.FIR // 2)
    f = setup_filter(FIR_TAPS)

    def ours(i: Inputs) -> Tensor:
        return to_rgb(i["x"], i["weight"], i["styles"], bias=i["bias"], image=i["image"], f=i["f"])

    def eager(i: Inputs) -> Tensor:
        weight = i["weight"][:, :, 0, 0]
        return to_rgb_reference(i["x"], weight, i["styles"], i["bias"], i["image"], i["f"], None)

    def published(i: Inputs) -> Tensor:
        y = composed.to_rgb(i["x"], i["weight"], i["styles"], i["bias"])
        return composed.up_image(i["image"], i["f"]) + y

    return _Op(
        shapes={
            "x": shape,
            "weight": (3, channels, 1, 1),
            "styles": (batch, channels),
            "bias": (3,),
            "image": half,
        },
        result=(batch, 3, size, size),
        fixed={"f": torch.outer(f, f)},
        wanted=("x", "weight", "styles", "bias", "image"),
        ours=ours,
        eager=eager,
        composed=published,
        forward=Work(features + 1.25 * image, flop),
        backward=Work(3 * features + 2.5 * image, 3 * flop),
        sizes={"N": batch, "C": channels, "H": size, "W": size},
        wide=True,
    )


def _convolution(batch: int, channels: int, size: int, stride: int, dtype: torch.dtype) -> _Op:
    k = layers.KERNEL
    before = size if stride == 1 else 2 * (size // 2) + 1
    after = size // stride
    weight = channels * channels * k**2
    pixels = batch * channels * (before**2 + after**2)
    flop = 2 * batch * after**2 * weight

    def plain(i: Inputs) -> Tensor:
        padding = k // 2 if stride == 1 else 0
        return functional.conv2d(i["x"], i["weight"].to(i["x"].dtype), None, stride, padding)

    return _Op(
        shapes={"x": (batch, channels, before, before), "weight": (channels, channels, k, k)},
        result=(batch, channels, after, after),
        fixed={},
        wanted=("x", "weight"),
        ours=lambda i: convolution(i["x"], i["weight"], stride=stride),
        eager=plain,
        composed=plain,
        forward=Work(dtype.itemsize * (pixels + weight), flop),
        backward=Work(dtype.itemsize * 3 * (pixels + weight), 3 * flop),
        sizes={"N": batch, "C": channels, "H": before, "W": before, "stride": stride},
    )


def _conv2d(batch: int, channels: int, size: int, dtype: torch.dtype) -> _Op:
    weight = channels * channels * layers.KERNEL**2
    pixels = 2 * batch * channels * size**2

    def separate(i: Inputs) -> Tensor:
        y = functional.conv2d(i["x"], i["weight"], i["bias"], padding=1)
        return functional.leaky_relu(y, _SLOPE)

    return _Op(
        shapes={
            "x": (batch, channels, size, size),
            "weight": (channels, channels, layers.KERNEL, layers.KERNEL),
            "bias": (channels,),
        },
        result=(batch, channels, size, size),
        fixed={},
        wanted=(),
        ours=lambda i: conv2d(i["x"], i["weight"], i["bias"], slope=_SLOPE),
        eager=separate,
        composed=separate,
        forward=Work(dtype.itemsize * (pixels + weight), 2 * batch * size**2 * weight),
        backward=Work(0, 0),  # without gradients only
        sizes={"N": batch, "C": channels, "H": size, "W": size},
    )


def _minibatch_stddev(batch: int, channels: int, dtype: torch.dtype) -> _Op:
    moved = dtype.itemsize * batch * channels * 16
    return _Op(
        shapes={"x": (batch, channels, 4, 4)},
        result=(batch, channels + 1, 4, 4),
        fixed={},
        wanted=("x",),
        ours=lambda i: minibatch_stddev(i["x"]),
        eager=lambda i: minibatch_stddev_reference(i["x"], min(4, batch), 1, 1e-8),
        composed=lambda i: composed.minibatch_stddev(i["x"]),
        forward=Work(2 * moved, 0),
        backward=Work(5 * moved, 0),
        sizes={"N": batch, "C": channels, "H": 4, "W": 4},
    )


def _stylegan3_entries(
    device: torch.device, dtype: torch.dtype, cache: Cache | None
) -> list[Entry]:
    """filtered_lrelu of all layers of StyleGAN3-T and -R at 256 px, one image."""
    return [
        _stylegan3_entry("256", radial, geometry, device, dtype, cache)
        for radial in (False, True)
        for geometry in layer_geometry(256, radial=radial)
        if not geometry.is_torgb
    ]


def _stylegan3_entry(
    label: str,
    radial: bool,
    geometry: LayerGeometry,
    device: torch.device,
    dtype: torch.dtype,
    cache: Cache | None,
) -> Entry:
    network = f"stylegan3-{'r' if radial else 't'}-{label}"
    return _entry(
        f"filtered_lrelu/{network}/{geometry.name}/n1",
        "filtered_lrelu",
        _filtered_lrelu(geometry, 1, dtype),
        FORWARD,
        dtype,
        device,
        cache,
        part_of=f"filtered_lrelu of {network}",
    )


def _filtered_lrelu(geometry: LayerGeometry, batch: int, dtype: torch.dtype) -> _Op:
    fu, fd = geometry.up_filter(), geometry.down_filter()
    assert fu is not None and fd is not None
    up, down, padding = geometry.up, geometry.down, geometry.padding
    channels, size, result = geometry.out_channels, geometry.conv_size, geometry.out_size

    def ours(i: Inputs) -> Tensor:
        return filtered_lrelu(
            i["x"], i["fu"], i["fd"], i["bias"], up=up, down=down, padding=padding, clamp=_CLAMP
        )

    def eager(i: Inputs) -> Tensor:
        return filtered_lrelu_reference(
            i["x"], i["fu"], i["fd"], i["bias"], up, down, padding, ROOT, _SLOPE, _CLAMP, False
        )

    def published(i: Inputs) -> Tensor:
        return composed.filtered_lrelu(
            i["x"],
            i["fu"],
            i["fd"],
            i["bias"],
            up=up,
            down=down,
            padding=padding,
            gain=ROOT,
            slope=_SLOPE,
            clamp=_CLAMP,
        )

    mid = size * up + padding[0] + padding[1] - geometry.up_taps + 1
    taps = (geometry.up_taps // up, geometry.down_taps)
    flop = layers.up_down_flop(size, mid, result, taps, geometry.radial)
    moved = dtype.itemsize * batch * channels * (size**2 + result**2)
    work = Work(moved, batch * channels * flop)
    return _Op(
        shapes={"x": (batch, channels, size, size), "bias": (channels,)},
        result=(batch, channels, result, result),
        fixed={"fu": fu, "fd": fd},
        wanted=("x", "bias"),
        ours=ours,
        eager=eager,
        composed=published,
        forward=work,
        backward=Work(2.5 * work.bytes, 3 * work.flop),
        sizes={"N": batch, "C": channels, "H": size, "W": size, "up": up, "down": down},
        separate=True,
    )
