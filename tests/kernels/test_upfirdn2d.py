"""upfirdn2d against scipy, hand-computed samples and numerical derivatives."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from torch.autograd import gradcheck, gradgradcheck

from ganvas.kernels import setup_filter, upfirdn2d

CASES = [
    (1, 1, 0, (4, 4)),
    (1, 1, (1, 2, 2, 1), (3, 4)),
    (2, 1, (2, 1, 2, 1), (4, 4)),
    (1, 2, 1, (4, 4)),
    ((2, 1), (1, 2), (3, 0), (2, 5)),
    ((3, 2), (2, 3), (2, 3, 4, 1), (4, 3)),
    (1, 1, (-1, 2, 0, -2), (2, 2)),
    (2, 1, (-2, 5, 4, -3), (4, 4)),
    (2, 1, 6, (3, 3)),
]


def four(padding):
    numbers = [padding] if isinstance(padding, int) else list(padding)
    return (
        numbers * 4 if len(numbers) == 1 else [n for n in numbers for _ in range(4 // len(numbers))]
    )


def pair(value):
    return (value, value) if isinstance(value, int) else value


def by_scipy(x, f, up, down, padding, flip=False, gain=1.0):
    """Zero-insert, pad or crop, convolve with scipy, take every down-th sample."""
    (ux, uy), (dx, dy) = pair(up), pair(down)
    left, right, top, bottom = four(padding)
    f = f.numpy()
    f = np.outer(f, f) if f.ndim == 1 else f
    f = f[::-1, ::-1] if flip else f
    planes = []
    for plane in x.detach().reshape(-1, *x.shape[2:]).numpy():
        big = np.zeros((plane.shape[0] * uy, plane.shape[1] * ux))
        big[::uy, ::ux] = plane
        big = np.pad(big, [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))])
        big = big[max(-top, 0) : big.shape[0] - max(-bottom, 0)]
        big = big[:, max(-left, 0) : big.shape[1] - max(-right, 0)]
        planes.append(gain * signal.convolve2d(big, f, mode="valid")[::dy, ::dx])
    return torch.from_numpy(np.stack(planes)).reshape(*x.shape[:2], *planes[0].shape)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("up,down,padding,taps", CASES, ids=str)
def test_matches_scipy(up, down, padding, taps, flip):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 7, 5, dtype=torch.float64, generator=rng)
    f = torch.randn(taps, dtype=torch.float64, generator=rng)
    y = upfirdn2d(x, f, up=up, down=down, padding=padding, flip_filter=flip, gain=1.5)
    torch.testing.assert_close(y, by_scipy(x, f, up, down, padding, flip, 1.5))


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    up=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    down=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(*[st.integers(-2, 4)] * 4),
    taps=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
@settings(max_examples=40, deadline=None)
def test_any_shape_matches_scipy_or_is_refused(height, width, up, down, padding, taps):
    x = torch.arange(2.0 * height * width, dtype=torch.float64).reshape(1, 2, height, width).cos()
    f = torch.arange(1.0, 1 + taps[0] * taps[1], dtype=torch.float64).reshape(taps)
    room_y = height * up[1] + padding[2] + padding[3]
    room_x = width * up[0] + padding[0] + padding[1]
    if room_y < taps[0] or room_x < taps[1]:
        with pytest.raises(ValueError, match="upfirdn2d: expected a padded"):
            upfirdn2d(x, f, up=up, down=down, padding=padding)
        return
    y = upfirdn2d(x, f, up=up, down=down, padding=padding)
    torch.testing.assert_close(y, by_scipy(x, f, up, down, padding))


def test_upsampling_one_pixel_by_hand():
    f = setup_filter([1, 3, 3, 1])
    y = upfirdn2d(torch.ones(1, 1, 1, 1), f, up=2, padding=(2, 1, 2, 1), gain=4.0)
    assert y.flatten().tolist() == [9 / 16] * 4


def test_downsampling_a_row_by_hand():
    x = torch.tensor([0.0, 8.0, 16.0, 24.0]).reshape(1, 1, 1, 4)
    f = torch.tensor([[0.125, 0.375, 0.375, 0.125]])
    y = upfirdn2d(x, f, down=(2, 1), padding=(1, 1, 0, 0))
    # (0 + 3 * 0 + 3 * 8 + 16) / 8 and (8 + 3 * 16 + 3 * 24 + 0) / 8
    assert y.flatten().tolist() == [5.0, 16.0]


def test_unflipped_filter_is_a_convolution():
    x = torch.zeros(1, 1, 1, 5)
    x[..., 2] = 1
    f = torch.tensor([[1.0, 2.0, 4.0]])
    assert upfirdn2d(x, f, padding=(1, 0)).flatten().tolist() == [0, 1, 2, 4, 0]
    assert upfirdn2d(x, f, padding=(1, 0), flip_filter=True).flatten().tolist() == [0, 4, 2, 1, 0]


def test_a_separable_filter_equals_its_outer_product():
    x = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    f = setup_filter([1, 2, 5])
    whole = upfirdn2d(x, torch.outer(f, f), padding=1)
    torch.testing.assert_close(upfirdn2d(x, f, padding=1), whole)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept_also_under_autocast(dtype):
    x = torch.ones(1, 1, 4, 4, dtype=dtype)
    with torch.autocast("cpu", torch.bfloat16):
        y = upfirdn2d(x, setup_filter([1, 3, 3, 1]), up=2, padding=(2, 1, 2, 1), gain=4.0)
    assert y.dtype == dtype
    assert float(y[0, 0, 3, 3]) == 1.0


@pytest.mark.parametrize("up,down", [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_channels_last_and_strided_inputs_give_the_same(up, down):
    x = torch.randn(2, 4, 10, 6)
    f = setup_filter([1, 3, 3, 1])
    y = upfirdn2d(x, f, up=up, down=down, padding=2)
    last = upfirdn2d(x.to(memory_format=torch.channels_last), f, up=up, down=down, padding=2)
    torch.testing.assert_close(last, y)
    strided = x.transpose(2, 3).contiguous().transpose(2, 3)
    torch.testing.assert_close(upfirdn2d(strided, f, up=up, down=down, padding=2), y)


@pytest.mark.parametrize("up,down,padding,taps", CASES, ids=str)
def test_gradients(up, down, padding, taps):
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    f = torch.randn(taps, dtype=torch.float64)

    def op(x):
        return upfirdn2d(x, f, up=up, down=down, padding=padding)

    assert gradcheck(op, (x,))
    assert gradgradcheck(op, (x,))


def test_empty_batch_passes_through():
    y = upfirdn2d(torch.zeros(0, 3, 8, 8), setup_filter([1, 3, 3, 1]), down=2, padding=1)
    assert y.shape == (0, 3, 4, 4)


@pytest.mark.parametrize(
    "arguments,words",
    [
        ({"x": torch.zeros(3, 4, 4)}, r"expected floating-point x \[N, C, H, W\], got \(3, 4, 4\)"),
        ({"x": torch.zeros(1, 1, 4, 4, dtype=torch.int64)}, "int64"),
        ({"f": torch.zeros(2, 2, 2)}, r"1-D or 2-D, got \(2, 2, 2\)"),
        ({"f": torch.ones(2, requires_grad=True)}, "without gradient"),
        ({"up": 0}, "expected up >= 1"),
        ({"down": (1, 2, 3)}, "expected down"),
        ({"padding": (1, 2, 3)}, "expected padding of 1, 2 or 4"),
        ({"padding": -2}, "expected a padded width"),
    ],
)
def test_rejects(arguments, words):
    call = {"x": torch.zeros(1, 1, 4, 4), "f": torch.ones(2), **arguments}
    with pytest.raises(ValueError, match="^upfirdn2d: .*" + words):
        upfirdn2d(call.pop("x"), call.pop("f"), **call)


@pytest.mark.parametrize("taps", [[], [1, -1], [float("nan")]])
def test_setup_filter_rejects_filters_without_a_sum(taps):
    with pytest.raises(ValueError, match="setup_filter: expected"):
        setup_filter(taps)
