"""The synthesis on a GPU: NHWC, styles in one prologue, one epilogue a layer.

Activations are stored multiplied by the styles of the layer that reads them, where only one layer
does, so that convolutions are plain ones. In Triton's interpreter it runs on a CPU as well.
"""

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from ..layout import channels_last
from ..modulated_conv2d.reference import filter_padding, small_weight
from ..modulated_conv2d.triton_convolution import convolution, pack_weight
from ..modulated_conv2d.triton_epilogue import (
    Epilogue,
    Image,
    epilogue,
    fir_epilogue,
    pack_filter,
)
from ..to_rgb.reference import upsample_padding
from ..upfirdn2d import upfirdn2d
from . import tuning
from .description import Block, ConvLayer, RGBLayer, Synthesis
from .graphs import CudaRecorder
from .triton_backend import LAYER_TILES, Picture, Product, Products, layer, upsample

LAYER_WIDTHS = tuple(tile.columns for tile in LAYER_TILES)

_CALLS, _SAMPLES = 20, 7  # of `measure_layer`: calls in one recording, and how often it is timed

Choose = Callable[[tuning.LayerKey], str]


@dataclass(frozen=True)
class Filter:
    """A FIR filter as the kernels read it, and how far it reaches over the left and top border."""

    taps: Tensor
    padding: tuple[int, int]


@dataclass(frozen=True)
class Conv:
    """A layer made ready.

    Attributes:
        weights: "own": [9, I, O]; "cudnn": [O, I, 3, 3], or [I, O, 3, 3] for up 2, channels_last.
        key: what its implementation is chosen by, with batch 1.
        styles, factors: where its styles and demodulation factors are among all.
        bias: [O] float32.
        strength: of the noise, float32 of no dimension.
        fir: for up 2.
        gain, clamp: of the activation.
    """

    weights: dict[str, Tensor]
    key: tuning.LayerKey
    styles: int
    factors: int
    bias: Tensor
    strength: Tensor
    fir: Filter | None
    gain: float
    clamp: float | None


@dataclass(frozen=True)
class _RGB:
    weight: int  # index of the toRGB weights, styles included, among all styles
    bias: Tensor
    clamp: float | None


@dataclass(frozen=True)
class _Block:
    conv0: Conv | None
    conv1: Conv
    skip: Tensor | None
    torgb: _RGB | None


