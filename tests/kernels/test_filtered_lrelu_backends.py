"""The compiled backends of filtered_lrelu against its reference in float64."""

import importlib.util
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ganvas.kernels import BackendError, explain, use_backend
from ganvas.kernels import build as kernel_build
from ganvas.kernels.filtered_lrelu import filtered_lrelu, reference
from ganvas.kernels.filtered_lrelu.geometry import layer_geometry

from .tolerances import assert_near

OPS = ("filtered_lrelu", "filtered_lrelu_vjp", "filtered_lrelu_jvp")
CSRC = Path(reference.__file__).parent / "csrc"

needs_compiler = pytest.mark.skipif(
    kernel_build.unavailable("cpu") is not None, reason="needs a C++ compiler and ninja"
)
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
BACKENDS = [
    pytest.param("cpu", marks=needs_compiler),
    pytest.param("triton", marks=needs_triton),
    "eager",
]
# shape, up, down, padding, taps of fu and fd (None, one number or two), clamp
CASES = [
    ((1, 17, 13, 11), 2, 2, (9, 8, 9, 8), 12, 12, 0.7),  # StyleGAN3-T
    ((2, 16, 13, 14), 4, 2, (-2, -5, -2, -5), 24, (12, 12), None),  # R
    ((1, 3, 5, 19), 2, 2, (11, 10, 11, 10), 12, (12, 12), 0.5),
    ((1, 33, 1, 1), 4, 4, (23, 24, 26, 24), 24, 24, 1.0),  # one pixel
    ((2, 5, 7, 5), 1, 2, (3, 4, -1, 6), None, (3, 5), None),
    ((1, 2, 4, 31), 3, 1, (-2, 5, 7, 0), (5, 2), None, 0.3),
    ((1, 1, 2, 3), 2, 3, (1, 6, 3, 5), 1, 4, 0.2),
    ((1, 16, 40, 37), 1, 1, 0, None, None, None),
]


@contextmanager
def forced(backend):
    with use_backend(backend, ops=OPS):
        yield


def random_filter(taps, rng, symmetric=False):
    if taps is None:
        return None
    f = torch.randn(taps, dtype=torch.float64, generator=rng)
    f = f / f.square().sum().sqrt()
    return ((f + f.flip(0)) / 2 if symmetric else f).float()


def case_inputs(case, memory_format=torch.contiguous_format, symmetric=False):
    shape, up, down, padding, taps_u, taps_d, clamp = case
    rng = torch.Generator().manual_seed(4)
    x = torch.randn(shape, generator=rng).contiguous(memory_format=memory_format)
    b = torch.randn(shape[1], generator=rng)
    fu, fd = random_filter(taps_u, rng), random_filter(taps_d, rng, symmetric)
    padding = (padding,) * 4 if isinstance(padding, int) else padding
    return x, (fu, fd, b, up, down, padding, 1.3, 0.2, clamp, False)


def doubled(arguments):
    return tuple(a.double() if isinstance(a, torch.Tensor) else a for a in arguments)


def check(backend, x, rest):
    """Forward pass and both derivatives against float64; slopes at a kink may differ."""
    expected = reference.filtered_lrelu(x.double(), *doubled(rest))
    rng = torch.Generator().manual_seed(5)
    dy = torch.randn(expected.shape, generator=rng)
    tangent = torch.randn(x.shape, generator=rng)
    with forced(backend):
        y = torch.ops.ganvas.filtered_lrelu(x, *rest)
        dx = torch.ops.ganvas.filtered_lrelu_vjp(dy, x, *rest)
        jvp = torch.ops.ganvas.filtered_lrelu_jvp(tangent, x, *rest)
    assert_near(y, expected)
    wide = (x.double(), *doubled(rest))
    assert_near(dx, reference.filtered_lrelu_vjp(dy.double(), *wide))
    assert_near(jvp, reference.filtered_lrelu_jvp(tangent.double(), *wide))
    last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    for result in (y, dx, jvp):
        layout = torch.channels_last if last else torch.contiguous_format
        assert result.is_contiguous(memory_format=layout)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_matches_reference(backend, case, memory_format, symmetric):
    if backend == "triton" and min(case[1:3]) == 1:
        pytest.skip("the Triton kernel refuses factors of 1")
    check(backend, *case_inputs(case, memory_format, symmetric))


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("backend", BACKENDS[::2])
def test_strided_input_and_any_number_of_threads(backend, threads):
    x, rest = case_inputs(((2, 18, 70, 9), *CASES[0][1:]))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        check(backend, x.transpose(2, 3), rest)
        check(backend, x[:, :, ::2, 1:], rest)
        check(backend, x[:, 1:2].expand(2, 18, 70, 9), rest)
    finally:
        torch.set_num_threads(before)


