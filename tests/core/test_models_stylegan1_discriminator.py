"""StyleGAN1's discriminator: the published file scored by hand, growing, round trips, gradients."""

import json
import math
from dataclasses import asdict

import pytest
import torch
from torch.nn import functional

import ganvas
from ganvas.core.checkpoints.published import detect
from ganvas.core.checkpoints.published.stylegan1_discriminator import ROSINALITY
from ganvas.core.errors import InputError
from ganvas.core.models.stylegan1_discriminator import Discriminator

from .random_networks import published_size, randomised, shapes_of
from .test_models_stylegan1 import Randoms, blur, rosinality

SMALL = {"img_resolution": 16, "channel_base": 64, "channel_max": 10}


def small(**changes):
    torch.manual_seed(0)
    return randomised(Discriminator(**{**SMALL, **changes}))


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def channels_at(r):
    return min(64 // r, 12)


def published(resolution, *, fused_from, activated):
    """A published file's tensors, the buffers of its blurs included."""
    make, level, r = Randoms(), 0, resolution
    while r >= 4:
        channels, after = channels_at(r), channels_at(r // 2)
        rgb = f"from_rgb.{level}.0.conv" if activated else f"from_rgb.{level}.conv"
        make(f"{rgb}.weight_orig", channels, 3, 1, 1)
        make(f"{rgb}.bias", channels)
        block = f"progression.{level}"
        first, second = (after, channels), (after, after)
        if r == 4:
            first, second = (channels, channels + 1), (channels, channels)
        make(f"{block}.conv1.0.conv.weight_orig", *first, 3, 3)
        make(f"{block}.conv1.0.conv.bias", first[0])
        if r == 4:
            make(f"{block}.conv2.0.conv.weight_orig", *second, 4, 4)
            make(f"{block}.conv2.0.conv.bias", channels)
        else:
            make(f"{block}.conv2.0.weight", 1, 1, 3, 3)
            make(f"{block}.conv2.0.weight_flip", 1, 1, 3, 3)
            name = f"{block}.conv2.1" if r >= fused_from else f"{block}.conv2.1.conv"
            suffix = "" if r >= fused_from else "_orig"
            make(f"{name}.weight{suffix}", *second, 3, 3)
            make(f"{name}.bias", after)
        r, level = r // 2, level + 1
    make("linear.linear.weight_orig", 1, channels_at(4))
    make("linear.linear.bias", 1)
    return make.tensors


def lrelu(x):
    return functional.leaky_relu(x, 0.2)


def scored(tensors, img, levels, alpha=1.0):
    """As that program computes it; a convolution of stride 2 averages four shifted kernels."""

    def equal(weight):
        return weight * math.sqrt(2 / weight[0].numel())

    def convolved(x, name, padding):
        weight = equal(tensors[f"{name}.weight_orig"])
        return functional.conv2d(x, weight, tensors[f"{name}.bias"], padding=padding)

    def from_rgb(x, level):
        plain, activated = f"from_rgb.{level}.conv", f"from_rgb.{level}.0.conv"
        if f"{plain}.bias" in tensors:
            return convolved(x, plain, 0)
        return lrelu(convolved(x, activated, 0))

    count = sum(name.endswith("conv1.0.conv.bias") for name in tensors)
    x = from_rgb(img, count - levels)
    for level in range(count - levels, count - 1):
        block = f"progression.{level}"
        x = blur(lrelu(convolved(x, f"{block}.conv1.0.conv", 1)))
        if f"{block}.conv2.1.weight" in tensors:
            wide = functional.pad(equal(tensors[f"{block}.conv2.1.weight"]), (1, 1, 1, 1))
            kernel = wide[..., 1:, 1:] + wide[..., :-1, 1:] + wide[..., 1:, :-1]
            kernel = (kernel + wide[..., :-1, :-1]) / 4
            bias = tensors[f"{block}.conv2.1.bias"]
            x = lrelu(functional.conv2d(x, kernel, bias, stride=2, padding=1))
        else:
            x = lrelu(functional.avg_pool2d(convolved(x, f"{block}.conv2.1.conv", 1), 2))
        if level == count - levels:
            before = from_rgb(functional.avg_pool2d(img, 2), level + 1)
            x = (1 - alpha) * before + alpha * x
    deviation = (x.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
    x = torch.cat([x, deviation.expand(len(x), 1, 4, 4)], dim=1)
    x = lrelu(convolved(x, f"progression.{count - 1}.conv1.0.conv", 1))
    x = lrelu(convolved(x, f"progression.{count - 1}.conv2.0.conv", 0)).flatten(1)
    weight = equal(tensors["linear.linear.weight_orig"])
    return x @ weight.t() + tensors["linear.linear.bias"]


def loaded(tensors, **given):
    assert detect(shapes_of(tensors)) is ROSINALITY
    config = json.loads(json.dumps(ROSINALITY.infer(shapes_of(tensors), None, given)))
    network = Discriminator(**config).eval()
    network.load_state_dict(
        ROSINALITY.translate({n: t.clone() for n, t in tensors.items()}, config)
    )
    return network.requires_grad_(False)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize(("fused_from", "activated"), [(16, True), (99, False)])
def test_scores_what_rosinality_scores(fused_from, activated, count):
    tensors = published(32, fused_from=fused_from, activated=activated)
    network = loaded(tensors).double()
    double = {name: tensor.double() for name, tensor in tensors.items()}
    img = normal(count, 3, 32, 32).double()
    torch.testing.assert_close(network(img), scored(double, img, 4), rtol=1e-5, atol=1e-5)
    for alpha in (0.3, 1.0):
        small = img[:, :, :16, :16]
        expected = scored(double, small, 3, alpha)
        score = network(small, resolution=16, alpha=alpha)
        torch.testing.assert_close(score, expected, rtol=1e-5, atol=1e-5)
    # The same file as far as it was really trained.
    early = loaded(tensors, img_resolution=16).double()
    assert (early.config.img_resolution, early.config.max_resolution) == (16, 32)
    torch.testing.assert_close(early(small), scored(double, small, 3), rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match="img_resolution"):
        loaded(tensors, img_resolution=64)


def test_a_file_with_both_networks_gives_both(tmp_path):
    discriminator = published(16, fused_from=16, activated=True)
    generator = rosinality(16)
    torch.save(
        {"generator": generator, "discriminator": discriminator, "g_running": generator},
        tmp_path / "train_step-4.model.pt",
    )
    model = ganvas.load(tmp_path / "train_step-4.model.pt")
    assert model.arch == "stylegan1-generator" and model.generator is not None
    assert model.discriminator is not None
    img = model.generator(normal(3, 6))
    torch.testing.assert_close(
        model.discriminator(img), scored(discriminator, img, 3), rtol=1e-4, atol=1e-4
    )
    smaller = ganvas.load(tmp_path / "train_step-4.model.pt", img_resolution=8)
    assert smaller.discriminator(smaller.generator(normal(3, 6))).shape == (3, 1)


def test_published_sizes():
    """PGGAN's 23.1 M at 1024 px, of whose layers these are; rosinality's blocks widen first."""
    images = sum(4 * min(16384 // (4 << i), 512) for i in range(8))
    _, paper = published_size(lambda: Discriminator(img_resolution=1024))
    assert paper == 23_087_249 - images
    _, wide = published_size(
        lambda: Discriminator(img_resolution=1024, progressive=True, widen_first=True)
    )
    steps = [(16 << i, 32 << i) for i in range(5)]
    wider = sum(9 * (b * b - a * a) + b - a for a, b in steps)
    assert wide == paper + wider + images


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"c_dim": 3},
        {"img_channels": 1},
        {"channel_base": 128},
        {"channel_max": 7},
        {"progressive": True},
        {"progressive": True, "max_resolution": 32},
        {"widen_first": True},
        {"fromrgb_activation": "linear"},
        {"mbstd_group_size": None},
        {"mbstd_group_size": 2},
        {"mbstd_num_channels": 0},
    ],
    ids=str,
)
def test_config_rebuilds_the_network(changes):
    network = small(**changes)
    again = Discriminator(**json.loads(json.dumps(asdict(network.config)))).eval()
    again.load_state_dict(network.state_dict())
    assert Discriminator.from_config(network.config).config == network.config
    img = normal(4, network.config.img_channels, 16, 16)
    c = torch.eye(3)[[0, 1, 2, 0]] if "c_dim" in changes else None
    assert torch.equal(again(img, c), network(img, c))


def test_penalties_differentiate_through_gradients():
    network = small().double().requires_grad_(True)
    img = normal(4, 3, 16, 16).double().requires_grad_()
    (gradient,) = torch.autograd.grad(network(img).sum(), img, create_graph=True)
    gradient.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None or name == "b4.out.bias", name


def test_rejects():
    network = small(c_dim=2)
    with pytest.raises(ValueError, match="expected img"):
        network(normal(1, 3, 8, 8))
    with pytest.raises(ValueError, match="labels"):
        network(normal(1, 3, 16, 16))
    with pytest.raises(ValueError, match="progressive"):
        network(normal(1, 3, 8, 8), resolution=8)
    for changes, word in (
        ({"img_resolution": 12}, "img_resolution"),
        ({"max_resolution": 32}, "max_resolution"),
        ({"max_resolution": 8, "progressive": True}, "max_resolution"),
        ({"fromrgb_activation": "relu"}, "fromrgb_activation"),
        ({"mbstd_group_size": 0}, "mbstd_group_size"),
        ({"c_dim": -1}, "c_dim"),
    ):
        with pytest.raises(ValueError, match=word):
            Discriminator(**{**SMALL, **changes})
