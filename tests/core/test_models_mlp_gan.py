"""The two perceptrons of the first GAN."""

from dataclasses import asdict

import pytest
import torch

from ganvas.core.models.mlp_gan import Discriminator, DiscriminatorConfig, Generator, Maxout

from .random_networks import randomised


def test_maxout_is_the_largest_of_its_linear_functions():
    layer = Maxout(3, 2, 4)
    x = torch.randn(5, 3)
    pieces = layer.linear(x).view(5, 2, 4)
    assert torch.equal(layer(x), pieces.max(dim=2).values)
    assert Maxout(3, 2, 1)(x).shape == (5, 2)


def test_generator_by_hand():
    network = randomised(Generator(z_dim=4, img_resolution=4, hidden=6, num_layers=1)).double()
    p, z = network.state_dict(), torch.randn(2, 4).double()
    hidden = (z @ p["layers.0.weight"].T + p["layers.0.bias"]).clamp(min=0)
    pixels = (hidden @ p["pixels.weight"].T + p["pixels.bias"]).tanh()
    torch.testing.assert_close(network(z), pixels.view(2, 3, 4, 4))


def test_labels_are_appended_to_the_image():
    network = randomised(Discriminator(c_dim=2, img_resolution=4, hidden=6))
    img = torch.randn(2, 3, 4, 4)
    assert network(img, torch.eye(2)).shape == (2, 1)
    assert not torch.allclose(network(img, torch.eye(2)), network(img, torch.eye(2).flip(0)))
    with pytest.raises(ValueError, match="labels c"):
        network(img)


def test_discriminator_config_round_trip():
    changes = {"c_dim": 2, "img_resolution": 8, "img_channels": 1, "hidden": 5, "num_layers": 1,
               "pieces": 3}  # fmt: skip
    network = randomised(Discriminator(**changes))
    assert network.config == DiscriminatorConfig(**changes)
    defaults = asdict(Discriminator(img_resolution=4).config)
    assert all(defaults[key] != value for key, value in changes.items())
    again = Discriminator.from_config(network.config)
    again.load_state_dict(network.state_dict())
    img = torch.randn(2, 1, 8, 8)
    assert torch.equal(again(img, torch.eye(2)), network(img, torch.eye(2)))
    with pytest.raises(ValueError, match="pieces >= 1"):
        Discriminator(img_resolution=4, pieces=0)
