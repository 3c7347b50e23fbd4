"""Whole small StyleGAN2 networks: the fused gradients of every order against plain PyTorch's.

The plain network calls the references in place of the ops: autograd derives everything there.
Checks of single ops miss what only shows where they meet: demodulation factors counted twice.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ganvas.core.models import layers, stylegan2, stylegan2_discriminator
from ganvas.core.models.stylegan2 import Discriminator, Generator
from ganvas.kernels import ACTIVATIONS, use_backend
from ganvas.kernels.bias_act import reference as bias_act_reference
from ganvas.kernels.modulated_conv2d import reference
from ganvas.kernels.upfirdn2d import reference as upfirdn2d_reference

TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-4}


def plain_modulated_conv2d(
    x, weight, styles, *, up=1, f=None, demodulate=True, noise=None, noise_strength=None,
    bias=None, act="linear", gain=None, clamp=None,
):  # fmt: skip
    d = reference.demodulation(weight, styles) if demodulate else None
    gain = ACTIVATIONS[act].gain if gain is None else gain
    return reference.modulated_conv2d(
        x, weight, styles, d, noise, noise_strength, bias, None, f, up, act, gain, clamp
    )


def plain_bias_act(x, b=None, *, dim=1, act="linear", alpha=None, gain=None, clamp=None):
    activation = ACTIVATIONS[act]
    return bias_act_reference.bias_act(
        x,
        b,
        dim,
        act,
        activation.alpha if alpha is None else alpha,
        activation.gain if gain is None else gain,
        clamp,
    )


def plain_upfirdn2d(x, f, *, up=1, down=1, padding: Any = 0, flip_filter=False, gain=1.0):
    left, right, top, bottom = (padding,) * 4 if isinstance(padding, int) else padding
    pads = (left, right, top, bottom)
    return upfirdn2d_reference.upfirdn2d(x, f, (up, up), (down, down), pads, flip_filter, gain)


def plain_to_rgb(x, weight, styles, *, bias=None, clamp=None, image=None, f=None):
    y = plain_modulated_conv2d(x, weight, styles, demodulate=False, bias=bias, clamp=clamp)
    if image is None:
        return y
    return y + plain_upfirdn2d(image, f, up=2, padding=(2, 1, 2, 1), gain=4.0)


PLAIN = {
    "modulated_conv2d": plain_modulated_conv2d,
    "to_rgb": plain_to_rgb,
    "bias_act": plain_bias_act,
    "upfirdn2d": plain_upfirdn2d,
}


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Puts plain PyTorch in place of the ops, from the call on."""

    def apply() -> None:
        for module in (stylegan2, layers, stylegan2_discriminator):
            for name, function in PLAIN.items():
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, function)

    return apply


def generator(dtype: torch.dtype, **settings) -> Generator:
    torch.manual_seed(0)
    network = Generator(
        z_dim=8, w_dim=8, img_resolution=16, channel_base=64, channel_max=8,
        num_mapping_layers=2, **settings,
    )  # fmt: skip
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("noise_strength", "bias")):
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return network.to(dtype)


def discriminator(dtype: torch.dtype) -> Discriminator:
    torch.manual_seed(1)
    return Discriminator(img_resolution=16, channel_base=64, channel_max=8).to(dtype)


def path_length(network: Generator, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Gradients of the path-length penalty: Karras et al. 2020, section 3.2."""
    rng = torch.Generator().manual_seed(2)
    z = torch.randn(3, 8, generator=rng, dtype=dtype)
    ws = network.mapping(z)
    images = network.synthesis(ws)
    direction = torch.randn(images.shape, generator=rng, dtype=dtype) / 16
    (slope,) = torch.autograd.grad((images * direction).sum(), ws, create_graph=True)
    lengths = slope.square().sum(2).mean(1).sqrt()
    penalty = (lengths - 0.5).square().mean()
    return penalty, *gradients(penalty, network)


def generator_loss(network: Generator, dtype: torch.dtype) -> tuple[Tensor, ...]:
    z = torch.randn(3, 8, generator=torch.Generator().manual_seed(3), dtype=dtype)
    critic = discriminator(dtype)
    loss = torch.nn.functional.softplus(-critic(network(z))).mean()
    return loss, *gradients(loss, network)


def r1(network: Discriminator, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Gradients of the R1 penalty: Mescheder et al. 2018, equation 9."""
    rng = torch.Generator().manual_seed(4)
    images = torch.randn(4, 3, 16, 16, generator=rng, dtype=dtype).requires_grad_()
    (slope,) = torch.autograd.grad(network(images).sum(), images, create_graph=True)
    penalty = slope.square().sum((1, 2, 3)).mean()
    return penalty, *gradients(penalty, network)


def gradients(loss: Tensor, network: torch.nn.Module) -> tuple[Tensor, ...]:
    wanted = [p for p in network.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    return tuple(
        torch.zeros_like(p) if g is None else g for p, g in zip(wanted, found, strict=True)
    )


def assert_same(results, wanted, dtype: torch.dtype) -> None:
    assert len(results) == len(wanted)
    for got, want in zip(results, wanted, strict=True):
        error = float((got - want).detach().norm())
        assert error <= TOLERANCE[dtype] * max(float(want.detach().norm()), 1e-3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(
    "settings",
    [{}, {"conv_clamp": 0.8}, {"architecture": "resnet"}, {"architecture": "orig"}],
    ids=str,
)
@pytest.mark.parametrize("loss", [path_length, generator_loss])
def test_generator_gradients_equal_those_of_plain_pytorch(loss, settings, dtype, plain):
    network = generator(dtype, **settings)
    results = loss(network, dtype)
    with use_backend("eager"):
        eager = loss(network, dtype)
    assert_same(results, eager, dtype)
    plain()
    assert_same(results, loss(network, dtype), dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_r1_gradients_equal_those_of_plain_pytorch(dtype, plain):
    network = discriminator(dtype)
    results = r1(network, dtype)
    with use_backend("eager"):
        eager = r1(network, dtype)
    assert_same(results, eager, dtype)
    plain()
    assert_same(results, r1(network, dtype), dtype)


@pytest.mark.parametrize("settings", [{}, {"conv_clamp": 0.8}], ids=str)
def test_gradients_under_create_graph_equal_plain_ones(settings):
    network = generator(torch.float64, **settings)
    z = torch.randn(2, 8, dtype=torch.float64)
    parameters = list(network.parameters())

    def run(create_graph):
        loss = network(z).square().sum()
        return torch.autograd.grad(loss, parameters, create_graph=create_graph)

    for plain_one, graphed in zip(run(False), run(True), strict=True):
        torch.testing.assert_close(plain_one, graphed.detach(), rtol=1e-10, atol=1e-10)
