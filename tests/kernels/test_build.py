"""Building compiled kernels: once for a machine, and a clear reason where it cannot be done."""

import ctypes
import multiprocessing
import shutil
import subprocess

import pytest

from ganvas.kernels import BuildError, build

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="no C++ compiler on this machine"
)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of one C++ source, an empty cache and no memory of earlier builds."""
    folder = tmp_path / "kernels with space" / "add" / "csrc"
    folder.mkdir(parents=True)
    (folder / "add.cpp").write_text('extern "C" int add(int a, int b) { return a + b; }\n')
    monkeypatch.setattr(build, "_ROOT", folder.parent.parent)
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    build._outcome.cache_clear()
    yield folder
    build._outcome.cache_clear()


def libraries(tmp_path):
    return sorted((tmp_path / "cache").rglob("*.so"))


@needs_compiler
def test_a_library_is_built_once_and_found_again(package, tmp_path, monkeypatch):
    assert build.cpu_library().add(2, 3) == 5
    assert len(libraries(tmp_path)) == 1
    build._outcome.cache_clear()
    monkeypatch.setattr(build, "_ninja", lambda: pytest.fail("built a second time"))
    assert build.cpu_library().add(2, 3) == 5


@needs_compiler
def test_a_changed_source_is_built_anew(package, tmp_path):
    build.cpu_library()
    (package / "add.cpp").write_text('extern "C" int add(int a, int b) { return a - b; }\n')
    build._outcome.cache_clear()
    assert build.cpu_library().add(2, 3) == -1
    assert len(libraries(tmp_path)) == 2


def _build_in_a_process(_):
    return build.cpu_library().add(1, 1)


@needs_compiler
def test_processes_that_build_at_once_share_one_library(package, tmp_path):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(_build_in_a_process, range(4)) == [2] * 4
    assert len(libraries(tmp_path)) == 1


@needs_compiler
def test_a_source_that_does_not_compile_is_refused_and_leaves_no_library(package, tmp_path):
    (package / "add.cpp").write_text("this is no C++\n")
    with pytest.raises(BuildError, match=r"could not compile .* see .*failure\.log"):
        build.cpu_library()
    assert "error" in next((tmp_path / "cache").rglob("failure.log")).read_text()
    assert not libraries(tmp_path)
    assert "could not compile" in (build.unavailable("cpu") or "")


@pytest.mark.parametrize(
    ("broken", "message"),
    [("compiler", "expected a C\\+\\+ compiler"), ("ninja", "expected ninja")],
)
@needs_compiler
def test_a_missing_tool_is_named_once(package, monkeypatch, caplog, broken, message):
    if broken == "compiler":
        monkeypatch.setenv("CXX", "no-such-compiler")
    else:
        monkeypatch.setattr(build.shutil, "which", lambda name, path=None: _without_ninja(name))
        monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BuildError, match=message):
        build.cpu_library()
    assert build.unavailable("cpu")
    assert len(caplog.records) == 1


_which = shutil.which


def _without_ninja(name):
    return None if name == "ninja" else _which(name)


@needs_compiler
def test_a_cache_that_cannot_be_written_is_refused(package, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "file"))
    with pytest.raises(BuildError, match="cannot write to"):
        build.cpu_library()


def test_without_a_gpu_the_cuda_kernels_say_so(package, monkeypatch):
    monkeypatch.setattr(build.torch.cuda, "is_available", lambda: False)
    assert "expected a CUDA device" in (build.unavailable("cuda") or "")


def test_the_cuda_kernels_are_compiled_for_every_gpu_of_the_machine(monkeypatch):
    capabilities = [(9, 0), (8, 6), (9, 0)]
    monkeypatch.setattr(build.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(build.torch.cuda, "device_count", lambda: len(capabilities))
    monkeypatch.setattr(build.torch.cuda, "get_device_capability", capabilities.__getitem__)
    monkeypatch.setattr(build.shutil, "which", lambda name, path=None: f"/bin/{name}")
    tools = build._cuda_toolchain()
    assert [flag for flag in tools.compile_flags if "gencode" in flag] == [
        "-gencode=arch=compute_86,code=sm_86",
        "-gencode=arch=compute_90,code=sm_90",
    ]
    assert tools.machine == "86 90"


@needs_compiler
def test_the_shipped_sources_compile_without_a_warning():
    compiler = build._cpu_toolchain()
    assert build.sources("cpu")
    for source in build.sources("cpu"):
        flags = (*compiler.compile_flags, "-Wall", "-Wextra", "-Werror", "-fsyntax-only")
        done = subprocess.run(
            [compiler.compiler, *flags, str(source)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert isinstance(build.cpu_library(), ctypes.CDLL)
