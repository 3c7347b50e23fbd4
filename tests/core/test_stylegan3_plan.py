"""Plans draw what a StyleGAN3 network draws, and notice when it changes."""

import copy

import pytest
import torch

from ganvas.core.models import stylegan2, stylegan2_plan, stylegan3_plan
from ganvas.core.models.plans import plan_of
from ganvas.core.models.stylegan3 import Generator
from ganvas.core.models.stylegan3_plan import SynthesisPlan
from ganvas.core.sampling import sample_images
from ganvas.kernels import build, use_backend

REASON = build.unavailable("cpu")
needs_compiler = pytest.mark.skipif(REASON is not None, reason=str(REASON))
RADIAL = dict(conv_kernel=1, use_radial_filters=True)


def generator(**changes) -> Generator:
    torch.manual_seed(0)
    settings = dict(z_dim=6, w_dim=8, img_resolution=32, channel_base=160, channel_max=12)
    network = Generator(**{**settings, **changes}).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.add_(0.3 * torch.randn(parameter.shape))
    network.synthesis.input.affine.weight.normal_()
    for name, buffer in network.named_buffers():
        if name.endswith("magnitude_ema"):
            buffer.fill_(float(torch.rand(())) + 0.5)
    return network


def latents(network: Generator, count: int = 3) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(count, network.num_ws, 8, generator=rng)


@pytest.mark.parametrize("backend", ["eager", pytest.param("cpu", marks=needs_compiler)])
@pytest.mark.parametrize(
    "changes", [{}, RADIAL, dict(img_channels=1, conv_clamp=0.5, output_scale=0.7)], ids=str
)
def test_draws_what_the_network_draws(backend, changes):
    network = generator(**changes)
    ws = latents(network)
    with use_backend(backend, ops=["synthesis_stylegan3"]):
        image = SynthesisPlan(network.synthesis)(ws)
    want = copy.deepcopy(network).double().synthesis(ws.double())
    torch.testing.assert_close(image.double(), want, rtol=1e-5, atol=2e-5)
    assert not image.requires_grad


@pytest.mark.parametrize("count", [1, 3])
def test_a_transform_moves_the_image(count):
    network = generator()
    ws = latents(network, count)
    transform = torch.eye(3).repeat(count, 1, 1)
    transform[:, 0, 2] = torch.arange(count) / 8 + 0.1
    image = SynthesisPlan(network.synthesis)(ws, transform=transform)
    want = network.synthesis(ws, transform=transform)
    torch.testing.assert_close(image, want, rtol=1e-5, atol=2e-5)


@needs_compiler
def test_an_image_does_not_depend_on_its_batch():
    network = generator()
    plan, ws = plan_of(network), latents(network, 5)
    together = plan(ws)
    for i in (0, 4):
        assert torch.equal(plan(ws[i : i + 1])[0], together[i])


def test_weights_and_magnitudes_that_change_are_prepared_again():
    network = generator()
    plan, ws = SynthesisPlan(network.synthesis), latents(network)
    before = plan(ws)
    assert torch.equal(plan(ws), before)
    layer = network.synthesis.get_submodule(network.synthesis.layer_names[2])
    for tensor in (layer.weight, layer.magnitude_ema, network.synthesis.input.transform):
        tensor.mul_(torch.rand(tensor.shape) + 0.5)
        after = plan(ws)
        assert not torch.allclose(after, before, atol=1e-4)
        torch.testing.assert_close(after, network.synthesis(ws), rtol=1e-5, atol=2e-5)
        before = after


def test_float64_weights_draw_in_float64():
    network = generator().double()
    ws = latents(network).double()
    image = plan_of(network)(ws)
    assert image.dtype == torch.float64
    torch.testing.assert_close(image, network.synthesis(ws), rtol=1e-10, atol=1e-10)


def test_wrong_arguments():
    network = generator()
    plan, ws = plan_of(network), latents(network)
    with pytest.raises(ValueError, match=r"expected ws \[N, 16, 8\]"):
        plan(ws[:, 1:])
    with pytest.raises(ValueError, match=r"expected transform \[3, 3\] or \[3, 3, 3\]"):
        plan(ws, transform=torch.eye(3)[None])


def test_each_kind_of_generator_has_its_plan_and_samples():
    network = generator()
    assert isinstance(plan_of(network), stylegan3_plan.SynthesisPlan)
    other = stylegan2.Generator(z_dim=6, w_dim=8, img_resolution=8, channel_base=8, channel_max=4)
    assert isinstance(plan_of(other), stylegan2_plan.SynthesisPlan)
    images = list(sample_images(network, [3, 4, 5], chunk=2))
    assert [tuple(image.shape) for image in images] == [(3, 32, 32)] * 3
    alone = next(iter(sample_images(network, [5])))
    torch.testing.assert_close(alone, images[2], rtol=0, atol=1e-6)
