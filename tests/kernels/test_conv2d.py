"""The plain convolution: backends agree with float64, and gradients go the plain way."""

import pytest
import torch
from torch.nn import functional

from ganvas.kernels import conv2d, explain, use_backend


def inputs(shape=(2, 32, 64, 70), out=48, seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=rng).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(out, shape[1], 3, 3, generator=rng) / (9 * shape[1]) ** 0.5
    return x, weight, torch.randn(out, generator=rng)


def expected(x, weight, bias, slope):
    bias = None if bias is None else bias.double()
    y = functional.conv2d(x.double(), weight.double(), bias, padding=1)
    return torch.where(y > 0, y, slope * y)


@pytest.mark.parametrize("backend", ["cpu", "eager"])
@pytest.mark.parametrize("slope", [1.0, 0.2, 0.0])
@pytest.mark.parametrize("shape", [(2, 32, 64, 70), (1, 16, 67, 131), (1, 64, 4, 1024)], ids=str)
@pytest.mark.parametrize("with_bias", [True, False])
def test_matches_float64(backend, slope, shape, with_bias):
    x, weight, bias = inputs(shape)
    bias = bias if with_bias else None
    if backend == "cpu" and (reason := explain("conv2d", x, weight, bias, slope)["cpu"]):
        pytest.skip(reason)
    with use_backend(backend, ops=["conv2d"]):
        y = conv2d(x, weight, bias, slope=slope)
    wanted = expected(x, weight, bias, slope)
    torch.testing.assert_close(y.double(), wanted, rtol=1e-4, atol=1e-4)
    assert float((y - wanted).norm() / wanted.norm()) < 5e-6


def test_a_sample_does_not_depend_on_its_batch():
    x, weight, bias = inputs((3, 32, 64, 64))
    whole, alone = conv2d(x, weight, bias), conv2d(x[1:2], weight, bias)
    torch.testing.assert_close(whole[1:2], alone, rtol=0, atol=1e-6)


def test_layouts_and_channels_that_the_compiled_one_refuses():
    for shape, out in (((1, 3, 64, 64), 32), ((1, 32, 64, 64), 3)):
        x, weight, bias = inputs(shape, out)
        y = conv2d(x, weight, bias, slope=0.2)
        torch.testing.assert_close(y.double(), expected(x, weight, bias, 0.2), rtol=1e-4, atol=1e-4)
    x, weight, bias = inputs()
    torch.testing.assert_close(
        conv2d(x.contiguous(), weight, bias), conv2d(x, weight, bias), rtol=1e-4, atol=1e-5
    )


def test_gradients():
    x, weight, bias = (t.double().requires_grad_() for t in inputs((1, 2, 3, 4), 3))
    assert torch.autograd.gradcheck(lambda *t: conv2d(*t, slope=0.2), (x, weight, bias))
    x, weight, bias = inputs()
    y = conv2d(x, weight.requires_grad_(), bias)
    y.sum().backward()
    assert weight.grad is not None


def test_a_changed_weight_counts_at_once():
    x, weight, bias = inputs()
    before = conv2d(x, weight, bias)
    weight.data.mul_(2)
    wanted = expected(x, weight, bias, 1.0)
    torch.testing.assert_close(conv2d(x, weight, bias).double(), wanted, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(before, conv2d(x, weight, bias))


def test_rejects():
    x, weight, bias = inputs()
    with pytest.raises(ValueError, match="conv2d: expected x"):
        conv2d(x[:, :5], weight, bias)
    with pytest.raises(ValueError, match="expected bias"):
        conv2d(x, weight, bias[1:])
    with pytest.raises(ValueError, match="slope"):
        conv2d(x, weight, bias, slope=2.0)
