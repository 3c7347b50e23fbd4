"""StyleGAN1: sizes, both published spellings drawn by hand, growing, round trips, noise."""

import json
import math
from dataclasses import asdict

import pytest
import torch
from torch.nn import functional

from ganvas.core.checkpoints.published import detect
from ganvas.core.checkpoints.published.stylegan1 import LERNAPPARAT, ROSINALITY
from ganvas.core.checkpoints.registry import ARCHITECTURES
from ganvas.core.errors import InputError
from ganvas.core.models.progressive import doubled
from ganvas.core.models.stylegan1 import Generator, SynthesisLayer

from .random_networks import published_size, shapes_of

SMALL = {"img_resolution": 16, "channel_base": 64, "channel_max": 8, "z_dim": 6, "w_dim": 10}
Z, W, LAYERS = 6, 10, 3


def small(**changes):
    torch.manual_seed(0)
    network = Generator(**{**SMALL, "num_mapping_layers": 2, **changes})
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("bias", "noise_strength", "w_avg", "const")):
                tensor.normal_().mul_(0.3)
    return network.eval().requires_grad_(False)


def latents(count=2, dim=Z):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(3))


class Randoms:
    """Tensors of the shapes that are asked for, in the order of asking."""

    def __init__(self):
        self.rng = torch.Generator().manual_seed(7)
        self.tensors = {}

    def __call__(self, name, *shape):
        self.tensors[name] = torch.randn(shape, generator=self.rng)


