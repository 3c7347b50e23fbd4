"""StyleGAN2's networks: names, modes, batches, precision and second derivatives."""

import json
import math
from dataclasses import asdict

import pytest
import torch

from ganvas.core.models.stylegan2 import (
    Discriminator,
    DiscriminatorConfig,
    Generator,
    GeneratorConfig,
    MappingNetwork,
    mix_styles,
)

SMALL = {"img_resolution": 16, "channel_base": 128, "channel_max": 16}
LATENT = {"z_dim": 8, "w_dim": 12, "num_mapping_layers": 2}
ARCHITECTURES = ("skip", "resnet", "orig")


def small_generator(seed=0, **changes):
    torch.manual_seed(seed)
    generator = Generator(**{**SMALL, **LATENT, **changes})
    with torch.no_grad():
        generator.mapping.w_avg.normal_()
        for name, parameter in generator.named_parameters():
            if name.endswith(("noise_strength", "bias")):
                parameter.add_(0.1)
    return generator


def small_discriminator(seed=0, **changes):
    torch.manual_seed(seed)
    return Discriminator(**{**SMALL, **changes})


def latents(count, seed=0, dim=8):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def layer_names(name):
    own = ("weight", "bias", "noise_const", "noise_strength", "resample_filter")
    return {f"{name}.{part}" for part in (*own, "affine.weight", "affine.bias")}


def rgb_names(name):
    return {f"{name}.{part}" for part in ("weight", "bias", "affine.weight", "affine.bias")}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_generator_has_the_published_names(architecture):
    names = {"mapping.w_avg", "mapping.embed.weight", "mapping.embed.bias", "synthesis.b4.const"}
    names |= {f"mapping.fc{i}.{part}" for i in (0, 1) for part in ("weight", "bias")}
    for r in (4, 8, 16):
        names |= {f"synthesis.b{r}.resample_filter"} | layer_names(f"synthesis.b{r}.conv1")
        if r > 4:
            names |= layer_names(f"synthesis.b{r}.conv0")
        if r > 4 and architecture == "resnet":
            names |= {f"synthesis.b{r}.skip.{part}" for part in ("weight", "resample_filter")}
        if r == 16 or architecture == "skip":
            names |= rgb_names(f"synthesis.b{r}.torgb")
    state = small_generator(architecture=architecture, c_dim=3).state_dict()
    assert set(state) == names
    assert state["synthesis.b4.const"].shape == (16, 4, 4)
    assert state["synthesis.b16.conv0.weight"].shape == (8, 16, 3, 3)
    assert state["synthesis.b16.conv0.noise_strength"].shape == ()
    assert state["synthesis.b8.resample_filter"].shape == (4, 4)
    assert state["mapping.fc0.weight"].shape == (12, 8 + 12)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_discriminator_has_the_published_names(architecture):
    def conv(name, bias=True):
        parts = ("weight", "bias", "resample_filter") if bias else ("weight", "resample_filter")
        return {f"{name}.{part}" for part in parts}

    names = conv("b4.conv") | {f"b4.{n}.{p}" for n in ("fc", "out") for p in ("weight", "bias")}
    names |= {f"mapping.{n}.{p}" for n in ("embed", "fc0", "fc1") for p in ("weight", "bias")}
    for r in (16, 8):
        names |= {f"b{r}.resample_filter"} | conv(f"b{r}.conv0") | conv(f"b{r}.conv1")
        if architecture == "resnet":
            names |= conv(f"b{r}.skip", bias=False)
    for r in (16, 8, 4) if architecture == "skip" else (16,):
        names |= conv(f"b{r}.fromrgb")
    discriminator = small_discriminator(architecture=architecture, c_dim=3, num_mapping_layers=2)
    state = discriminator.state_dict()
    assert set(state) == names
    assert state["b4.conv.weight"].shape == (16, 17, 3, 3)
    assert state["b4.fc.weight"].shape == (16, 256)
    assert state["b4.out.weight"].shape == (16, 16)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("noise_mode", ["const", "random", "none"])
def test_a_seed_gives_the_same_image_alone_and_in_a_batch(architecture, noise_mode):
    generator = small_generator(architecture=architecture, c_dim=2)
    z, c = latents(8), torch.eye(2)[torch.arange(8) % 2]
    seeds = torch.arange(100, 108)
    with torch.no_grad():
        batch = generator(z, c, noise_mode=noise_mode, generator=seeds)
        for i in (0, 5):
            own = slice(i, i + 1)
            alone = generator(z[own], c[own], noise_mode=noise_mode, generator=seeds[own])
            torch.testing.assert_close(alone, batch[own], rtol=0, atol=1e-5)
    assert batch.shape == (8, 3, 16, 16)
    assert batch.dtype == torch.float32
    assert float((batch[0] - batch[1]).abs().max()) > 1e-2


