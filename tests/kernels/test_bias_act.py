"""bias_act against its formula in numpy and numerical derivatives."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from ganvas.kernels import ACTIVATIONS, bias_act

FORMULAS = {
    "linear": (lambda x: x, 1.0),
    "relu": (lambda x: np.maximum(x, 0), math.sqrt(2)),
    "lrelu": (lambda x: np.where(x > 0, x, 0.2 * x), math.sqrt(2)),
    "tanh": (np.tanh, 1.0),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 1.0),
    "elu": (lambda x: np.where(x > 0, x, np.exp(x) - 1), 1.0),
    "selu": (
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1)),
        1.0,
    ),
    "softplus": (lambda x: np.log1p(np.exp(x)), 1.0),
    "swish": (lambda x: x / (1 + np.exp(-x)), math.sqrt(2)),
}


def test_every_activation_has_a_formula_here():
    assert set(FORMULAS) == set(ACTIVATIONS)


@pytest.mark.parametrize("act", sorted(FORMULAS))
@pytest.mark.parametrize("gain,clamp", [(None, None), (0.5, None), (3.0, 0.7), (-1.0, None)])
def test_matches_the_formula(act, gain, clamp):
    x = torch.linspace(-3, 3, 24, dtype=torch.float64).reshape(2, 3, 4)
    b = torch.tensor([0.5, -0.25, 0.0], dtype=torch.float64)
    formula, own_gain = FORMULAS[act]
    want = formula(x.numpy() + b.numpy()[:, None]) * (own_gain if gain is None else gain)
    if clamp is not None:
        want = want.clip(-clamp, clamp)
    y = bias_act(x, b, act=act, gain=gain, clamp=clamp)
    torch.testing.assert_close(y, torch.from_numpy(want))


def test_alpha_is_the_negative_slope():
    y = bias_act(torch.tensor([-2.0, 2.0]), act="lrelu", alpha=0.5, gain=1.0)
    assert y.tolist() == [-1.0, 2.0]


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_bias_follows_its_axis(dim):
    x = torch.zeros(2, 3, 4)
    b = torch.arange(float(x.shape[dim]))
    y = bias_act(x, b, dim=dim)
    shape = [1, 1, 1]
    shape[dim] = -1
    assert torch.equal(y, b.reshape(shape).expand(2, 3, 4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept_with_a_float32_bias(dtype):
    y = bias_act(torch.ones(1, 2, 3, dtype=dtype), torch.ones(2), act="lrelu", gain=0.5)
    assert y.dtype == dtype
    assert y.unique().tolist() == [1.0]


def test_the_input_is_left_alone():
    x = torch.randn(2, 3)
    before = x.clone()
    bias_act(x, torch.ones(3), act="lrelu", clamp=0.1)
    assert torch.equal(x, before)


@pytest.mark.parametrize("act", sorted(ACTIVATIONS))
def test_gradients(act):
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 2, dtype=torch.float64, generator=rng).requires_grad_()
    b = torch.randn(3, dtype=torch.float64, generator=rng).requires_grad_()

    def op(x, b):
        return bias_act(x, b, act=act, gain=1.3, clamp=1.1)

    assert gradcheck(op, (x, b))
    assert gradgradcheck(op, (x, b))


@pytest.mark.parametrize(
    "arguments,words",
    [
        ({"x": torch.zeros(2, 3, dtype=torch.int32)}, "floating-point x, got torch.int32"),
        ({"b": torch.zeros(4)}, r"b of shape \(3,\), got \(4,\)"),
        ({"b": torch.zeros(3), "dim": 2}, "dim of a 2-D x, got 2"),
        ({"act": "gelu"}, "got 'gelu'"),
        ({"clamp": -1.0}, "clamp >= 0 or None, got -1.0"),
        ({"clamp": float("nan")}, "clamp >= 0 or None, got nan"),
    ],
)
def test_rejects(arguments, words):
    call = {"x": torch.zeros(2, 3), **arguments}
    with pytest.raises(ValueError, match="^bias_act: expected .*" + words):
        bias_act(call.pop("x"), **call)
