"""StyleGAN3: published names and sizes, layers written out by hand, equivariance, round trips."""

import json
import math
from dataclasses import asdict

import pytest
import torch
from torch.nn import functional

from ganvas.core.checkpoints.published import detect
from ganvas.core.checkpoints.published.stylegan3 import GENERATOR
from ganvas.core.checkpoints.registry import ARCHITECTURES
from ganvas.core.errors import InputError
from ganvas.core.models.stylegan3 import Generator, GeneratorConfig, SynthesisInput

from .random_networks import published_size, shapes_of

T = {"img_resolution": 32, "channel_base": 256, "channel_max": 12}
R = {**T, "conv_kernel": 1, "use_radial_filters": True}
LATENT = {"z_dim": 6, "w_dim": 10}
PUBLISHED_R = {
    "conv_kernel": 1,
    "use_radial_filters": True,
    "channel_base": 65536,
    "channel_max": 1024,
}
CHANNELS_1024 = {
    36: "512 512",
    52: "512 512",
    84: "512",
    148: "512 512",
    276: "323 203",
    532: "128",
    1044: "81 51 32",
    1024: "32 3",
}


def small(seed=0, **changes):
    """A network as after training: turned inputs, biases, and magnitudes that are not 1."""
    torch.manual_seed(seed)
    network = Generator(**{**T, **LATENT, **changes})
    with torch.no_grad():
        network.mapping.w_avg.normal_()
        network.synthesis.input.affine.weight.normal_().mul_(0.1)
        for name, tensor in network.state_dict().items():
            if name.endswith("bias"):
                tensor.add_(0.1 * torch.randn_like(tensor))
            elif name.endswith("magnitude_ema"):
                tensor.uniform_(0.5, 1.5)
    return network.eval().requires_grad_(False)


def latents(count=2, seed=0, dim=6):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def shift(x, y):
    matrix = torch.eye(3)
    matrix[:2, 2] = torch.tensor([x, y])
    return matrix


def double(rows):
    return torch.tensor(rows, dtype=torch.float64)


def psnr(a, b, margin=0):
    inside = slice(margin, a.shape[-1] - margin)
    error = (a - b)[..., inside, inside].square().mean().item()
    return 10 * math.log10((a.max() - a.min()).item() ** 2 / max(error, 1e-20))


def test_published_names():
    with torch.device("meta"):
        network = Generator(img_resolution=1024)
    names = {f"synthesis.input.{n}" for n in ("weight", "freqs", "phases", "transform")}
    names |= {f"synthesis.input.affine.{n}" for n in ("weight", "bias")} | {"mapping.w_avg"}
    names |= {f"mapping.fc{i}.{n}" for i in (0, 1) for n in ("weight", "bias")}
    own = ("weight", "bias", "affine.weight", "affine.bias", "magnitude_ema")
    sizes = [(size, c) for size, listed in CHANNELS_1024.items() for c in listed.split()]
    for layer in (f"L{i}_{size}_{channels}" for i, (size, channels) in enumerate(sizes)):
        names |= {f"synthesis.{layer}.{n}" for n in own}
        if not layer.startswith("L14"):
            names |= {f"synthesis.{layer}.{n}" for n in ("up_filter", "down_filter")}
    shapes = shapes_of(network.state_dict())
    assert set(shapes) == names
    assert network.num_ws == 16
    assert shapes["synthesis.input.freqs"] == (512, 2)
    assert shapes["synthesis.input.affine.weight"] == (4, 512)
    assert shapes["synthesis.L0_36_512.magnitude_ema"] == ()
    assert shapes["synthesis.L2_52_512.down_filter"] == (12,)
    assert shapes["synthesis.L10_1044_81.up_filter"] == (24,)


def test_published_sizes():
    assert published_size(lambda: Generator(img_resolution=1024)) == (114, 22_313_167)
    assert published_size(lambda: Generator(img_resolution=1024, **PUBLISHED_R))[1] == 15_093_151
    # The 15.8 M of the paper's ablation (figure 5, 256 px), which halves channel_base.
    halved = {**PUBLISHED_R, "channel_base": 32768}
    assert published_size(lambda: Generator(img_resolution=256, **halved))[1] == 15_779_565


