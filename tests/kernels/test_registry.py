"""Choosing backends: the preferred one that takes a call runs, a forced one never falls back."""

import threading

import pytest
import torch

from ganvas.kernels import BackendError, backends, bias_act, explain, ops, registry, use_backend
from ganvas.kernels.registry import register, select

OPS = ("bias_act", "upfirdn2d", "modulated_conv2d", "minibatch_stddev")


@pytest.fixture
def example(monkeypatch):
    """An op of three backends: `cuda` refuses all, `cpu` refuses negative numbers."""
    monkeypatch.setattr(registry, "_implementations", dict(registry._implementations))
    register("example", "eager", lambda x: ("eager", x))
    register("example", "cuda", lambda x: ("cuda", x), refuse=lambda x: "expected a GPU")
    register(
        "example",
        "cpu",
        lambda x: ("cpu", x),
        refuse=lambda x: f"expected x >= 0, got {x}" if x < 0 else None,
    )
    return "example"


@pytest.mark.parametrize("op", OPS)
def test_every_op_has_its_reference(op):
    assert op in ops()
    assert backends(op)[-1] == "eager"


@pytest.mark.parametrize(("x", "name"), [(1, "cpu"), (-1, "eager")])
def test_the_first_backend_that_takes_the_call_runs_it(example, x, name):
    assert select(example, x)(x) == (name, x)


def test_every_refusal_says_why(example):
    assert explain(example, -1) == {
        "cuda": "expected a GPU",
        "cpu": "expected x >= 0, got -1",
        "eager": None,
    }


def test_a_forced_backend_gives_the_same_result():
    x = torch.randn(2, 3)
    with use_backend("eager"):
        forced = bias_act(x, act="lrelu")
    torch.testing.assert_close(forced, bias_act(x, act="lrelu"))


def test_a_forced_backend_that_refuses_raises_its_reason(example):
    with (
        use_backend("cpu"),
        pytest.raises(BackendError, match="forced backend 'cpu' cannot run: expected x >= 0"),
    ):
        select(example, -1)


def test_only_the_named_ops_are_forced(example):
    with use_backend("eager", ops=[example]):
        assert registry.is_forced("eager", example)
        assert not registry.is_forced("eager", "bias_act")


def test_the_inner_choice_wins_and_ends_with_its_block(example):
    with use_backend("cpu"):
        with use_backend("eager"):
            assert select(example, 1)(1) == ("eager", 1)
        assert select(example, 1)(1) == ("cpu", 1)
    assert not registry.is_forced("cpu", example)


def test_a_choice_is_seen_by_other_threads(example):
    """Autograd runs the backward pass of CUDA ops on threads of its own."""
    seen = []
    with use_backend("eager"):
        thread = threading.Thread(target=lambda: seen.append(select(example, 1)(1)))
        thread.start()
        thread.join()
    assert seen == [("eager", 1)]


@pytest.mark.parametrize("text", ["eager", "example=eager", "bias_act=eager, example=eager"])
def test_the_environment_forces_a_backend(example, monkeypatch, text):
    monkeypatch.setenv("GANVAS_BACKEND", text)
    assert select(example, 1)(1) == ("eager", 1)


@pytest.mark.parametrize("text", ["fpga", "example=triton", "conv9d=eager"])
def test_a_wrong_environment_is_refused(example, monkeypatch, text):
    monkeypatch.setenv("GANVAS_BACKEND", text)
    with pytest.raises(BackendError, match="expected"):
        select(example, 1)


def test_a_missing_backend_is_refused_and_named(example):
    with (
        pytest.raises(BackendError, match=r"expected a backend of \[cuda, cpu, eager\], got 'tpu'"),
        use_backend("tpu", ops=[example]),
    ):
        pytest.fail("the block must not run")


def test_unknown_ops_and_double_registration_are_refused(example):
    with pytest.raises(BackendError, match="got 'conv9d'"):
        backends("conv9d")
    with pytest.raises(BackendError, match="registered already"):
        register(example, "eager", print)
    with pytest.raises(BackendError, match="got 'fpga'"):
        register(example, "fpga", print)
