"""pix2pix's and CycleGAN's networks: sizes, hyper-parameters from shapes, and test modes."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from ganvas.core.checkpoints.published.image_translation import (
    CYCLEGAN_RESNET,
    PATCHGAN,
    PIX2PIX_UNET,
)
from ganvas.core.errors import InputError
from ganvas.core.models.cyclegan_resnet import CycleGANResNet
from ganvas.core.models.patchgan import PatchGAN
from ganvas.core.models.pix2pix_unet import Pix2PixUNet

from .random_networks import (
    assert_batch_independent,
    assert_double_agrees,
    assert_round_trip,
    published_size,
    randomised,
    reloaded,
    shapes_of,
)

NORMS = ["batch", "instance", "none"]


def unet(**changes):
    return randomised(Pix2PixUNet(**{"num_downs": 5, "ngf": 4, **changes}))


def resnet(**changes):
    return randomised(CycleGANResNet(**{"num_blocks": 2, "ngf": 4, **changes}))


def images(count=1, channels=3, height=64, width=64):
    rng = torch.Generator().manual_seed(5)
    return torch.rand(count, channels, height, width, generator=rng) * 2 - 1


def test_published_sizes():
    assert published_size(Pix2PixUNet) == (82, 54_413_955)
    assert published_size(lambda: Pix2PixUNet(num_downs=7))[1] == 41_828_995
    assert published_size(CycleGANResNet) == (48, 11_378_179)
    assert published_size(lambda: CycleGANResNet(num_blocks=6)) == (36, 7_837_699)
    assert published_size(lambda: PatchGAN(in_channels=6)) == (22, 2_768_705)
    assert published_size(lambda: PatchGAN(norm="instance")) == (10, 2_764_737)


def test_published_names():
    with torch.device("meta"):
        names = set(CycleGANResNet(use_dropout=True).state_dict())
        assert {"model.10.conv_block.1.weight", "model.18.conv_block.6.bias"} <= names
        assert {"model.19.weight", "model.22.bias", "model.26.weight"} <= names
        names = set(Pix2PixUNet().state_dict())
    inner = "model.model." + "1.model." + 6 * "3.model."
    assert {"model.model.0.weight", "model.model.3.bias", f"{inner}3.weight"} <= names
    assert {f"{inner}4.running_var", "model.model.1.model.6.weight"} <= names


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "changes",
    [{}, {"in_channels": 1}, {"out_channels": 2}, {"num_downs": 6}, {"ngf": 3}],
    ids=str,
)
def test_unet_round_trip(norm, changes):
    network = unet(norm=norm, **changes)
    assert_round_trip(PIX2PIX_UNET, network, images(1, network.config.in_channels))


def test_unet_without_dropout_may_be_given():
    assert_round_trip(PIX2PIX_UNET, unet(use_dropout=False), images(), use_dropout=False)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "changes",
    [{}, {"in_channels": 1}, {"out_channels": 2}, {"num_blocks": 3}, {"ngf": 3},
     {"use_dropout": True}],
    ids=str,
)  # fmt: skip
def test_resnet_round_trip(norm, changes):
    network = resnet(norm=norm, **changes)
    assert_round_trip(CYCLEGAN_RESNET, network, images(1, network.config.in_channels, 16, 12))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "changes", [{}, {"in_channels": 6}, {"num_layers": 1}, {"num_layers": 5}, {"num_layers": 0}]
)
def test_patchgan_round_trip(norm, changes):
    network = randomised(PatchGAN(**{"ndf": 3, "norm": norm, **changes}))
    assert_round_trip(PATCHGAN, network, images(1, network.config.in_channels, 96, 96))


@pytest.mark.parametrize("family", [PIX2PIX_UNET, CYCLEGAN_RESNET, PATCHGAN])
def test_a_network_belongs_to_one_family(family):
    own = {PIX2PIX_UNET: unet(), CYCLEGAN_RESNET: resnet(), PATCHGAN: PatchGAN(ndf=3)}
    for other, network in own.items():
        assert family.detect(shapes_of(network.state_dict())) == (family is other)


def test_statistics_of_old_instance_normalisation_are_dropped():
    network = resnet()
    old = dict(network.state_dict())
    for owner in ("model.2", "model.5", "model.10.conv_block.2"):
        old |= {f"{owner}.running_mean": torch.ones(4), f"{owner}.running_var": torch.ones(4)}
        old[f"{owner}.num_batches_tracked"] = torch.tensor(7)
    img = images(1, 3, 16, 16)
    assert torch.equal(reloaded(CYCLEGAN_RESNET, old, CycleGANResNet)(img), network(img))


@pytest.mark.parametrize("norm", NORMS)
def test_resnet_is_the_plain_sequence(norm):
    """Run as one `nn.Sequential` in training mode, one image at a time, in float64."""
    network = resnet(norm=norm, num_blocks=1).double()
    img = images(1, 3, 16, 12).double()

    class Block(nn.Module):
        def __init__(self, layers):
            super().__init__()
            self.layers = nn.Sequential(*layers)

        def forward(self, x):
            return x + self.layers(x)

    layers = [Block(m.conv_block) if hasattr(m, "conv_block") else m for m in network.model]
    expected = network(img)
    y = nn.Sequential(*layers).train()(img)
    torch.testing.assert_close(expected, y, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bn", ["batch", "running"])
def test_unet_arithmetic_in_float64(bn):
    network = unet().double()
    p = network.state_dict()
    img = images().double()

    def norm(name, x):
        weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
        mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
        if bn == "batch":
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        column = (slice(None), None, None)
        y = (x - mean[column]) / (var[column] + 1e-5).sqrt()
        return y * weight[column] + bias[column]

    def level(name, x, depth):
        """Everything from the down convolution to the up convolution's normalisation."""
        y = functional.conv2d(
            functional.leaky_relu(x, 0.2), p[f"{name}.1.weight"], stride=2, padding=1
        )
        up = 3
        if depth < 4:
            y = norm(f"{name}.2", y)
            y, up = torch.cat([y, level(f"{name}.3.model", y, depth + 1)], dim=1), 5
        y = functional.conv_transpose2d(y.relu(), p[f"{name}.{up}.weight"], stride=2, padding=1)
        return norm(f"{name}.{up + 1}", y)

    x = functional.conv2d(img, p["model.model.0.weight"], stride=2, padding=1)
    x = torch.cat([x, level("model.model.1.model", x, 1)], dim=1).relu()
    weight, bias = p["model.model.3.weight"], p["model.model.3.bias"]
    y = functional.conv_transpose2d(x, weight, bias, stride=2, padding=1).tanh()
    torch.testing.assert_close(network(img, bn=bn), y, rtol=1e-9, atol=1e-9)