@pytest.mark.parametrize("variant", [{}, PUBLISHED_R], ids=["T", "R"])
@pytest.mark.parametrize("resolution", [256, 512, 1024])
def test_published_config_is_inferred(variant, resolution):
    with torch.device("meta"):
        network = Generator(img_resolution=resolution, **variant)
    shapes = shapes_of(network.state_dict())
    assert detect(shapes) is GENERATOR
    assert GeneratorConfig(**GENERATOR.infer(shapes, None, {})) == network.config


@pytest.mark.parametrize(
    "changes",
    [
        {"z_dim": 5},
        {"w_dim": 7},
        {"c_dim": 3},
        {"img_resolution": 64},
        {"img_channels": 1},
        {"img_channels": 4},
        {"channel_base": 512},
        {"channel_max": 9},
        {"channel_base": 32, "channel_max": 512},
        {"num_mapping_layers": 3},
        {"conv_kernel": 1},
        {"use_radial_filters": True},
        R,
        {"conv_kernel": 5},
    ],
    ids=str,
)
def test_round_trip(changes):
    network = small(**changes)
    shapes = shapes_of(network.state_dict())
    config = json.loads(json.dumps(GENERATOR.infer(shapes, None, {})))
    again = ARCHITECTURES["stylegan3-generator"](config).eval()
    again.load_state_dict(GENERATOR.translate(network.state_dict(), config))
    for key in ("channel_base", "channel_max"):  # where several give these channels, any will do
        config[key] = getattr(network.config, key)
    assert config == asdict(network.config)
    assert Generator.from_config(network.config).config == network.config
    z, c = latents(1, dim=network.config.z_dim), torch.eye(3)[:1] if "c_dim" in changes else None
    assert torch.equal(again(z, c), network(z, c))


HIDDEN = {
    "conv_clamp": None,
    "output_scale": 0.5,
    "magnitude_ema_beta": 0.99,
    "mapping_lr_multiplier": 0.1,
    "w_avg_beta": 0.9,
    "channel_base": 300,
    "channel_max": 300,
}


@pytest.mark.parametrize("key", HIDDEN)
def test_what_shapes_do_not_show(key):
    network = small(**{"channel_base": 300, "channel_max": 300, key: HIDDEN[key]})
    shapes, value = shapes_of(network.state_dict()), HIDDEN[key]
    told = {"channel_base": 300, "channel_max": 300}
    given = GENERATOR.infer(shapes, None, {**told, key: value})
    assert GeneratorConfig(**given) == network.config
    published = "lr_multiplier" if key == "mapping_lr_multiplier" else key
    assert GENERATOR.infer(shapes, {**told, published: value}, {}) == given
    if not key.startswith("channel"):
        with pytest.raises(InputError, match=f"{key} should be a number"):
            GENERATOR.infer(shapes, None, {key: "many"})


def test_refuses_what_is_not_stylegan3():
    shapes = shapes_of(small().state_dict())
    with pytest.raises(InputError, match="margin_size=10"):
        GENERATOR.infer(shapes, {"margin_size": 5}, {})
    lacking = {name: shape for name, shape in shapes.items() if ".L3_" not in name}
    with pytest.raises(InputError, match="L0 to L14"):
        GENERATOR.infer(lacking, None, {})
    renamed = {name.replace("_12.", "_13."): s for name, s in shapes.items() if ".L2_" not in name}
    renamed |= {n.replace("_12.", "_1."): s for n, s in shapes.items() if ".L2_" in n}
    with pytest.raises(InputError, match="do not follow"):
        GENERATOR.infer(renamed, None, {})


