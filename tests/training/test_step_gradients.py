"""Every system's step against its paper: the gradients that reach each network's optimizer.

The losses are written out here anew, with PyTorch's distributions and plain functions.
"""

import math

import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence
from torch.nn import functional

from ganvas.training.configs.progressive import Stage
from ganvas.training.streams import Stream, uniforms

from .image_sets import small_system, write_domains, write_pairs

COMMON = ["batch=8", "amp=none", "threads=1"]
DCGAN = ["resolution=8", "z_dim=4", "channel_base=32"]
GROWN = ["resolution=8", "start_resolution=4", "stable_kimg=0.008", "fade_kimg=0.016",
         "z_dim=8", "channel_base=64", "channel_max=8"]  # fmt: skip
VAE = ["resolution=16", "z_dim=6", "base_channels=8", "channel_max=16", "heldout=8"]
TRANSLATION = ["resolution=16", "ngf=4", "ndf=4", "d_layers=1", "heldout=2"]
SMALL = {
    "mlp-gan": ["resolution=8", "z_dim=4", "hidden=8", "d_hidden=8"],
    "dcgan-64": DCGAN,
    "cgan-64": DCGAN,
    "wgan-gp-64": [*DCGAN, "d_steps=1"],
    "r3gan-64": [*DCGAN, "channel_base=64", "channel_max=8", "num_blocks=1", "group_width=4"],
    "infogan": [*DCGAN, "num_categorical=2", "num_categories=3", "q_hidden=8"],
    "stackgan-64": [
        "resolution=16", "noise_dim=4", "embed_dim=2", "channel_base=64", "num_blocks=1",
    ],
    "pggan-64": GROWN,
    "stylegan1-64": [*GROWN, "w_dim=8", "mapping_layers=1"],
    "vae-64": VAE,
    "cvae-64": VAE,
    "vae-gan-64": [*VAE, "feature_level=1"],
    "pix2pix-64": [*TRANSLATION, "dropout=false"],
    "cyclegan-64": [*TRANSLATION, "num_blocks=1"],
}  # fmt: skip


def system(preset, *extra, data=None, folder=None):
    return small_system(preset, [*COMMON, *SMALL[preset], *extra], data, folder)


def gradients(one, step=0):
    """What a step hands to each optimizer, which then takes no step."""
    found = {}

    def record(name):
        named = one.networks[name].named_parameters()
        found[name] = {key: p.grad.clone() for key, p in named if p.grad is not None}
        one.networks[name].zero_grad()

    one.update = record
    one.step(step)
    return found


def assert_gradient(found, loss, network):
    """The gradients of a network are those of a loss, and none of them is missing."""
    network.requires_grad_(True)
    names, parameters = zip(*network.named_parameters(), strict=True)
    wanted = torch.autograd.grad(loss(), parameters, allow_unused=True)
    wanted = {key: value for key, value in zip(names, wanted, strict=True) if value is not None}
    assert wanted.keys() == found.keys()
    # Of the whole, as biases before a normalisation have gradients that are nothing but rounding.
    whole = torch.cat([value.flatten() for value in wanted.values()])
    difference = torch.cat([(found[key] - wanted[key]).flatten() for key in wanted])
    assert float(whole.norm()) > 1e-3
    assert float(difference.norm()) < 5e-5 * float(whole.norm())


def part_of(one, step=0):
    """The batch of a step, and its images in -1..1."""
    (part,) = one.feed.batch(step)
    return part, part.images.float() / 127.5 - 1


def minus_log_sigmoid(x):
    return -torch.sigmoid(x.double()).log().mean()


def cross_entropy(real, fake):
    return minus_log_sigmoid(real) + minus_log_sigmoid(-fake)


def slopes(critic, images):
    """Norm of the critic's gradient at each image."""
    images = images.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return slope.flatten(1).norm(dim=1)


def between(real, fake, share):
    share = share[:, None, None, None]
    return share * real + (1 - share) * fake


