"""GFPGAN: sizes, hyper-parameters from shapes, noise, and the decoder written out."""

import math

import pytest
import torch
from torch.nn import functional

from ganvas.core.checkpoints.published.gfpgan import GFPGAN as FAMILY
from ganvas.core.errors import InputError
from ganvas.core.models.gfpgan import GFPGAN

from .random_networks import (
    assert_batch_independent,
    assert_double_agrees,
    assert_round_trip,
    published_size,
    randomised,
    shapes_of,
)


def small(**changes):
    return randomised(
        GFPGAN(**{"out_size": 64, "num_style_feat": 12, "narrow": 0.03125, "num_mlp": 2, **changes})
    )


def images(count=1, size=64):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(5)) * 2 - 1


def test_published_size():
    assert published_size(GFPGAN) == (285, 86_444_252)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"out_size": 128, "channel_multiplier": 1},
        {"out_size": 16},
        {"channel_multiplier": 1},
        {"num_style_feat": 7},
        {"num_mlp": 5},
        {"narrow": 0.0625},
        {"different_w": False},
        {"sft_half": False},
    ],
    ids=str,
)
def test_round_trip(changes):
    network = small(**changes)
    assert_round_trip(FAMILY, network, images(size=network.config.out_size))


def test_mapped_styles_must_be_given():
    network = small(different_w=False, input_is_latent=False)
    assert_round_trip(FAMILY, network, images(), input_is_latent=False)
    other = small(different_w=False)
    assert not torch.equal(network(images()), other(images()))


def test_arithmetic_in_float64():
    """The published order of operations, with weights modulated instead of features."""
    network = small(out_size=8).double()
    p = network.state_dict()
    img = images(size=8).double()

    def conv(name, x):
        weight = p[f"{name}.weight"]
        return functional.conv2d(x, weight, p.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def lrelu(x):
        return torch.where(x > 0, x, 0.2 * x)

    def resize(x, factor):
        return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)

    def residual(name, x, factor):
        y = lrelu(conv(f"{name}.conv2", resize(lrelu(conv(f"{name}.conv1", x)), factor)))
        return y + conv(f"{name}.skip", resize(x, factor))

    def modulated(name, x, style, demodulate=True):
        name = f"stylegan_decoder.{name}"
        s = functional.linear(style, p[f"{name}.modulation.weight"], p[f"{name}.modulation.bias"])
        weight = p[f"{name}.weight"][0] * s[0][:, None, None]
        if demodulate:
            weight = weight * (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        return functional.conv2d(x, weight, padding=weight.shape[-1] // 2)

    def styled(name, x, style, noise):
        y = modulated(f"{name}.modulated_conv", x, style) * math.sqrt(2)
        y = y + p[f"stylegan_decoder.{name}.weight"] * p[f"stylegan_decoder.noises.noise{noise}"]
        return lrelu(y + p[f"stylegan_decoder.{name}.bias"])

    def rgb(name, x, style):
        y = modulated(f"{name}.modulated_conv", x, style, demodulate=False)
        return y + p[f"stylegan_decoder.{name}.bias"]

    x = lrelu(conv("conv_body_first", img))
    down = residual("conv_body_down.0", x, 0.5)
    x = lrelu(conv("final_conv", down))
    styles = functional.linear(x.flatten(1), p["final_linear.weight"], p["final_linear.bias"])
    styles = styles.view(4, 1, 12)
    x = residual("conv_body_up.0", x + down, 2.0)
    scale, shift = (
        conv(f"{name}.0.2", lrelu(conv(f"{name}.0.0", x)))
        for name in ("condition_scale", "condition_shift")
    )
    ours, intermediate = network.restore(img)
    torch.testing.assert_close(intermediate[0], conv("toRGB.0", x), rtol=1e-9, atol=1e-9)
    y = styled("style_conv1", p["stylegan_decoder.constant_input.weight"], styles[0], 0)
    image = rgb("to_rgb1", y, styles[1])
    y = styled("style_convs.0", resize(y, 2.0), styles[1], 1)
    half = y.shape[1] // 2
    y = torch.cat([y[:, :half], y[:, half:] * scale + shift], dim=1)
    y = styled("style_convs.1", y, styles[2], 2)
    image = resize(image, 2.0) + rgb("to_rgbs.0", y, styles[3])
    torch.testing.assert_close(ours, image, rtol=1e-9, atol=1e-9)


def test_noise():
    network, img = small(), images(2)
    stored = network(img)
    assert torch.equal(network(img), stored)
    assert not torch.equal(network(img, noise_mode="none"), stored)
    seeds = torch.tensor([3, 4])
    drawn = network(img, noise_mode="random", generator=seeds)
    assert torch.equal(drawn, network(img, noise_mode="random", generator=seeds))
    alone = network(img[1:], noise_mode="random", generator=seeds[1:])
    torch.testing.assert_close(drawn[1:], alone, rtol=0, atol=1e-4)
    once = network(img, noise_mode="random", generator=torch.Generator().manual_seed(0))
    assert not torch.equal(once, drawn)


def test_intermediate_images():
    image, intermediate = small().restore(images(2))
    assert image.shape == (2, 3, 64, 64)
    assert [tuple(x.shape) for x in intermediate] == [(2, 3, s, s) for s in (8, 16, 32, 64)]
    assert torch.equal(image, small()(images(2)))


def test_samples_and_dtypes():
    assert_batch_independent(small(), images(3), atol=1e-4)
    assert_double_agrees(small(), images(2), atol=1e-3)


def test_it_differentiates():
    network = small(out_size=16).requires_grad_()
    network(images(size=16)).square().sum().backward()
    unused = {n for n, p in network.named_parameters() if p.grad is None}
    assert {name.split(".")[0] for name in unused} == {"toRGB", "stylegan_decoder"}
    assert all("style_mlp" in name or "toRGB" in name for name in unused)


def test_refusals():
    with pytest.raises(ValueError, match=r"expected img \[N, 3, 64, 64\]"):
        small()(images(size=32))
    with pytest.raises(ValueError, match="noise_mode"):
        small()(images(), noise_mode="all")
    with pytest.raises(ValueError, match="different_w"):
        small(input_is_latent=False)
    with pytest.raises(ValueError, match="narrow"):
        small(narrow=0.001)
    shapes = shapes_of(small().state_dict())
    shapes["stylegan_decoder.style_conv1.activate.bias"] = (16,)
    with pytest.raises(InputError, match="of the paper"):
        FAMILY.infer(shapes, None, {})