def test_noise_modes_differ_and_repeat():
    generator = small_generator().eval()
    ws = generator.mapping(latents(2))

    def draw(mode, source=None):
        with torch.no_grad():
            return generator.synthesis(ws, noise_mode=mode, generator=source)

    assert torch.equal(draw("const"), draw("const"))
    assert torch.equal(draw("none"), draw("none"))
    assert not torch.allclose(draw("const"), draw("none"), atol=1e-3)
    assert not torch.allclose(draw("random"), draw("random"), atol=1e-3)
    seeded = draw("random", torch.tensor([1, 2]))
    assert torch.equal(seeded, draw("random", torch.tensor([1, 2])))
    rngs = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    assert torch.equal(seeded, draw("random", rngs))
    one = draw("random", torch.Generator().manual_seed(7))
    assert torch.equal(one, draw("random", torch.Generator().manual_seed(7)))
    torch.testing.assert_close(draw("none"), without_noise(generator, ws))


def without_noise(generator, ws):
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.zero_()
    with torch.no_grad():
        return generator.synthesis(ws, noise_mode="const")


def test_truncation_moves_the_first_layers_towards_the_mean():
    generator = small_generator()
    z, mapping = latents(3), generator.mapping
    plain = mapping(z)
    assert plain.shape == (3, generator.num_ws, 12)
    assert torch.equal(plain[:, 0], plain[:, -1])
    half = mapping(z, truncation_psi=0.5)
    torch.testing.assert_close(half, (plain + mapping.w_avg) / 2)
    part = mapping(z, truncation_psi=0.25, truncation_cutoff=2)
    torch.testing.assert_close(part[:, :2], mapping.w_avg + 0.25 * (plain - mapping.w_avg)[:, :2])
    assert torch.equal(part[:, 2:], plain[:, 2:])
    gone = mapping(z, truncation_psi=0.0)
    torch.testing.assert_close(gone, mapping.w_avg.expand_as(gone))
    torch.testing.assert_close(
        generator(z, truncation_psi=0.25, truncation_cutoff=2), generator.synthesis(part)
    )


def test_w_avg_follows_the_mean_of_w_only_when_told():
    generator = small_generator(w_avg_beta=0.75)
    before = generator.mapping.w_avg.clone()
    ws = generator.mapping(latents(5))
    assert torch.equal(generator.mapping.w_avg, before)
    generator.update_w_avg(ws)
    want = 0.75 * before + 0.25 * ws[:, 0].detach().mean(dim=0)
    torch.testing.assert_close(generator.mapping.w_avg, want)
    assert not generator.mapping.w_avg.requires_grad


def test_mapping_by_hand():
    mapping = MappingNetwork(z_dim=2, c_dim=0, w_dim=1, num_ws=1, num_layers=1, lr_multiplier=0.5)
    with torch.no_grad():
        mapping.get_parameter("fc0.weight").copy_(torch.tensor([[4.0, -8.0]]))
        mapping.get_parameter("fc0.bias").copy_(torch.tensor([3.0]))
    # z = (3, 4) has rms sqrt(12.5); the weight's gain is lr / sqrt(2), the bias's is lr
    inner = (4 * 3 - 8 * 4) / math.sqrt(12.5) * 0.5 / math.sqrt(2) + 3 * 0.5
    want = math.sqrt(2) * (inner if inner > 0 else 0.2 * inner)
    w = mapping(torch.tensor([[3.0, 4.0]]))
    assert float(w.detach()) == pytest.approx(want, rel=1e-5)


