"""The CUDA kernel of filtered_lrelu without a GPU: its very code, run on the host."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ganvas.kernels import explain
from ganvas.kernels.filtered_lrelu import packing, reference

from .test_filtered_lrelu_backends import CASES, case_inputs, doubled, filter_taps, random_filter
from .tolerances import assert_near

CSRC = Path(reference.__file__).parent / "csrc"

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None, reason="no C++ compiler on this machine"
)

# The names that the kernel uses; float32 alone is run.
HALVES = r"""
#pragma once
struct __half {};
struct __nv_bfloat16 {};
inline float __half2float(__half) { return 0; }
inline __half __float2half_rn(float) { return {}; }
inline float __bfloat162float(__nv_bfloat16) { return 0; }
inline __nv_bfloat16 __float2bfloat16_rn(float) { return {}; }
"""
# One thread does the work of all: every loop over a block's work then takes all of it in order.
PROGRAM = r"""
#include <cstdint>
#define __host__
#define __device__
#define __global__
#define __shared__
#define __launch_bounds__(n)
#define GANVAS_ON_HOST
struct Index { unsigned x; };
static const Index threadIdx = {0}, blockIdx = {0}, gridDim = {1};
static void __syncthreads() {}
static int min(int a, int b) { return a < b ? a : b; }
#include "filtered_lrelu_kernel.cuh"
float ganvas::flrelu::shared[1 << 16];
extern "C" int run_on_host(const GanvasFilteredLrelu* call, int tile) {
    using namespace ganvas::flrelu;
    const Layout layout = layout_of(*call, tile);
    if (layout.total > (1 << 16)) return 1;
    for (float& value : shared) value = __builtin_nanf("");
    filtered_lrelu_kernel<float>(*call, layout, tile);
    for (int i = layout.total; i < (1 << 16); ++i)
        if (shared[i] == shared[i]) return 2;
    return 0;
}
"""


@pytest.fixture(scope="module")
def run_on_host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    (folder / "host.cpp").write_text(PROGRAM)
    for name in ("cuda_bf16.h", "cuda_fp16.h"):
        (folder / name).write_text('#include "halves.h"\n')
    (folder / "halves.h").write_text(HALVES)
    command = ["g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-Wall", "-Wno-unknown-pragmas"]
    command += ["-I", str(CSRC), "-I", str(folder), str(folder / "host.cpp")]
    subprocess.run([*command, "-o", str(folder / "host.so")], check=True)
    library = ctypes.CDLL(str(folder / "host.so"))

    def with_tile(tile):
        def launch(call):
            status = library.run_on_host(ctypes.byref(call), tile)
            assert status == 0, ["", "a tile too large", "a write beyond shared memory"][status]

        return launch

    return with_tile


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("tile", [1, 5, 32])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_reference(run_on_host, case, memory_format, tile):
    check(run_on_host(tile), *case_inputs(case, memory_format))


@pytest.mark.slow
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 9), st.integers(1, 9)),
    up=st.integers(1, 4),
    down=st.integers(1, 4),
    padding=st.tuples(*[st.integers(-4, 12)] * 4),
    taps=st.tuples(filter_taps, filter_taps),
    polyphase=st.tuples(st.booleans(), st.booleans()),
    square=st.booleans(),
    clamp=st.none() | st.floats(0.125, 2, width=32),
    flip=st.booleans(),
    tile=st.integers(1, 9),
)
@settings(max_examples=500, deadline=None)
def test_any_shape(
    run_on_host, shape, up, down, padding, taps, polyphase, square, clamp, flip, tile
):
    taps_u = 6 * up if polyphase[0] else taps[0]
    taps_d = 6 * down if polyphase[1] else taps[1]
    if square and isinstance(taps_d, int):
        taps_d = (taps_d, taps_d)
    rng = torch.Generator().manual_seed(sum(shape) + sum(padding))
    fu, fd = random_filter(taps_u, rng), random_filter(taps_d, rng)
    x = torch.randn(shape, generator=rng)
    (height, width), _ = reference.sizes(x, fu, fd, up, down, padding)
    assume(width >= reference.taps(fd)[0] and height >= reference.taps(fd)[1])
    rest = (fu, fd, None, up, down, padding, 1.0, 0.25, clamp, flip)
    y = packing.forward(run_on_host(tile), x, *rest)
    assert_near(y, reference.filtered_lrelu(x.double(), *doubled(rest)), scale=2)


def check(launch, x, rest):
    wide = (x.double(), *doubled(rest))
    expected = reference.filtered_lrelu(*wide)
    rng = torch.Generator().manual_seed(6)
    dy, tangent = torch.randn(expected.shape, generator=rng), torch.randn(x.shape, generator=rng)
    assert_near(packing.forward(launch, x, *rest), expected)
    vjp = reference.filtered_lrelu_vjp(dy.double(), *wide)
    assert_near(packing.vjp(launch, dy, x, *rest), vjp)
    jvp = reference.filtered_lrelu_jvp(tangent.double(), *wide)
    assert_near(packing.jvp(launch, tangent, x, *rest), jvp)


def test_refuses_cpu_tensors():
    x, rest = case_inputs(CASES[0])
    reasons = explain("filtered_lrelu", x, *rest)
    assert reasons["cuda"] == "expected a CUDA tensor, got cpu"
