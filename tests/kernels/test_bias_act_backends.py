"""bias_act's backends against float64, to the second order, eager and compiled."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.kernels import ACTIVATIONS, BackendError, bias_act, build, explain, use_backend
from ganvas.kernels.bias_act import reference
from ganvas.kernels.bias_act.op import bias_act_backward_op, bias_act_op

from .tolerances import assert_near

PIECEWISE = ["linear", "relu", "lrelu"]
SHAPES = [
    (2, 3, 5, 7),
    (1, 1, 1, 1),
    (3, 37, 1, 1),
    (2, 64, 3, 3),
    (0, 3, 4, 4),
    (5, 17),
    (3, 2, 4),
]
OPS = ("bias_act", "bias_act_backward")


@pytest.fixture(params=["eager", "cpu", "triton"])
def backend(request):
    if request.param == "cpu" and build.unavailable("cpu"):
        pytest.skip(str(build.unavailable("cpu")))
    if request.param == "triton":
        pytest.importorskip("triton")
    with use_backend(request.param, ops=OPS):
        yield request.param


def laid_out(x, layout):
    if layout == "channels_last" and x.ndim == 4:
        return x.contiguous(memory_format=torch.channels_last)
    if layout == "strided":
        return x.transpose(0, 1).contiguous().transpose(0, 1)
    return x


def both(x, b, dy, dtype, **arguments):
    """Result and gradients here, and by the reference in float64."""
    outcome = []
    for kind in (dtype, torch.float64):
        # The same rounded numbers, and the rounded clamp, go into both.
        leaves = [None if t is None else t.to(dtype).to(kind).detach() for t in (x, b)]
        leaves = [None if t is None else t.requires_grad_() for t in leaves]
        if kind == dtype:
            y = bias_act(*leaves, **arguments)
        else:
            defaults = ACTIVATIONS[arguments["act"]]
            y = reference.bias_act(
                *leaves,
                arguments.get("dim", 1),
                arguments["act"],
                defaults.alpha if arguments.get("alpha") is None else arguments["alpha"],
                defaults.gain if arguments.get("gain") is None else arguments["gain"],
                arguments.get("clamp"),
            )
        wanted = [t for t in leaves if t is not None]
        outcome.append((y, *torch.autograd.grad(y, wanted, dy.to(dtype).to(kind))))
    return outcome


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "strided"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("poisoned_empty")
def test_matches_float64(backend, shape, layout):
    rng = torch.Generator().manual_seed(0)
    x = laid_out(torch.randn(shape, generator=rng), layout)
    b, dy = torch.randn(shape[1], generator=rng), torch.randn(shape, generator=rng)
    ours, want = both(x, b, dy, torch.float32, act="lrelu", gain=0.7, clamp=0.9)
    for a, w in zip(ours, want, strict=True):
        assert_near(a.detach(), w.detach())
    if layout == "channels_last" and x.ndim == 4 and min(shape) > 1:
        assert ours[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("act", sorted(ACTIVATIONS))
def test_every_dtype_and_activation(backend, act, dtype):
    if backend == "cpu" and (act not in PIECEWISE or dtype in (torch.float16, torch.float64)):
        with pytest.raises(BackendError, match="bias_act: the forced backend 'cpu' cannot run"):
            bias_act(torch.ones(2, 3, dtype=dtype), act=act, gain=0.5)
        return
    rng = torch.Generator().manual_seed(1)
    x, dy = torch.randn(3, 5, 4, generator=rng), torch.randn(3, 5, 4, generator=rng)
    b = torch.randn(5, generator=rng)
    x = torch.where((x + b[:, None]).abs() < 0.05, x + 0.2, x)
    ours, want = both(x, b, dy, dtype, act=act)
    for a, w in zip(ours, want, strict=True):
        assert_near(a.detach(), w.detach(), scale=3.0)


@pytest.mark.parametrize("dim", [0, 1, 2, 3])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_the_bias_of_any_axis_gets_its_gradient(backend, dim, layout):
    rng = torch.Generator().manual_seed(2)
    x = laid_out(torch.randn(2, 3, 4, 5, generator=rng), layout)
    b, dy = torch.randn(x.shape[dim], generator=rng), torch.randn(x.shape, generator=rng)
    ours, want = both(x, b, dy, torch.float32, act="lrelu", dim=dim)
    for a, w in zip(ours, want, strict=True):
        assert_near(a.detach(), w.detach())


def test_infinity_and_nan_pass_as_in_pytorch(backend):
    x = torch.tensor([math.nan, math.inf, -math.inf, 0.0, -0.0] * 7)[None]
    for act in PIECEWISE:
        for clamp in (None, 2.0):
            y = bias_act(x, torch.zeros(35), act=act, gain=1.0, clamp=clamp)
            want = reference.bias_act(x, None, 1, act, ACTIVATIONS[act].alpha, 1.0, clamp)
            assert torch.equal(y.nan_to_num(7.0, 9.0, -9.0), want.nan_to_num(7.0, 9.0, -9.0))


def test_forward_and_gradients_are_the_same_in_every_run(backend):
    x = torch.randn(4, 24, 6, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    b = torch.randn(24, requires_grad=True)

    def run():
        y = bias_act(x, b, act="lrelu")
        return y, *torch.autograd.grad(y, (x, b), torch.sin(y.detach() * 50))

    for first, second in zip(run(), run(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("act,clamp", [("lrelu", 0.8), ("relu", None), ("linear", 0.8)])
def test_gradients_recorded_for_a_second_order_equal_plain_ones(backend, act, clamp):
    rng = torch.Generator().manual_seed(3)
    x = torch.randn(2, 20, 3, 4, generator=rng).requires_grad_()
    b = torch.randn(20, generator=rng).requires_grad_()
    y = bias_act(x, b, act=act, clamp=clamp)
    plain = torch.autograd.grad(y.sin().sum(), (x, b), retain_graph=True)
    recorded = torch.autograd.grad(y.sin().sum(), (x, b), create_graph=True)
    for p, r in zip(plain, recorded, strict=True):
        assert torch.equal(p, r)
    penalty = recorded[0].square().sum() + recorded[1].square().sum()
    second = torch.autograd.grad(penalty, (x, b))

    x64, b64 = (t.detach().double().requires_grad_() for t in (x, b))
    own = ACTIVATIONS[act]
    y64 = reference.bias_act(x64, b64, 1, act, own.alpha, own.gain, clamp)
    first = torch.autograd.grad(y64.sin().sum(), (x64, b64), create_graph=True)
    penalty = first[0].square().sum() + first[1].square().sum()
    for s, w in zip(second, torch.autograd.grad(penalty, (x64, b64)), strict=True):
        assert_near(s, w, scale=5.0)


@pytest.mark.parametrize("clamp", [None, 9.0])
def test_the_gradient_of_the_bias_alone_is_differentiated(backend, clamp):
    x, b = torch.randn(2, 3, 4), torch.randn(3, requires_grad=True)
    scale = torch.randn(2, 3, 4, requires_grad=True)
    y = bias_act(x, b, act="linear", gain=2.0, clamp=clamp)
    (db,) = torch.autograd.grad((y * scale).sum(), b, create_graph=True)
    (dscale,) = torch.autograd.grad(db[1], scale)
    want = torch.zeros(2, 3, 4)
    want[:, 1] = 2.0
    assert torch.equal(dscale, want)


@pytest.mark.parametrize("act", ["lrelu", "swish"])
def test_an_input_used_twice_is_counted_twice(act):
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)

    def op(x):
        return bias_act(x, x[0] * 2, act=act)

    assert torch.autograd.gradcheck(op, (x,))
    assert torch.autograd.gradgradcheck(op, (x,))
    plain = torch.autograd.grad(op(x).sin().sum(), x)[0]
    recorded = torch.autograd.grad(op(x).sin().sum(), x, create_graph=True)[0]
    torch.testing.assert_close(plain, recorded)


def floats(low, high):
    return st.floats(low, high, width=32)


@given(
    outer=st.integers(0, 40),
    channels=st.integers(1, 40),
    inner=st.integers(1, 40),
    act=st.sampled_from(PIECEWISE),
    gain=floats(0.125, 3),
    alpha=floats(0, 2),
    clamp=st.none() | floats(0.25, 2),
    biased=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    last=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=2000, deadline=None)
@pytest.mark.slow
def test_compiled_pass_equals_eager(
    outer, channels, inner, act, gain, alpha, clamp, biased, dtype, last, seed
):
    if build.unavailable("cpu"):
        pytest.skip(str(build.unavailable("cpu")))
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(outer, channels, inner, 1, generator=rng)
    x = torch.where(x.abs() < 0.1, 1.0, x)
    b = torch.zeros(channels) if biased else None
    # Numbers off a bfloat16 clamp, which rounding must not carry across it.
    dy = torch.randn(x.shape, generator=rng)
    if clamp is not None:
        clamp = reference.rounded(clamp, dtype)
        slopes = (gain, gain * reference.negative_slope(act, alpha))
        near = [((x * s).abs() - clamp).abs() < 0.03 * clamp for s in slopes]
        dy = dy.masked_fill(near[0] | near[1], 0.0)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    arguments = {"act": act, "gain": gain, "alpha": alpha, "clamp": clamp}
    with use_backend("cpu", ops=OPS):
        ours, want = both(x, b, dy, dtype, **arguments)
    for a, w in zip(ours, want, strict=True):
        assert_near(a.detach(), w.detach(), scale=3.0 * max(1, outer * inner) ** 0.5)


@pytest.mark.parametrize("act,clamp", [("lrelu", 0.5), ("linear", None), ("swish", 0.5)])
def test_opcheck(act, clamp):
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    b = torch.randn(3, requires_grad=True)
    torch.library.opcheck(bias_act_op, (x, b, 1, act, 0.2, 1.5, clamp))
    dy = torch.randn(2, 3, 4, 5, requires_grad=True)
    saved = x.detach() if act != "linear" else None
    arguments = (dy, saved, b.detach() if act == "swish" else None, 1, act, 0.2, 1.5, clamp, True)
    torch.library.opcheck(bias_act_backward_op, arguments)


def test_derivatives_of_the_backward_op_itself():
    rng = torch.Generator().manual_seed(4)
    tensors = [
        torch.randn(shape, dtype=torch.float64, generator=rng).requires_grad_()
        for shape in ((2, 3, 4), (2, 3, 4), (3,))
    ]

    def op(dy, x, b):
        return bias_act_backward_op(dy, x, b, 1, "softplus", 0.0, 1.5, None, True)

    assert torch.autograd.gradcheck(op, tensors)
    assert torch.autograd.gradgradcheck(op, tensors)


@pytest.mark.parametrize("act", ["lrelu", "swish"])
def test_compiles_into_one_graph(act):
    x = torch.randn(2, 3, 4, 5, requires_grad=True)
    b = torch.randn(3, requires_grad=True)

    def op(x, b):
        return bias_act(x, b, act=act, clamp=1.0).square()

    torch._dynamo.reset()
    compiled = torch.compile(op, backend="aot_eager", fullgraph=True)
    want = torch.autograd.grad(op(x, b).sum(), (x, b))
    for g, w in zip(torch.autograd.grad(compiled(x, b).sum(), (x, b)), want, strict=True):
        torch.testing.assert_close(g, w)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_dtype_is_kept_under_autocast(dtype):
    x = torch.ones(1, 2, 3, dtype=dtype, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = bias_act(x, torch.ones(2), act="lrelu")
    assert y.dtype == dtype
    assert torch.autograd.grad(y.sum(), x)[0].dtype == dtype


def test_every_backend_says_what_it_refuses():
    reasons = explain("bias_act", torch.ones(2, 3).int(), None, 1, "lrelu", 0.2, 1.0, None)
    assert reasons["eager"] is None
    assert "float32 or bfloat16" in str(reasons["cpu"])