class GpuExecutor:
    """An `Executor` in float32, float16 or bfloat16, launching one kernel after the other.

    Args:
        synthesis: float32 weights; filters have at most four taps an axis.
        dtype: of the convolutions and of what is stored between them.
        choose: names each layer's implementation, see `tuning`.
    """

    def __init__(
        self, synthesis: Synthesis, dtype: torch.dtype, choose: Choose = tuning.choose
    ) -> None:
        self._dtype, self._choose = dtype, choose
        self._device = synthesis.const.device
        self._capability = capability_of(self._device)
        self._affines: list[Product] = []
        self._energies: list[tuple[Tensor, int]] = []
        # Prepared outside of inference mode, so that any later mode may read the results.
        with torch.inference_mode(False), torch.no_grad():
            self._const = synthesis.const.detach().float().permute(1, 2, 0)
            self._const = self._const.clone(memory_format=torch.contiguous_format)
            self._blocks: list[_Block] = []
            size = synthesis.const.shape[1]
            for block in synthesis.blocks:
                self._blocks.append(self._prepare_block(block, size, synthesis.w_dim))
                size *= 1 if block.conv0 is None else 2
            self._f = synthesis.f.detach().clone()
            self._up = image_filter(synthesis.f)
            self._styles = Products(self._affines, demodulate=False)
            starts = self._styles.starts
            self._factors = Products(
                [Product(energy, None, starts[index]) for energy, index in self._energies],
                demodulate=True,
            )
        self._image_shape = (synthesis.image_channels, size, size)
        self._affines, self._energies = [], []

    @torch.no_grad()
    def __call__(self, ws: Tensor, noise: Sequence[Tensor | None]) -> Tensor:
        batch = ws.shape[0]
        if batch == 0:
            return ws.new_zeros((0, *self._image_shape), dtype=torch.float32)
        with exactly_here(self._device):
            given = [None if x is None else x.float().contiguous() for x in noise]
            return self._draw(ws.float().contiguous(), iter(given), batch)

    def _draw(self, ws: Tensor, noise: Iterator[Tensor | None], batch: int) -> Tensor:
        styles = self._styles(ws, batch)
        if self._dtype == torch.float16:
            self._styles.normalise(styles, batch)
        factors = self._factors(styles, batch)

        def style(conv: Conv) -> Tensor:
            return self._styles.part(styles, conv.styles, batch)

        def run(
            conv: Conv, x: Tensor, following: Conv | None, picture: Picture | None, store: bool
        ) -> tuple[Tensor | None, Tensor | None]:
            end = Epilogue(
                self._factors.part(factors, conv.factors, batch),
                next(noise),
                conv.strength,
                conv.bias,
                None if following is None else style(following),
                "lrelu",
                conv.gain,
                conv.clamp,
            )
            key = replace(conv.key, batch=tuning.bucket(batch))
            return run_layer(conv, self._choose(key), x, end, picture, store=store)

        x = self._modulated_const(style(self._blocks[0].conv1), batch)
        image: Tensor | None = None
        modulated = True
        for index, block in enumerate(self._blocks):
            before = x
            if block.conv0 is not None:
                own = x if modulated else x * style(block.conv0).to(x.dtype)[:, :, None, None]
                y, _ = run(block.conv0, own, block.conv1, None, True)
                assert y is not None
                x = y
            elif not modulated:
                x = x * style(block.conv1).to(x.dtype)[:, :, None, None]
            after = self._blocks[index + 1] if index + 1 < len(self._blocks) else None
            plain = block.skip is None
            modulated = plain and after is not None and after.skip is None
            following = None
            if modulated and after is not None:
                following = after.conv0 or after.conv1
            picture = self._picture(block, image, styles, batch)
            # The last features are needed for nothing but the image.
            y, drawn = run(
                block.conv1,
                x,
                following,
                picture if plain else None,
                not plain or after is not None,
            )
            if y is not None:
                x = y
            if block.skip is not None:
                z = functional.conv2d(before, block.skip)
                x = x + upfirdn2d(z, self._f, up=2, padding=(2, 1, 2, 1), gain=4.0)
                drawn = None if picture is None else draw_image(x, picture)
            if drawn is not None:
                image = drawn
            elif image is not None and block.conv0 is not None:
                image = upsample(image, self._up.taps, self._up.padding)
        assert image is not None
        return image

    def _modulated_const(self, styles: Tensor, batch: int) -> Tensor:
        shape = (batch, *self._const.shape)
        y = torch.empty(shape, dtype=self._dtype, device=self._device)
        torch.mul(self._const, styles[:, None, None, :], out=y)
        return y.permute(0, 3, 1, 2)

    def _picture(
        self, block: _Block, image: Tensor | None, styles: Tensor, batch: int
    ) -> Picture | None:
        rgb = block.torgb
        if rgb is None:
            return None
        weight = self._styles.part(styles, rgb.weight, batch)
        return Picture(weight, rgb.bias, rgb.clamp, image, self._up.taps, self._up.padding)

    def _prepare_block(self, block: Block, size: int, w_dim: int) -> _Block:
        conv0 = None
        if block.conv0 is not None:
            size *= 2
            conv0 = self._prepare_conv(block.conv0, size, w_dim)
        conv1 = self._prepare_conv(block.conv1, size, w_dim)
        skip = None
        if block.skip is not None:
            skip = channels_last(block.skip.detach().to(self._dtype, copy=True)[:, :, None, None])
        torgb = None if block.torgb is None else self._prepare_rgb(block.torgb, w_dim)
        return _Block(conv0, conv1, skip, torgb)

    def _prepare_conv(self, conv: ConvLayer, size: int, w_dim: int) -> Conv:
        weight = conv.weight.detach().float()
        outputs, inputs = weight.shape[:2]
        if self._dtype == torch.float16:
            weight = small_weight(weight)
        affine = conv.affine
        start = affine.index * w_dim
        self._affines.append(Product(affine.weight.detach(), affine.bias.detach(), start))
        styles = len(self._affines) - 1
        self._energies.append((weight.square().sum(dim=(2, 3)), styles))
        name = str(self._dtype).removeprefix("torch.")
        key = tuning.LayerKey(self._capability, 1, size, inputs, outputs, conv.up, name)
        left, _, top, _ = filter_padding(conv.f)
        return Conv(
            weights=pack_weights(weight.to(self._dtype), conv.up),
            key=key,
            styles=styles,
            factors=len(self._energies) - 1,
            bias=conv.bias.detach().float().clone(),
            strength=conv.noise_strength.detach().float().clone(),
            fir=Filter(pack_filter(conv.f.detach()), (left, top)) if conv.up == 2 else None,
            gain=conv.gain,
            clamp=conv.clamp,
        )

    def _prepare_rgb(self, rgb: RGBLayer, w_dim: int) -> _RGB:
        affine = rgb.affine
        # As the network rounds it.
        weight = rgb.weight.detach().to(self._dtype).float()
        start = affine.index * w_dim
        self._affines.append(Product(affine.weight.detach(), affine.bias.detach(), start, weight))
        return _RGB(len(self._affines) - 1, rgb.bias.detach().float().clone(), rgb.clamp)


