"""Plans draw what the network draws, and notice when it changes."""

import copy
import logging

import pytest
import torch

from ganvas.core.models import stylegan2_plan
from ganvas.core.models.stylegan2 import Generator
from ganvas.core.models.stylegan2_plan import SynthesisPlan, plan_of
from ganvas.kernels import build, use_backend

REASON = build.unavailable("cpu")
needs_compiler = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def generator(**changes) -> Generator:
    torch.manual_seed(0)
    settings = dict(z_dim=6, w_dim=8, img_resolution=32, channel_base=320, channel_max=24)
    network = Generator(**{**settings, "num_mapping_layers": 2, **changes}).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.5)
            elif name.endswith("bias") and "affine" not in name:
                parameter.normal_()
    return network


def latents(network: Generator, count: int = 3) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(count, network.num_ws, 8, generator=rng)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("noise_mode", ["const", "random", "none"])
@pytest.mark.parametrize("img_channels,conv_clamp", [(3, None), (4, 1.0), (1, None)])
def test_draws_what_the_network_draws(architecture, noise_mode, img_channels, conv_clamp):
    network = generator(architecture=architecture, img_channels=img_channels, conv_clamp=conv_clamp)
    ws, seeds = latents(network), torch.tensor([5, 6, 7])
    image = SynthesisPlan(network.synthesis)(ws, noise_mode, seeds)
    with torch.no_grad():
        want = copy.deepcopy(network).double().synthesis(ws.double(), "none")
        if noise_mode != "none":
            want = network.synthesis(ws, noise_mode, seeds)
    torch.testing.assert_close(image, want.float(), rtol=1e-5, atol=5e-5)
    assert not image.requires_grad


@pytest.mark.parametrize("source", ["one", "list", "global"])
def test_random_noise_is_drawn_as_the_network_draws_it(source):
    network = generator()
    ws = latents(network)

    def rng():
        if source == "global":
            torch.manual_seed(3)
            return None
        if source == "one":
            return torch.Generator().manual_seed(3)
        return [torch.Generator().manual_seed(i) for i in range(3)]

    with torch.no_grad():
        want = network.synthesis(ws, "random", rng())
    image = SynthesisPlan(network.synthesis)(ws, "random", rng())
    torch.testing.assert_close(image, want, rtol=1e-5, atol=5e-5)


@needs_compiler
@pytest.mark.parametrize("noise_mode", ["const", "random"])
def test_a_sample_does_not_depend_on_its_batch(noise_mode):
    network = generator()
    plan, ws, seeds = SynthesisPlan(network.synthesis), latents(network, 8), torch.arange(8)
    together = plan(ws, noise_mode, seeds)
    for i in (0, 3, 7):
        alone = plan(ws[i : i + 1], noise_mode, seeds[i : i + 1])
        assert torch.equal(alone[0], together[i])


def test_changed_weights_are_noticed():
    network = generator()
    plan, ws = SynthesisPlan(network.synthesis), latents(network)
    block = network.synthesis.get_submodule("b8.conv0")

    def check(before: torch.Tensor) -> torch.Tensor:
        image = plan(ws)
        assert not torch.equal(image, before)
        with torch.no_grad():
            torch.testing.assert_close(image, network.synthesis(ws), rtol=1e-5, atol=5e-5)
        return image

    image = plan(ws)
    with torch.no_grad():
        block.weight[0, 0] += 1
    image = check(image)
    block.weight = torch.nn.Parameter(block.weight.detach() * torch.rand(1, 16, 1, 1)[:, :1] + 1)
    image = check(image)
    block.noise_const.mul_(2)
    image = check(image)
    network.load_state_dict({k: v * 1.1 for k, v in network.state_dict().items()})
    image = check(image)
    block.bias.data = block.bias.data + 1
    check(image)


def test_plans_of_one_network_share_the_prepared_weights_and_copies_do_not(monkeypatch):
    network = generator()
    ws = latents(network)
    image = plan_of(network)(ws)
    monkeypatch.setattr(stylegan2_plan, "describe", lambda _: pytest.fail("prepared again"))
    assert torch.equal(plan_of(network)(ws), image)
    with pytest.raises(pytest.fail.Exception, match="prepared again"):
        plan_of(copy.deepcopy(network))(ws)
    known = len(stylegan2_plan._prepared)
    del network
    assert len(stylegan2_plan._prepared) < known


def test_a_forced_backend_is_obeyed_from_one_call_to_the_next():
    network = generator()
    plan, ws = SynthesisPlan(network.synthesis), latents(network)
    image = plan(ws)
    with use_backend("eager"):
        readable = plan(ws)
    torch.testing.assert_close(image, readable, rtol=1e-5, atol=5e-5)
    assert torch.equal(plan(ws), image)


def test_without_a_compiler_the_network_is_drawn_eagerly_with_one_notice(
    monkeypatch, caplog, tmp_path
):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    build._outcome.cache_clear()
    try:
        network = generator()
        plan, ws = SynthesisPlan(network.synthesis), latents(network)
        with caplog.at_level(logging.WARNING, logger="ganvas.kernels"):
            image = plan(ws)
            plan(ws)
        assert len([r for r in caplog.records if "not used" in r.message]) == 1
        with torch.no_grad():
            torch.testing.assert_close(image, network.synthesis(ws), rtol=1e-5, atol=5e-5)
    finally:
        build._outcome.cache_clear()


def test_weights_in_float64_are_drawn_in_float64():
    network = generator().double()
    ws = latents(network).double()
    image = plan_of(network)(ws)
    assert image.dtype == torch.float64
    with torch.no_grad():
        torch.testing.assert_close(image, network.synthesis(ws))


@pytest.mark.parametrize("backend", ["eager", pytest.param("cpu", marks=needs_compiler)])
def test_bfloat16_is_near_and_the_image_float32(backend):
    network = generator()
    ws = latents(network)
    with use_backend(backend, ops=["synthesis"]):
        image = SynthesisPlan(network.synthesis, dtype=torch.bfloat16)(ws)
    with torch.no_grad():
        want = network.synthesis(ws)
    assert image.dtype == torch.float32
    assert float((image - want).square().mean().sqrt()) < 1e-2 * float(want.square().mean().sqrt())


@pytest.mark.parametrize(
    "arguments,words",
    [
        ((torch.zeros(2, 3, 8),), "ws"),
        ((torch.zeros(2, 8, 8), "loud"), "noise_mode"),
        ((torch.zeros(2, 8, 8), "random", torch.tensor([1])), "2 noise generators"),
    ],
)
def test_rejects(arguments, words):
    with pytest.raises(ValueError, match=f"synthesis: expected .*{words}"):
        SynthesisPlan(generator().synthesis)(*arguments)
