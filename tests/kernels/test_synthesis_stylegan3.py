"""Executors of a whole StyleGAN3 synthesis, against the readable one in float64."""

from dataclasses import fields, is_dataclass, replace

import pytest
import torch
from torch import Tensor

from ganvas.kernels import BackendError, build, explain, use_backend
from ganvas.kernels.bench import stylegan3 as composed
from ganvas.kernels.filtered_lrelu.geometry import layer_geometry
from ganvas.kernels.synthesis import stylegan3_cpu
from ganvas.kernels.synthesis.stylegan3 import (
    OP,
    Affine,
    FilteredLayer,
    FilteredSynthesis,
    FourierInput,
    RGBLayer,
    prepare,
)
from ganvas.kernels.synthesis.stylegan3_eager import EagerFilteredExecutor

REASON = build.unavailable("cpu")
needs_compiler = pytest.mark.skipif(REASON is not None, reason=str(REASON))
BACKENDS = ["eager", pytest.param("cpu", marks=needs_compiler)]
W_DIM = 12


def network(
    radial: bool = False,
    *,
    channel_base: int = 320,
    channel_max: int = 21,
    clamp: float | None = 256.0,
    image_channels: int = 3,
) -> FilteredSynthesis:
    """A network of random weights, 32 x 32 pixels."""
    rng = torch.Generator().manual_seed(0)
    *geometry, last = layer_geometry(
        32,
        radial=radial,
        channel_base=channel_base,
        channel_max=channel_max,
        image_channels=image_channels,
    )

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng)

    def affine(features: int, index: int, gain: float = 1.0) -> Affine:
        weight, bias = normal(features, W_DIM) / W_DIM**0.5, normal(features) * 0.3 + 1
        return Affine(weight * gain, bias * gain, index)

    layers = []
    for index, g in enumerate(geometry, start=1):
        fu, fd = g.up_filter(), g.down_filter()
        assert fu is not None and fd is not None
        weight = normal(g.out_channels, g.in_channels, g.kernel, g.kernel)
        layers.append(
            FilteredLayer(
                weight=weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt(),
                bias=normal(g.out_channels) * 0.3,
                affine=affine(g.in_channels, index),
                input_gain=torch.tensor(0.7 + index / 20),
                fu=fu,
                fd=fd,
                up=g.up,
                down=g.down,
                padding=g.padding,
                gain=2**0.5,
                slope=0.2,
                clamp=clamp,
            )
        )
    first = geometry[0]
    channels = first.in_channels
    fourier = FourierInput(
        weight=normal(channels, channels) / channels**0.5,
        freqs=normal(channels, 2) * 2,
        phases=torch.rand(channels, generator=rng) - 0.5,
        transform=torch.tensor([[1.1, 0.1, 0.2], [-0.2, 0.9, -0.1], [0, 0, 1]]),
        affine=affine(4, 0),
        size=first.in_size,
        rate=first.in_rate,
        bandwidth=first.in_cutoff,
    )
    channels = last.in_channels
    torgb = RGBLayer(
        weight=normal(image_channels, channels),
        bias=normal(image_channels),
        affine=affine(channels, len(layers) + 1, channels**-0.5),
        clamp=clamp,
    )
    return FilteredSynthesis(fourier, tuple(layers), torgb, 0.25, len(layers) + 2, W_DIM)


def latents(count: int) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(count, 16, W_DIM, generator=rng)


def double(value):
    """A description in float64; filters stay, which are float32 in the network too."""
    if isinstance(value, Tensor):
        return value.double()
    if isinstance(value, tuple):
        return tuple(double(v) for v in value)
    if is_dataclass(value):
        names = [f.name for f in fields(value)]
        return replace(value, **{name: double(getattr(value, name)) for name in names})
    return value


def exact(synthesis: FilteredSynthesis, ws: Tensor, transform: Tensor | None = None) -> Tensor:
    executor = EagerFilteredExecutor(double(synthesis), torch.float64)
    return executor(ws.double(), None if transform is None else transform.double())