def test_batch_statistics_are_those_of_training_with_one_image():
    network = unet(use_dropout=False)
    img = images()
    expected = network(img)
    torch.testing.assert_close(network.train()(img), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("build", [lambda: unet(num_downs=7), lambda: resnet(use_dropout=True)])
def test_seeded_dropout(build):
    network, img = build(), images(2, height=128, width=128)
    seeds = torch.tensor([3, 4])
    plain = network(img)
    dropped = network(img, dropout="seeded", generator=seeds)
    assert not torch.allclose(plain, dropped)
    assert torch.equal(dropped, network(img, dropout="seeded", generator=seeds))
    alone = network(img[1:], dropout="seeded", generator=seeds[1:])
    torch.testing.assert_close(dropped[1:], alone, rtol=0, atol=1e-4)
    one = torch.Generator().manual_seed(3)
    assert not torch.equal(dropped, network(img, dropout="seeded", generator=one))


@pytest.mark.parametrize("build", [unet, resnet])
@pytest.mark.parametrize("size", [(33, 50), (16, 9)])
def test_any_size_keeps_its_size(build, size):
    img = images(1, 3, *size)
    assert build()(img).shape == img.shape
    assert bool(build()(img).abs().le(1).all())


@pytest.mark.parametrize("norm", NORMS)
def test_samples_and_dtypes(norm):
    for network in (unet(norm=norm), resnet(norm=norm)):
        assert_batch_independent(network, images(3, height=32, width=32), atol=1e-4)
        assert_double_agrees(network, images(2), atol=1e-3)


def test_patchgan_scores():
    img = images(2, 6, 70, 70)
    network = randomised(PatchGAN(in_channels=6, ndf=4))
    assert network(img).shape == (2, 1, 6, 6)
    assert randomised(PatchGAN(ndf=4, num_layers=0))(images(1, 3, 5, 4)).shape == (1, 1, 5, 4)
    assert_batch_independent(network, img)


def test_refusals():
    with pytest.raises(ValueError, match="expected img"):
        unet()(images(1, 1))
    with pytest.raises(ValueError, match="bn of"):
        unet()(images(), bn="all")
    with pytest.raises(ValueError, match="generators or seeds"):
        resnet()(images(), dropout="seeded", generator=torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="num_downs"):
        unet(num_downs=4)
    with pytest.raises(ValueError, match="norm"):
        resnet(norm="group")
    with pytest.raises(ValueError, match="H, W >= 24"):
        PatchGAN()(images(1, 3, 20, 30))
    shapes = shapes_of(resnet().state_dict())
    del shapes["model.19.weight"]
    with pytest.raises(InputError, match=r"model\.19\.weight is missing"):
        CYCLEGAN_RESNET.infer(shapes, None, {})
