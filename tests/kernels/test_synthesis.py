"""Executors of a whole synthesis, against the readable one in float64."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ganvas.kernels import BackendError, build, explain, setup_filter, use_backend
from ganvas.kernels.synthesis import Affine, Block, ConvLayer, RGBLayer, Synthesis, cpu, prepare
from ganvas.kernels.synthesis.eager import EagerExecutor
from ganvas.kernels.synthesis.upsample import upsample_add, upsample_image
from ganvas.kernels.taps import separate
from ganvas.kernels.upfirdn2d import upfirdn2d

REASON = build.unavailable("cpu")
needs_compiler = pytest.mark.skipif(REASON is not None, reason=str(REASON))

FILTER = torch.outer(setup_filter([1, 3, 3, 1]), setup_filter([1, 3, 3, 1]))
LOPSIDED = torch.outer(setup_filter([1, 3, 3, 1]), setup_filter([1, 2, 4, 1]))
W_DIM = 12


def network(
    architecture: str = "skip",
    channels: tuple[int, ...] = (24, 17, 5),
    image_channels: int = 3,
    clamp: float | None = None,
    f: Tensor = FILTER,
    seed: int = 0,
) -> Synthesis:
    """A network of random weights, with `channels` at 4, 8, 16 ... pixels."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng)

    def affine(features: int, index: int) -> Affine:
        return Affine(normal(features, W_DIM) / W_DIM**0.5, normal(features) + 1, index)

    def conv(ins: int, outs: int, up: int, index: int, gain: float = 1.0) -> ConvLayer:
        return ConvLayer(
            weight=normal(outs, ins, 3, 3),
            bias=normal(outs),
            affine=affine(ins, index),
            noise_strength=torch.tensor(0.2),
            up=up,
            f=f,
            taps=separate(f),
            gain=2**0.5 * gain,
            clamp=clamp,
        )

    blocks, index, ins = [], 0, channels[0]
    for level, outs in enumerate(channels):
        residual = architecture == "resnet" and level > 0
        conv0 = conv(ins, outs, 2, index) if level else None
        index += level > 0
        conv1 = conv(outs, outs, 1, index, 0.5**0.5 if residual else 1.0)
        index += 1
        torgb = None
        if architecture == "skip" or level == len(channels) - 1:
            weight = normal(image_channels, outs) / outs**0.5
            torgb = RGBLayer(weight, normal(image_channels), affine(outs, index), clamp)
        skip = normal(outs, ins) / ins**0.5 if residual else None
        blocks.append(Block(conv0, conv1, skip, torgb))
        ins = outs
    const = normal(channels[0], 4, 4)
    return Synthesis(const, tuple(blocks), f, separate(f), index + 1, W_DIM)


def inputs(synthesis: Synthesis, count: int, mode: str = "each") -> tuple[Tensor, list]:
    rng = torch.Generator().manual_seed(7)
    ws = torch.randn(count, synthesis.num_ws, W_DIM, generator=rng)
    noise, size = [], 4
    for layer in synthesis.layers:
        size *= layer.up
        own = torch.randn(count if mode == "each" else 1, 1, size, size, generator=rng)
        noise.append(None if mode == "none" else own)
    return ws, noise


def exact(synthesis: Synthesis, ws: Tensor, noise: list) -> Tensor:
    def affine(a: Affine) -> Affine:
        return replace(a, weight=a.weight.double(), bias=a.bias.double())

    def conv(c: ConvLayer | None) -> ConvLayer | None:
        if c is None:
            return None
        return replace(
            c,
            weight=c.weight.double(),
            bias=c.bias.double(),
            affine=affine(c.affine),
            noise_strength=c.noise_strength.double(),
        )

    blocks = []
    for block in synthesis.blocks:
        conv1, rgb = conv(block.conv1), block.torgb
        assert conv1 is not None
        if rgb is not None:
            rgb = replace(
                rgb, weight=rgb.weight.double(), bias=rgb.bias.double(), affine=affine(rgb.affine)
            )
        skip = None if block.skip is None else block.skip.double()
        blocks.append(Block(conv(block.conv0), conv1, skip, rgb))
    precise = replace(synthesis, const=synthesis.const.double(), blocks=tuple(blocks))
    executor = EagerExecutor(precise, torch.float64)
    return executor(ws.double(), [None if n is None else n.double() for n in noise])


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("backend", ["eager", pytest.param("cpu", marks=needs_compiler)])
@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("mode", ["each", "shared", "none"])
@pytest.mark.parametrize("count,clamp,image_channels", [(1, None, 3), (3, 1.5, 4), (8, None, 1)])
def test_matches_float64(backend, architecture, mode, count, clamp, image_channels):
    synthesis = network(architecture, (24, 17, 5), image_channels, clamp, LOPSIDED)
    ws, noise = inputs(synthesis, count, mode)
    with use_backend(backend, ops=["synthesis"]):
        executor = prepare(synthesis)
    want = exact(synthesis, ws, noise)
    image = executor(ws, noise)
    assert image.shape == (count, image_channels, 16, 16) and image.dtype == torch.float32
    torch.testing.assert_close(image.double(), want, rtol=1e-5, atol=5e-5)
    torch.testing.assert_close(executor(ws, noise), image, rtol=0, atol=0)