def channels_at(r):
    return max(min(512 // r, 8), 1)


def lernapparat(resolution):
    """A published file's tensors; filters of its own included."""
    make = Randoms()
    for i in range(LAYERS):
        make(f"g_mapping.dense{i}.weight", W, W if i else Z)
        make(f"g_mapping.dense{i}.bias", W)
    r, before = 4, channels_at(4)
    while r <= resolution:
        channels, block = channels_at(r), f"g_synthesis.blocks.{r}x{r}"
        if r == 4:
            make(f"{block}.const", 1, channels, 4, 4)
            make(f"{block}.bias", channels)
            convolutions = {"conv": channels}
        else:
            convolutions = {"conv0_up": before, "conv1": channels}
            make(f"{block}.conv0_up.intermediate.kernel", 1, 1, 3, 3)
        for name, inputs in convolutions.items():
            make(f"{block}.{name}.weight", channels, inputs, 3, 3)
            make(f"{block}.{name}.bias", channels)
        for name in ("epi1", "epi2"):
            make(f"{block}.{name}.top_epi.noise.weight", channels)
            make(f"{block}.{name}.style_mod.lin.weight", 2 * channels, W)
            make(f"{block}.{name}.style_mod.lin.bias", 2 * channels)
        r, before = 2 * r, channels
    make("g_synthesis.torgb.weight", 3, before, 1, 1)
    make("g_synthesis.torgb.bias", 3)
    return make.tensors


def rosinality(resolution, fused_from=128):
    make = Randoms()
    for i in range(LAYERS):
        make(f"style.{2 * i + 1}.linear.weight_orig", W, W if i else Z)
        make(f"style.{2 * i + 1}.linear.bias", W)
    r, before, level = 4, channels_at(4), 0
    while r <= resolution:
        channels, block = channels_at(r), f"generator.progression.{level}"
        if r == 4:
            make(f"{block}.conv1.input", 1, channels, 4, 4)
        elif r >= fused_from:
            make(f"{block}.conv1.0.weight", before, channels, 3, 3)
            make(f"{block}.conv1.0.bias", channels)
            make(f"{block}.conv1.1.weight_flip", channels, 1, 3, 3)
        else:
            make(f"{block}.conv1.1.conv.weight_orig", channels, before, 3, 3)
            make(f"{block}.conv1.1.conv.bias", channels)
            make(f"{block}.conv1.2.weight_flip", channels, 1, 3, 3)
        make(f"{block}.conv2.conv.weight_orig", channels, channels, 3, 3)
        make(f"{block}.conv2.conv.bias", channels)
        for i in (1, 2):
            make(f"{block}.noise{i}.weight_orig", 1, channels, 1, 1)
            make(f"{block}.adain{i}.style.linear.weight_orig", 2 * channels, W)
            make(f"{block}.adain{i}.style.linear.bias", 2 * channels)
        make(f"generator.to_rgb.{level}.conv.weight_orig", 3, channels, 1, 1)
        make(f"generator.to_rgb.{level}.conv.bias", 3)
        r, before, level = 2 * r, channels, level + 1
    return make.tensors


def blur(x):
    f = torch.outer(x.new_tensor([1, 2, 1]), x.new_tensor([1, 2, 1])) / 16
    f = f.expand(x.shape[1], 1, 3, 3)
    return functional.conv2d(x, f, padding=1, groups=x.shape[1])


def pixel_norm(z):
    return z / (z.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def four_by_four(weight):
    w = functional.pad(weight, (1, 1, 1, 1))
    return w[..., 1:, 1:] + w[..., :-1, 1:] + w[..., 1:, :-1] + w[..., :-1, :-1]


def adain(x, scale, offset):
    x = functional.leaky_relu(x, 0.2)
    mean = x.mean((2, 3), keepdim=True)
    x = (x - mean) / (x.var((2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    return x * scale[:, :, None, None] + offset[:, :, None, None]


def drawn_by_lernapparat(tensors, z, noise):
    """The official network in that port's terms; noise[i] is the i-th layer's image."""
    w = pixel_norm(z)
    for i in range(LAYERS):
        weight, bias = (tensors[f"g_mapping.dense{i}.{n}"] for n in ("weight", "bias"))
        gain = math.sqrt(2 / weight.shape[1]) * 0.01
        w = functional.leaky_relu(w @ weight.t() * gain + bias * 0.01, 0.2)

    def epilogue(x, name, noise):
        x = x + tensors[f"{name}.top_epi.noise.weight"][:, None, None] * noise
        weight, bias = (tensors[f"{name}.style_mod.lin.{n}"] for n in ("weight", "bias"))
        scale, offset = (w @ weight.t() / math.sqrt(W) + bias).chunk(2, dim=1)
        return adain(x, scale + 1, offset)

    def convolved(x, name):
        weight, bias = (tensors[f"{name}.{n}"] for n in ("weight", "bias"))
        weight, bias = weight * math.sqrt(2 / weight[0].numel()), bias[:, None, None]
        if not name.endswith("up"):
            return functional.conv2d(x, weight, padding=1) + bias
        if 2 * x.shape[2] >= 128:
            kernel = four_by_four(weight.transpose(0, 1))
            return blur(functional.conv_transpose2d(x, kernel, stride=2, padding=1)) + bias
        return blur(functional.conv2d(doubled(x), weight, padding=1)) + bias

    block, r = "g_synthesis.blocks.4x4", 4
    x = tensors[f"{block}.const"] + tensors[f"{block}.bias"][:, None, None]
    x = epilogue(x.expand(len(z), -1, -1, -1), f"{block}.epi1", noise[0])
    x = epilogue(convolved(x, f"{block}.conv"), f"{block}.epi2", noise[1])
    for level in range(1, len(noise) // 2):
        r *= 2
        block = f"g_synthesis.blocks.{r}x{r}"
        x = epilogue(convolved(x, f"{block}.conv0_up"), f"{block}.epi1", noise[2 * level])
        x = epilogue(convolved(x, f"{block}.conv1"), f"{block}.epi2", noise[2 * level + 1])
    rgb = tensors["g_synthesis.torgb.weight"]
    y = functional.conv2d(x, rgb / math.sqrt(rgb.shape[1]))
    return y + tensors["g_synthesis.torgb.bias"][:, None, None]


def drawn_by_rosinality(tensors, z, noise, alpha=1.0):
    def equal(name):
        weight = tensors[f"{name}.weight_orig"]
        return weight * math.sqrt(2 / weight[0].numel()), tensors.get(f"{name}.bias")

    def convolved(x, name):
        weight, bias = equal(f"{name}.conv")
        return functional.conv2d(x, weight, bias, padding=weight.shape[2] // 2)

    w = pixel_norm(z)
    for i in range(LAYERS):
        weight, bias = equal(f"style.{2 * i + 1}.linear")
        w = functional.leaky_relu(w @ weight.t() + bias, 0.2)
    images = []
    for level in range(len(noise) // 2):
        block = f"generator.progression.{level}"
        if level == 0:
            x = tensors[f"{block}.conv1.input"].expand(len(z), -1, -1, -1)
        elif f"{block}.conv1.0.weight" in tensors:
            weight, bias = (tensors[f"{block}.conv1.0.{n}"] for n in ("weight", "bias"))
            kernel = four_by_four(weight * math.sqrt(2 / (9 * weight.shape[0]))) / 4
            x = blur(functional.conv_transpose2d(x, kernel, bias, stride=2, padding=1))
        else:
            x = blur(convolved(doubled(x), f"{block}.conv1.1"))
        for i in (1, 2):
            x = convolved(x, f"{block}.conv2") if i == 2 else x
            strength, _ = equal(f"{block}.noise{i}")
            assert strength.shape[0] == 1
            x = x + strength * noise[2 * level + i - 1]
            weight, bias = equal(f"{block}.adain{i}.style.linear")
            x = adain(x, *(w @ weight.t() + bias).chunk(2, dim=1))
        images.append(convolved(x, f"generator.to_rgb.{level}"))
    if alpha == 1:
        return images[-1]
    return alpha * images[-1] + (1 - alpha) * doubled(images[-2])


def loaded(family, tensors, **given):
    shapes = shapes_of(tensors)
    assert detect(shapes) is family
    config = json.loads(json.dumps(family.infer(shapes, None, given)))
    network = ARCHITECTURES["stylegan1-generator"](config).eval()
    network.load_state_dict(family.translate({n: t.clone() for n, t in tensors.items()}, config))
    return network.requires_grad_(False)


def noises(network, resolution):
    blocks, r = [], 4
    while r <= resolution:
        block = network.synthesis.get_submodule(f"b{r}")
        blocks += [block.layer0.noise_const, block.layer1.noise_const]
        r *= 2
    return [noise.double() for noise in blocks]


# Both kinds of up-sampling convolution: those from 128 px on are transposed.
@pytest.mark.parametrize("resolution", [8, 128])
def test_draws_what_lernapparat_draws(resolution):
    tensors = lernapparat(resolution)
    network = loaded(LERNAPPARAT, tensors).double()
    assert network.config.img_resolution == resolution
    double = {name: tensor.double() for name, tensor in tensors.items()}
    z = latents().double()
    expected = drawn_by_lernapparat(double, z, noises(network, resolution))
    torch.testing.assert_close(network(z), expected, rtol=1e-5, atol=1e-5)
    zeros = [0.0] * len(noises(network, resolution))
    expected = drawn_by_lernapparat(double, z, zeros)
    torch.testing.assert_close(network(z, noise_mode="none"), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fused_from", [8, 128])
def test_draws_what_rosinality_draws(fused_from):
    tensors = rosinality(16, fused_from)
    network = loaded(ROSINALITY, tensors).double()
    double = {name: tensor.double() for name, tensor in tensors.items()}
    z = latents().double()
    noise = noises(network, 16)
    torch.testing.assert_close(
        network(z), drawn_by_rosinality(double, z, noise), rtol=1e-5, atol=1e-5
    )
    expected = drawn_by_rosinality(double, z, noise, alpha=0.3)
    torch.testing.assert_close(network(z, alpha=0.3), expected, rtol=1e-5, atol=1e-5)
    # The same file drawn at the resolution to which it was really trained.
    early = loaded(ROSINALITY, tensors, img_resolution=8).double()
    assert (early.config.img_resolution, early.config.max_resolution) == (8, 16)
    assert early.num_ws == 4
    expected = drawn_by_rosinality(double, z, noise[:4])
    torch.testing.assert_close(early(z), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match="img_resolution"):
        loaded(ROSINALITY, tensors, img_resolution=32)


def test_mean_w_is_the_files_or_computed():
    tensors = lernapparat(8)
    network = loaded(LERNAPPARAT, tensors)
    z = latents(20000)
    torch.testing.assert_close(
        network.mapping(z)[:, 0].mean(0), network.mapping.w_avg, rtol=0.1, atol=0.02
    )
    tensors["truncation.avg_latent"] = torch.arange(float(W))
    assert torch.equal(loaded(LERNAPPARAT, tensors).mapping.w_avg, torch.arange(float(W)))


@pytest.mark.parametrize("key,value", [("w_avg_beta", 0.9), ("mapping_lr_multiplier", 0.1)])
def test_what_shapes_do_not_show(key, value):
    shapes = shapes_of(lernapparat(8))
    assert LERNAPPARAT.infer(shapes, None, {key: value})[key] == value


def test_published_sizes():
    """26.2 M parameters at 1024 px (Karras et al. 2019, section 2)."""
    grown = published_size(lambda: Generator(img_resolution=1024, progressive=True))
    assert grown[1] == 26_219_627
    earlier = sum(3 * c + 3 for c in (512, 512, 512, 512, 256, 128, 64, 32))  # toRGB layers
    assert published_size(lambda: Generator(img_resolution=1024))[1] == grown[1] - earlier
    with torch.device("meta"):
        network = Generator(img_resolution=1024)
    shapes = shapes_of(network.state_dict())
    assert shapes["synthesis.b1024.layer0.weight"] == (16, 32, 3, 3)
    assert shapes["synthesis.b1024.layer0.affine.weight"] == (32, 512)
    assert network.num_ws == 18
    assert [n for n in shapes if "torgb" in n] == [
        "synthesis.b1024.torgb.weight",
        "synthesis.b1024.torgb.bias",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"z_dim": 5},
        {"c_dim": 3},
        {"w_dim": 7},
        {"img_resolution": 8, "max_resolution": 16, "progressive": True},
        {"img_resolution": 4},
        {"img_channels": 1},
        {"channel_base": 32},
        {"channel_max": 5},
        {"num_mapping_layers": 4},
        {"progressive": True},
        {"blur_bias": True},
        {"mapping_lr_multiplier": 1.0},
        {"w_avg_beta": 0.9},
    ],
    ids=str,
)
def test_config_rebuilds_the_network(changes):
    network = small(**changes)
    config = json.loads(json.dumps(asdict(network.config)))
    again = ARCHITECTURES["stylegan1-generator"](config).eval()
    assert again.config == network.config
    again.load_state_dict(network.state_dict())
    z = latents(dim=network.config.z_dim)
    c = torch.eye(3)[:2] if network.config.c_dim else None
    assert torch.equal(again(z, c), network(z, c))


def test_up_sampling_is_a_convolution_of_the_doubled_image():
    layer = SynthesisLayer(3, 5, w_dim=W, resolution=10, up=2).double()
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    y = functional.conv2d(doubled(x), layer.weight * math.sqrt(2 / 27), padding=1)
    y = adain(blur(y), torch.ones(2, 5), torch.zeros(2, 5))
    with torch.no_grad():
        layer.affine.weight.zero_()
    result = layer(x, torch.zeros(2, W).double(), "none", None)
    torch.testing.assert_close(result, y, rtol=1e-5, atol=1e-5)


def test_noise_and_batches():
    network = small()
    z, seeds = latents(3), torch.tensor([4, 5, 6])
    for arguments in ({}, {"noise_mode": "none"}, {"noise_mode": "random", "generator": seeds}):
        image = network(z, **arguments)
        assert torch.equal(network(z, **arguments), image)
        for index in range(3):
            own = dict(arguments)
            if "generator" in own:
                own["generator"] = seeds[index : index + 1]
            alone = network(z[index : index + 1], **own)
            torch.testing.assert_close(image[index : index + 1], alone, rtol=0, atol=2e-5)
    assert not torch.allclose(network(z), network(z, noise_mode="none"))


def test_truncation_and_labels():
    network = small(c_dim=3)
    z, c = latents(), torch.eye(3)[:2]
    ws = network.mapping(z, c)
    mean = network.mapping.w_avg
    pulled = torch.cat([mean + 0.7 * (ws[:, :4] - mean), ws[:, 4:]], dim=1)
    torch.testing.assert_close(network(z, c, 0.7, 4), network.synthesis(pulled), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="labels"):
        network(z)


def test_float32_is_near_float64():
    """The smallest blocks, whose normalisation blows rounding up, are computed in float64."""
    torch.manual_seed(0)
    network = Generator(img_resolution=32, channel_base=1024, z_dim=32, w_dim=32)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(("bias", "noise_strength")):
                tensor.normal_().mul_(0.1)
    network = network.eval().requires_grad_(False)
    single = network(latents(2, 32))
    assert single.dtype == torch.float32
    exact = network.double()(latents(2, 32).double())
    assert (single - exact).norm() / exact.norm() < 2e-6
    network = network.float().to(torch.bfloat16)
    assert network(latents(2, 32)).dtype == torch.float32


def test_growing():
    network = small(progressive=True)
    z = latents()
    assert network(z, resolution=4).shape == (2, 3, 4, 4)
    half = network(z, resolution=8, alpha=0.5)
    expected = (network(z, resolution=8) + doubled(network(z, resolution=4))) / 2
    torch.testing.assert_close(half, expected)
    with pytest.raises(ValueError, match="progressive"):
        small()(z, alpha=0.5)


def test_rejects():
    for changes, word in (
        ({"img_resolution": 12}, "img_resolution"),
        ({"max_resolution": 8}, "max_resolution"),
        ({"max_resolution": 32}, "max_resolution"),
        ({"w_dim": 0}, "w_dim"),
        ({"c_dim": -1}, "c_dim"),
        ({"channel_base": 8}, "channel_base"),
    ):
        with pytest.raises(ValueError, match=word):
            Generator(**{**SMALL, **changes})
    with pytest.raises(ValueError, match="expected ws"):
        small().synthesis(torch.zeros(1, 5, W))
