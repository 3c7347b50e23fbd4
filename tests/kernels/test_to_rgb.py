"""to_rgb against a modulated convolution, bias_act and an up-sampled image, with derivatives."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from ganvas.kernels import bias_act, modulated_conv2d, setup_filter, upfirdn2d, use_backend
from ganvas.kernels.to_rgb import reference, to_rgb
from ganvas.kernels.to_rgb.op import to_rgb_backward_op, to_rgb_op

from .tolerances import assert_near

F4 = setup_filter([1, 3, 3, 1])
FILTERS = {
    "4": F4,
    "4x4": torch.outer(F4, F4),
    "3": setup_filter([1, 2, 4]),
    "2": setup_filter([1, 3]),
    "skew": torch.tensor([[0.1, 0.2, 0.3], [0.0, -0.1, 0.2], [0.3, 0.1, 0.2], [0.1, 0.0, 0.1]]),
}
BACKENDS = ["eager", "triton"]
OPS = ("to_rgb", "to_rgb_backward")


def tensors(n=2, c=5, o=3, h=4, w=6, *, seed=0, dtype=torch.float64) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(seed)
    shapes = {
        "x": (n, c, h, w), "weight": (o, c, 1, 1), "styles": (n, c), "bias": (o,),
        "image": (n, o, h // 2, w // 2),
    }  # fmt: skip
    drawn = {
        name: torch.randn(shape, generator=rng, dtype=torch.float64)
        for name, shape in shapes.items()
    }
    return {name: t.to(dtype) for name, t in drawn.items()}


def expected(t: dict[str, Any], f: Tensor | None, clamp: float | None) -> Tensor:
    """What the layer was composed of before, in float64."""
    t = {name: value.double() for name, value in t.items()}
    y = modulated_conv2d(t["x"], t["weight"], t["styles"], demodulate=False)
    y = bias_act(y, t.get("bias"), clamp=clamp)
    if "image" in t and f is not None:
        padding = reference.upsample_padding(f)
        y = y + upfirdn2d(t["image"], f, up=2, padding=padding, gain=4.0)
    return y


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "shape", [(2, 5, 3, 4, 6), (1, 1, 1, 2, 2), (0, 3, 3, 4, 4), (3, 67, 4, 2, 10)], ids=str
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_matches_its_parts(backend, shape, dtype):
    t = tensors(*shape)
    t = {name: value.to(dtype if name == "x" else torch.float32) for name, value in t.items()}
    with use_backend(backend, ops=OPS):
        y = to_rgb(**t, f=F4, clamp=1.5)
    assert y.dtype == torch.float32 and y.is_contiguous()
    # Eager's product, and so its error, has the dtype of x.
    assert_near(y.to(dtype), expected(t, F4, 1.5), scale=4)


@pytest.mark.parametrize("name", sorted(FILTERS))
@pytest.mark.parametrize("backend", BACKENDS)
def test_any_filter(backend, name):
    t = tensors(dtype=torch.float32)
    with use_backend(backend, ops=OPS):
        y = to_rgb(**t, f=FILTERS[name])
    assert_near(y, expected(t, FILTERS[name], None))


@pytest.mark.parametrize("backend", BACKENDS)
def test_odd_sizes_and_memory_formats_without_an_image(backend):
    t = tensors(h=3, w=7, dtype=torch.float32)
    del t["image"]
    want = expected(t, None, None)
    x = t.pop("x")
    for layout in (
        x,
        x.contiguous(memory_format=torch.channels_last),
        x.transpose(2, 3).contiguous().transpose(2, 3),
        torch.stack([x, x], dim=4)[..., 0],
    ):
        with use_backend(backend, ops=OPS):
            assert_near(to_rgb(layout, **t), want)


@given(
    st.integers(0, 3), st.integers(1, 9), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6),
    st.sampled_from([None, 0.5, 2.0]), st.sampled_from(sorted(FILTERS)), st.booleans(),
    st.booleans(), st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=2000, deadline=None)
def test_any_call_matches_its_parts(n, c, o, h, w, clamp, name, with_image, with_bias, seed):
    t = tensors(n, c, o, 2 * h, 2 * w, seed=seed, dtype=torch.float32)
    if not with_image:
        del t["image"]
    if not with_bias:
        del t["bias"]
    y = to_rgb(**t, f=FILTERS[name], clamp=clamp)
    assert_near(y, expected(t, FILTERS[name], clamp), scale=2)


@pytest.mark.parametrize("clamp", [None, 1.0])
def test_derivatives(clamp):
    t = tensors(n=2, c=2, o=2, h=2, w=4)
    names = tuple(t)

    def op(*values):
        return to_rgb(**dict(zip(names, values, strict=True)), f=FILTERS["skew"], clamp=clamp)

    inputs = [value.requires_grad_() for value in t.values()]
    assert gradcheck(op, inputs)
    assert gradgradcheck(op, inputs)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("name", ["4x4", "skew", "3"])
@pytest.mark.parametrize("clamp", [None, 1.0])
@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_equal_derived_ones_and_those_under_create_graph(backend, clamp, name):
    dtype = torch.float64 if backend == "eager" else torch.float32
    t = tensors(dtype=dtype)
    inputs = [value.requires_grad_() for value in t.values()]
    want = torch.autograd.grad(expected(t, FILTERS[name], clamp).square().sum(), inputs)
    with use_backend(backend, ops=OPS):
        y = to_rgb(**t, f=FILTERS[name], clamp=clamp).square().sum()
        plain = torch.autograd.grad(y, inputs, retain_graph=True)
        graphed = torch.autograd.grad(y, inputs, create_graph=True)
    for got, again, expectation in zip(plain, graphed, want, strict=True):
        assert_near(got, expectation, scale=2)
        assert_near(again.detach(), expectation, scale=2)


@pytest.mark.parametrize("wanted", ["x", "weight", "styles", "bias", "image"])
def test_each_gradient_alone(wanted):
    t = tensors()
    leaf = t[wanted].requires_grad_()
    (got,) = torch.autograd.grad(to_rgb(**t, f=F4, clamp=1.0).square().sum(), leaf)
    (want,) = torch.autograd.grad(expected(t, F4, 1.0).square().sum(), leaf)
    torch.testing.assert_close(got, want)


def test_autocast_gives_float32():
    t = tensors(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = to_rgb(**t, f=F4)
    assert y.dtype == torch.float32
    assert float((y - to_rgb(**t, f=F4)).norm() / y.norm()) < 2e-2


def test_opcheck():
    t = tensors(dtype=torch.float32)
    values: list[Any] = [t["x"], t["weight"][:, :, 0, 0], t["styles"], t["bias"], t["image"]]
    call = (torch.randn(2, 3, 4, 6), *values[:4], F4, 1.0, [True] * 5)
    torch.library.opcheck(to_rgb_backward_op, call)
    leaves = [value.detach().requires_grad_() for value in values]
    torch.library.opcheck(to_rgb_op, (*leaves, F4, 1.0))


def test_compiles_as_one_graph():
    t = tensors(dtype=torch.float32)
    inputs = [value.requires_grad_() for value in t.values()]

    def layer(*values):
        return to_rgb(**dict(zip(t, values, strict=True)), f=F4, clamp=1.0)

    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    y, want = compiled(*inputs), layer(*inputs)
    torch.testing.assert_close(y, want)
    results = torch.autograd.grad(y.square().sum(), inputs)
    wanted = torch.autograd.grad(want.square().sum(), inputs)
    for got, expectation in zip(results, wanted, strict=True):
        torch.testing.assert_close(got, expectation)


@pytest.mark.parametrize(
    "arguments,words",
    [
        ({"x": torch.zeros(2, 5, 4)}, r"x \[N, C, H, W\], got \(2, 5, 4\)"),
        ({"weight": torch.zeros(3, 5, 3, 3)}, r"weight \[O, 5, 1, 1\]"),
        ({"styles": torch.zeros(2, 4)}, r"styles \(2, 5\), got \(2, 4\)"),
        ({"bias": torch.zeros(2)}, r"bias \(3,\), got \(2,\)"),
        ({"clamp": -1.0}, "clamp >= 0 or None"),
        ({"image": torch.zeros(2, 3, 4, 6)}, "image of half"),
        ({"f": None}, "f without gradient for an image, got None"),
    ],
)
def test_rejects(arguments, words):
    call: dict[str, Any] = {**tensors(dtype=torch.float32), "f": F4, **arguments}
    with pytest.raises(ValueError, match="^to_rgb: expected .*" + words):
        to_rgb(**call)
