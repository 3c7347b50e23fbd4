"""CUDA sources without a GPU: they compile under torch's own flags, spill nothing, and their
element maths runs on the host."""

import ctypes
import re
import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from ganvas.kernels import BackendError, build, cuda_host, upfirdn2d
from ganvas.kernels.upfirdn2d import cuda_backend

NVCC = shutil.which("nvcc")
CXX = shutil.which("g++") or shutil.which("clang++")
KERNELS = Path(build.__file__).parent

needs_nvcc = pytest.mark.skipif(NVCC is None, reason="no nvcc on this machine")
needs_compiler = pytest.mark.skipif(CXX is None, reason="no C++ compiler on this machine")


def relative(path):
    return path.relative_to(KERNELS).as_posix()


@needs_nvcc
@pytest.mark.parametrize("target", ["80", "90"])
@pytest.mark.parametrize("source", build.sources("cuda"), ids=relative)
def test_compiles_without_warnings_or_spills(source, target, tmp_path):
    done = subprocess.run(
        [
            str(NVCC),
            *build.NVCC_FLAGS,
            "-Xptxas",
            "-v,--warn-on-spills",
            "-gencode",
            f"arch=compute_{target},code=sm_{target}",
            "-c",
            str(source),
            "-o",
            str(tmp_path / "kernel.o"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert spills, "ptxas reported no kernel"
    assert set(spills) == {("0", "0")}


@needs_nvcc
def test_the_sources_link_into_one_library_that_loads_without_a_driver(tmp_path):
    library = tmp_path / "ganvas_cuda.so"
    subprocess.run(
        [
            str(NVCC),
            *build.NVCC_FLAGS,
            *("-gencode", "arch=compute_90,code=sm_90", "-shared", "-cudart", "static"),
            *map(str, build.sources("cuda")),
            "-o",
            str(library),
        ],
        check=True,
    )
    loaded = ctypes.CDLL(str(library))
    for op in ("upfirdn2d", "filtered_lrelu"):
        assert hasattr(loaded, f"ganvas_{op}_cuda")


HOST_MATHS = r"""
#define __host__
#define __device__
#include <cstdio>
#include "upfirdn2d_math.cuh"
int main() {
  for (int up = 1; up <= 5; ++up)
    for (int down = 1; down <= 4; ++down)
      for (int before = -7; before <= 9; ++before)
        for (long out = 0; out < 12; ++out) {
          const Taps t = first_tap(out, up, down, before);
          std::printf("%d %d %d %ld %ld %d\n", up, down, before, out, (long)t.sample, t.tap);
        }
}
"""


@needs_compiler
def test_the_first_tap_is_the_nearest_that_falls_on_a_sample(tmp_path):
    (tmp_path / "host.cpp").write_text(HOST_MATHS)
    program = tmp_path / "host"
    headers = KERNELS / "upfirdn2d" / "csrc"
    subprocess.run(
        [str(CXX), "-std=c++17", f"-I{headers}", str(tmp_path / "host.cpp"), "-o", str(program)],
        check=True,
    )
    lines = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in lines.splitlines()]
    assert len(rows) == 5 * 4 * 17 * 12
    for up, down, before, out, sample, tap in rows:
        position = out * down - before + tap
        assert 0 <= tap < up
        assert position == sample * up


@needs_compiler
@pytest.mark.parametrize(
    ("structure", "name"),
    [(cuda_backend._Axis, "Upfirdn2dAxis"), (cuda_backend._Params, "Upfirdn2dParams")],
)
def test_the_python_side_of_a_structure_is_laid_out_as_the_header(structure, name, tmp_path):
    fields = [field[0] for field in structure._fields_]
    prints = "".join(f'std::printf("%zu ", offsetof({name}, {field}));' for field in fields)
    (tmp_path / "cuda_runtime_api.h").write_text("typedef void* cudaStream_t;\n")
    (tmp_path / "layout.cpp").write_text(
        "#include <cstddef>\n#include <cstdio>\n"
        '#include "upfirdn2d.h"\n'
        f'int main() {{ {prints} std::printf("%zu", sizeof({name})); }}\n'
    )
    program = tmp_path / "layout"
    headers = [f"-I{tmp_path}", f"-I{KERNELS / 'upfirdn2d' / 'csrc'}"]
    subprocess.run(
        [str(CXX), "-std=c++17", *headers, str(tmp_path / "layout.cpp"), "-o", str(program)],
        check=True,
    )
    told = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout.split()
    here = [getattr(structure, field).offset for field in fields] + [ctypes.sizeof(structure)]
    assert list(map(int, told)) == here


# What the compiler of a GPU provides, for one thread a block on the host.
SHIM = r"""
#pragma once
#include <cstdint>
typedef void* cudaStream_t;
struct __half {};
struct __nv_bfloat16 {};
float __half2float(__half);
__half __float2half_rn(float);
float __bfloat162float(__nv_bfloat16);
__nv_bfloat16 __float2bfloat16_rn(float);
struct Index { unsigned x; };
static Index blockIdx{0}, threadIdx{0}, gridDim{3};
#define __host__
#define __device__
#define __global__
#define __shared__ static
#define __launch_bounds__(threads)
static inline void __syncthreads() {}
"""
HOST_KERNEL = r"""
#include "upfirdn2d_kernel.cuh"
template <bool kLast>
static void run(const Upfirdn2dParams& p, int unrolled) {
  for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) {
    if (unrolled == 1) upfirdn2d_kernel<float, kLast, 2, 1, 4>(p);
    else if (unrolled == 2) upfirdn2d_kernel<float, kLast, 1, 2, 4>(p);
    else if (unrolled == 3) upfirdn2d_kernel<float, kLast, 1, 1, 4>(p);
    else upfirdn2d_kernel<float, kLast, 0, 0, 0>(p);
  }
}
extern "C" void host_kernel(const Upfirdn2dParams* p, int last, int unrolled) {
  last ? run<true>(*p, unrolled) : run<false>(*p, unrolled);
}
"""


@pytest.fixture(scope="module")
def host_kernel(tmp_path_factory):
    """The CUDA kernel's own source, compiled for the host with one thread a block."""
    if CXX is None:
        pytest.skip("no C++ compiler on this machine")
    folder = tmp_path_factory.mktemp("host")
    for name in ("cuda_fp16.h", "cuda_bf16.h", "cuda_runtime_api.h"):
        (folder / name).write_text('#include "shim.h"\n')
    (folder / "shim.h").write_text(SHIM)
    (folder / "kernel.cpp").write_text(HOST_KERNEL)
    library = folder / "kernel.so"
    headers = [f"-I{folder}", f"-I{KERNELS / 'upfirdn2d' / 'csrc'}"]
    flags = ["-std=c++17", "-O1", "-fPIC", "-shared", "-DGANVAS_THREADS=1", "-fsanitize=undefined"]
    subprocess.run(
        [str(CXX), *flags, *headers, str(folder / "kernel.cpp"), "-o", str(library)], check=True
    )
    return ctypes.CDLL(str(library)).host_kernel


CASES = [
    ((2, 3, 5, 7), (4, 4), (2, 2), (1, 1), (2, 1, 2, 1), 1),
    ((1, 2, 8, 6), (4, 4), (1, 1), (2, 2), (1, 1, 1, 1), 2),
    ((1, 4, 5, 5), (4, 4), (1, 1), (1, 1), (2, 1, 1, 2), 3),
    ((2, 3, 5, 7), (3, 5), (3, 2), (2, 1), (4, -1, -2, 7), 0),
    ((1, 1, 1, 1), (6, 6), (4, 4), (3, 3), (5, 5, 5, 5), 0),
    ((0, 3, 4, 4), (4, 4), (2, 2), (1, 1), (2, 1, 2, 1), 0),
]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize(("shape", "taps", "up", "down", "padding", "unrolled"), CASES)
def test_the_kernel_run_on_the_host_equals_the_reference(
    host_kernel, monkeypatch, shape, taps, up, down, padding, unrolled, layout
):
    class Library:
        @staticmethod
        def ganvas_upfirdn2d_cuda(params, dtype, stream):
            host_kernel(params, int(layout == torch.channels_last), unrolled)
            return 0

    monkeypatch.setattr(cuda_host, "cuda_library", Library)
    monkeypatch.setattr(cuda_host, "_stream", lambda x: 0)
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=rng).contiguous(memory_format=layout)
    f = torch.randn(taps, generator=rng)
    expected = upfirdn2d(x.double(), f.double(), up=up, down=down, padding=padding, gain=1.7)
    y = cuda_backend.upfirdn2d(x, f, up, down, padding, False, 1.7)
    assert y.shape == expected.shape
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("status", [0, 700])
def test_an_error_of_cuda_is_told(monkeypatch, status):
    seen = []

    class Library:
        @staticmethod
        def ganvas_upfirdn2d_cuda(params, dtype, stream):
            seen.append((dtype, stream.value))
            return status

    monkeypatch.setattr(cuda_host, "cuda_library", Library)
    monkeypatch.setattr(cuda_host, "_stream", lambda x: 5)
    x = torch.zeros(1, dtype=torch.bfloat16)
    with (
        pytest.raises(BackendError, match="upfirdn2d: the CUDA kernel failed with error 700")
        if status
        else nullcontext()
    ):
        cuda_host.launch("upfirdn2d", cuda_backend._Params(), x)
    assert seen == [(2, 5)]
