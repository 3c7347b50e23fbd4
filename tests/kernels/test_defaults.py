"""What torch was told to allocate by default reaches no kernel's memory."""

from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import Tensor

from ganvas.kernels import (
    bias_act,
    build,
    filtered_lrelu,
    modulated_conv2d,
    ops,
    setup_filter,
    upfirdn2d,
    use_backend,
)
from ganvas.kernels.modulated_conv2d import cpu_backward
from ganvas.kernels.synthesis import prepare, stylegan3

from . import test_synthesis, test_synthesis_stylegan3

REASON = build.unavailable("cpu")
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@contextmanager
def float64_by_default():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def images(*shape: int) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + sum(shape)))
    return x.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else x


F = setup_filter([1, 3, 3, 1])
X = images(2, 16, 6, 6)
ROWS = images(2, 16)
WEIGHT = images(16, 16, 3, 3)
NETWORK, WAVES = test_synthesis.network(), test_synthesis_stylegan3.network()
NETWORK_INPUTS, WAVES_INPUTS = (
    test_synthesis.inputs(NETWORK, 2),
    test_synthesis_stylegan3.latents(2),
)
CALLS = {
    "bias_act": lambda: [bias_act(X, ROWS[0], act="lrelu", clamp=1.0)],
    "upfirdn2d": lambda: [upfirdn2d(X, F, up=2, padding=(2, 1), gain=4.0)],
    "filtered_lrelu": lambda: [filtered_lrelu(X, F, None, ROWS[0], up=2, down=2, padding=3)],
    "modulated_conv2d": lambda: [
        modulated_conv2d(X, WEIGHT, ROWS, up=up, f=F, noise=X[:1, :1] if up == 1 else None)
        for up in (1, 2)
    ],
    "epilogue_backward": lambda: cpu_backward.epilogue_backward(
        X, X.neg(), ROWS, X[:, :1], None, ROWS[0], "lrelu", 1.0, 1.5, True
    ),
    "styles_backward": lambda: cpu_backward.styles_backward(X, X.neg(), ROWS),
    "synthesis": lambda: [prepare(NETWORK)(*NETWORK_INPUTS)],
    "synthesis_stylegan3": lambda: [stylegan3.prepare(WAVES)(WAVES_INPUTS)],
}


@pytest.mark.parametrize(
    "preference", [float64_by_default, lambda: torch.device("meta")], ids=["float64", "meta"]
)
@pytest.mark.parametrize("name", CALLS)
def test_a_compiled_result_is_the_same_whatever_torch_prefers(name, preference):
    with use_backend("cpu", ops=[name]) if name in ops() else nullcontext():
        expected = CALLS[name]()
        with preference():
            found = CALLS[name]()
    for result, wanted in zip(found, expected, strict=True):
        assert result.dtype == torch.float32 and result.device.type == "cpu"
        assert torch.equal(result, wanted)
