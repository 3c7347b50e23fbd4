"""minibatch_stddev's backends against float64, to the second order, eager and compiled."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.kernels import minibatch_stddev, use_backend
from ganvas.kernels.minibatch_stddev import reference
from ganvas.kernels.minibatch_stddev.op import minibatch_stddev_backward_op, minibatch_stddev_op

from .tolerances import assert_near

OPS = ("minibatch_stddev", "minibatch_stddev_backward")


@pytest.fixture(params=["eager", "triton"])
def backend(request):
    if request.param == "triton":
        pytest.importorskip("triton")
    with use_backend(request.param, ops=OPS):
        yield request.param


def compare(x, group_size, num_channels):
    x = x.detach().requires_grad_()
    x64 = x.detach().double().requires_grad_()
    y = minibatch_stddev(x, group_size=group_size, num_channels=num_channels)
    want = reference.minibatch_stddev(x64, min(group_size, len(x)), num_channels, 1e-8)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(5)).to(x.dtype)
    assert y.dtype == x.dtype
    assert_near(y.detach(), want.detach())
    (dx,) = torch.autograd.grad(y, x, dy)
    (dx64,) = torch.autograd.grad(want, x64, dy.double())
    assert_near(dx, dx64, scale=3.0)
    return y


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "strided"])
@pytest.mark.parametrize(
    "shape,group_size,num_channels",
    [((8, 6, 3, 5), 4, 2), ((3, 1, 1, 1), 3, 1), ((2, 80, 4, 4), 4, 1), ((5, 2, 2, 3), 1, 1)],
)
@pytest.mark.usefixtures("poisoned_empty")
def test_matches_float64(backend, shape, group_size, num_channels, layout, dtype):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    if layout == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    elif layout == "strided":
        x = x.transpose(0, 1).contiguous().transpose(0, 1)
    if group_size == 1:
        x = x.detach()
        y = minibatch_stddev(x, group_size=1, num_channels=num_channels)
        assert_near(y[:, shape[1] :], torch.full_like(y[:, shape[1] :], 1e-4, dtype=torch.float64))
        return
    y = compare(x, group_size, num_channels)
    if layout == "channels_last" and min(shape) > 1:
        assert y.is_contiguous(memory_format=torch.channels_last)


@given(
    groups=st.integers(1, 4),
    size=st.integers(2, 5),
    shares=st.integers(1, 3),
    share=st.integers(1, 4),
    pixels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    last=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=2000, deadline=None)
@pytest.mark.slow
def test_any_shape_matches_float64(groups, size, shares, share, pixels, last, seed):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(groups * size, shares * share, *pixels, generator=rng)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    compare(x, size, shares)


def test_recorded_gradients_equal_plain_ones_and_go_on(backend):
    x = torch.randn(4, 6, 3, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def penalty(x, op):
        plain = torch.autograd.grad(op(x).sin().sum(), x)[0]
        recorded = torch.autograd.grad(op(x).sin().sum(), x, create_graph=True)[0]
        torch.testing.assert_close(plain, recorded)
        return torch.autograd.grad(recorded.square().sum(), x)[0]

    second = penalty(x, lambda x: minibatch_stddev(x, group_size=2, num_channels=3))
    x64 = x.detach().double().requires_grad_()
    want = penalty(x64, lambda x: reference.minibatch_stddev(x, 2, 3, 1e-8))
    assert_near(second, want, scale=10.0)


def test_derivatives_of_the_backward_op_itself():
    rng = torch.Generator().manual_seed(4)
    x = torch.randn(4, 2, 2, 1, dtype=torch.float64, generator=rng).requires_grad_()
    dy = torch.randn(4, 3, 2, 1, dtype=torch.float64, generator=rng).requires_grad_()

    def op(dy, x):
        return minibatch_stddev_backward_op(dy, x, 2, 1, 1e-8)

    assert torch.autograd.gradcheck(op, (dy, x))
    assert torch.autograd.gradgradcheck(op, (dy, x))


def test_opcheck():
    x = torch.randn(4, 2, 3, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    torch.library.opcheck(minibatch_stddev_op, (x, 2, 2, 1e-8))
    dy = torch.randn(4, 4, 3, 5, requires_grad=True)
    torch.library.opcheck(minibatch_stddev_backward_op, (dy, x, 2, 2, 1e-8))


def test_compiles_into_one_graph():
    x = torch.randn(4, 2, 3, 5, requires_grad=True)

    def op(x):
        return minibatch_stddev(x, group_size=2).square()

    torch._dynamo.reset()
    compiled = torch.compile(op, backend="aot_eager", fullgraph=True)
    want = torch.autograd.grad(op(x).sum(), x)[0]
    torch.testing.assert_close(torch.autograd.grad(compiled(x).sum(), x)[0], want)
