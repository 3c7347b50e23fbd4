"""The modern baseline's networks: residual blocks, fix-up, resampling."""

from dataclasses import asdict

import pytest
import torch

from ganvas.core.models.r3gan import Discriminator, DiscriminatorConfig, Generator, ResidualBlock

from .random_networks import assert_batch_independent, randomised

SMALL = {"img_resolution": 16, "channel_base": 128, "channel_max": 16, "group_width": 8}


def test_a_block_starts_as_the_identity():
    x = torch.randn(2, 16, 5, 7)
    assert torch.equal(ResidualBlock(16, 8, 6)(x), x)


def test_fix_up_scales_the_first_convolutions():
    """He's deviation times L^(-1/4) for L blocks of 3 convolutions."""
    torch.manual_seed(0)
    block = ResidualBlock(64, 16, 16)
    he = (2 / 1.04 / 64) ** 0.5  # slope 0.2, 64 inputs
    assert block.conv0.weight.std().item() == pytest.approx(he / 2, rel=0.05)
    he = (2 / 1.04 / (16 * 9)) ** 0.5  # groups of 16 channels, 3x3
    assert block.conv1.weight.std().item() == pytest.approx(he / 2, rel=0.05)
    assert block.conv1.groups == 8
    assert block.conv0.weight.shape == (128, 64, 1, 1)
    assert not block.conv2.weight.any()


def test_the_first_images_have_the_size_of_images():
    torch.manual_seed(0)
    network = Generator(img_resolution=64, channel_base=2048, channel_max=64)
    images = network(torch.randn(8, 64))
    assert 0.1 < images.std() < 2
    torch.manual_seed(0)
    network = Discriminator(img_resolution=64, channel_base=2048, channel_max=64)
    assert network(torch.randn(8, 3, 64, 64)).std() < 3


def test_no_statistics_and_no_mixing_of_samples():
    network = randomised(Discriminator(**SMALL)).train()
    assert list(network.buffers()) == []
    assert_batch_independent(network, torch.randn(3, 3, 16, 16))
    assert list(Generator(**SMALL).buffers()) == []


def test_labels_add_an_inner_product():
    network = randomised(Discriminator(c_dim=2, **SMALL))
    img = torch.randn(2, 3, 16, 16)
    none = network(img, torch.zeros(2, 2))
    one, two = (network(img, torch.eye(2)[[k, k]]) for k in (0, 1))
    torch.testing.assert_close(network(img, torch.ones(2, 2)) + none, one + two)
    assert not torch.allclose(one, two)


def test_second_derivatives_exist_and_are_the_numerical_ones():
    tiny = {"img_resolution": 8, "channel_base": 16, "channel_max": 2, "num_blocks": 1}
    network = randomised(Discriminator(**tiny)).double()
    img = torch.randn(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(network, img, atol=1e-4)


def test_discriminator_config_round_trip():
    changes = {"c_dim": 2, "img_resolution": 8, "img_channels": 1, "channel_base": 64,
               "channel_max": 8, "num_blocks": 1, "group_width": 4}  # fmt: skip
    network = randomised(Discriminator(**changes))
    assert network.config == DiscriminatorConfig(**changes)
    defaults = asdict(Discriminator(img_resolution=16).config)
    assert all(defaults[key] != value for key, value in changes.items())
    again = Discriminator.from_config(network.config)
    again.load_state_dict(network.state_dict())
    img = torch.randn(2, 1, 8, 8)
    assert torch.equal(again(img, torch.eye(2)), network(img, torch.eye(2)))


@pytest.mark.parametrize("network", [Generator, Discriminator])
def test_sizes_that_describe_no_network_are_refused(network):
    with pytest.raises(ValueError, match="channel_base >= img_resolution"):
        network(**{**SMALL, "channel_base": 8})
    with pytest.raises(ValueError, match="multiple of group_width 12"):
        network(**{**SMALL, "group_width": 12})
    with pytest.raises(ValueError, match="num_blocks >= 1"):
        network(num_blocks=0, **SMALL)
