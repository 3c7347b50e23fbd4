"""PGGAN: published names and sizes, the networks written out by hand, growing, round trips."""

import math

import pytest
import torch
from torch.nn import functional

from ganvas.core.checkpoints.published import detect
from ganvas.core.checkpoints.published.pggan import DISCRIMINATOR, GENERATOR
from ganvas.core.checkpoints.registry import ARCHITECTURES
from ganvas.core.errors import InputError
from ganvas.core.models.pggan import (
    Discriminator,
    DiscriminatorConfig,
    Generator,
    GeneratorConfig,
)

from .random_networks import assert_round_trip, published_size, randomised, shapes_of

SMALL = {"img_resolution": 16, "channel_base": 64, "channel_max": 10}


def generator(**changes):
    return randomised(Generator(**{**SMALL, "z_dim": 6, **changes}))


def discriminator(**changes):
    return randomised(Discriminator(**{**SMALL, **changes}))


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pixel_norm(x):
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def layer(state, name, x):
    """The published layer: plain convolution or product, bias included in the factor."""
    weight, bias = state[f"{name}.module.weight"], state[f"{name}.module.bias"]
    if weight.ndim == 2:
        y = x @ weight.t() + bias
    else:
        y = functional.conv2d(x, weight, bias, padding=weight.shape[2] // 2)
    return y * math.sqrt(2 / weight[0].numel())


def grown(x):
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def halved(x):
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


def lrelu(x):
    return torch.where(x < 0, 0.2 * x, x)


def test_published_names():
    expected = {f"{n}.module" for n in ("formatLayer", "groupScale0.0")}
    expected |= {f"toRGBLayers.{i}.module" for i in range(3)}
    expected |= {f"scaleLayers.{i}.{j}.module" for i in (0, 1) for j in (0, 1)}
    parts = ("weight", "bias")
    assert set(generator().state_dict()) == {f"{n}.{part}" for n in expected for part in parts}
    expected = {f"{n}.module" for n in ("decisionLayer", "groupScaleZero.0", "groupScaleZero.1")}
    expected |= {f"fromRGBLayers.{i}.module" for i in range(3)}
    expected |= {f"scaleLayers.{i}.{j}.module" for i in (0, 1) for j in (0, 1)}
    assert set(discriminator().state_dict()) == {f"{n}.{part}" for n in expected for part in parts}


def test_published_sizes():
    """Those of Karras et al. 2018, 23.1 M each at 1024 px, where only the first layer differs.

    Its bias is one a pixel in this spelling, and one a channel in the authors'.
    """
    tensors, parameters = published_size(lambda: Generator(img_resolution=1024))
    assert (tensors, parameters) == (2 * (2 + 16 + 9), 23_079_115 + 15 * 512)
    tensors, parameters = published_size(lambda: Discriminator(img_resolution=1024))
    assert (tensors, parameters) == (2 * (3 + 16 + 9), 23_087_249)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"z_dim": 9},
        {"img_resolution": 4},
        {"img_resolution": 32},
        {"img_channels": 1},
        {"channel_base": 128},
        {"channel_max": 7},
    ],
    ids=str,
)
def test_round_trip(changes):
    network = generator(**changes)
    known = {key: getattr(network.config, key) for key in ("channel_base", "channel_max")}
    assert_round_trip(GENERATOR, network, normal(2, network.config.z_dim), **known)
    changes = {key: value for key, value in changes.items() if key != "z_dim"}
    network = discriminator(**changes, mbstd_group_size=4, mbstd_rule="zoo")
    img = normal(4, network.config.img_channels, *2 * (network.config.img_resolution,))
    assert_round_trip(DISCRIMINATOR, network, img, **known)


def test_round_trip_of_the_rest():
    network = generator(c_dim=2)
    again = GENERATOR.infer(shapes_of(network.state_dict()), None, {"c_dim": 2})
    assert ARCHITECTURES["pggan-generator"](again).config == network.config
    for changes in ({"c_dim": 3}, {"mbstd_num_channels": 0}, {"mbstd_group_size": 2}):
        network = discriminator(**{"mbstd_group_size": 4, **changes, "mbstd_rule": "zoo"})
        given = {k: v for k, v in changes.items() if k == "mbstd_group_size"}
        again = DISCRIMINATOR.infer(shapes_of(network.state_dict()), None, given)
        assert ARCHITECTURES["pggan-discriminator"](again).config == network.config
    assert isinstance(network.config, DiscriminatorConfig)
    assert detect(shapes_of(network.state_dict())) is DISCRIMINATOR
    assert detect(shapes_of(generator().state_dict())) is GENERATOR
    with pytest.raises(InputError, match="c_dim"):
        GENERATOR.infer(shapes_of(generator().state_dict()), None, {"c_dim": 6})


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_generator_by_hand(alpha):
    network = generator().double()
    state = network.state_dict()
    z = normal(2, 6).double()
    x = lrelu(layer(state, "formatLayer", pixel_norm(z))).reshape(2, -1, 4, 4)
    x = pixel_norm(lrelu(layer(state, "groupScale0.0", pixel_norm(x))))
    for level in (0, 1):
        before = grown(layer(state, f"toRGBLayers.{level}", x))
        x = grown(x)
        for j in (0, 1):
            x = pixel_norm(lrelu(layer(state, f"scaleLayers.{level}.{j}", x)))
        if level == 0:
            small = layer(state, "toRGBLayers.1", x) * alpha + before * (1 - alpha)
    expected = layer(state, "toRGBLayers.2", x) * alpha + before * (1 - alpha)
    torch.testing.assert_close(network(z, alpha=alpha), expected)
    torch.testing.assert_close(network(z, resolution=8, alpha=alpha), small)


