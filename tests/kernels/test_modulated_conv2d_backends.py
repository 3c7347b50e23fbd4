"""Every backend of modulated_conv2d, its passes and gradients, against the float64 reference."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ganvas.kernels import BackendError, backends, explain, modulated_conv2d, use_backend
from ganvas.kernels.modulated_conv2d import backward, reference
from ganvas.kernels.modulated_conv2d.op import modulated_conv2d_backward_op, modulated_conv2d_op
from ganvas.kernels.registry import select
from ganvas.kernels.upfirdn2d import setup_filter

from .tolerances import assert_near

F4 = setup_filter([1, 3, 3, 1])
FILTERS = {
    "4": F4,
    "4x4": torch.outer(F4, F4),
    "2": setup_filter([1, 2]),
    "3": setup_filter([1, 2, 4]),
    "skew": torch.tensor([[0.1, 0.2, 0.3], [0.0, -0.1, 0.2], [0.3, 0.1, 0.2], [0.1, 0.0, 0.1]]),
}
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SHAPES = [  # n, i, o, h, w, k, up
    (2, 3, 4, 5, 4, 3, 1),
    (1, 1, 1, 1, 1, 3, 1),
    (1, 1, 1, 1, 1, 3, 2),
    (3, 17, 7, 1, 13, 3, 1),
    (2, 5, 37, 4, 4, 1, 1),
    (2, 5, 3, 7, 3, 5, 1),
    (0, 3, 4, 5, 4, 3, 1),
    (0, 3, 4, 5, 4, 3, 2),
    (2, 19, 16, 7, 5, 3, 2),
    (1, 8, 33, 2, 11, 3, 2),
]


def draw(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def arguments(
    n, i, o, h, w, k=3, up=1, *, act="lrelu", gain=1.3, clamp=None, seed=0, f=F4
) -> list[Any]:
    rng = torch.Generator().manual_seed(seed)
    return [
        draw(rng, n, i, h, w), draw(rng, o, i, k, k) / (i * k * k) ** 0.5, draw(rng, n, i),
        draw(rng, n, o).abs() + 0.2, draw(rng, 1, 1, h * up, w * up), draw(rng), draw(rng, o),
        draw(rng, n, o), f if up == 2 else None, up, act, gain, clamp,
    ]  # fmt: skip


def cast(values: list[Any], dtype: torch.dtype) -> list[Any]:
    """Convert x and weight to `dtype`, all else to its statistics, f stays."""
    statistics = reference.statistics_dtype(dtype)
    low: list[Any] = [None if t is None else t.to(dtype) for t in values[:2]]
    return low + [None if t is None else t.to(statistics) for t in values[2:8]] + values[8:]


def exact(values: list[Any]) -> Tensor:
    precise: Any = cast(values, torch.float64)
    return reference.modulated_conv2d(*precise)


def runnable(backend: str, op: str = "modulated_conv2d") -> None:
    if backend not in backends(op):
        pytest.skip(f"{op} has no backend {backend}")


def run(backend: str, op: str, *values: Any) -> Any:
    """Run a forced backend; skip where the machine lacks what it needs."""
    runnable(backend, op)
    with use_backend(backend, ops=[op]):
        reason = explain(op, *values)[backend]
        if reason is not None:
            pytest.skip(f"{backend}: {reason}")
        return select(op, *values)(*values)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("backend", ["eager", "triton", "cpu"])
def test_forward_matches_float64(backend, shape, dtype):
    values = cast(arguments(*shape, clamp=0.9), dtype)
    y = run(backend, "modulated_conv2d", *values)
    assert y.dtype == dtype
    assert_near(y, exact(values), scale=2)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("act,clamp", [("linear", None), ("relu", 0.5), ("lrelu", None)])
@pytest.mark.parametrize(
    "absent", [(2,), (3,), (4, 5), (5,), (6,), (7,), (2, 3, 4, 5, 6, 7)], ids=str
)
@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("backend", ["eager", "triton", "cpu"])
def test_any_part_may_be_absent(backend, up, absent, act, clamp):
    values = cast(arguments(2, 3, 5, 3, 4, up=up, act=act, clamp=clamp), torch.float32)
    for index in absent:
        values[index] = None
    assert_near(run(backend, "modulated_conv2d", *values), exact(values))


@pytest.mark.parametrize("name", sorted(FILTERS))
@pytest.mark.parametrize("backend", ["eager", "triton", "cpu"])
def test_any_filter(backend, name):
    values = cast(arguments(2, 3, 5, 3, 4, up=2, f=FILTERS[name]), torch.float32)
    assert_near(run(backend, "modulated_conv2d", *values), exact(values))


@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("backend", ["eager", "triton", "cpu"])
def test_any_memory_format_and_noise_of_each_sample(backend, up):
    values = cast(arguments(3, 6, 5, 4, 7, up=up), torch.float32)
    values[4] = torch.randn(3, 1, 4 * up, 7 * up)
    want = exact(values)
    x = values[0]
    padded = torch.full((3, 6, 6, 9), float("nan"))
    padded[:, :, 1:5, 1:8] = x
    for layout in (
        x.contiguous(memory_format=torch.channels_last),
        x.transpose(2, 3).contiguous().transpose(2, 3),
        padded[:, :, 1:5, 1:8],
    ):
        assert_near(run(backend, "modulated_conv2d", layout, *values[1:]), want)
    values[2] = values[2].t().contiguous().t()
    values[7] = torch.stack([values[7], values[7]], dim=2)[:, :, 0]
    assert_near(run(backend, "modulated_conv2d", *values), want)


@pytest.mark.parametrize("backend", ["eager", "triton", "cpu"])
@pytest.mark.parametrize("up", [1, 2])
def test_nan_survives(backend, up):
    values = cast(arguments(1, 2, 3, 4, 4, up=up, clamp=0.5), torch.float32)
    values[0][0, 0, 2, 2] = float("nan")
    assert bool(run(backend, "modulated_conv2d", *values).isnan().any())


CASES = st.tuples(
    st.integers(0, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 8), st.integers(1, 8),
    st.sampled_from([1, 3, 5]), st.sampled_from([1, 2]),
)  # fmt: skip


@pytest.mark.parametrize(
    "backend,examples", [("eager", 2000), ("cpu", 2000), ("triton", 20)], ids=str
)
def test_any_call_matches_float64(backend, examples):
    runnable(backend)

    @given(
        CASES,
        st.sets(st.integers(2, 7)),
        st.sampled_from(backward.INVERTIBLE),
        st.sampled_from([None, 0.4, 2.0]),
        st.sampled_from(sorted(FILTERS)),
        st.integers(0, 99),
    )
    @settings(max_examples=examples, deadline=None)
    def check(case, absent, act, clamp, name, seed):
        *shape, k, up = case
        values = arguments(
            *shape, k=3 if up == 2 else k, up=up, act=act, clamp=clamp, seed=seed, f=FILTERS[name]
        )
        values = cast(values, torch.float32)
        for index in absent:
            values[index] = None
        with use_backend(backend, ops=["modulated_conv2d"]):
            if explain("modulated_conv2d", *values)[backend] is not None:
                return
            y = select("modulated_conv2d", *values)(*values)
        assert_near(y, exact(values), scale=2)
        ran.append(case)

    ran: list[Any] = []
    check()
    if not ran:
        pytest.skip(f"{backend} is not available here")


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("absent", [(), (3,), (4, 5), (5,), (6,), (3, 4, 5, 6)], ids=str)
@pytest.mark.parametrize("act,clamp", [("linear", 0.7), ("relu", None), ("lrelu", 0.7)])
@pytest.mark.parametrize("backend", ["eager", "triton", "cpu"])
def test_epilogue_backward_matches_float64(backend, act, clamp, absent, dtype):
    values = cast(arguments(2, 3, 19, 5, 7, act=act, clamp=clamp), dtype)
    for index in (*absent, 7):
        values[index] = None
    y = reference.modulated_conv2d(*values)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(5)).to(dtype)
    rest: tuple[Any, ...] = (*values[3:7], act, 1.3, clamp, 4 not in absent)
    results = run(backend, "modulated_conv2d_epilogue_backward", dy, y, *rest)
    precise: list[Any] = [t.double() if isinstance(t, Tensor) else t for t in (dy, y, *rest)]
    if clamp is not None:  # the bound that y was rounded to
        precise[-2] = torch.tensor(clamp, dtype=dtype).item()
    wanted = backward.epilogue_backward(*precise)
    for got, want in zip(results, wanted, strict=True):
        assert (got is None) == (want is None)
        if got is not None and want is not None:
            # Sums of low precision come from rounded terms in eager, from exact ones elsewhere.
            assert_near(got.to(dtype), want, scale=4)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "shape", [(2, 19, 5, 7), (1, 1, 1, 1), (0, 3, 2, 2), (2, 64, 3, 3)], ids=str
)
@pytest.mark.parametrize("backend", ["eager", "triton", "cpu"])
def test_styles_backward_matches_float64(backend, shape, dtype):
    rng = torch.Generator().manual_seed(6)
    dxs, x = draw(rng, *shape).to(dtype), draw(rng, *shape).to(dtype)
    styles = draw(rng, *shape[:2]).float()
    results = run(backend, "modulated_conv2d_styles_backward", dxs, x, styles)
    wanted = backward.styles_backward(dxs.double(), x.double(), styles.double())
    for got, want in zip(results, wanted, strict=True):
        assert_near(got.to(dtype), want, scale=4)


@pytest.mark.parametrize("absent", [(), (2,), (3,), (4, 5), (5,), (6,)], ids=str)
@pytest.mark.parametrize("act,clamp", [("linear", None), ("relu", None), ("lrelu", 0.7)])
@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("backend", ["eager", "triton", "cpu"])
def test_fused_gradients_equal_derived_ones(backend, up, act, clamp, absent):
    runnable(backend, "modulated_conv2d_epilogue_backward")
    dtype = torch.float64 if backend == "eager" else torch.float32
    values = cast(arguments(2, 3, 5, 4, 3, up=up, act=act, clamp=clamp), dtype)
    for index in (*absent, 7):
        values[index] = None
    leaves: list[Any] = [None if t is None else t.requires_grad_() for t in values[:7]]
    wanted_for = [t for t in leaves if t is not None]
    y = reference.modulated_conv2d(*leaves, *values[7:])
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(5)).to(dtype)
    wanted = torch.autograd.grad(y, wanted_for, dy)
    with use_backend(backend, ops=[op for op in PASSES if backend in backends(op)]):
        reason = explain("modulated_conv2d_epilogue_backward", dy, y, *values[3:7])[backend]
        if reason is not None:
            pytest.skip(f"{backend}: {reason}")
        fused = modulated_conv2d_op(*leaves, *values[7:])
        results = torch.autograd.grad(fused, wanted_for, dy)
    for got, want in zip(results, wanted, strict=True):
        assert_near(got, want, scale=2)


PASSES = (
    "modulated_conv2d",
    "modulated_conv2d_epilogue_backward",
    "modulated_conv2d_styles_backward",
)


@pytest.mark.parametrize("wanted", range(7))
def test_each_gradient_alone(wanted):
    values = arguments(2, 3, 4, 3, 3)
    values[7] = None
    leaf = values[wanted].requires_grad_()
    (alone,) = torch.autograd.grad(modulated_conv2d_op(*values).square().sum(), leaf)
    (want,) = torch.autograd.grad(reference.modulated_conv2d(*values).square().sum(), leaf)
    torch.testing.assert_close(alone, want)


@pytest.mark.parametrize("up", [1, 2])
def test_opcheck(up):
    values = cast(arguments(2, 3, 4, 5, 4, up=up, clamp=0.9), torch.float32)
    torch.library.opcheck(modulated_conv2d_op, tuple(values))
    values[7] = None
    y = modulated_conv2d_op(*values)
    call = (torch.randn_like(y), y, *values[:7], *values[8:])
    torch.library.opcheck(modulated_conv2d_backward_op, (*call, [True] * 7))
    torch.library.opcheck(modulated_conv2d_backward_op, (*call, [False, True] + [False] * 5))
    leaves = [t.requires_grad_() for t in values[:7]]
    torch.library.opcheck(modulated_conv2d_op, (*leaves, *values[7:]))


@pytest.mark.parametrize("act", ["lrelu", "swish"])
@pytest.mark.parametrize("up", [1, 2])
def test_compiles_as_one_graph(act, up):
    rng = torch.Generator().manual_seed(7)
    shapes = ((2, 3, 5, 4), (4, 3, 3, 3), (2, 3), (1, 1, 5 * up, 4 * up), (), (4,))
    inputs = [draw(rng, *shape).float().requires_grad_() for shape in shapes]

    def layer(x, weight, styles, noise, strength, bias):
        return modulated_conv2d(
            x, weight, styles, up=up, f=F4, noise=noise, noise_strength=strength, bias=bias,
            act=act, clamp=1.0,
        )  # fmt: skip

    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    y, want = compiled(*inputs), layer(*inputs)
    torch.testing.assert_close(y, want)
    results = torch.autograd.grad(y.square().sum(), inputs)
    for got, expected in zip(
        results, torch.autograd.grad(want.square().sum(), inputs), strict=True
    ):
        torch.testing.assert_close(got, expected)


def test_result_is_channels_last_and_inputs_stay():
    values = arguments(2, 3, 4, 5, 4)
    copies = [t.clone() for t in values[:8]]
    y = modulated_conv2d_op(*values)
    assert y.is_contiguous(memory_format=torch.channels_last)
    for value, copy in zip(values[:8], copies, strict=True):
        torch.testing.assert_close(value, copy, rtol=0, atol=0)


def test_a_forced_backend_that_refuses_says_why():
    x, weight, styles = torch.zeros(1, 2, 3, 3), torch.zeros(4, 2, 3, 3), torch.zeros(1, 2)
    forced = use_backend("triton", ops=["modulated_conv2d"])
    with forced, pytest.raises(BackendError, match="act of"):
        modulated_conv2d(x, weight, styles, act="swish")
    reasons = explain("modulated_conv2d", *arguments(1, 2, 4, 3, 3))
    assert "CUDA tensor, got cpu" in str(reasons["triton"])
