"""StackGAN: two stages, conditioning augmentation whose noise is part of z."""

from dataclasses import asdict

import pytest
import torch

from ganvas.core.models.stackgan import (
    ConditioningAugmentation,
    Discriminator,
    DiscriminatorConfig,
    Generator,
)

from .random_networks import randomised

SMALL = {"img_resolution": 32, "c_dim": 3, "embed_dim": 4, "channel_base": 256}


def generator():
    return randomised(Generator(z_dim=13, **SMALL))


def test_stages_are_the_sizes_of_the_paper_and_make_up_a_call():
    network = generator()
    z, c = torch.randn(2, 13), torch.eye(3)[:2]
    w = network.mapping(z, c)[:, 0]
    first, one = network.first(w)
    second, two = network.second(first, w)
    assert first.shape == (2, 3, 16, 16)
    assert second.shape == (2, 3, 32, 32)
    assert torch.equal(second, network(z, c))
    assert one.mean.shape == two.log_std.shape == (2, 4)


def test_the_second_stage_sees_the_first_and_the_labels():
    network = generator()
    z, c = torch.randn(2, 13), torch.eye(3)[:2]
    w = network.mapping(z, c)[:, 0]
    image, _ = network.first(w)
    drawn, _ = network.second(image, w)
    assert not torch.allclose(network.second(image.flip(0), w)[0], drawn)
    other = network.mapping(z, c.flip(0))[:, 0]
    assert not torch.allclose(network.second(image, other)[0], drawn)


def test_each_stage_has_random_numbers_of_its_own():
    network = generator()
    z, c = torch.randn(1, 13), torch.eye(3)[:1]
    changed = z.clone()
    changed[:, 9:] += 1  # those of the second stage
    first = [network.first(network.mapping(x, c)[:, 0])[0] for x in (z, changed)]
    assert torch.equal(*first)
    assert not torch.allclose(network(z, c), network(changed, c))


def test_augmented_labels_have_the_mean_and_spread_of_their_distribution():
    layer = randomised(ConditioningAugmentation(3, 2))
    c = torch.eye(3)[:1].expand(20000, -1)
    noise = torch.randn(20000, 2, generator=torch.Generator().manual_seed(0))
    labels, gaussian = layer(c, noise)
    torch.testing.assert_close(labels.mean(dim=0), gaussian.mean[0], atol=0.03, rtol=0)
    torch.testing.assert_close(labels.std(dim=0), gaussian.log_std[0].exp(), atol=0.03, rtol=0.02)


def test_the_discriminator_looks_at_labels():
    network = randomised(Discriminator(**SMALL))
    img = torch.randn(2, 3, 32, 32)
    logits = network(img, torch.eye(3)[:2])
    assert logits.shape == (2, 1)
    assert not torch.allclose(network(img, torch.eye(3)[1:]), logits)
    with pytest.raises(ValueError, match="labels c"):
        network(img)


def test_discriminator_config_round_trip():
    changes = {"c_dim": 2, "img_resolution": 16, "img_channels": 1, "embed_dim": 5,
               "channel_base": 96, "channel_max": 10, "norm": "layer"}  # fmt: skip
    network = randomised(Discriminator(**changes))
    assert network.config == DiscriminatorConfig(**changes)
    defaults = asdict(Discriminator(c_dim=1, img_resolution=32, channel_base=64).config)
    assert all(defaults[key] != value for key, value in changes.items())
    again = Discriminator.from_config(network.config)
    again.load_state_dict(network.state_dict())
    img = torch.randn(2, 1, 16, 16)
    assert torch.equal(again.eval()(img, torch.eye(2)), network(img, torch.eye(2)))


def test_sizes_that_describe_no_network_are_refused():
    with pytest.raises(ValueError, match="z_dim > 2 embed_dim"):
        Generator(z_dim=8, **SMALL)
    with pytest.raises(ValueError, match="img_resolution >= 16"):
        Generator(z_dim=13, **{**SMALL, "img_resolution": 8})
    with pytest.raises(ValueError, match="c_dim >= 1"):
        Generator(z_dim=13, **{**SMALL, "c_dim": 0})
    with pytest.raises(ValueError, match="c_dim and embed_dim >= 1"):
        Discriminator(**{**SMALL, "c_dim": 0})