def paper_statistic(x):
    """One number for the whole batch (Karras et al. 2018, section 3)."""
    return (x.var(dim=0, unbiased=False) + 1e-8).sqrt().mean().expand(len(x))


def zoo_statistic(x):
    """As the GAN zoo's own program gave for batches of these sizes."""
    if len(x) == 1:
        return torch.zeros(1, dtype=x.dtype)
    size = 4 if len(x) % 4 == 0 else len(x)
    groups = len(x) // size
    numbers = [(x[g::groups].var(dim=0) + 1e-8).sqrt().mean() for g in range(groups)]
    return torch.stack([numbers[n // size] for n in range(len(x))])


@pytest.mark.parametrize("count", [1, 3, 4, 6, 8])
@pytest.mark.parametrize("rule", ["paper", "zoo"])
@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_discriminator_by_hand(alpha, rule, count):
    group = None if rule == "paper" else 4
    network = discriminator(mbstd_rule=rule, mbstd_group_size=group).double()
    state = network.state_dict()
    img = normal(count, 3, 16, 16).double()
    x = lrelu(layer(state, "fromRGBLayers.2", img))
    for level in (1, 0):
        for j in (0, 1):
            x = lrelu(layer(state, f"scaleLayers.{level}.{j}", x))
        x = halved(x)
        if level == 1:
            old = lrelu(layer(state, "fromRGBLayers.1", halved(img)))
            x = alpha * x + (1 - alpha) * old
    deviation = paper_statistic(x) if rule == "paper" else zoo_statistic(x)
    x = torch.cat([x, deviation[:, None, None, None].expand(-1, 1, 4, 4)], dim=1)
    x = lrelu(layer(state, "groupScaleZero.0", x))
    x = lrelu(layer(state, "groupScaleZero.1", x.flatten(1)))
    torch.testing.assert_close(network(img, alpha=alpha), layer(state, "decisionLayer", x))


def test_while_growing_the_discriminator_takes_small_images():
    network = discriminator()
    assert network(normal(2, 3, 8, 8), resolution=8, alpha=0.5).shape == (2, 1)
    assert network(normal(2, 3, 4, 4), resolution=4).shape == (2, 1)
    with pytest.raises(ValueError, match="expected img"):
        network(normal(2, 3, 8, 8))


def test_labels():
    network, judge = generator(c_dim=3), discriminator(c_dim=3)
    z, c = normal(2, 6), torch.eye(3)[:2]
    image = network(z, c)
    assert not torch.allclose(image, network(z, c.flip(0)))
    assert judge(image, c).shape == (2, 1)
    assert not torch.allclose(judge(image, c), judge(image, c.flip(0)))
    for network in (lambda c: generator(c_dim=3)(z, c), lambda c: judge(image, c)):
        with pytest.raises(ValueError, match="labels"):
            network(None)


def test_deterministic_and_independent_of_the_batch():
    network = generator()
    z = normal(3, 6)
    image = network(z)
    assert torch.equal(
        network(5 * z, None, 1.0, 3, "random", torch.tensor([1, 2, 3])), network(5 * z)
    )
    torch.testing.assert_close(network(5 * z), image, rtol=0, atol=1e-4)
    for index in range(3):
        alone = network(z[index : index + 1])
        torch.testing.assert_close(image[index : index + 1], alone, rtol=0, atol=1e-5)


def test_rejects():
    network = generator()
    for arguments, word in (
        ({"truncation_psi": 0.7}, "truncation_psi"),
        ({"resolution": 32}, "resolution"),
        ({"alpha": 1.5}, "alpha"),
    ):
        with pytest.raises(ValueError, match=word):
            network(normal(1, 6), **arguments)
    with pytest.raises(ValueError, match="expected z"):
        network(normal(1, 7))
    for changes, word in (
        ({"img_resolution": 12}, "img_resolution"),
        ({"channel_max": 0}, "channel_max"),
        ({"img_channels": 0}, "img_channels"),
        ({"c_dim": -1}, "c_dim"),
    ):
        with pytest.raises(ValueError, match=word):
            Generator(**{**SMALL, **changes})
        with pytest.raises(ValueError, match=word):
            Discriminator(**{**SMALL, **changes})
    for changes in ({"mbstd_rule": "new"}, {"mbstd_rule": "zoo", "mbstd_num_channels": 2}):
        with pytest.raises(ValueError, match="mbstd_rule"):
            Discriminator(**{**SMALL, **changes})
    assert Generator.from_config(network.config).config == network.config
    assert isinstance(network.config, GeneratorConfig)