def test_input_by_hand():
    torch.manual_seed(0)
    layer = SynthesisInput(5, w_dim=3, size=6, sampling_rate=8, bandwidth=2).double()
    assert layer.freqs.norm(dim=1).max() <= 2
    with torch.no_grad():
        layer.affine.weight.normal_()
    w = torch.randn(2, 3, dtype=torch.float64)
    user = double([[1.2, 0.3, 0.1], [-0.2, 1.4, -0.3], [0.0, 0.0, 1.0]])
    layer.transform.copy_(user)
    y = layer(w)
    torch.testing.assert_close(layer(w, user[None].expand(2, -1, -1)), y)
    for n in range(2):
        t = w[n] @ layer.affine.weight.t() / math.sqrt(3) + layer.affine.bias
        cos, sin, x0, y0 = (t / t[:2].norm()).tolist()
        turn = double([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        move = double([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]])
        plane = turn @ move @ user
        for row, column in ((0, 0), (5, 2), (3, 4)):
            point = double([(column - 2.5) / 8, (row - 2.5) / 8, 1])
            position = (plane @ point)[:2]
            f = layer.freqs @ plane[:2, :2]
            fade = (1 - (f.norm(dim=1) - 2) / (8 / 2 - 2)).clamp(0, 1)
            wave = torch.sin(2 * math.pi * (layer.freqs @ position + layer.phases)) * fade
            expected = layer.weight @ wave / math.sqrt(5)
            torch.testing.assert_close(y[n, :, row, column], expected)


def by_hand(layer, x, w):
    """The published definition: weights for every sample, zeros inserted, plain filters."""
    geometry = layer.geometry
    styles = w @ layer.affine.weight.t() / math.sqrt(w.shape[1]) + layer.affine.bias
    weight = layer.weight
    if geometry.is_torgb:
        own = weight[None] * (styles / math.sqrt(geometry.in_channels))[:, None, :, None, None]
    else:
        weight = weight / weight.square().mean((1, 2, 3), keepdim=True).sqrt()
        styles = styles / styles.square().mean().sqrt()  # over the batch
        own = weight[None] * styles[:, None, :, None, None]
        own = own / (own.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    own = own / layer.magnitude_ema.sqrt()
    pad = geometry.kernel - 1
    y = torch.cat([functional.conv2d(a[None], b, padding=pad) for a, b in zip(x, own, strict=True)])
    y = y + layer.bias[:, None, None]
    if geometry.is_torgb:
        return y.clamp(-256, 256)
    n, channels, size, _ = y.shape
    wide = y.new_zeros(n, channels, size * geometry.up, size * geometry.up)
    wide[:, :, :: geometry.up, :: geometry.up] = y
    wide = functional.pad(wide, geometry.padding)
    wide = _filtered(wide, layer.up_filter) * geometry.up**2
    wide = functional.leaky_relu(wide, 0.2) * math.sqrt(2)
    wide = _filtered(wide.clamp(-256, 256), layer.down_filter)
    return wide[:, :, :: geometry.down, :: geometry.down]


def _filtered(x, f):
    f = torch.outer(f, f) if f.ndim == 1 else f
    y = functional.conv2d(x.flatten(0, 1)[:, None], f[None, None])[:, 0]
    return y.unflatten(0, x.shape[:2])


@pytest.mark.parametrize("variant", [T, R], ids=["T", "R"])
def test_network_by_hand(variant):
    network = small(**variant).double()
    synthesis = network.synthesis
    ws = torch.randn(2, 16, 10, dtype=torch.float64)
    x = synthesis.input(ws[:, 0])
    for index, name in enumerate(synthesis.layer_names):
        layer = synthesis.get_submodule(name)
        y = layer(x, ws[:, index + 1])
        torch.testing.assert_close(y, by_hand(layer, x, ws[:, index + 1]))
        x = y
    torch.testing.assert_close(synthesis(ws), 0.25 * x)


def test_clamp_bounds_activations():
    z = latents(1)
    assert torch.equal(small(conv_clamp=256.0)(z), small(conv_clamp=None)(z))
    assert not torch.allclose(small(conv_clamp=0.1)(z), small(conv_clamp=None)(z))
    assert small(conv_clamp=0.1)(z).abs().max() <= 0.025 + 1e-6


@pytest.mark.parametrize("variant", [T, R], ids=["T", "R"])
def test_a_sample_hardly_depends_on_its_batch(variant):
    """The published network divides styles by their rms over the batch, which all but cancels."""
    network = small(**variant)
    z = latents(3)
    together = network(z)
    for index in range(3):
        alone = network(z[index : index + 1])
        torch.testing.assert_close(together[index : index + 1], alone, rtol=0, atol=2e-6)


@pytest.mark.parametrize("variant", [T, R], ids=["T", "R"])
def test_moving_the_plane_moves_the_image(variant):
    # (4, -8) pixels, a multiple of what every layer's own samples are apart.
    network = small(**{**variant, "img_resolution": 64})
    with torch.no_grad():
        network.synthesis.input.affine.weight.zero_()
        network.synthesis.input.affine.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
    z = latents()
    moved = network(z, transform=shift(-4 / 64, 8 / 64))
    assert psnr(torch.roll(network(z), (-8, 4), (2, 3)), moved, margin=12) > 60
    network.synthesis.input.transform.copy_(shift(-4 / 64, 8 / 64))
    assert torch.equal(network(z), moved)


def test_moving_by_less_than_a_pixel():
    network = small(img_resolution=64)
    with torch.no_grad():
        network.synthesis.input.affine.weight.zero_()
    z = latents()
    half = network(z, transform=shift(-0.5 / 64, 0))
    twice = network(z, transform=shift(-1 / 64, 0))
    # Two moves by half a pixel of a band-limited image are one by a whole pixel.
    assert psnr(torch.roll(network(z), 1, 3), twice, margin=12) > 25
    assert psnr(half, twice, margin=12) < psnr(torch.roll(network(z), 1, 3), twice, margin=12)


def test_turning_the_plane_turns_the_image_of_r_only():
    quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    z = latents()
    for variant, works in ((R, True), (T, False)):
        network = small(**variant)
        with torch.no_grad():
            network.synthesis.input.affine.weight.zero_()
            network.synthesis.input.affine.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
        turned = network(z, transform=quarter)
        assert (psnr(torch.rot90(network(z), 1, (2, 3)), turned) > 60) is works


def test_deterministic_whatever_the_noise():
    network = small()
    z = latents()
    state = torch.get_rng_state()
    image = network(z)
    assert image.shape == (2, 3, 32, 32)
    assert torch.equal(network(z, noise_mode="random", generator=torch.tensor([1, 2])), image)
    assert torch.equal(network(z, None, 1.0, None, "none"), image)
    assert torch.equal(torch.get_rng_state(), state)


def test_truncation_and_labels():
    network = small(c_dim=3)
    z, c = latents(), torch.eye(3)[:2]
    ws = network.mapping(z, c)
    mean = network.mapping.w_avg
    pulled = torch.cat([mean + 0.5 * (ws[:, :4] - mean), ws[:, 4:]], dim=1)
    expected = network.synthesis(pulled)
    torch.testing.assert_close(network(z, c, 0.5, 4), expected, rtol=0, atol=1e-5)
    assert not torch.allclose(network(z, c.flip(0)), network(z, c))
    with pytest.raises(ValueError, match="labels"):
        network(z)


def test_magnitudes_are_tracked_when_asked():
    network = small(magnitude_ema_beta=0.9).train()
    before = {n: b.clone() for n, b in network.named_buffers() if n.endswith("magnitude_ema")}
    network(latents())
    assert all(torch.equal(network.get_buffer(n), value) for n, value in before.items())
    x = network.synthesis.input(network.mapping(latents())[:, 0])
    network(latents(), update_emas=True)
    name = f"synthesis.{network.synthesis.layer_names[0]}.magnitude_ema"
    expected = 0.9 * before[name] + 0.1 * x.square().mean()
    torch.testing.assert_close(network.get_buffer(name), expected)
    assert all(not torch.equal(network.get_buffer(n), value) for n, value in before.items())


def test_gradients_reach_every_parameter():
    network = small().train().requires_grad_(True)
    network(latents()).square().mean().backward()
    lacking = [name for name, p in network.named_parameters() if p.grad is None]
    assert lacking == []


def test_low_precision():
    network = small()
    z = latents()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        image = network(z)
    assert image.dtype == torch.float32
    assert psnr(network(z), image) > 25


def test_rejects():
    network = small()
    with pytest.raises(ValueError, match=r"expected ws \[N, 16, 10\]"):
        network.synthesis(torch.zeros(1, 15, 10))
    with pytest.raises(ValueError, match="expected transform"):
        network.synthesis(torch.zeros(1, 16, 10), transform=torch.eye(2))
    for changes, word in (
        ({"img_resolution": 16}, "img_resolution"),
        ({"img_resolution": 48}, "img_resolution"),
        ({"conv_kernel": 2}, "conv_kernel"),
        ({"channel_max": 0}, "channel_max"),
        ({"z_dim": 0}, "z_dim"),
        ({"c_dim": -1}, "c_dim"),
    ):
        with pytest.raises(ValueError, match=word):
            Generator(**{**T, **changes})
