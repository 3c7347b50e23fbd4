"""Choosing backends: what exists runs, what does not is refused."""

import pytest
import torch

from ganvas.kernels import BackendError, backends, bias_act, use_backend
from ganvas.kernels.registry import register, select

OPS = ("bias_act", "upfirdn2d", "modulated_conv2d", "minibatch_stddev")


@pytest.mark.parametrize("op", OPS)
def test_every_op_has_its_reference(op):
    assert "eager" in backends(op)


def test_a_forced_backend_gives_the_same_result():
    x = torch.randn(2, 3)
    with use_backend("eager"):
        forced = bias_act(x, act="lrelu")
    assert torch.equal(forced, bias_act(x, act="lrelu"))


def test_a_missing_backend_is_refused_and_named():
    with (
        pytest.raises(BackendError, match=r"expected a backend of \[eager\], got 'triton'"),
        use_backend("triton"),
    ):
        pytest.fail("the block must not run")


def test_a_refused_backend_changes_nothing():
    with pytest.raises(BackendError), use_backend("cuda"):
        pass
    assert select("bias_act")


def test_unknown_ops_and_double_registration_are_refused():
    with pytest.raises(BackendError, match="got 'conv9d'"):
        backends("conv9d")
    with pytest.raises(BackendError, match="registered already"):
        register("bias_act", "eager", select("bias_act"))
    with pytest.raises(BackendError, match="got 'fpga'"):
        register("bias_act", "fpga", select("bias_act"))