@needs_compiler
@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_a_sample_does_not_depend_on_its_batch_or_the_threads(architecture):
    synthesis = network(architecture, (40, 33, 16, 8))
    ws, noise = inputs(synthesis, 8)
    executor = prepare(synthesis)
    together = executor(ws, noise)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for i in (0, 4, 7):
            own = [None if n is None else n[i : i + 1] for n in noise]
            assert torch.equal(executor(ws[i : i + 1], own)[0], together[i])
    finally:
        torch.set_num_threads(threads)


@needs_compiler
def test_results_are_new_memory_and_an_empty_batch_is_drawn():
    synthesis = network()
    ws, noise = inputs(synthesis, 2, "shared")
    executor = prepare(synthesis)
    first = executor(ws, noise)
    kept = first.clone()
    executor(ws + 1, noise)
    assert torch.equal(first, kept)
    assert executor(ws[:0], noise).shape == (0, 3, 16, 16)


@needs_compiler
@pytest.mark.parametrize("mode", ["each", "shared", "none"])
def test_a_large_batch_is_drawn_in_parts(monkeypatch, mode):
    synthesis = network()
    ws, noise = inputs(synthesis, 7, mode)
    executor = prepare(synthesis)
    whole = executor(ws, noise)
    monkeypatch.setattr(cpu, "_MAX_FLOATS", 3 * 16 * 16 * 32)
    assert torch.equal(executor(ws, noise), whole)


@needs_compiler
@pytest.mark.parametrize("place", ["ws", "noise"])
def test_nan_survives(place):
    synthesis = network()
    ws, noise = inputs(synthesis, 1)
    target = ws if place == "ws" else noise[-1]
    target[0, 0] = float("nan")
    assert bool(prepare(synthesis)(ws, noise).isnan().all())


def test_what_the_compiled_executor_does_not_take():
    synthesis = network()
    dtype = torch.float64
    assert "float32" in str(explain("synthesis", synthesis, dtype)["cpu"])
    other = network(f=torch.rand(4, 4))
    assert "separable" in str(explain("synthesis", other, torch.float32)["cpu"])
    with use_backend("cpu", ops=["synthesis"]), pytest.raises(BackendError, match="separable"):
        prepare(other)
    assert isinstance(prepare(other), EagerExecutor)


@needs_compiler
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 4)], ids=str)
def test_upsampling(size):
    taps = separate(LOPSIDED)
    assert taps is not None
    x = torch.randn(2, 32, *size, generator=torch.Generator().manual_seed(0))
    want = upfirdn2d(x.double(), LOPSIDED, up=2, padding=(2, 1, 2, 1), gain=4.0)
    torch.testing.assert_close(upsample_image(x, taps).double(), want, rtol=0, atol=2e-6)
    y = torch.ones(2, 2 * size[0], 2 * size[1], 32)
    upsample_add(x.permute(0, 2, 3, 1).contiguous(), y, taps)
    torch.testing.assert_close(y.permute(0, 3, 1, 2).double(), want + 1, rtol=0, atol=2e-6)


def test_separable_filters_are_found():
    taps = separate(LOPSIDED)
    assert taps is not None
    rows, columns = (torch.tensor(axis).flip(0) for axis in taps)
    torch.testing.assert_close(torch.outer(rows, columns), 4 * LOPSIDED)
    assert separate(setup_filter([1, 3, 3, 1])) == separate(FILTER)
    for f in (torch.rand(4, 4), torch.ones(3, 3), torch.zeros(4, 4), FILTER * float("nan")):
        assert separate(f) is None
