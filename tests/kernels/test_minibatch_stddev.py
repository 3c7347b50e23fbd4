"""minibatch_stddev against loops over groups, and numerical derivatives."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from ganvas.kernels import minibatch_stddev


@pytest.mark.parametrize("n,size,channels", [(8, 4, 1), (6, 3, 2), (2, 4, 1), (1, 4, 4), (4, 1, 1)])
def test_matches_loops_over_groups(n, size, channels):
    x = torch.randn(n, 4, 3, 2, dtype=torch.float64)
    y = minibatch_stddev(x, group_size=size, num_channels=channels)
    assert y.shape == (n, 4 + channels, 3, 2)
    assert torch.equal(y[:, :4], x)
    groups = n // min(size, n)
    share = 4 // channels
    for sample in range(n):
        members = x[sample % groups :: groups].numpy()
        for channel in range(channels):
            part = members[:, channel * share : (channel + 1) * share]
            want = np.sqrt(part.var(axis=0) + 1e-8).mean()
            assert y[sample, 4 + channel].numpy() == pytest.approx(want)


def test_equal_samples_have_no_deviation():
    y = minibatch_stddev(torch.ones(4, 2, 2, 2))
    assert float(y[:, 2].max()) == pytest.approx(1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_keeps_its_dtype_and_counts_in_float32(dtype):
    x = torch.randn(4, 8, 4, 4).to(dtype)
    y = minibatch_stddev(x)
    assert y.dtype == dtype
    want = minibatch_stddev(x.double())[:, 8]
    torch.testing.assert_close(y[:, 8].double(), want, rtol=torch.finfo(dtype).eps, atol=0)


def test_gradients():
    x = torch.randn(4, 2, 2, 1, dtype=torch.float64, requires_grad=True)

    def op(x):
        return minibatch_stddev(x, group_size=2, num_channels=2)

    assert gradcheck(op, (x,))
    assert gradgradcheck(op, (x,))


@pytest.mark.parametrize(
    "shape,arguments,words",
    [
        ((4, 2, 2), {}, r"x \[N, C, H, W\], got \(4, 2, 2\)"),
        ((0, 2, 2, 2), {}, r"non-empty .* got \(0, 2, 2, 2\)"),
        ((6, 2, 2, 2), {}, "got N 6, group_size 4"),
        ((4, 2, 2, 2), {"group_size": 0}, "group_size 0"),
        ((4, 2, 2, 2), {"num_channels": 3}, "got C 2, num_channels 3"),
    ],
)
def test_rejects(shape, arguments, words):
    with pytest.raises(ValueError, match="^minibatch_stddev: expected .*" + words):
        minibatch_stddev(torch.zeros(shape), **arguments)