def hinge(real, fake):
    return (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()


# Losses of D and of G, of the logits of real and of fake images.
GAMES = {
    "mlp-gan": (cross_entropy, lambda real, fake: minus_log_sigmoid(fake)),
    "dcgan-64": (cross_entropy, lambda real, fake: minus_log_sigmoid(fake)),
    "cgan-64": (hinge, lambda real, fake: -fake.mean()),
    "wgan-gp-64": (lambda real, fake: fake.mean() - real.mean(), lambda real, fake: -fake.mean()),
    "r3gan-64": (
        lambda real, fake: minus_log_sigmoid(real - fake),
        lambda real, fake: minus_log_sigmoid(fake - real),
    ),
}


@pytest.mark.parametrize("preset", GAMES)
def test_gan(preset):
    one = system(preset)
    found = gradients(one)
    part, real = part_of(one)
    c = part.labels if preset == "cgan-64" else None
    game_d, game_g = GAMES[preset]

    def critic(images):
        return one.d(images, c)

    def fakes(stream):
        return one.g(one.z(part.sample, stream), c)

    def loss_d():
        fake = fakes(Stream.GAN_Z_D).detach()
        loss = game_d(critic(real), critic(fake))
        if preset == "wgan-gp-64":
            share = uniforms(0, Stream.BETWEEN, part.sample, 1)[:, 0]
            loss = loss + 10 * (slopes(critic, between(real, fake, share)) - 1).square().mean()
        if preset == "r3gan-64":
            for images in (real, fake):
                loss = loss + 1 / 2 * slopes(critic, images).square().mean()
        return loss

    assert_gradient(found["D"], loss_d, one.d)
    assert_gradient(found["G"], lambda: game_g(critic(real), critic(fakes(Stream.GAN_Z_G))), one.g)


def test_infogan():
    """Chen et al. 2016, equation 6: G and Q raise the information, D and G play."""
    one = system("infogan")
    found = gradients(one)
    part, real = part_of(one)

    def information(z, images):
        """log q(c | x) + H(c), of two codes of three values and two uniform ones in -1..1."""
        categories = z[:, 6:].unflatten(1, (2, 3)).argmax(dim=2)
        uniform = 2 * Normal(0.0, 1.0).cdf(z[:, 4:6]) - 1
        q = one.d.read(one.d.critic.features(images))
        first = Categorical(logits=q.logits).log_prob(categories) + math.log(3)
        second = Normal(q.mean, q.log_std.exp()).log_prob(uniform) + math.log(2)
        return first.sum(dim=1).mean() + 0.1 * second.sum(dim=1).mean()

    def loss_d():
        z = one.z(part.sample, Stream.GAN_Z_D)
        fake = one.g(z).detach()
        return cross_entropy(one.d(real), one.d(fake)) - information(z, fake)

    def loss_g():
        z = one.z(part.sample, Stream.GAN_Z_G)
        fake = one.g(z)
        return minus_log_sigmoid(one.d(fake)) - information(z, fake)

    assert_gradient(found["D"], loss_d, one.d)
    assert_gradient(found["G"], loss_g, one.g)


@pytest.mark.parametrize("stage", [1, 2])
def test_stackgan(stage):
    """Zhang et al. 2017, equations 3 to 6, with real images under wrong labels as fakes."""
    one = system("stackgan-64", f"stage1_kimg={2 - stage}")
    found = gradients(one)
    part, real = part_of(one)
    real = real if stage == 2 else functional.avg_pool2d(real, 2)
    own = part.labels
    other = one._other_labels(part)
    assert (own != other).any(dim=1).all()
    d = one.networks[f"D{stage}"]

    def drawn(stream):
        w = one.g.mapping(one.z(part.sample, stream), own)[:, 0]
        sketch, gaussian = one.g.first(w)
        if stage == 1:
            return sketch, gaussian, None
        return *one.g.second(sketch.detach(), w), sketch.detach()

    def loss_d():
        fake = drawn(Stream.GAN_Z_D)[0].detach()
        wrong = minus_log_sigmoid(-d(real, other))
        return minus_log_sigmoid(d(real, own)) + (minus_log_sigmoid(-d(fake, own)) + wrong) / 2

    def loss_g():
        fake, gaussian, sketch = drawn(Stream.GAN_Z_G)
        normal = Normal(gaussian.mean, gaussian.log_std.exp())
        kl = kl_divergence(normal, Normal(0.0, 1.0)).sum(dim=1).mean()
        loss = minus_log_sigmoid(d(fake, own)) + 0.05 * kl
        if sketch is None:
            return loss
        return loss + 10 * (functional.avg_pool2d(fake, 2) - sketch).abs().mean()

    assert found.keys() == {"G", f"D{stage}"}
    assert_gradient(found[f"D{stage}"], loss_d, d)
    assert_gradient(found["G"], loss_g, one.g)


@pytest.mark.parametrize("step,stage", [(0, Stage(4, 1.0)), (1, Stage(8, 0.5)), (2, Stage(8, 1.0))])
@pytest.mark.parametrize("preset", ["pggan-64", "stylegan1-64"])
def test_progressive(preset, step, stage):
    """Karras et al. 2018, section 2 and appendix A.1; Karras et al. 2019, appendix C."""
    pggan = preset == "pggan-64"
    one = system(preset, f"drift_weight={int(pggan)}", f"r1_gamma={0 if pggan else 10}")
    found = gradients(one, step)
    assert one.stage == stage
    part, real = part_of(one, step)
    small = functional.avg_pool2d(real, 2)
    if stage.resolution == 4:
        real = small
    else:
        old = functional.interpolate(small, scale_factor=2.0)
        real = stage.alpha * real + (1 - stage.alpha) * old

    def critic(images):
        return one.d(images, resolution=stage.resolution, alpha=stage.alpha)

    def fakes(which):
        streams = tuple(Stream[f"GROW_{name}_{which}"] for name in ("Z", "MIX", "NOISE"))
        return one.fakes(part.sample, streams)

    def loss_d():
        fake, logits = fakes("D").detach(), critic(real)
        if preset == "stylegan1-64":
            penalty = 10 / 2 * slopes(critic, real).square().mean()
            return cross_entropy(logits, critic(fake)) + penalty
        share = uniforms(0, Stream.GROW_BETWEEN, part.sample, 1)[:, 0]
        penalty = 10 * (slopes(critic, between(real, fake, share)) - 1).square().mean()
        return critic(fake).mean() - logits.mean() + penalty + logits.square().mean()

    def loss_g():
        logits = critic(fakes("G"))
        return minus_log_sigmoid(logits) if preset == "stylegan1-64" else -logits.mean()

    assert_gradient(found["D"], loss_d, one.networks["D"])
    assert_gradient(found["G"], loss_g, one.networks["G"])


@pytest.mark.parametrize("share", [0, 1])
def test_stylegan1_mixes_the_styles_of_two_latents(share):
    """Karras et al. 2019, section 3.1; mixed or not, the first layer is the first latent's."""
    one = system("stylegan1-64", f"style_mixing={share}")
    gradients(one, 2)
    found = []
    one.g.synthesis.register_forward_pre_hook(lambda module, given: found.append(given[0]))
    streams = Stream.GROW_Z_G, Stream.GROW_MIX_G, Stream.GROW_NOISE_G
    sample = torch.arange(40).numpy()
    one.fakes(sample, streams)
    own, other = (one.g.mapping(one.z(sample, stream), None) for stream in streams[:2])
    (ws,) = found
    assert torch.equal(ws[:, 0], own[:, 0])
    theirs = ws.eq(other).all(dim=2)
    assert theirs[:, -1].eq(bool(share)).all()
    assert torch.equal(ws[~theirs], own[~theirs])
    assert set(theirs.sum(dim=1).tolist()) == ({1, 2, 3} if share else {0})


@pytest.mark.parametrize("preset", ["vae-64", "cvae-64"])
def test_vae(preset):
    """Kingma and Welling 2013, equation 10, for each number of an image; beta 1/4 on the way."""
    one = system(preset, "warmup_kimg=0.032", "scale=0.3")
    found = gradients(one, 1)
    part, real = part_of(one, 1)
    c = part.labels if preset == "cvae-64" else None

    def loss():
        mean, log_variance = one.vae.encode(real, c)
        deviation = (log_variance / 2).exp()
        z = mean + deviation * one.noise(Stream.POSTERIOR, part.sample)
        likelihood = Normal(one.vae.decode(z, c), one.vae.log_scale.exp()).log_prob(real)
        kl = kl_divergence(Normal(mean, deviation), Normal(0.0, 1.0))
        bound = likelihood.sum(dim=(1, 2, 3)) - kl.sum(dim=1) / 4
        return -bound.mean() / real[0].numel()

    assert_gradient(found["G"], loss, one.vae)


def test_vae_gan():
    """Larsen et al. 2016, algorithm 1: no GAN loss for the encoder, no likelihood for D."""
    one = system("vae-gan-64", "warmup_kimg=0", "gamma=3")
    found = gradients(one)
    part, real = part_of(one)
    prior = one.noise(Stream.PRIOR, part.sample)

    def encoded():
        mean, log_variance = one.vae.encode(real)
        return Normal(mean, (log_variance / 2).exp())

    def rebuilt(posterior):
        noise = one.noise(Stream.POSTERIOR, part.sample)
        return one.vae.decode(posterior.mean + posterior.stddev * noise)

    def unlikeness(images):
        """-log N(f(x); f(x'), 1) of a feature, but for its constant."""
        difference = one.d(images)[1] - one.d(real)[1].detach()
        return difference.square().mean() / 2

    def loss_d():
        fakes = torch.cat([rebuilt(encoded()), one.vae.decode(prior)]).detach()
        return cross_entropy(one.d(real)[0], one.d(fakes)[0])

    def loss_e():
        posterior = encoded()
        kl = kl_divergence(posterior, Normal(0.0, 1.0)).sum(dim=1).mean()
        return unlikeness(rebuilt(posterior)) + kl / one.d(real)[1].shape[1]

    def loss_g():
        images = rebuilt(encoded())
        fakes = torch.cat([images, one.vae.decode(prior)])
        return 3 * unlikeness(images) + minus_log_sigmoid(one.d(fakes)[0])

    assert_gradient(found["D"], loss_d, one.d)
    assert_gradient(found["E"], loss_e, one.vae.encoder)
    assert_gradient(found["G"], loss_g, one.vae.decoder)


def test_pix2pix(tmp_path):
    """Isola et al. 2017, equations 1 to 4: D sees an output beside its input."""
    one = system("pix2pix-64", data=write_pairs(tmp_path / "pairs"), folder=tmp_path)
    found = gradients(one)
    part, source = part_of(one)
    target = part.targets.float() / 127.5 - 1

    def score(images):
        return one.d(torch.cat([source, images], dim=1))

    def loss_g():
        made = one.g(source)
        return minus_log_sigmoid(score(made)) + 100 * (made - target).abs().mean()

    assert_gradient(
        found["D"], lambda: cross_entropy(score(target), score(one.g(source).detach())), one.d
    )
    assert_gradient(found["G"], loss_g, one.g)


def test_cyclegan(tmp_path):
    """Zhu et al. 2017, equations 1 to 3, and 5.2 for the identity; least squares of section 4."""
    one = system("cyclegan-64", data=write_domains(tmp_path / "domains"), folder=tmp_path)
    found = gradients(one)
    part, a = part_of(one)
    b = part.targets.float() / 127.5 - 1
    forth, back, d_a, d_b = (one.networks[name] for name in ("G_AB", "G_BA", "D_A", "D_B"))

    def l1(x, y):
        return (x - y).abs().mean()

    def loss_g():
        fake_a, fake_b = back(b), forth(a)
        gan = (d_a(fake_a) - 1).square().mean() + (d_b(fake_b) - 1).square().mean()
        cycle = l1(back(fake_b), a) + l1(forth(fake_a), b)
        return gan + 10 * cycle + 5 * (l1(back(a), a) + l1(forth(b), b))

    def loss_d(d, real, fake):
        return ((d(real) - 1).square().mean() + d(fake.detach()).square().mean()) / 2

    assert_gradient(found["G_AB"], loss_g, forth)
    assert_gradient(found["G_BA"], loss_g, back)
    assert_gradient(found["D_A"], lambda: loss_d(d_a, a, back(b)), d_a)
    assert_gradient(found["D_B"], lambda: loss_d(d_b, b, forth(a)), d_b)
