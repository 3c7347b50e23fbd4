"""InfoGAN: codes that follow from z, labels that override them, and what Q reads."""

from dataclasses import asdict
from itertools import product

import pytest
import torch

from ganvas.core.checkpoints import load, save
from ganvas.core.errors import InputError
from ganvas.core.images import read_image
from ganvas.core.latents import class_labels, sample_latents
from ganvas.core.models.infogan import Discriminator, DiscriminatorConfig, Generator
from ganvas.core.sampling import sample_images, write_samples

from .random_networks import randomised

SMALL = {"img_resolution": 16, "channel_base": 64}
CODES = {"num_categorical": 2, "num_categories": 3, "num_continuous": 2}


def generator(**changes):
    return randomised(Generator(z_dim=12, c_dim=6, **SMALL, **CODES, **changes))


def many(count=20000):
    return torch.randn(count, 12, generator=torch.Generator().manual_seed(0))


def test_codes_of_z_have_the_published_distributions():
    """Categories alike, continuous codes uniform in -1..1, noise left as it is."""
    network, z = generator(), many()
    w = network.mapping(z)[:, 0]
    categories, continuous = network.codes(w)
    for column in categories.T:
        shares = torch.bincount(column, minlength=3) / len(z)
        torch.testing.assert_close(shares, torch.full((3,), 1 / 3), atol=0.02, rtol=0)
    assert continuous.abs().max() < 1
    for level in (-0.5, 0.0, 0.5):
        assert (continuous < level).float().mean() == pytest.approx((level + 1) / 2, abs=0.02)
    assert torch.equal(w[:, :4], z[:, :4])


def test_labels_override_only_the_codes_they_name():
    network, z = generator(), many(50)
    own, _ = network.codes(network.mapping(z)[:, 0])
    c = torch.zeros(50, 6)
    c[:, 4] = 1  # the second code takes its value 1
    categories, _ = network.codes(network.mapping(z, c)[:, 0])
    assert torch.equal(categories[:, 0], own[:, 0])
    assert categories[:, 1].eq(1).all()
    assert torch.equal(network.mapping(z, torch.zeros(50, 6)), network.mapping(z))


def test_codes_can_be_absent():
    network = Generator(z_dim=5, c_dim=3, num_categories=3, num_continuous=0, **SMALL)
    categories, continuous = network.codes(network.mapping(torch.randn(2, 5))[:, 0])
    assert categories.shape == (2, 1)
    assert continuous.shape == (2, 0)


def test_q_reads_the_discriminators_features():
    network = randomised(Discriminator(**SMALL, **CODES))
    img = torch.randn(3, 3, 16, 16)
    features = network.critic.features(img)
    assert torch.equal(network(img), network.critic(img))
    assert torch.equal(network.score(features), network(img))
    codes = network.read(features)
    assert codes.logits.shape == (3, 2, 3)
    assert codes.mean.shape == codes.log_std.shape == (3, 2)


def test_q_is_never_too_sure_and_can_become_less_sure():
    network = randomised(Discriminator(**SMALL, **CODES)).requires_grad_(True)
    features = network.critic.features(torch.randn(3, 3, 16, 16))
    with torch.no_grad():
        network.q.bias[-2:] = -8
    log_std = network.read(features).log_std
    assert log_std.ge(-3).all() and log_std.le(-2.9).all()
    log_std.sum().backward()
    assert network.q.bias.grad is not None
    assert network.q.bias.grad[-2:].gt(1e-4).all()


def test_discriminator_config_round_trip():
    changes = {"img_resolution": 32, "img_channels": 1, "num_categorical": 2, "num_categories": 3,
               "num_continuous": 1, "channel_base": 96, "channel_max": 10, "norm": "layer",
               "hidden": 7}  # fmt: skip
    network = randomised(Discriminator(**changes))
    assert network.config == DiscriminatorConfig(**changes)
    defaults = asdict(Discriminator(**SMALL).config)
    assert all(defaults[key] != value for key, value in changes.items())
    again = Discriminator.from_config(network.config)
    again.load_state_dict(network.state_dict())
    img = torch.randn(2, 1, 32, 32)
    assert torch.equal(again.eval()(img), network(img))


def test_codes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expected c_dim 6 and z_dim >= 8"):
        Generator(z_dim=7, c_dim=6, **SMALL, **CODES)
    with pytest.raises(ValueError, match="num_categories >= 2"):
        Generator(num_categories=1, **SMALL)
    with pytest.raises(ValueError, match="hidden >= 1"):
        Discriminator(hidden=0, **SMALL)


def test_without_a_class_the_seed_chooses(tmp_path):
    """Each seed the same whatever the batch, and all categories among many."""
    network = generator()
    save(tmp_path / "g.safetensors", arch="infogan-generator", config=asdict(network.config),
         tensors=network.state_dict(), training={})  # fmt: skip
    model = load(tmp_path / "g.safetensors")
    drawn = torch.stack(list(sample_images(network, range(6), chunk=4)))
    torch.testing.assert_close(next(sample_images(network, [5])), drawn[5], rtol=0, atol=1e-5)
    (file,) = write_samples(model, [5], tmp_path / "out", psi=1.0)
    pixels = read_image(file).permute(2, 0, 1)
    torch.testing.assert_close(pixels, drawn[5], rtol=0, atol=3e-3)

    latents = sample_latents(network, "hash", seed=0, count=40)
    categories, _ = network.codes(latents.ws[:, 0])
    assert {tuple(pair) for pair in categories.tolist()} == set(product(range(3), repeat=2))
    assert class_labels(network, -1, 2) is None
    with pytest.raises(InputError, match=r"class_index: expected 0\.\.5, got 6"):
        class_labels(network, 6, 1)
    with pytest.raises(InputError, match=r"has 6 classes; expected --class 0\.\.5, got 6"):
        next(write_samples(model, [5], tmp_path / "no", class_index=6))
