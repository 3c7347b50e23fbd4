"""The compiled convolution with its epilogue, in every form, against float64."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.kernels import build, explain, modulated_conv2d, setup_filter, use_backend
from ganvas.kernels.cpu_convolution import compiled, tuning
from ganvas.kernels.cpu_convolution.compiled import Form, Method, ToRGB, Workspace
from ganvas.kernels.modulated_conv2d import reference
from ganvas.kernels.taps import separate

REASON = build.unavailable("cpu")
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

FILTER = torch.outer(setup_filter([1, 3, 3, 1]), setup_filter([1, 2, 4, 1]))
# N, I, O, H, W: odd, prime and one-pixel sizes, channels below, at and above whole vectors.
SHAPES = [
    (1, 16, 32, 4, 4),
    (3, 5, 7, 9, 6),
    (2, 40, 33, 17, 13),
    (8, 3, 3, 1, 1),
    (1, 64, 16, 37, 8),
    (2, 1, 1, 2, 31),
]
# The largest error of a result with variance 1.
TOLERANCE = 2e-5


# The down-sampling forms run in test_convolution.
FORMS = [form for form in Form if form < Form.DOWN_DIRECT]


def tensors(n: int, i: int, o: int, h: int, w: int, form: Form, seed: int = 0) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=rng)

    up = 2 if form >= Form.UP_DIRECT else 1
    size = 1 if form == Form.POINTWISE else 3
    return {
        "x": normal(n, i, h, w),
        "weight": normal(o, i, size, size) / (i * size * size) ** 0.5,
        "styles": normal(n, i) + 1,
        "d": normal(n, o),
        "noise": normal(n, 1, h * up, w * up),
        "bias": normal(o),
        "next": normal(n, o),
        "rgb": normal(3, o) / o**0.5,
        "rgb_bias": normal(3),
        "up": up,
    }


def exact(t: dict[str, Any], clamp: float | None, following: bool) -> torch.Tensor:
    return reference.modulated_conv2d(
        t["x"].double(),
        t["weight"].double(),
        t["styles"].double(),
        t["d"].double(),
        t["noise"].double(),
        torch.tensor(0.3, dtype=torch.float64),
        t["bias"].double(),
        t["next"].double() if following else None,
        FILTER.double() if t["up"] == 2 else None,
        t["up"],
        "lrelu",
        2**0.5,
        clamp,
    )


def run(
    t: dict[str, Any], method: Method, clamp: float | None, rgb: ToRGB | None, keep: bool = True
) -> torch.Tensor | None:
    """The convolution as [N, O, H', W'] with its channel padding cut off."""
    (n, i, h, w), o = t["x"].shape, t["weight"].shape[0]
    y = torch.empty(n, h * t["up"], w * t["up"], compiled.padded(o)) if keep else None
    compiled.convolve(
        compiled.pad_channels(t["x"].permute(0, 2, 3, 1)),
        compiled.pack_weight(t["weight"], method.form),
        (i, o),
        method,
        Workspace(),
        styles=compiled.pad_channels(t["styles"]),
        demodulation=compiled.pad_channels(t["d"]),
        noise=t["noise"],
        strength=0.3,
        bias=compiled.pad_channels(t["bias"]),
        alpha=0.2,
        gain=2**0.5,
        clamp=clamp,
        next_styles=None if rgb else compiled.pad_channels(t["next"]),
        fir=separate(FILTER) if t["up"] == 2 else None,
        rgb=rgb,
        y=y,
    )
    return None if y is None else y[..., :o].permute(0, 3, 1, 2)


def to_rgb(t: dict[str, Any]) -> ToRGB:
    n, _, h, w = t["x"].shape
    image = torch.ones(n, 3, h, w)
    weight, styles = compiled.pad_channels(t["rgb"]), compiled.pad_channels(t["next"])
    return ToRGB(weight, styles, t["rgb_bias"], 1.5, image)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("shared,tiles", [(True, 5), (True, 512), (False, 3), (False, 32)])
def test_matches_float64(shape, form, shared, tiles):
    t = tensors(*shape, form)
    y = run(t, Method(form, shared, tiles), clamp=1.5, rgb=None)
    assert y is not None
    torch.testing.assert_close(y.double(), exact(t, 1.5, True), rtol=0, atol=TOLERANCE)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("keep", [True, False], ids=["features", "image-only"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("shared", [True, False])
def test_to_rgb_is_added_to_the_image(shape, shared, keep):
    t = tensors(*shape, Form.WINOGRAD4)
    rgb = to_rgb(t)
    run(t, Method(Form.WINOGRAD4, shared, 7), None, rgb, keep)
    features = exact(t, None, False) * t["next"].double()[:, :, None, None]
    want = torch.einsum("nchw,oc->nohw", features, t["rgb"].double())
    want = (want + t["rgb_bias"].double()[:, None, None]).clamp(-1.5, 1.5) + 1
    torch.testing.assert_close(rgb.image.double(), want, rtol=0, atol=5 * TOLERANCE)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("shared,tiles", [(True, 11), (False, 3)])
def test_a_sample_does_not_depend_on_its_batch_or_the_threads(form, shared, tiles):
    t = tensors(8, 20, 37, 19, 23, form)
    method = Method(form, shared, tiles)
    together = run(t, method, None, None)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for i in (0, 5, 7):
            batch = ("x", "styles", "d", "noise", "next")
            alone = {k: v[i : i + 1] if k in batch else v for k, v in t.items()}
            y = run(alone, method, None, None)
            assert y is not None and together is not None
            assert torch.equal(y[0], together[i])
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_arrives(form, value):
    t = tensors(1, 16, 16, 8, 8, form)
    t["x"][0, 3, 4, 5] = value
    y = run(t, Method(form, False, 4), 2.0, None)
    assert y is not None
    here = y[:, :, 4 * t["up"], 5 * t["up"]]
    # Sums of infinities are NaN; a single one is bounded by the clamp, before the next styles.
    bounded = (here.abs() == 2 * t["next"].abs()) & (value == float("inf"))
    assert bool((here.isnan() | bounded).all())
    t = tensors(1, 16, 16, 8, 8, form)
    t["noise"][:] = float("nan")
    y = run(t, Method(form, False, 4), 2.0, None)
    assert y is not None and bool(y.isnan().all())


def test_any_call_matches_float64():
    @given(
        st.tuples(
            st.integers(1, 3),
            st.integers(1, 35),
            st.integers(1, 35),
            st.integers(1, 14),
            st.integers(1, 14),
        ),
        st.sampled_from(FORMS),
        st.booleans(),
        st.integers(1, 20),
        st.sampled_from([None, 0.5]),
        st.integers(0, 9),
    )
    @settings(max_examples=2000, deadline=None)
    def check(shape, form, shared, tiles, clamp, seed):
        t = tensors(*shape, form, seed)
        y = run(t, Method(form, shared, tiles), clamp, None)
        assert y is not None
        torch.testing.assert_close(y.double(), exact(t, clamp, True), rtol=0, atol=4 * TOLERANCE)

    check()


OP_SHAPES = [(3, 16, 32, 4, 4), (1, 32, 16, 9, 7), (2, 32, 32, 33, 16)]


@pytest.mark.parametrize("shape", OP_SHAPES, ids=str)
@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("act", ["lrelu", "linear", "relu"])
def test_the_op_on_this_backend(shape, up, act):
    if any(n != compiled.padded(n) for n in shape[1:3]):
        pytest.skip("vectors of another length")
    form = Form.UP_DIRECT if up == 2 else Form.DIRECT
    t = tensors(*shape, form)

    def op(dtype: torch.dtype) -> list[torch.Tensor]:
        x, weight, styles = (
            t[name].to(dtype).requires_grad_() for name in ("x", "weight", "styles")
        )
        y = modulated_conv2d(
            x,
            weight,
            styles,
            up=up,
            f=FILTER,
            noise=t["noise"].to(dtype),
            noise_strength=torch.tensor(0.3, dtype=dtype),
            bias=t["bias"].to(dtype),
            act=act,
            clamp=2.0,
        )
        return [y, *torch.autograd.grad(y.square().mean(), (x, weight, styles))]

    with use_backend("cpu", ops=["modulated_conv2d"]):
        results = op(torch.float32)
    assert results[0].is_contiguous(memory_format=torch.channels_last)
    for result, want in zip(results, op(torch.float64), strict=True):
        torch.testing.assert_close(result.double(), want, rtol=1e-4, atol=2 * TOLERANCE)


@pytest.mark.parametrize(
    "change,words",
    [
        ({"x": torch.zeros(1, 16, 4, 4, dtype=torch.float64)}, "float32"),
        ({"act": "swish"}, "act of linear, relu, lrelu"),
        ({"gain": -1.0}, "gain above 0"),
        ({"weight": torch.zeros(16, 16, 5, 5)}, "1x1 or 3x3"),
        ({"x": torch.zeros(0, 16, 4, 4)}, "some size"),
        ({"weight": torch.zeros(3, 16, 3, 3)}, "multiples of"),
        ({"f": torch.rand(4, 4)}, "separable"),
        ({"f": setup_filter([1, 2, 1])}, "separable"),
    ],
)
def test_other_calls_are_refused(change, words):
    call = {
        "x": torch.zeros(1, 16, 4, 4),
        "weight": torch.zeros(16, 16, 3, 3),
        **{name: None for name in ("styles", "d", "noise", "strength", "bias", "next", "f")},
        **{"up": 1, "act": "lrelu", "gain": 1.0, "clamp": None},
        **change,
    }
    assert words in str(explain("modulated_conv2d", *call.values())["cpu"])


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("size", [4, 8, 16, 64, 1024])
@pytest.mark.parametrize("channels", [(512, 512), (256, 128), (32, 32), (5, 7)])
def test_the_chosen_form_fits_the_layer(channels, size, up):
    form = tuning.choose(channels, size, up).form
    assert (form >= Form.UP_DIRECT) == (up == 2) and form != Form.POINTWISE
