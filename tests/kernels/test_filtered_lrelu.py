"""filtered_lrelu against a float64 composition of scipy's parts, and numerical derivatives."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from torch.autograd import gradcheck, gradgradcheck

from ganvas.kernels import registry
from ganvas.kernels.filtered_lrelu import filtered_lrelu

GAIN = math.sqrt(2)
# up, down, padding, taps of fu and fd (None, one number or two), clamp
CASES = [
    (1, 1, 0, None, None, None),
    (2, 2, (9, 8), 12, 12, 0.7),
    (4, 2, (10, 9), 24, (12, 12), None),
    (2, 2, (4, 3, 5, 2), (4, 3), (2, 5), 1.0),
    (1, 2, (-1, 4, 2, -1), None, 3, None),
    (3, 1, (2, -2, 1, 0), 5, None, 0.1),
    (2, 3, 4, None, (1, 2), 0.5),
    (1, 1, (-1, -1), 1, 1, 0.3),
]


def four(padding):
    numbers = [padding] if isinstance(padding, int) else list(padding)
    return numbers * 4 if len(numbers) == 1 else list(np.repeat(numbers, 4 // len(numbers)))


def by_scipy(x, fu, fd, b, up, down, padding, gain=GAIN, slope=0.2, clamp=None, flip=False):
    """Zero-insert, pad or crop, convolve, rectify, convolve, take every down-th sample; float64."""
    left, right, top, bottom = four(padding)
    kernels = []
    for f in (fu, fd):
        f = np.ones((1, 1)) if f is None else f.double().numpy()
        f = np.outer(f, f) if f.ndim == 1 else f
        kernels.append(f[::-1, ::-1] if flip else f)
    planes = []
    x = x.detach().double()
    x = x if b is None else x + b.detach().double()[:, None, None]
    for plane in x.reshape(-1, *x.shape[2:]).numpy():
        big = np.zeros((plane.shape[0] * up, plane.shape[1] * up))
        big[::up, ::up] = plane
        big = np.pad(big, [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))])
        big = big[max(-top, 0) : big.shape[0] - max(-bottom, 0)]
        big = big[:, max(-left, 0) : big.shape[1] - max(-right, 0)]
        mid = up**2 * signal.convolve2d(big, kernels[0], mode="valid")
        mid = gain * np.where(mid > 0, mid, slope * mid)
        mid = mid if clamp is None else mid.clip(-clamp, clamp)
        planes.append(signal.convolve2d(mid, kernels[1], mode="valid")[::down, ::down])
    return torch.from_numpy(np.stack(planes)).reshape(*x.shape[:2], *planes[0].shape)


def random_filter(taps, rng, dtype=torch.float64):
    if taps is None:
        return None
    shape = (taps,) if isinstance(taps, int) else taps
    return (torch.randn(shape, dtype=torch.float64, generator=rng) / math.prod(shape)).to(dtype)


def inputs(case, shape=(2, 3, 7, 9), dtype=torch.float64):
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(shape, dtype=torch.float64, generator=rng).to(dtype)
    b = torch.randn(shape[1], dtype=torch.float64, generator=rng).to(dtype)
    return x, random_filter(case[3], rng), random_filter(case[4], rng), b


def keywords(case):
    return {"up": case[0], "down": case[1], "padding": case[2], "clamp": case[5]}


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_scipy(case, flip):
    x, fu, fd, b = inputs(case)
    y = filtered_lrelu(x, fu, fd, b, **keywords(case), gain=1.3, slope=0.4, flip_filter=flip)
    expected = by_scipy(x, fu, fd, b, *case[:3], gain=1.3, slope=0.4, clamp=case[5], flip=flip)
    torch.testing.assert_close(y, expected)


filter_taps = st.none() | st.integers(1, 7) | st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    up=st.integers(1, 4),
    down=st.integers(1, 4),
    padding=st.tuples(*[st.integers(-3, 7)] * 4),
    taps=st.tuples(filter_taps, filter_taps),
    clamp=st.none() | st.floats(0, 2),
    flip=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_any_shape_matches_scipy_or_is_refused(size, up, down, padding, taps, clamp, flip):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, *size, dtype=torch.float64, generator=rng)
    fu, fd = (random_filter(t, rng) for t in taps)
    call = {"up": up, "down": down, "padding": padding, "clamp": clamp, "flip_filter": flip}
    extents = [[1, 1] if f is None else [f.shape[-1], f.shape[0]] for f in (fu, fd)]
    room = (size[1] * up + sum(padding[:2]), size[0] * up + sum(padding[2:]))
    if any(n < a + b - 1 for n, a, b in zip(room, *extents, strict=True)):
        with pytest.raises(ValueError, match="filtered_lrelu: expected a padded"):
            filtered_lrelu(x, fu, fd, **call)
        return
    y = filtered_lrelu(x, fu, fd, **call)
    expected = by_scipy(x, fu, fd, None, up, down, padding, clamp=clamp, flip=flip)
    torch.testing.assert_close(y, expected)


def test_one_pixel_by_hand():
    # 3 - 1 = 2 spreads over two samples of 2 each; -1 of the second channel becomes -0.5.
    x = torch.tensor([3.0, 0.0]).reshape(1, 2, 1, 1)
    b = torch.tensor([-1.0, -1.0])
    f = torch.tensor([[0.5, 0.5]])
    y = filtered_lrelu(x, f, None, b, up=2, padding=(1, 0, 0, -1), gain=2.0, slope=0.25)
    assert y.flatten().tolist() == [8.0, 8.0, -1.0, -1.0]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients(case):
    x, fu, fd, b = inputs(case, (1, 2, 5, 4))

    def call(x, b):
        return filtered_lrelu(x, fu, fd, b, **keywords(case))

    x, b = x.requires_grad_(), b.requires_grad_()
    assert gradcheck(call, (x, b))
    assert gradgradcheck(call, (x, b))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_equal_those_of_the_composition_also_with_create_graph(case):
    x, fu, fd, b = inputs(case)
    x, b = x.requires_grad_(), b.requires_grad_()
    with registry.use_backend("eager"):
        y = filtered_lrelu(x, fu, fd, b, **keywords(case))
    dy = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(2))
    from ganvas.kernels.filtered_lrelu import reference

    pads = tuple(four(case[2]))
    by_reference = reference.filtered_lrelu(
        x, fu, fd, b, case[0], case[1], pads, math.sqrt(2), 0.2, case[5], False
    )
    torch.testing.assert_close(y, by_reference)
    expected = torch.autograd.grad(by_reference, (x, b), dy)
    plain = torch.autograd.grad(y, (x, b), dy, retain_graph=True)
    graphed = torch.autograd.grad(y, (x, b), dy, create_graph=True)
    torch.testing.assert_close(plain, expected)
    torch.testing.assert_close(graphed, expected)


def test_penalty_on_gradients_equals_that_of_the_composition():
    case = CASES[1]
    x, fu, fd, _ = inputs(case)
    weight = torch.randn(
        3, 3, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    )
    from ganvas.kernels.filtered_lrelu import reference

    def penalty(op):
        w, image = weight.clone().requires_grad_(), x.clone().requires_grad_()
        y = op(torch.conv2d(image, w, padding=1))
        (gradient,) = torch.autograd.grad(y.square().sum(), image, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), w)[0]

    def composed(x):
        rest = (2, 2, tuple(four(case[2])), math.sqrt(2), 0.2, case[5], False)
        return reference.filtered_lrelu(x, fu, fd, None, *rest)

    ours = penalty(lambda x: filtered_lrelu(x, fu, fd, **keywords(case)))
    torch.testing.assert_close(ours, penalty(composed))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_dtype_and_memory_format_are_kept(dtype, memory_format):
    x, fu, fd, b = inputs(CASES[1])
    x = x.to(dtype).contiguous(memory_format=memory_format)
    with torch.autocast("cpu", torch.bfloat16):
        y = filtered_lrelu(x, fu.float(), fd.float(), b.float(), **keywords(CASES[1]))
    assert y.dtype == dtype
    assert y.is_contiguous(memory_format=memory_format)


def test_the_result_is_never_the_input():
    x = torch.ones(1, 1, 2, 2)
    y = filtered_lrelu(x, gain=1.0)
    assert y.data_ptr() != x.data_ptr()
    torch.testing.assert_close(y, x)


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 0, 8, 8)])
def test_empty_batch_and_no_channels_pass_through(shape):
    x = torch.zeros(shape, requires_grad=True)
    y = filtered_lrelu(x, torch.ones(12), torch.ones(12), up=2, down=2, padding=11)
    assert y.shape == shape
    y.sum().backward()
    assert x.grad.shape == shape


@pytest.mark.parametrize("case", CASES[:4], ids=str)
def test_opcheck(case):
    x, fu, fd, b = inputs(case, (1, 2, 5, 4))
    rest = (fu, fd, b, case[0], case[1], four(case[2]), 1.4, 0.2, case[5], False)
    rest = tuple([int(n) for n in r] if isinstance(r, list) else r for r in rest)
    x.requires_grad_()
    y = torch.ops.ganvas.filtered_lrelu(x, *rest)
    dy = torch.ones_like(y).requires_grad_()
    torch.library.opcheck(torch.ops.ganvas.filtered_lrelu, (x, *rest))
    torch.library.opcheck(torch.ops.ganvas.filtered_lrelu_vjp, (dy.detach(), x.detach(), *rest))
    torch.library.opcheck(torch.ops.ganvas.filtered_lrelu_vjp, (dy, x.detach(), *rest))
    tangent = torch.ones_like(x)
    torch.library.opcheck(torch.ops.ganvas.filtered_lrelu_jvp, (tangent, x.detach(), *rest))


@pytest.mark.parametrize("case", CASES[1:3], ids=str)
def test_compiled_equals_plain(case):
    x, fu, fd, b = inputs(case)

    def step(x):
        return filtered_lrelu(x, fu, fd, b, **keywords(case)).square().sum()

    compiled = torch.compile(step, backend="aot_eager", fullgraph=True)
    results = []
    for function in (step, compiled):
        leaf = x.clone().requires_grad_()
        loss = function(leaf)
        results.append((loss.detach(), torch.autograd.grad(loss, leaf)[0]))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize(
    "arguments,words",
    [
        ({"x": torch.zeros(3, 4, 4)}, r"expected floating-point x \[N, C, H, W\].*\(3, 4, 4\)"),
        ({"x": torch.zeros(1, 1, 4, 4, dtype=torch.int64)}, "int64"),
        ({"x": torch.zeros(1, 1, 0, 4)}, "at least one pixel"),
        ({"fu": torch.zeros(2, 2, 2)}, r"fu, 1-D or 2-D, got \(2, 2, 2\)"),
        ({"fd": torch.zeros(0)}, r"fd, 1-D or 2-D, got \(0,\)"),
        ({"fd": torch.ones(2, requires_grad=True)}, "fd without gradient"),
        ({"fu": torch.ones(2, device="meta")}, "fu on cpu"),
        ({"b": torch.ones(2)}, r"b \[1\] on cpu, got \(2,\)"),
        ({"up": 0}, "expected up >= 1"),
        ({"down": 1.5}, "expected down >= 1"),
        ({"padding": (1, 2, 3)}, "expected padding of 1, 2 or 4"),
        ({"padding": -2}, "expected a padded width of at least 1"),
        ({"gain": math.inf}, "expected a finite gain"),
        ({"slope": math.nan}, "expected a finite slope"),
        ({"clamp": -1.0}, "expected clamp >= 0"),
    ],
)
def test_rejects(arguments, words):
    call = {"x": torch.zeros(1, 1, 4, 4), **arguments}
    with pytest.raises(ValueError, match="^filtered_lrelu: .*" + words):
        filtered_lrelu(call.pop("x"), **call)


def test_slopes_have_the_precision_of_the_image():
    x = torch.tensor([2.0, -2.0], dtype=torch.float64).reshape(1, 1, 1, 2).requires_grad_()
    filtered_lrelu(x, gain=1 / 3, slope=0.1).sum().backward()
    assert x.grad is not None
    want = torch.tensor([1 / 3, 0.1 / 3], dtype=torch.float64)
    torch.testing.assert_close(x.grad.flatten(), want, rtol=1e-15, atol=0)
