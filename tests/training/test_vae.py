"""Variational autoencoders: the bound in closed form, probabilistic PCA, labels, VAE-GAN."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from ganvas.core import checkpoints
from ganvas.core.errors import InputError
from ganvas.core.images import read_image
from ganvas.core.latents import seeded_z
from ganvas.core.models.vae import Posterior
from ganvas.core.sampling import write_samples
from ganvas.training import train
from ganvas.training.config import override
from ganvas.training.presets import PRESETS
from ganvas.training.scores import alarms
from ganvas.training.streams import Stream, normal
from ganvas.training.systems.vae import weight_of_kl
from ganvas.training.transfer import initialise
from ganvas.training.variational import (
    Evidence,
    active_units,
    bits_per_dim,
    evidence,
    log_likelihood,
)
from ganvas.training.variational import kl_divergence as kl_to_prior

from .image_sets import assert_same_run, small_system, write_labelled

SMALL = [
    "resolution=16",
    "batch=8",
    "z_dim=6",
    "base_channels=8",
    "channel_max=16",
    "heldout=8",
    "amp=none",
    "threads=1",
    "lr=0.003",
    "ema_kimg=0.05",
    "warmup_kimg=0",
    "swd_images=0",
    "watch_images=0",
    "report=false",
]
PRESET_NAMES = ["vae-64", "cvae-64", "vae-gan-64"]


def system(preset, *extra, data=None, folder=None):
    own = ["feature_level=1", "lr=0.001"] if preset == "vae-gan-64" else []
    return small_system(preset, [*SMALL, *own, *extra], data, folder)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_divergence_is_that_of_two_normal_distributions():
    mean, log_variance = drawn(5, 3), drawn(5, 3, seed=1)
    posterior = Normal(mean, (log_variance / 2).exp())
    expected = kl_divergence(posterior, Normal(torch.zeros(5, 3), torch.ones(5, 3)))
    torch.testing.assert_close(kl_to_prior(mean, log_variance), expected)
    assert float(kl_to_prior(torch.zeros(1), torch.zeros(1))) == 0


def test_divergence_is_the_mean_of_log_ratios():
    mean, log_variance = torch.tensor([0.7]), torch.tensor([-1.2])
    z = Posterior(mean, log_variance).sample(drawn(200_000).float()[:, None])
    posterior, prior = Normal(mean, (log_variance / 2).exp()), Normal(0, 1)
    ratio = (posterior.log_prob(z) - prior.log_prob(z)).mean()
    assert float(ratio) == pytest.approx(float(kl_to_prior(mean, log_variance)), abs=0.01)


def test_likelihood_is_that_of_normal_pixels():
    img, mean = drawn(4, 3, 2, 2), drawn(4, 3, 2, 2, seed=1)
    log_scale = torch.tensor(-0.7, dtype=torch.float64)
    expected = Normal(mean, log_scale.exp()).log_prob(img).sum(dim=(1, 2, 3))
    torch.testing.assert_close(log_likelihood(img, mean, log_scale), expected)
    low = log_likelihood(img.bfloat16(), mean.bfloat16(), log_scale.float())
    assert low.dtype == torch.float32


def test_a_uniform_density_over_grey_levels_costs_eight_bits():
    bound = torch.tensor(12 * math.log(1 / 2))  # 1 / 2 on -1..1, for each of 12 numbers
    assert float(bits_per_dim(bound, 12)) == pytest.approx(math.log2(255))


def test_objective_weighs_the_divergence_and_frees_some_of_it():
    found = Evidence(torch.tensor([-3.0]), torch.tensor([[0.1, 2.0]]))
    assert float(found.bound) == pytest.approx(-5.1)
    assert float(found.objective(1.0, 0.0)) == pytest.approx(-5.1)
    assert float(found.objective(4.0, 0.0)) == pytest.approx(-3 - 4 * 2.1)
    assert float(found.objective(1.0, 0.5)) == pytest.approx(-3 - 0.5 - 2)


def test_units_that_vary_over_images_are_active():
    means = torch.zeros(50, 4)
    means[:, 1] = torch.linspace(-1, 1, 50)
    means[:, 2] = torch.linspace(-0.01, 0.01, 50)
    means[:, 3] = 3
    assert active_units(means) == 1


class LinearVAE(nn.Module):
    """Encoder and decoder of one linear layer each, one variance for each latent dimension."""

    def __init__(self, numbers, z_dim):
        super().__init__()
        self.down = nn.Linear(numbers, z_dim).double()
        self.up = nn.Linear(z_dim, numbers).double()
        self.log_variance = nn.Parameter(torch.zeros(z_dim, dtype=torch.float64))
        self.log_scale = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def encode(self, img, c=None):
        mean = self.down(img)
        return Posterior(mean, self.log_variance.expand_as(mean))

    def decode(self, z, c=None):
        return self.up(z)


def test_linear_autoencoder_reaches_the_likelihood_of_probabilistic_pca():
    """Tipping and Bishop 1999, equations 4 and 8: the maximum is known in closed form."""
    count, numbers, z_dim = 400, 6, 2
    weight, offset = 1.5 * drawn(numbers, z_dim), drawn(numbers, seed=1)
    img = drawn(count, z_dim, seed=2) @ weight.T + 0.4 * drawn(count, numbers, seed=3) + offset
    values = torch.linalg.eigvalsh(torch.cov(img.T, correction=0)).flip(0)
    noise_variance = values[z_dim:].mean()
    log_det = values[:z_dim].log().sum() + (numbers - z_dim) * noise_variance.log()
    best = -0.5 * (numbers * math.log(2 * math.pi) + log_det + numbers)

    torch.manual_seed(0)
    network = LinearVAE(numbers, z_dim)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.03, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 800)
    for step in range(800):
        noise = drawn(count, z_dim, seed=10 + step)
        optimizer.zero_grad()
        (-evidence(network, img, None, noise)[0].bound.mean()).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        bounds = [
            evidence(network, img, None, drawn(count, z_dim, seed=5000 + k))[0].bound.mean()
            for k in range(50)
        ]
    assert float(torch.stack(bounds).mean()) == pytest.approx(float(best), abs=0.02)
    learnt = float(network.log_scale.detach().exp().square())
    assert learnt == pytest.approx(float(noise_variance), rel=0.05)


@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_training_lowers_the_error_and_uses_the_latents(preset):
    one = system(preset)
    before = one.evaluate()
    for step in range(200 if preset == "vae-gan-64" else 100):
        one.step(step)
    after = one.evaluate()
    assert after["psnr"] > before["psnr"] + 1
    assert after["active_units"] >= 4
    if "elbo" in after:
        assert after["elbo"] > before["elbo"] + 100
        assert after["bits_per_dim"] < before["bits_per_dim"] - 1
    images, columns = one.grid()
    assert images.shape == (6 * columns, 3, 16, 16) and float(images.abs().max()) <= 1
    assert one.samples(np.arange(5)).shape == (5, 3, 16, 16)


def test_a_heavy_price_makes_the_posterior_collapse_and_the_log_says_so():
    one = system("vae-64", "beta=1000", "learn_scale=false", "scale=1")
    for step in range(60):
        one.step(step)
    values = one.evaluate()
    assert values["active_units"] == 0 and values["kl"] < 0.1
    assert [alarm.split(":")[0] for alarm in alarms(values)] == ["posterior collapse"]


def test_labels_decide_what_is_drawn(tmp_path):
    """Images of the two classes differ in colour: samples take the colour of their label."""
    data = write_labelled(tmp_path / "two.zip", 72)
    one = system("cvae-64", "beta=30", "z_dim=2", "lr=0.005", data=data, folder=tmp_path)
    for step in range(200):
        one.step(step)
    z = normal(0, Stream.EVALUATE, np.arange(32), (2,))
    with torch.no_grad():
        first, second = (one.averaged.decode(z, torch.eye(2)[[k] * 32]) for k in (0, 1))
    # Red is the strongest channel of the first class, blue of the second.
    assert float((first[:, 0] > first[:, 2]).float().mean()) > 0.95
    assert float((second[:, 0] < second[:, 2]).float().mean()) > 0.95


def test_samples_are_functions_of_their_numbers():
    one = system("cvae-64")
    whole = one.samples(np.arange(6))
    torch.testing.assert_close(one.samples(np.array([4])), whole[4:5])


def test_weight_of_the_divergence_rises():
    config = override(PRESETS["vae-64"].config, ["batch=10", "beta=2", "warmup_kimg=0.1"])
    assert [weight_of_kl(config, step) for step in (0, 5, 10, 20)] == [0, 1, 2, 2]
    assert weight_of_kl(override(config, ["warmup_kimg=0"]), 0) == 2


def test_scale_is_learnt_or_stays():
    for learn, changed in (("true", True), ("false", False)):
        one = system("vae-64", f"learn_scale={learn}", "scale=0.5")
        one.step(0)
        assert (float(one.vae.log_scale.detach()) != pytest.approx(math.log(0.5))) == changed


def test_unlabelled_data_are_refused(tmp_path, images_zip):
    with pytest.raises(InputError, match="learns from labels, and the data have none"):
        train("cvae-64", images_zip, tmp_path / "run", SMALL, say=str)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_a_run_continues_exactly_and_its_model_loads(preset, tmp_path):
    data = write_labelled(tmp_path / "data.zip")
    settings = [*SMALL, "tick_kimg=0.008", "snapshot_kimg=0.016", "total_kimg=0.048"]
    settings += ["feature_level=1", "lr=0.001"] if preset == "vae-gan-64" else []
    train(preset, data, tmp_path / "a", settings, say=str)
    train(preset, data, tmp_path / "b", [*settings, "total_kimg=0.032", "workers=2"], say=str)
    train(preset, data, tmp_path / "b", settings, say=str)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    shots = [line for line in lines if line["event"] == "snapshot"]
    assert all(shot["active_units"] >= 0 and shot["psnr"] > 0 for shot in shots)

    model = checkpoints.load(tmp_path / "a" / "model.safetensors")
    c = torch.eye(2) if preset == "cvae-64" else None
    assert model.arch == "vae" and model.resolution == 16
    assert model.network(torch.zeros(2, 3, 16, 16), c).shape == (2, 3, 16, 16)


@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_accumulation_changes_nothing(preset):
    """The same steps in one part and in four: the same losses within rounding."""
    means = []
    for parts in (1, 4):
        one = system(preset, f"grad_accum={parts}")
        for step in range(4):
            one.step(step)
        means.append(one.meter.drain(one.ranks) | one.evaluate())
    assert means[0].keys() == means[1].keys()
    for name, value in means[0].items():
        assert means[1][name] == pytest.approx(value, rel=2e-3, abs=2e-3), name


@pytest.mark.parametrize("preset", ["vae-64", "vae-gan-64"])
def test_a_run_starts_from_the_weights_of_another(preset, tmp_path, images_zip):
    settings = [*SMALL, "tick_kimg=0.008", "total_kimg=0.016"]
    train("vae-64", images_zip, tmp_path / "first", settings, say=str)
    model = tmp_path / "first" / "model.safetensors"
    one = system(preset, "seed=5")
    said = initialise(one, model)
    vae = checkpoints.load(model).network
    for name, tensor in one.averaged.state_dict().items():
        assert torch.equal(tensor, vae.state_dict()[name])
    assert str(model) in said


def test_samples_of_a_model_file_come_from_its_decoder(tmp_path, images_zip):
    settings = [*SMALL, "tick_kimg=0.008", "total_kimg=0.016"]
    train("vae-64", images_zip, tmp_path / "run", settings, say=str)
    model = checkpoints.load(tmp_path / "run" / "model.safetensors")
    first, second = list(write_samples(model, [3, 4], tmp_path / "samples"))
    expected = model.network.decode(seeded_z(4, 1, 6))[0].add(1).div(2)
    torch.testing.assert_close(read_image(second).permute(2, 0, 1), expected, rtol=0, atol=3e-3)
    assert read_image(first).shape == (16, 16, 3)