def moves(count: int) -> Tensor:
    rng = torch.Generator().manual_seed(2)
    return torch.eye(3) + 0.3 * torch.randn(count, 3, 3, generator=rng) * torch.tensor(
        [[1.0], [1.0], [0.0]]
    )


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize("count,clamp,image_channels", [(1, None, 3), (3, 0.5, 4), (5, 256.0, 1)])
def test_matches_float64(backend, radial, count, clamp, image_channels):
    synthesis = network(radial, clamp=clamp, image_channels=image_channels)
    ws = latents(count)
    with use_backend(backend, ops=[OP]):
        executor = prepare(synthesis)
    image = executor(ws)
    assert image.shape == (count, image_channels, 32, 32) and image.dtype == torch.float32
    torch.testing.assert_close(image.double(), exact(synthesis, ws), rtol=1e-5, atol=2e-5)
    assert torch.equal(executor(ws), image)


@pytest.mark.parametrize("backend", BACKENDS)
def test_transforms_of_all_samples_or_of_each(backend):
    synthesis, ws, each = network(), latents(3), moves(3)
    with use_backend(backend, ops=[OP]):
        executor = prepare(synthesis)
    for transform in (each, each[0]):
        want = exact(synthesis, ws, transform)
        torch.testing.assert_close(executor(ws, transform).double(), want, rtol=1e-5, atol=2e-5)
    assert not torch.allclose(executor(ws), executor(ws, each), atol=1e-2)


@pytest.mark.parametrize("filters", [composed.composed_filters, composed.filters_by_matrices])
@pytest.mark.parametrize("radial", [False, True])
def test_published_boundaries_give_the_same_images(filters, radial):
    synthesis, ws = double(network(radial)), latents(2).double()
    image = composed.synthesis(synthesis, ws, filters)
    torch.testing.assert_close(image, exact(synthesis, ws), rtol=1e-9, atol=1e-9)


@needs_compiler
@pytest.mark.parametrize("radial", [False, True])
def test_an_image_does_not_depend_on_its_batch_or_the_threads(radial, monkeypatch):
    synthesis, ws = network(radial, channel_base=900, channel_max=40), latents(5)
    executor, threads = prepare(synthesis), torch.get_num_threads()
    together = executor(ws)
    try:
        torch.set_num_threads(3)
        for i in (0, 2, 4):
            assert torch.equal(executor(ws[i : i + 1])[0], together[i])
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(stylegan3_cpu, "_MAX_FLOATS", 1)  # one at a time
    assert torch.equal(executor(ws), together)
    each = moves(5)
    assert torch.equal(executor(ws[3:], each[3:]), executor(ws, each)[3:])


@needs_compiler
@pytest.mark.parametrize("radial", [False, True])
def test_large_weights_are_shared_by_the_threads(radial, monkeypatch):
    monkeypatch.setattr(stylegan3_cpu, "_LARGE_WEIGHT", 1)
    synthesis, ws = network(radial), latents(2)
    torch.testing.assert_close(
        prepare(synthesis)(ws).double(), exact(synthesis, ws), rtol=1e-5, atol=2e-5
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("place", [0, 5, 15])
def test_a_nan_survives(backend, place):
    synthesis, ws = network(), latents(2)
    ws[1, place, 3] = float("nan")
    with use_backend(backend, ops=[OP]):
        executor = prepare(synthesis)
    image = executor(ws)
    assert bool(image[1].isnan().all())
    if place in (0, 15):  # elsewhere the rms over the batch hands it on, as published
        assert bool(image[0].isfinite().all())
    assert bool(executor(latents(2)).isfinite().all())  # nothing of it stays in a workspace


@needs_compiler
def test_results_are_new_memory_and_an_empty_batch_is_drawn():
    executor, ws = prepare(network()), latents(2)
    first = executor(ws)
    kept = first.clone()
    executor(ws + 1)
    assert torch.equal(first, kept)
    assert executor(ws[:0]).shape == (0, 3, 32, 32)


def test_what_the_compiled_executor_refuses():
    synthesis = network()
    assert "float32" in str(explain(OP, double(synthesis), torch.float32)["cpu"])
    assert "float32" in str(explain(OP, synthesis, torch.float64)["cpu"])
    wide = replace(synthesis.layers[0], weight=torch.zeros(21, 21, 5, 5))
    other = replace(synthesis, layers=(wide,))
    assert "kernels of [5]" in str(explain(OP, other, torch.float32)["cpu"])
    with use_backend("cpu", ops=[OP]), pytest.raises(BackendError, match="float32"):
        prepare(synthesis, torch.float64)
