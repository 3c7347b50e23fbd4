"""modulated_conv2d against per-sample weights, in float64, and numerical derivatives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

from ganvas.kernels import bias_act, modulated_conv2d, setup_filter, upfirdn2d
from ganvas.kernels.modulated_conv2d.op import modulated_conv2d_op

F4 = setup_filter([1, 3, 3, 1])


def tensors(n=2, i=3, o=4, h=5, w=4, k=3, up=1, seed=0, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=rng, dtype=torch.float64).to(dtype)

    return {
        "x": draw(n, i, h, w),
        "weight": draw(o, i, k, k),
        "styles": draw(n, i),
        "noise": draw(n, 1, h * up, w * up),
        "noise_strength": draw(),
        "bias": draw(o),
        "next_styles": draw(n, o),
    }


def per_sample_weights(x, weight, styles, up=1, demodulate=True):
    """The paper's formulation: modulate and demodulate weights, one group for each sample."""
    n, i, h, w = x.shape
    o, _, k, _ = weight.shape
    own = weight[None] * styles[:, None, :, None, None]  # [N, O, I, k, k]
    if demodulate:
        own = own * (own.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, n * i, h, w)
    if up == 1:
        y = functional.conv2d(x, own.reshape(n * o, i, k, k), padding=k // 2, groups=n)
        return y.reshape(n, o, h, w)
    transposed = own.transpose(1, 2).reshape(n * i, o, k, k)
    y = functional.conv_transpose2d(x, transposed, stride=2, groups=n)
    return upfirdn2d(y.reshape(n, o, 2 * h + 1, 2 * w + 1), F4, padding=1, gain=4.0)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("k,up", [(1, 1), (3, 1), (5, 1), (3, 2)])
def test_matches_per_sample_weights(k, up, demodulate, memory_format):
    t = tensors(k=k, up=up)
    want = per_sample_weights(t["x"], t["weight"], t["styles"], up, demodulate)
    want = want + t["noise"] * t["noise_strength"]
    want = bias_act(want, t["bias"], act="lrelu", gain=0.7, clamp=1.5)
    x, next_styles = t.pop("x").to(memory_format=memory_format), t.pop("next_styles")
    call = {**t, "up": up, "f": F4, "demodulate": demodulate}
    call |= {"act": "lrelu", "gain": 0.7, "clamp": 1.5}
    y = modulated_conv2d(x, **call)
    torch.testing.assert_close(y, want)
    scaled = modulated_conv2d(x, **call, next_styles=next_styles)
    torch.testing.assert_close(scaled, want * next_styles[:, :, None, None])


@given(
    n=st.integers(1, 3),
    i=st.integers(1, 5),
    o=st.integers(1, 5),
    h=st.integers(1, 6),
    w=st.integers(1, 6),
    k=st.sampled_from([1, 3]),
    demodulate=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_any_shape_matches_per_sample_weights(n, i, o, h, w, k, demodulate):
    t = tensors(n, i, o, h, w, k)
    for up in (1, 2) if k == 3 else (1,):
        want = per_sample_weights(t["x"], t["weight"], t["styles"], up, demodulate)
        y = modulated_conv2d(t["x"], t["weight"], t["styles"], up=up, f=F4, demodulate=demodulate)
        torch.testing.assert_close(y, want)


def test_a_modulated_input_is_not_scaled_again():
    t = tensors()
    scaled = t["x"] * t["styles"][:, :, None, None]
    y = modulated_conv2d(scaled, t["weight"], t["styles"], modulated=True)
    torch.testing.assert_close(y, modulated_conv2d(t["x"], t["weight"], t["styles"]))


@pytest.mark.parametrize("act,gain", [("linear", None), ("relu", 2.0), ("tanh", 3.0)])
@pytest.mark.parametrize("demodulate", [True, False])
def test_epilogue_equals_bias_act(act, gain, demodulate):
    t = tensors()
    plain = modulated_conv2d(t["x"], t["weight"], t["styles"], demodulate=demodulate)
    want = bias_act(plain, t["bias"], act=act, gain=gain)
    y = modulated_conv2d(
        t["x"],
        t["weight"],
        t["styles"],
        demodulate=demodulate,
        bias=t["bias"],
        act=act,
        gain=gain,
    )
    torch.testing.assert_close(y, want)
    bare = modulated_conv2d(
        t["x"], t["weight"], t["styles"], demodulate=demodulate, act=act, gain=gain
    )
    torch.testing.assert_close(bare, bias_act(plain, act=act, gain=gain))


def test_a_sample_does_not_depend_on_its_batch():
    t = tensors(n=8, i=16, o=16, h=8, w=8, dtype=torch.float32)
    whole = modulated_conv2d(t["x"], t["weight"], t["styles"])
    alone = modulated_conv2d(t["x"][5:6], t["weight"], t["styles"][5:6])
    torch.testing.assert_close(whole[5:6], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("demodulate", [True, False])
def test_gradients(up, demodulate):
    t = tensors(n=2, i=2, o=2, h=2, w=3, up=up)
    names = ("x", "weight", "styles", "noise", "noise_strength", "bias", "next_styles")

    def op(*values):
        given = dict(zip(names, values, strict=True))
        return modulated_conv2d(**given, up=up, f=F4, demodulate=demodulate, act="swish")

    inputs = [t[name].requires_grad_() for name in names]
    assert gradcheck(op, inputs)
    assert gradgradcheck(op, inputs)


def test_gradients_under_create_graph_equal_plain_ones():
    t = tensors(up=2)
    inputs = [t[name].requires_grad_() for name in ("x", "weight", "styles")]

    def grads(create_graph):
        y = modulated_conv2d(*inputs, up=2, f=F4, act="lrelu").square().sum()
        return torch.autograd.grad(y, inputs, create_graph=create_graph)

    for plain, graphed in zip(grads(False), grads(True), strict=True):
        torch.testing.assert_close(plain, graphed.detach())


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("dtype,tolerance", [(torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
def test_low_precision_stays_near_float64(dtype, tolerance, up):
    exact = tensors(n=2, i=16, o=16, h=8, w=8, up=up)
    want = modulated_conv2d(exact["x"], exact["weight"], exact["styles"], up=up, f=F4)
    low = [exact["x"].to(dtype), exact["weight"].float(), exact["styles"].float()]
    y = modulated_conv2d(*low, up=up, f=F4)
    assert y.dtype == dtype
    assert float((y.double() - want).norm() / want.norm()) < tolerance
    with torch.autocast("cpu", dtype):
        cast = modulated_conv2d(exact["x"].float(), *low[1:], up=up, f=F4)
    assert cast.dtype == dtype
    assert float((cast.double() - want).norm() / want.norm()) < tolerance


def test_float16_survives_large_styles():
    t = tensors(n=1, i=8, o=4)
    want = modulated_conv2d(t["x"], t["weight"], t["styles"] * 1e5)
    y = modulated_conv2d(t["x"].half(), t["weight"].float(), t["styles"].float() * 1e5)
    assert bool(y.isfinite().all())
    assert float((y.double() - want).norm() / want.norm()) < 3e-3


@pytest.mark.parametrize(
    "arguments,words",
    [
        ({"x": torch.zeros(2, 5, 4)}, r"x \[N, I, H, W\], got \(2, 5, 4\)"),
        ({"weight": torch.zeros(4, 2, 3, 3)}, r"weight \[O, 3, k, k\] with odd k"),
        ({"weight": torch.zeros(4, 3, 2, 2)}, "odd k"),
        ({"styles": torch.zeros(2, 4)}, r"styles \(2, 3\), got \(2, 4\)"),
        ({"up": 3}, "up 1 or 2, got 3"),
        ({"up": 2}, "3x3 weight for up 2, got f None"),
        ({"bias": torch.zeros(3)}, r"bias \(4,\), got \(3,\)"),
        ({"noise": torch.zeros(2, 1, 4, 5)}, r"noise \[2 or 1, 1, 5, 4\]"),
        ({"noise_strength": 1.0, "noise": None}, "noise with noise_strength"),
        ({"noise_strength": torch.zeros(2), "noise": torch.zeros(1, 1, 5, 4)}, "one number"),
        ({"next_styles": torch.zeros(2, 3)}, r"next_styles \(2, 4\)"),
        ({"act": "cubic"}, "got 'cubic'"),
        ({"clamp": -2.0}, "clamp >= 0 or None"),
    ],
)
def test_rejects(arguments, words):
    t = tensors(dtype=torch.float32)
    call = {"x": t["x"], "weight": t["weight"], "styles": t["styles"], **arguments}
    with pytest.raises(ValueError, match="^modulated_conv2d: expected .*" + words):
        modulated_conv2d(**call)


@pytest.mark.parametrize("change", [{"act": "tanh"}, {"gain": -1.0}, {"following": True}])
def test_the_op_itself_refuses_what_its_backward_pass_cannot_take(change):
    t = tensors(dtype=torch.float32)
    following = torch.ones(2, 4) if change.pop("following", False) else None
    settings = {"act": "lrelu", "gain": 1.0, **change}
    weight = t["weight"].requires_grad_()
    call = (t["x"], weight, t["styles"], *[None] * 4, following, None, 1, *settings.values(), None)
    with pytest.raises(ValueError, match="where it is differentiated, got"):
        modulated_conv2d_op(*call)
    with torch.no_grad():
        assert modulated_conv2d_op(*call).shape == (2, 4, 5, 4)
