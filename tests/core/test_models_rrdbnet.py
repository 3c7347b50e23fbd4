"""RRDBNet: three spellings of its files, every size, and the arithmetic written out."""

import pytest
import torch
from torch.nn import functional

from ganvas.core.checkpoints.published.rrdbnet import RRDBNET
from ganvas.core.errors import InputError
from ganvas.core.models.rrdbnet import RRDBNet

from .random_networks import (
    assert_batch_independent,
    assert_double_agrees,
    assert_round_trip,
    published_size,
    randomised,
    reloaded,
    shapes_of,
)

SMALL = {"num_feat": 8, "num_block": 2, "num_grow_ch": 4}


def small(**changes):
    return randomised(RRDBNet(**{**SMALL, **changes}))


def test_published_sizes():
    assert published_size(RRDBNet) == (702, 16_697_987)
    assert published_size(lambda: RRDBNet(num_block=6)) == (192, 4_467_779)
    assert published_size(lambda: RRDBNet(scale=2, unshuffle=2)) == (702, 16_703_171)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"in_channels": 1, "out_channels": 1},
        {"in_channels": 4, "out_channels": 3},
        {"scale": 2, "unshuffle": 2},
        {"scale": 1, "unshuffle": 4},
        {"scale": 2},
        {"scale": 1},
        {"scale": 8},
        {"num_feat": 12},
        {"num_block": 1},
        {"num_grow_ch": 7},
    ],
    ids=str,
)
def test_round_trip(changes):
    network = small(**changes)
    assert_round_trip(RRDBNET, network, torch.rand(1, network.config.in_channels, 9, 6))


@pytest.mark.parametrize(
    ("scale", "unshuffle", "size"), [(4, 1, (5, 7)), (2, 2, (5, 7)), (1, 4, (6, 9)), (2, 1, (1, 1))]
)
def test_any_size_is_enlarged(scale, unshuffle, size):
    y = small(scale=scale, unshuffle=unshuffle)(torch.rand(2, 3, *size))
    assert y.shape == (2, 3, size[0] * scale, size[1] * scale)


def mid_name(name):
    renamed = {"conv_body": "trunk_conv", "conv_hr": "HRconv"}
    owner, _, kind = name.rpartition(".")
    if owner.startswith("body."):
        return name.replace("body.", "RRDB_trunk.").replace("rdb", "RDB")
    return f"{renamed.get(owner, owner.replace('conv_up', 'upconv'))}.{kind}"


def old_name(name, num_block, num_upsamples):
    owner, _, kind = name.rpartition(".")
    if owner.startswith("body."):
        owner = owner.replace("body.", "model.1.sub.").replace("rdb", "RDB") + ".0"
        return f"{owner}.{kind}"
    first = 3 * num_upsamples + 2
    numbers = {"conv_first": "0", "conv_body": f"1.sub.{num_block}"}
    numbers |= {"conv_hr": str(first), "conv_last": str(first + 2)}
    numbers |= {f"conv_up{i + 1}": str(3 * i + 3) for i in range(num_upsamples)}
    return f"model.{numbers[owner]}.{kind}"


def test_the_old_names_are_as_published():
    names = {old_name(name, 23, 2) for name in ("conv_up1.weight", "conv_up2.weight")}
    names |= {old_name(name, 23, 2) for name in ("conv_hr.bias", "conv_last.bias")}
    assert names == {"model.3.weight", "model.6.weight", "model.8.bias", "model.10.bias"}


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_three_spellings_are_the_same_network(scale):
    network = small(scale=scale)
    img, state = torch.rand(1, 3, 8, 6), network.state_dict()
    ups = scale.bit_length() - 1
    old = {old_name(name, 2, ups): tensor for name, tensor in state.items()}
    mid = {mid_name(name): tensor for name, tensor in state.items()}
    for spelling in (old, mid):
        assert not set(spelling) <= set(state)
        assert torch.equal(reloaded(RRDBNET, spelling, RRDBNet)(img), network(img))


def test_arithmetic_in_float64():
    network = small(scale=2, unshuffle=2, num_block=1).double()
    weights = network.state_dict()

    def conv(name, x):
        return functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    def lrelu(x):
        return torch.where(x > 0, x, 0.2 * x)

    img = torch.rand(1, 3, 4, 6, dtype=torch.float64)
    blocks = img.unfold(2, 2, 2).unfold(3, 2, 2)  # [1, 3, 2, 3, 2, 2]
    first = conv("conv_first", blocks.permute(0, 1, 4, 5, 2, 3).reshape(1, 12, 2, 3))
    x = first
    for dense in ("rdb1", "rdb2", "rdb3"):
        features = x
        for index in range(1, 5):
            y = lrelu(conv(f"body.0.{dense}.conv{index}", features))
            features = torch.cat([features, y], dim=1)
        x = x + 0.2 * conv(f"body.0.{dense}.conv5", features)
    x = first + conv("conv_body", first + 0.2 * x)
    for name in ("conv_up1", "conv_up2"):
        x = lrelu(conv(name, x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)))
    x = conv("conv_last", lrelu(conv("conv_hr", x)))
    torch.testing.assert_close(network(img), x, rtol=1e-10, atol=1e-10)


def test_samples_and_dtypes():
    network, img = small(), torch.rand(3, 3, 9, 8)
    assert_batch_independent(network, img)
    assert_double_agrees(network, img)


def test_it_differentiates():
    network = RRDBNet(**SMALL)
    network(torch.rand(1, 3, 4, 4)).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in network.parameters())


def test_refusals():
    with pytest.raises(ValueError, match="expected img"):
        small()(torch.rand(1, 4, 8, 8))
    with pytest.raises(ValueError, match="scale"):
        RRDBNet(scale=3)
    shapes = shapes_of(small().state_dict())
    with pytest.raises(InputError, match="unshuffle"):
        RRDBNET.infer(shapes, None, {"unshuffle": 3})
    with pytest.raises(InputError, match=r"ESRGAN\+"):
        RRDBNET.infer({**shapes, "model.1.sub.0.RDB1.conv1x1.weight": (4, 8, 1, 1)}, None, {})