@needs_compiler
@pytest.mark.parametrize("radial", [False, True])
def test_layers_of_stylegan3(radial):
    for layer in layer_geometry(32, radial=radial, channel_base=1024, channel_max=20)[:-1]:
        rng = torch.Generator().manual_seed(layer.index)
        size = (1, layer.out_channels, layer.conv_size, layer.conv_size)
        x = torch.randn(size, generator=rng).contiguous(memory_format=torch.channels_last)
        b = torch.randn(layer.out_channels, generator=rng)
        rest = (layer.up_filter(), layer.down_filter(), b, layer.up, layer.down)
        rest = (*rest, layer.padding, 2**0.5, 0.2, 256.0, False)
        with forced("cpu"):
            y = torch.ops.ganvas.filtered_lrelu(x, *rest)
        expected = reference.filtered_lrelu(x.double(), *doubled(rest))
        assert (y - expected).abs().max() < 5e-6


filter_taps = st.none() | st.integers(1, 9) | st.tuples(st.integers(1, 5), st.integers(1, 5))


@pytest.mark.slow
@needs_compiler
@given(
    shape=st.tuples(
        st.integers(1, 2), st.sampled_from([1, 2, 15, 16, 17]), *[st.integers(1, 12)] * 2
    ),
    up=st.integers(1, 4),
    down=st.integers(1, 4),
    padding=st.tuples(*[st.integers(-4, 12)] * 4),
    taps=st.tuples(filter_taps, filter_taps),
    polyphase=st.tuples(st.booleans(), st.booleans()),
    square=st.booleans(),
    clamp=st.none() | st.floats(0.125, 2, width=32),
    slope=st.floats(-0.5, 1.5, width=32),
    flip=st.booleans(),
    last=st.booleans(),
)
@settings(max_examples=2000, deadline=None)
def test_any_shape(shape, up, down, padding, taps, polyphase, square, clamp, slope, flip, last):
    taps_u = 6 * up if polyphase[0] else taps[0]
    taps_d = 6 * down if polyphase[1] else taps[1]
    if square and isinstance(taps_d, int):
        taps_d = (taps_d, taps_d)
    rng = torch.Generator().manual_seed(sum(shape) + sum(padding))
    fu, fd = random_filter(taps_u, rng), random_filter(taps_d, rng, symmetric=last)
    x = torch.randn(shape, generator=rng)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    b = torch.randn(shape[1], generator=rng) if flip else None
    (height, width), _ = reference.sizes(x, fu, fd, up, down, padding)
    assume(width >= reference.taps(fd)[0] and height >= reference.taps(fd)[1])
    rest = (fu, fd, b, up, down, padding, 1.0, slope, clamp, flip)
    with forced("cpu"):
        y = torch.ops.ganvas.filtered_lrelu(x, *rest)
        dx = torch.ops.ganvas.filtered_lrelu_vjp(torch.ones_like(y), x, *rest)
    assert_near(y, reference.filtered_lrelu(x.double(), *doubled(rest)), scale=2)
    wide = (x.double(), *doubled(rest))
    expected = reference.filtered_lrelu_vjp(torch.ones_like(y).double(), *wide)
    # A value within rounding of a kink may take the other slope; all others agree.
    wrong = ~torch.isclose(dx.double(), expected, rtol=1e-4, atol=1e-4)
    assert int(wrong.sum()) <= 0.01 * dx.numel() or _near_kink(x, rest)


def _near_kink(x, rest):
    fu, _, b, up, _, padding, gain, slope, clamp, flip = rest
    open_ended = (fu, None, b, up, 1, padding, gain, slope, None, flip)
    mid = reference.filtered_lrelu(x.double(), *doubled(open_ended))
    bound = mid.abs() if clamp is None else torch.minimum(mid.abs(), (mid.abs() - clamp).abs())
    # Where padding alone is under the filter, 0 is no rounding: both take the same slope.
    return bool(((bound < 1e-5) & (mid != 0)).any())


