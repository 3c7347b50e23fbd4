"""The autoencoder's networks: sizes, labels, independence of samples, round trips."""

import json
from dataclasses import asdict

import pytest
import torch

from ganvas.core import checkpoints
from ganvas.core.errors import InputError
from ganvas.core.models.vae import VAE, Posterior
from ganvas.core.models.vae_gan import FeatureDiscriminator

from .random_networks import assert_batch_independent, randomised

SMALL = {"img_resolution": 16, "z_dim": 5, "base_channels": 4, "channel_max": 8}


def images(count=3, channels=3, side=16):
    return (
        torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(2)) * 2 - 1
    )


@pytest.mark.parametrize(
    "changes",
    [{}, {"img_resolution": 8}, {"img_resolution": 32}, {"img_channels": 1}, {"z_dim": 1},
     {"c_dim": 3}, {"base_channels": 3}, {"channel_max": 4}],
    ids=str,
)  # fmt: skip
def test_round_trip_through_a_file(tmp_path, changes):
    network = randomised(VAE(**{**SMALL, **changes}))
    config = asdict(network.config)
    path = tmp_path / "vae.safetensors"
    checkpoints.save(path, arch="vae", config=config, tensors=network.state_dict(), training={})
    model = checkpoints.load(path)
    assert model.config == json.loads(json.dumps(config)) and model.arch == "vae"
    assert VAE.from_config(network.config).config == network.config
    img = images(2, network.config.img_channels, network.config.img_resolution)
    c = torch.ones(2, network.config.c_dim) if network.config.c_dim else None
    assert torch.equal(model.network(img, c), network(img, c))
    assert model.network(img, c).shape == img.shape


def test_images_are_decoded_into_range_and_latents_are_the_posteriors():
    network = randomised(VAE(**SMALL))
    img = images()
    posterior = network.encode(img)
    assert isinstance(posterior, Posterior)
    assert posterior.mean.shape == posterior.log_variance.shape == (3, 5)
    assert float(network(img).abs().max()) <= 1
    torch.testing.assert_close(network(img), network.decode(posterior.mean))


def test_a_drawn_latent_has_the_posteriors_mean_and_deviation():
    posterior = Posterior(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 2.0]]))
    noise = torch.randn(20000, 2, generator=torch.Generator().manual_seed(0))
    z = posterior.sample(noise)
    torch.testing.assert_close(z.mean(0), posterior.mean[0], rtol=0, atol=0.08)
    torch.testing.assert_close(z.std(0), (posterior.log_variance[0] / 2).exp(), rtol=0.03, atol=0)


def test_samples_do_not_depend_on_their_batch():
    assert_batch_independent(randomised(VAE(**SMALL)), images())
    network = randomised(FeatureDiscriminator(img_resolution=16, base_channels=4, feature_level=1))
    img = images()
    for whole, alone in zip(network(img), network(img[1:2]), strict=True):
        torch.testing.assert_close(whole[1:2], alone)


def test_labels_change_the_posterior_and_the_image():
    network = randomised(VAE(**SMALL, c_dim=2))
    img, z = images(1), torch.zeros(1, 5)
    first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert not torch.equal(network.encode(img, first).mean, network.encode(img, second).mean)
    assert not torch.equal(network.decode(z, first), network.decode(z, second))


def test_low_precision_gives_posteriors_in_float32():
    network = VAE(**SMALL)
    with torch.autocast("cpu", torch.bfloat16):
        posterior = network.encode(images())
    assert posterior.mean.dtype == posterior.log_variance.dtype == torch.float32
    assert network.double().encode(images().double()).mean.dtype == torch.float64


def test_the_decoder_is_called_as_generators_are():
    decoder = randomised(VAE(**SMALL)).decoder
    z = torch.zeros(2, 5)
    assert torch.equal(decoder(z, None, noise_mode="random", generator=None), decoder(z))
    with pytest.raises(ValueError, match=r"truncation_psi 1, got 0\.5"):
        decoder(z, truncation_psi=0.5)


def test_features_are_those_of_their_level():
    network = FeatureDiscriminator(img_resolution=32, base_channels=4, feature_level=1)
    logits, features = network(images(2, 3, 32))
    assert logits.shape == (2, 1) and features.shape == (2, 8 * 8 * 8)
    grouped = features.unflatten(1, (2, -1))  # 8 channels in groups of 4
    torch.testing.assert_close(grouped.mean(dim=2), torch.zeros(2, 2), rtol=0, atol=1e-4)
    torch.testing.assert_close(grouped.std(dim=2), torch.ones(2, 2), rtol=0, atol=2e-2)


def test_refusals():
    for changes in ({"img_resolution": 12}, {"img_resolution": 4}, {"z_dim": 0}, {"c_dim": -1}):
        with pytest.raises(ValueError, match="VAE: expected"):
            VAE(**{**SMALL, **changes})
    network = VAE(**SMALL)
    with pytest.raises(ValueError, match=r"expected img \[N, 3, 16, 16\], got \(3, 3, 8, 8\)"):
        network(images(side=8))
    with pytest.raises(ValueError, match=r"expected labels c \[3, 0\], got \(3, 2\)"):
        network(images(), torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"expected labels c \[3, 2\], got none"):
        VAE(**SMALL, c_dim=2)(images())
    with pytest.raises(ValueError, match=r"expected z \[N, 5\], got \(1, 4\)"):
        network.decode(torch.zeros(1, 4))
    with pytest.raises(ValueError, match=r"feature_level of 0\.\.1, got 2"):
        FeatureDiscriminator(img_resolution=16, feature_level=2)


def test_several_networks_of_a_file_are_told_apart(tmp_path):
    first, second = (randomised(VAE(**SMALL), seed) for seed in (0, 1))
    tensors = {
        f"{name}.{key}": value
        for name, network in (("left", first), ("right", second))
        for key, value in network.state_dict().items()
    }
    config = asdict(first.config)
    path = tmp_path / "two.safetensors"
    names = ("left", "right")
    checkpoints.save(path, arch="vae", config=config, tensors=tensors, training={}, networks=names)
    img = images(1)
    assert torch.equal(checkpoints.load(path).network(img), first(img))
    assert torch.equal(checkpoints.load(path, network="right").network(img), second(img))
    for wrong, sentence in (
        (("left",), "belongs to none of the networks"),
        (("a b",), "must hold"),
    ):
        checkpoints.save(
            path, arch="vae", config=config, tensors=tensors, training={}, networks=wrong
        )
        with pytest.raises(InputError, match=sentence):
            checkpoints.load(path)
