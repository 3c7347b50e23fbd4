"""upfirdn2d's backends against float64, to the second order, eager and compiled."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.kernels import BackendError, backends, build, explain, setup_filter, upfirdn2d
from ganvas.kernels import use_backend as use
from ganvas.kernels.upfirdn2d import reference
from ganvas.kernels.upfirdn2d.op import upfirdn2d_op

from .tolerances import assert_near

F4 = setup_filter([1, 3, 3, 1])
# up, down, padding, filter, shape
CASES = [
    (2, 1, (2, 1, 2, 1), torch.outer(F4, F4), (2, 19, 4, 6)),
    (1, 2, 1, torch.outer(F4, F4), (2, 3, 8, 6)),
    (1, 1, 2, F4, (1, 33, 5, 7)),
    (1, 1, (-1, 2, 0, -1), setup_filter([1, 2, 5]), (2, 3, 7, 5)),
    ((2, 1), (1, 2), (3, 0), torch.outer(F4[:3], F4), (1, 2, 5, 7)),
    ((3, 2), (2, 3), (2, 3, 4, 1), F4, (2, 17, 4, 5)),
    (4, 1, 0, F4[:2], (1, 1, 3, 3)),
    (1, 3, 6, setup_filter(range(1, 13)), (1, 20, 9, 2)),
    (1, 1, 1, torch.ones(1), (1, 1, 1, 1)),
]


@pytest.fixture(params=["eager", "cpu", "triton"])
def backend(request):
    if request.param == "cpu" and build.unavailable("cpu"):
        pytest.skip(str(build.unavailable("cpu")))
    if request.param == "triton":
        pytest.importorskip("triton")
    if request.param not in backends("upfirdn2d"):
        pytest.skip(f"no backend {request.param}")
    with use(request.param, ops=["upfirdn2d"]):
        yield request.param


def pair(value):
    return (value, value) if isinstance(value, int) else value


def exact(x, f, up, down, padding, flip=False, gain=1.0):
    """The reference in float64, of the same rounded x."""
    pads = pair(padding) if not isinstance(padding, tuple) else padding
    pads = pads if len(pads) == 4 else (pads[0], pads[0], pads[1], pads[1])
    return reference.upfirdn2d(x, f.double(), pair(up), pair(down), pads, flip, gain)


def compare(x, f, dy_seed, flip, up, down, padding, scale=1.0):
    x = x.detach().requires_grad_()
    y = upfirdn2d(x, f, up=up, down=down, padding=padding, flip_filter=flip, gain=1.5)
    x64 = x.detach().double().requires_grad_()
    want = exact(x64, f, up, down, padding, flip, 1.5)
    assert_near(y.detach(), want.detach(), scale=scale)
    assert y.dtype == x.dtype
    rng = torch.Generator().manual_seed(dy_seed)
    dy = torch.randn(y.shape, generator=rng).to(x.dtype)
    (dx,) = torch.autograd.grad(y, x, dy)
    (dx64,) = torch.autograd.grad(want, x64, dy.double())
    assert_near(dx, dx64, scale=scale)
    return y


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "strided"])
@pytest.mark.parametrize("up,down,padding,f,shape", CASES, ids=lambda v: "" if v is None else None)
@pytest.mark.usefixtures("poisoned_empty")
def test_matches_float64(backend, up, down, padding, f, shape, layout, flip):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    if layout == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    elif layout == "strided":
        x = x.transpose(1, 3).contiguous().transpose(1, 3)
    y = compare(x, f, 1, flip, up, down, padding)
    if layout == "channels_last":
        assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_dtype(backend, dtype):
    x = torch.randn(2, 18, 6, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    if backend == "cpu" and dtype in (torch.float16, torch.float64):
        with pytest.raises(BackendError, match="expected float32 or bfloat16"):
            upfirdn2d(x, F4)
        return
    if backend == "cuda" and dtype is torch.float64:  # its taps are float32
        with pytest.raises(BackendError, match="expected float32, float16 or bfloat16"):
            upfirdn2d(x, F4)
        return
    compare(x, F4, 1, False, 2, 1, (2, 1, 2, 1))


def test_filters_of_full_rank(backend):
    f = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    x = torch.randn(2, 3, 5, 6)
    if backend == "cpu":
        with pytest.raises(BackendError, match="expected a separable filter"):
            upfirdn2d(x.contiguous(memory_format=torch.channels_last), f)
        return
    compare(x, f, 1, False, (2, 1), (1, 2), (1, 2, 3, 2))


@pytest.mark.usefixtures("poisoned_empty")
def test_a_result_without_samples_of_x_is_zero(backend):
    x = torch.randn(1, 32, 2, 2).contiguous(memory_format=torch.channels_last)
    y = upfirdn2d(x, F4[:2], padding=(5, 0, 5, 0))
    assert y.shape == (1, 32, 6, 6) and float(y[:, :, :3, :3].abs().max()) == 0
    assert upfirdn2d(x[:0], F4, padding=2).shape == (0, 32, 3, 3)
    assert float(upfirdn2d(x[:, :, :0], F4, padding=4).abs().max()) == 0


def test_nan_stays_where_its_taps_are(backend):
    x = torch.zeros(1, 16, 6, 6).contiguous(memory_format=torch.channels_last)
    x[:, :, 2, 2] = float("nan")
    y = upfirdn2d(x, F4, up=2, padding=(2, 1, 2, 1))
    touched = y[0, 0].isnan().nonzero()
    assert touched.min(0).values.tolist() == [3, 3] and touched.max(0).values.tolist() == [6, 6]


@pytest.mark.parametrize("up,down,padding", [(2, 1, (2, 1, 2, 1)), (1, 2, (1, 1, 1, 1))])
def test_recorded_gradients_equal_plain_ones_and_go_on(backend, up, down, padding):
    x = torch.randn(2, 20, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()

    def op(x, f=F4):
        return upfirdn2d(x, f, up=up, down=down, padding=padding)

    plain = torch.autograd.grad(op(x).sin().sum(), x)[0]
    recorded = torch.autograd.grad(op(x).sin().sum(), x, create_graph=True)[0]
    assert torch.equal(plain, recorded)
    second = torch.autograd.grad(recorded.square().sum(), x)[0]
    x64 = x.detach().double().requires_grad_()
    first = torch.autograd.grad(
        exact(x64, F4, up, down, padding).sin().sum(), x64, create_graph=True
    )[0]
    assert_near(second, torch.autograd.grad(first.square().sum(), x64)[0])


factor = st.integers(1, 3)


@given(
    batch=st.integers(1, 2),
    channels=st.sampled_from([1, 2, 3, 15, 16, 17, 40]),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    up=st.tuples(factor, factor),
    down=st.tuples(factor, factor),
    padding=st.tuples(*[st.integers(-2, 6)] * 4),
    taps=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    square=st.booleans(),
    flip=st.booleans(),
    last=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float32, torch.bfloat16]),
    seed=st.integers(0, 99),
)
@settings(max_examples=2000, deadline=None)
@pytest.mark.slow
def test_compiled_pass_equals_eager(
    batch, channels, size, up, down, padding, taps, square, flip, last, dtype, seed
):
    if build.unavailable("cpu"):
        pytest.skip(str(build.unavailable("cpu")))
    taps = taps if square else (taps[0], taps[0])
    room_y = size[0] * up[1] + padding[2] + padding[3]
    room_x = size[1] * up[0] + padding[0] + padding[1]
    if room_y < taps[0] or room_x < taps[1]:
        return
    rng = torch.Generator().manual_seed(seed)
    f = torch.randn(taps[0], generator=rng)
    if square:
        f = torch.outer(f, torch.randn(taps[1], generator=rng))
    x = torch.randn(batch, channels, *size, generator=rng).to(dtype)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    with use("cpu", ops=["upfirdn2d"]):
        compare(x, f, seed, flip, up, down, padding, scale=10.0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_opcheck(layout):
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=layout).requires_grad_()
    torch.library.opcheck(upfirdn2d_op, (x, F4, (2, 1), (1, 2), (2, 1, 2, 1), False, 4.0))


def test_compiles_into_one_graph():
    x = torch.randn(2, 3, 4, 5, requires_grad=True)

    def op(x):
        return upfirdn2d(x, F4, up=2, padding=(2, 1, 2, 1), gain=4.0).square()

    torch._dynamo.reset()
    compiled = torch.compile(op, backend="aot_eager", fullgraph=True)
    want = torch.autograd.grad(op(x).sum(), x)[0]
    torch.testing.assert_close(torch.autograd.grad(compiled(x).sum(), x)[0], want)


def test_every_backend_says_what_it_refuses():
    half = torch.ones(1, 1, 4, 4).half()
    reasons = explain("upfirdn2d", half, F4, (1, 1), (1, 1), (0, 0, 0, 0), False, 1.0)
    assert reasons["eager"] is None
    assert "float32 or bfloat16" in str(reasons["cpu"])
    narrow = torch.ones(8, 512, 8, 8)
    reasons = explain("upfirdn2d", narrow, F4, (1, 1), (1, 1), (0, 0, 0, 0), False, 1.0)
    assert "expected channels_last or rows" in str(reasons["cpu"])