def test_mixing_styles_takes_each_samples_own_crossover():
    a, b = torch.zeros(3, 6, 2), torch.ones(3, 6, 2)
    mixed = mix_styles(a, b, torch.tensor([0, 2, 6]))
    assert mixed[:, :, 0].sum(dim=1).tolist() == [6, 4, 0]
    assert torch.equal(mix_styles(a, b, 4)[1, :, 0], torch.tensor([0.0, 0, 0, 0, 1, 1]))
    with pytest.raises(ValueError, match="mix_styles: expected two tensors"):
        mix_styles(a, b[:2], 1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_layer_order_of_ws(architecture):
    """The last w changes the last toRGB alone; w 1 belongs to b8.conv0 and, in skip, b4.torgb."""
    generator = small_generator(architecture=architecture)
    ws = generator.mapping(latents(1)).repeat(1, 1, 1).detach().requires_grad_()
    features = {}

    def keep(module, _, output):
        features["x"] = output

    handle = generator.synthesis.get_submodule("b16.conv1").register_forward_hook(keep)
    image = generator.synthesis(ws)
    handle.remove()
    (of_image,) = torch.autograd.grad(image.square().sum(), ws, retain_graph=True)
    (of_features,) = torch.autograd.grad(features["x"].square().sum(), ws)
    assert generator.num_ws == 6
    assert bool((of_image.abs().sum(dim=(0, 2)) > 0).all())
    assert of_features[0, 5].abs().max() == 0
    assert bool((of_features[0, :5].abs().sum(dim=1) > 0).all())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_conv_clamp_bounds_every_activation(architecture):
    generator = small_generator(architecture=architecture, conv_clamp=0.25)
    image = generator(latents(2))
    sums = 3 if architecture == "skip" else 1
    assert 0 < float(image.abs().max()) <= 0.25 * sums + 1e-6
    free = small_generator(architecture=architecture)(latents(2))
    assert float(free.abs().max()) > 0.25 * sums


def test_bfloat16_autocast_stays_near_float32():
    generator, discriminator = small_generator(), small_discriminator()
    z = latents(4)
    with torch.no_grad():
        image = generator(z)
        logits = discriminator(image)
        with torch.autocast("cpu", torch.bfloat16):
            low_image = generator(z)
            low_logits = discriminator(image)
    assert low_image.dtype == torch.float32
    assert low_logits.dtype == torch.float32
    assert float((low_image - image).norm() / image.norm()) < 2e-2
    torch.testing.assert_close(low_logits, logits, rtol=0.05, atol=0.05)


def test_float64_networks_agree_with_float32():
    generator = small_generator(c_dim=2)
    z, c = latents(3), torch.eye(2)[[0, 1, 0]]
    with torch.no_grad():
        single = generator(z, c)
        double = generator.double()(z.double(), c.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=0, atol=2e-5)


def test_channels_last_networks_give_the_same():
    generator, discriminator = small_generator(), small_discriminator()
    z = latents(4)
    with torch.no_grad():
        image = generator(z)
        logits = discriminator(image)
        generator.to(memory_format=torch.channels_last)
        discriminator.to(memory_format=torch.channels_last)
        torch.testing.assert_close(generator(z), image, rtol=0, atol=1e-5)
        torch.testing.assert_close(discriminator(image), logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("c_dim", [0, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_discriminators_give_one_logit_a_sample(architecture, channels, c_dim):
    discriminator = small_discriminator(
        architecture=architecture, img_channels=channels, c_dim=c_dim
    )
    img = torch.randn(4, channels, 16, 16)
    c = torch.eye(3)[[0, 1, 2, 0]] if c_dim else None
    logits = discriminator(img, c)
    assert logits.shape == (4, 1)
    assert len(set(logits.flatten().tolist())) == 4
    if c_dim:
        assert not torch.allclose(logits, discriminator(img, torch.eye(3)[[1, 2, 0, 1]]))


def test_minibatch_statistic_sees_other_samples():
    img = torch.randn(4, 3, 16, 16)
    seen = small_discriminator()
    assert not torch.allclose(seen(img)[:1], seen(img[:1]), atol=1e-5)
    blind = small_discriminator(mbstd_num_channels=0)
    torch.testing.assert_close(blind(img)[:1], blind(img[:1]), rtol=0, atol=1e-5)


def directional(function, x, v, step=1e-5):
    """Central difference of a scalar function along v."""
    return (float(function(x + step * v)) - float(function(x - step * v))) / (2 * step)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_r1_penalty_differentiates_through_its_gradient(architecture):
    discriminator = small_discriminator(architecture=architecture).double()
    rng = torch.Generator().manual_seed(3)
    img = torch.randn(4, 3, 16, 16, dtype=torch.float64, generator=rng)
    weight = discriminator.get_parameter("b16.conv1.weight")

    def penalty():
        x = img.clone().requires_grad_()
        (g,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
        return g.square().sum()

    (analytic,) = torch.autograd.grad(penalty(), weight)
    v = torch.randn(weight.shape, dtype=torch.float64, generator=rng)
    original = weight.detach().clone()

    def at(value):
        weight.data.copy_(value)
        return penalty().detach()

    numeric = directional(at, original, v)
    assert float((analytic * v).sum()) == pytest.approx(numeric, rel=1e-3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_path_length_differentiates_through_its_gradient(architecture):
    generator = small_generator(architecture=architecture).double()
    rng = torch.Generator().manual_seed(4)
    direction = torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=rng)
    ws = generator.mapping(latents(2)).detach()
    weight = generator.synthesis.get_parameter("b8.conv0.weight")

    def lengths():
        x = ws.clone().requires_grad_()
        image = generator.synthesis(x)
        (g,) = torch.autograd.grad((image * direction).sum(), x, create_graph=True)
        return g.square().sum(dim=2).mean(dim=1).sqrt().sum()

    (analytic,) = torch.autograd.grad(lengths(), weight)
    v = torch.randn(weight.shape, dtype=torch.float64, generator=rng)
    original = weight.detach().clone()

    def at(value):
        weight.data.copy_(value)
        return lengths().detach()

    numeric = directional(at, original, v)
    assert float((analytic * v).sum()) == pytest.approx(numeric, rel=1e-3)


GENERATOR_CHANGES = {
    "z_dim": 6,
    "c_dim": 2,
    "w_dim": 10,
    "img_resolution": 8,
    "img_channels": 1,
    "channel_base": 64,
    "channel_max": 8,
    "num_mapping_layers": 3,
    "architecture": "resnet",
    "conv_clamp": 256.0,
    "mapping_lr_multiplier": 0.1,
    "w_avg_beta": 0.9,
}
DISCRIMINATOR_CHANGES = {
    "c_dim": 2,
    "img_resolution": 8,
    "img_channels": 1,
    "channel_base": 64,
    "channel_max": 8,
    "architecture": "skip",
    "conv_clamp": 256.0,
    "cmap_dim": 5,
    "num_mapping_layers": 3,
    "mapping_lr_multiplier": 0.1,
    "mbstd_group_size": 2,
    "mbstd_num_channels": 2,
}


@pytest.mark.parametrize(
    "network,config,changes",
    [
        (Generator, GeneratorConfig, GENERATOR_CHANGES),
        (Discriminator, DiscriminatorConfig, DISCRIMINATOR_CHANGES),
    ],
)
def test_configs_round_trip_for_every_field(network, config, changes):
    defaults = asdict(network(img_resolution=4).config)
    assert set(changes) == set(defaults)
    assert all(defaults[key] != value for key, value in changes.items())
    built = network(**changes)
    assert asdict(built.config) == changes
    again = network(**json.loads(json.dumps(asdict(built.config))))
    assert again.config == built.config == config(**changes)
    from_config = network.from_config(built.config)
    from_config.load_state_dict(built.state_dict())
    shapes = {key: value.shape for key, value in built.state_dict().items()}
    assert shapes == {key: value.shape for key, value in again.state_dict().items()}


@pytest.mark.parametrize("network", [Generator, Discriminator])
@pytest.mark.parametrize(
    "changes,words",
    [
        ({"img_resolution": 24}, "img_resolution 4, 8, 16, ..., got 24"),
        ({"img_resolution": 2}, "got 2"),
        ({"architecture": "dense"}, "got 'dense'"),
        ({"channel_base": 8}, "channel_base >= img_resolution"),
        ({"channel_max": 0}, "channel_max >= 1"),
        ({"img_channels": 0}, "img_channels >= 1"),
        ({"num_mapping_layers": 0}, "num_mapping_layers >= 1"),
    ],
)
def test_impossible_configs_are_refused(network, changes, words):
    with pytest.raises(ValueError, match=f"^{network.__name__}: expected .*{words}"):
        network(**{**SMALL, **changes})


def test_wrong_inputs_are_refused():
    generator, discriminator = small_generator(c_dim=2), small_discriminator(c_dim=2)
    c = torch.eye(2)
    with pytest.raises(ValueError, match=r"mapping: expected z \[N, 8\], got \(2, 7\)"):
        generator(torch.zeros(2, 7), c)
    with pytest.raises(ValueError, match=r"labels c \[N, 2\], got none"):
        generator(latents(2))
    with pytest.raises(ValueError, match="expected 3 labels c, got 2"):
        generator(latents(3), c)
    with pytest.raises(ValueError, match=r"ws \[N, 6, 12\], got \(2, 5, 12\)"):
        generator.synthesis(torch.zeros(2, 5, 12))
    ws = generator.mapping(latents(2), c)
    with pytest.raises(ValueError, match="got 'white'"):
        generator.synthesis(ws, noise_mode="white")
    with pytest.raises(ValueError, match="expected 2 noise generators or seeds, got 3"):
        generator.synthesis(ws, noise_mode="random", generator=torch.arange(3))
    with pytest.raises(ValueError, match=r"img \[N, 3, 16, 16\], got \(2, 3, 8, 8\)"):
        discriminator(torch.zeros(2, 3, 8, 8), c)
    with pytest.raises(ValueError, match="expected 4 labels c, got 2"):
        discriminator(torch.zeros(4, 3, 16, 16), c)