def run_layer(
    conv: Conv,
    implementation: str,
    x: Tensor,
    end: Epilogue,
    picture: Picture | None,
    *,
    store: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """A layer and what follows it.

    Args:
        conv: the layer.
        implementation: a name as of `tuning`.
        x: [N, I, H, W], channels_last, modulated.
        end: the epilogue.
        picture: the toRGB layer that reads the result, or None.
        store: False gives no features.

    Returns:
        Features [N, O, H', W'], channels_last, and image [N, image channels, H', W'].
    """
    name, _, tile = implementation.partition("/")
    if name == tuning.LAYER:
        own = LAYER_TILES[int(tile)] if tile else None
        return layer(x, conv.weights["own"], end, picture, store=store, tile=own)
    if name == tuning.OWN and picture is None:
        return convolution(x, conv.weights["own"], None, end), None
    weight = conv.weights["cudnn"]
    if conv.fir is not None:
        u = channels_last(functional.conv_transpose2d(x, weight, stride=2))
        y = fir_epilogue(u, conv.fir.taps, conv.fir.padding, end, x.dtype)
        return y, None if picture is None else draw_image(y, picture)
    if name == tuning.OWN:
        u = convolution(x, conv.weights["own"], None, Epilogue())
    else:
        u = channels_last(functional.conv2d(x, weight, padding=1))
    image = None if picture is None else _image(u, picture)
    return epilogue(u, end, x.dtype, image, store), None if image is None else image.target


def draw_image(x: Tensor, picture: Picture) -> Tensor:
    """toRGB of features that are not modulated, plus the up-sampled image."""
    image = _image(x, picture)
    epilogue(x, Epilogue(), x.dtype, image, False)
    return image.target


def _image(x: Tensor, picture: Picture) -> Image:
    """The up-sampled image, or new memory, for the epilogue of features of x's size to write to."""
    if picture.coarse is None:
        shape = (x.shape[0], picture.weight.shape[1], *x.shape[2:])
        target = torch.empty(shape, dtype=torch.float32, device=x.device)
    else:
        target = upsample(picture.coarse, picture.taps, picture.padding)
    add = picture.coarse is not None
    return Image(picture.weight, picture.bias, target, picture.clamp, add)


def pack_weights(weight: Tensor, up: int) -> dict[str, Tensor]:
    """[O, I, 3, 3] in the layouts of `Conv.weights`."""
    if up == 2:
        weight = weight.transpose(0, 1)
        return {"cudnn": weight.clone(memory_format=torch.channels_last)}
    own = pack_weight(weight.clone())
    return {"cudnn": weight.clone(memory_format=torch.channels_last), "own": own}


def image_filter(f: Tensor) -> Filter:
    """The filter that up-samples images."""
    f = f.detach()
    left, _, top, _ = upsample_padding(f)
    return Filter(pack_filter(torch.outer(f, f) if f.ndim == 1 else f), (left, top))


def capability_of(device: torch.device | str) -> str:
    """ "9.0" of an sm_90 GPU; "" of a CPU."""
    if torch.device(device).type != "cuda":
        return ""
    major, minor = torch.cuda.get_device_capability(device)
    return f"{major}.{minor}"


@contextlib.contextmanager
def exactly_here(device: torch.device) -> Iterator[None]:
    """Launch on that device, without autocast, with cuDNN measuring its algorithms once."""
    cudnn = torch.backends.cudnn
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            stack.enter_context(torch.cuda.device(device))
            stack.callback(setattr, cudnn, "benchmark", cudnn.benchmark)
            cudnn.benchmark = True
        yield


def measure_layer(key: tuning.LayerKey, implementation: str) -> float | None:
    """Microseconds of a layer with epilogue, and toRGB for up 1; None if it does not run."""
    from triton.runtime.errors import OutOfResources

    device = torch.device("cuda")
    try:
        with torch.no_grad(), exactly_here(device):
            return _time(layer_call(key, implementation, device), device)
    except (OutOfResources, torch.OutOfMemoryError):
        return None


def layer_call(
    key: tuning.LayerKey, implementation: str, device: torch.device
) -> Callable[[], Tensor]:
    """A call of a layer on random data."""
    dtype = getattr(torch, key.dtype)
    batch, size, before = key.batch, key.resolution, key.resolution // key.up
    weight = torch.randn(key.outputs, key.inputs, 3, 3, device=device) / (9 * key.inputs) ** 0.5
    f = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0], device=device) / 8] * 2)
    left, _, top, _ = filter_padding(f)
    up = image_filter(f)
    conv = Conv(
        pack_weights(weight.to(dtype), key.up), key, 0, 0, torch.randn(key.outputs, device=device),
        torch.ones((), device=device), Filter(pack_filter(f), (left, top)) if key.up == 2 else None,
        2**0.5, 256.0,
    )  # fmt: skip
    x = channels_last(torch.randn(batch, key.inputs, before, before, device=device).to(dtype))
    rows = torch.rand(2, batch, key.outputs, device=device) + 0.5
    noise = torch.randn(1, 1, size, size, device=device)
    end = Epilogue(rows[0], noise, conv.strength, conv.bias, rows[1], "lrelu", conv.gain, 256.0)
    picture = None
    if key.up == 1:
        own = torch.randn(batch, 3, key.outputs, device=device) / key.outputs**0.5
        coarse = torch.randn(batch, 3, size // 2, size // 2, device=device)
        bias = torch.zeros(3, device=device)
        picture = Picture(own, bias, 256.0, coarse, up.taps, up.padding)

    def call() -> Tensor:
        y, _ = run_layer(conv, implementation, x, end, picture, store=True)
        assert y is not None
        return y

    return call


def _time(call: Callable[[], Tensor], device: torch.device) -> float:
    """Median microseconds of a call inside a CUDA graph of several."""

    def calls() -> Tensor:
        for _ in range(_CALLS - 1):
            call()
        return call()

    recording = CudaRecorder(device).record(calls)
    times = []
    for _ in range(_SAMPLES + 1):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        recording.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1000 / _CALLS)
    return statistics.median(times[1:])