@needs_compiler
def test_nan_and_infinity_stay_where_the_filters_reach():
    x, rest = case_inputs(((1, 16, 20, 20), *CASES[0][1:]))
    clean = torch.ops.ganvas.filtered_lrelu(x, *rest)
    x[0, 3, 10, 10] = torch.nan
    with forced("cpu"):
        y = torch.ops.ganvas.filtered_lrelu(x, *rest)
    expected = reference.filtered_lrelu(x, *rest)
    assert torch.equal(y.isnan(), expected.isnan()) and y.isnan().any()
    torch.testing.assert_close(y[:, 4:], clean[:, 4:])


@needs_compiler
def test_gradients_flow_through_the_compiled_pass():
    x, rest = case_inputs(CASES[0], torch.channels_last)
    fu, fd, b, up, down, padding, gain, slope, clamp, _ = rest
    grads = []
    for backend, dtype in (("cpu", torch.float32), ("eager", torch.float64)):
        leaf, bias = x.to(dtype).requires_grad_(), b.to(dtype).requires_grad_()
        with forced(backend):
            y = filtered_lrelu(
                leaf, fu.to(dtype), fd.to(dtype), bias, up=up, down=down, padding=padding,
                gain=gain, slope=slope, clamp=clamp,
            )  # fmt: skip
            first = torch.autograd.grad(y.square().sum(), (leaf, bias), create_graph=True)
            penalty = first[0].square().sum() + first[1].square().sum()
            grads.append((*first, *torch.autograd.grad(penalty, (leaf, bias))))
    for ours, theirs in zip(*grads, strict=True):
        assert (ours - theirs).norm() < 1e-4 * theirs.norm()


def test_refusals_name_their_reason():
    x, rest = case_inputs(CASES[0])
    assert "float32" in explain("filtered_lrelu", x.double(), *rest)["cpu"]
    negative = (*rest[:6], -1.0, *rest[7:])
    assert "gain > 0" in explain("filtered_lrelu", x, *negative)["cpu"]
    many = (*rest[:3], 65, *rest[4:])
    assert "at most 64" in explain("filtered_lrelu", x, *many)["cpu"]
    refusal = explain("filtered_lrelu_vjp", x.half(), x, *rest)["cpu"]
    assert "float32 direction" in refusal
    with forced("cpu"), pytest.raises(BackendError, match="cpu"):
        torch.ops.ganvas.filtered_lrelu(x.double(), *rest)


HOST_PROGRAM = """
#include <cmath>
#include <cstdio>
#include "filtered_lrelu_math.h"
using namespace ganvas::flrelu;
typedef float Vec __attribute__((vector_size(64)));
int main() {
    const float values[] = {-8.f, -2.f, -0.5f, 0.f, 0.25f, 1.f, 3.f, INFINITY, -INFINITY, NAN};
    for (float v : values) {
        const float y = rectify(v, 0.25f, 1.0f), s = rectify_slope(v, 0.25f, 1.0f, 1.0f);
        const Vec wide = rectify(Vec{} + v, Vec{} + 0.25f, Vec{} + 1.0f);
        const bool same = wide[7] == y || (wide[7] != wide[7] && y != y);
        std::printf("%g %g %d\\n", y, s, int(same));
    }
}
"""


@needs_compiler
def test_element_maths_on_the_host(tmp_path):
    (tmp_path / "host.cpp").write_text(HOST_PROGRAM)
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-Wno-psabi", "-I", str(CSRC)]
    command += [str(tmp_path / "host.cpp"), "-o", str(tmp_path / "host")]
    subprocess.run(command, check=True)
    done = subprocess.run([tmp_path / "host"], check=True, capture_output=True, text=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert " ".join(line[0] for line in lines[:-1]) == "-1 -0.5 -0.125 0 0.25 1 1 1 -1"
    assert " ".join(line[1] for line in lines[:-1]) == "0 0.25 0.25 0.25 1 1 0 0 0"
    assert "nan" in lines[-1][0]
    assert all(line[2] == "1" for line in lines)
