"""DCGAN: the layers of PyTorch's example, and how labels and normalisation enter."""

from dataclasses import asdict

import pytest
import torch
from torch.nn import functional

from ganvas.core.models.dcgan import (
    Discriminator,
    DiscriminatorConfig,
    Generator,
)

from .random_networks import published_size, randomised

SMALL = {"img_resolution": 16, "channel_base": 64}


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_sizes_are_those_of_the_published_networks():
    """Of PyTorch's DCGAN example, 64 px with 64 channels."""
    tensors, parameters = published_size(lambda: Generator(img_resolution=64))
    assert (tensors, parameters) == (5 + 4 * 5, 3_576_704)
    tensors, parameters = published_size(lambda: Discriminator(img_resolution=64))
    assert (tensors, parameters) == (5 + 3 * 5, 2_765_568)
    names = set(Generator(img_resolution=64).state_dict())
    assert {"main.0.weight", "main.1.running_mean", "main.12.weight"} <= names
    assert "main.11.weight" in Discriminator(img_resolution=64).state_dict()


def test_generator_is_the_plain_sequence():
    network = randomised(Generator(z_dim=5, **SMALL)).double()
    p = network.state_dict()
    z = normal(3, 5).double()
    x = functional.conv_transpose2d(z[:, :, None, None], p["main.0.weight"])
    for index in (1, 4):
        mean, var = p[f"main.{index}.running_mean"], p[f"main.{index}.running_var"]
        x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        x = x * p[f"main.{index}.weight"][:, None, None] + p[f"main.{index}.bias"][:, None, None]
        weight = p[f"main.{index + 2}.weight"]
        x = functional.conv_transpose2d(x.clamp(min=0), weight, stride=2, padding=1)
    torch.testing.assert_close(network(z), x.tanh(), rtol=1e-9, atol=1e-9)


def test_initial_weights_follow_the_paper():
    torch.manual_seed(0)
    network = Generator(img_resolution=64)
    weights = [p for name, p in network.named_parameters() if p.ndim == 4]
    assert all(w.std().item() == pytest.approx(0.02, rel=0.05) for w in weights)


def test_projection_adds_an_inner_product():
    network = randomised(Discriminator(c_dim=3, labels="projection", norm="none", **SMALL))
    img = normal(4, 3, 16, 16)
    logits = [network(img, torch.eye(3)[[k] * 4]) for k in range(3)]
    none = network(img, torch.zeros(4, 3))
    both = network(img, torch.tensor([[1.0, 1.0, 0.0]] * 4))
    torch.testing.assert_close(both - none, logits[0] + logits[1] - 2 * none)
    features = network.features(img, torch.zeros(4, 3)).sum(dim=[2, 3])
    expected = features @ network.embed.weight
    torch.testing.assert_close(torch.cat(logits, dim=1) - none, expected, rtol=1e-4, atol=1e-5)


def test_concatenated_labels_are_planes_beside_the_image():
    network = randomised(Discriminator(c_dim=2, labels="concat", norm="none", **SMALL))
    plain = Discriminator(img_channels=5, norm="none", **SMALL)
    plain.load_state_dict(network.state_dict())
    img = normal(2, 3, 16, 16)
    planes = torch.eye(2)[:, :, None, None].expand(-1, -1, 16, 16)
    assert torch.equal(network(img, torch.eye(2)), plain(torch.cat([img, planes], dim=1)))


@pytest.mark.parametrize("norm", ["layer", "none"])
@pytest.mark.parametrize("labels", ["concat", "projection"])
def test_samples_stay_apart_without_batch_norm(norm, labels):
    network = randomised(Discriminator(c_dim=2, norm=norm, labels=labels, **SMALL)).train()
    img, c = normal(4, 3, 16, 16), torch.eye(2)[[0, 1, 1, 0]]
    torch.testing.assert_close(network(img, c)[1:2], network(img[1:2], c[1:2]), rtol=0, atol=1e-5)


def test_layer_norm_normalises_each_sample():
    network = Discriminator(norm="layer", **SMALL)
    x = network.main[3](normal(2, 16, 4, 4) * 7 + 3)
    torch.testing.assert_close(x.mean(dim=[1, 2, 3]), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(dim=[1, 2, 3], correction=0), torch.ones(2), atol=1e-3, rtol=0)


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_every_discriminator_sees_the_contrast_of_an_image(norm):
    network = randomised(Discriminator(norm=norm, **SMALL)).eval()
    img = normal(4, 3, 16, 16)
    assert float((network(img / 4) - network(img)).abs().min()) > 1e-3


def test_discriminator_config_round_trip():
    changes = {"c_dim": 2, "img_resolution": 32, "img_channels": 1, "channel_base": 96,
               "channel_max": 10, "norm": "layer", "labels": "projection"}  # fmt: skip
    network = randomised(Discriminator(**changes))
    assert network.config == DiscriminatorConfig(**changes)
    defaults = asdict(Discriminator(**SMALL).config)
    assert all(defaults[key] != value for key, value in changes.items())
    again = Discriminator.from_config(network.config)
    again.load_state_dict(network.state_dict())
    img, c = normal(2, 1, 32, 32), torch.eye(2)
    assert torch.equal(again.eval()(img, c), network(img, c))


@pytest.mark.parametrize("network", [Generator, Discriminator])
@pytest.mark.parametrize(
    "changes,message",
    [
        ({"img_resolution": 4}, "img_resolution >= 8"),
        ({"channel_base": 7}, "channel_base >= half"),
        ({"channel_max": 0}, "channel_max >= 1"),
        ({"c_dim": -1}, "c_dim >= 0"),
    ],
)
def test_sizes_that_describe_no_network_are_refused(network, changes, message):
    with pytest.raises(ValueError, match=message):
        network(**{**SMALL, **changes})


def test_other_refusals():
    with pytest.raises(ValueError, match="norm of"):
        Discriminator(norm="group", **SMALL)
    with pytest.raises(ValueError, match="labels of"):
        Discriminator(labels="beside", **SMALL)
    network = Discriminator(c_dim=2, **SMALL)
    with pytest.raises(ValueError, match=r"expected img \[N, 3, 16, 16\]"):
        network(torch.zeros(1, 3, 8, 8), torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"labels c \[1, 2\], got none"):
        network(torch.zeros(1, 3, 16, 16))
