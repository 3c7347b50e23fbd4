"""The compact network: any depth, scale and activation."""

import pytest
import torch
from torch.nn import functional

from ganvas.core.checkpoints.published.srvgg import SRVGG as FAMILY
from ganvas.core.errors import InputError
from ganvas.core.models.srvgg import SRVGG

from .random_networks import (
    assert_batch_independent,
    assert_double_agrees,
    assert_round_trip,
    published_size,
    randomised,
    shapes_of,
)


def small(**changes):
    return randomised(SRVGG(**{"num_feat": 8, "num_conv": 2, **changes}))


def test_published_sizes():
    assert published_size(SRVGG) == (53, 621_424)  # realesr-animevideov3
    assert published_size(lambda: SRVGG(num_conv=32)) == (101, 1_213_296)  # realesr-general-x4v3


@pytest.mark.parametrize(
    "changes",
    [{}, {"scale": 1}, {"scale": 3}, {"num_conv": 0}, {"num_conv": 5}, {"num_feat": 5},
     {"in_channels": 1, "out_channels": 1}],
    ids=str,
)  # fmt: skip
def test_round_trip(changes):
    network = small(**changes)
    assert_round_trip(FAMILY, network, torch.rand(2, network.config.in_channels, 5, 3))


@pytest.mark.parametrize("activation", ["relu", "leakyrelu"])
def test_an_activation_without_weights_must_be_given(activation):
    network = small(activation=activation)
    with pytest.raises(InputError, match=r"activation cannot be inferred .* activation=VALUE"):
        FAMILY.infer(shapes_of(network.state_dict()), None, {})
    assert_round_trip(FAMILY, network, torch.rand(1, 3, 4, 4), activation=activation)


@pytest.mark.parametrize("activation", ["prelu", "relu", "leakyrelu"])
def test_arithmetic_in_float64(activation):
    network = small(activation=activation, scale=2).double()
    weights = network.state_dict()
    img = torch.rand(1, 3, 3, 4, dtype=torch.float64)
    x = img
    for index in (0, 2, 4, 6):
        x = functional.conv2d(
            x, weights[f"body.{index}.weight"], weights[f"body.{index}.bias"], padding=1
        )
        if index < 6:
            slope = {"relu": 0.0, "leakyrelu": 0.1}.get(activation)
            if slope is None:
                slope = weights[f"body.{index + 1}.weight"][:, None, None]
            x = torch.where(x > 0, x, slope * x)
    enlarged = x.view(1, 3, 2, 2, 3, 4).permute(0, 1, 4, 2, 5, 3).reshape(1, 3, 6, 8)
    enlarged = enlarged + img.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(network(img), enlarged, rtol=1e-10, atol=1e-10)


def test_samples_and_dtypes():
    network, img = small(), torch.rand(3, 3, 9, 8)
    assert_batch_independent(network, img)
    assert_double_agrees(network, img)


def test_refusals():
    with pytest.raises(ValueError, match="expected img"):
        small()(torch.rand(3, 8, 8))
    with pytest.raises(ValueError, match="activation"):
        SRVGG(activation="gelu")
    shapes = {**shapes_of(small().state_dict()), "body.6.weight": (47, 8, 3, 3)}
    with pytest.raises(InputError, match="square of the scale"):
        FAMILY.infer(shapes, None, {})
