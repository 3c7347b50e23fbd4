"""The only file that runs a compiler: ninja builds the C++ and CUDA sources on first use.

Each kind is one library of all `kernels/*/csrc` sources without any torch header, called through
ctypes, so that it outlives changes of torch's ABI and compiles in seconds. Libraries are cached by
everything that they depend on, in $GANVAS_CACHE or the user's cache folder.
"""

import ctypes
import hashlib
import importlib.util
import logging
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock

from .errors import BuildError

_LOG = logging.getLogger("ganvas.kernels")
_ROOT = Path(__file__).parent
_COMPILERS = ("g++", "clang++", "c++")

# The flags that torch's own extensions are compiled with, and warnings as errors.
NVCC_FLAGS = (
    "-O3",
    "-std=c++17",
    "--expt-relaxed-constexpr",
    "-D__CUDA_NO_HALF_OPERATORS__",
    "-D__CUDA_NO_HALF_CONVERSIONS__",
    "-D__CUDA_NO_BFLOAT16_CONVERSIONS__",
    "-D__CUDA_NO_HALF2_OPERATORS__",
    "-Werror",
    "all-warnings",
    "-Xcompiler",
    "-fPIC",
)
# No -ffast-math: a NaN in training must arrive at the check that looks for it.
_CXX_FLAGS = ("-O3", "-std=c++17", "-fPIC", "-fopenmp", "-ffp-contract=fast", "-fno-math-errno")


@dataclass(frozen=True)
class _Toolchain:
    """How the sources of one kind become one library on this machine."""

    kind: str
    compiler: str
    compile_flags: tuple[str, ...]
    link_flags: tuple[str, ...]
    machine: str  # whatever else the result depends on


def cpu_library() -> ctypes.CDLL:
    """Library of all C++ sources, compiled for this very CPU; built now if it is not cached.

    Raises:
        BuildError: there is no compiler or no ninja, or the build failed; one sentence.
    """
    return _library("cpu")


def cuda_library() -> ctypes.CDLL:
    """Library of all CUDA sources, compiled for this machine's GPUs; built now if it is not cached.

    Raises:
        BuildError: there is no GPU, no nvcc or no ninja, or the build failed; one sentence.
    """
    return _library("cuda")


def unavailable(kind: str) -> str | None:
    """Why the library of `kind`, "cpu" or "cuda", cannot be had here; None if it can.

    Builds it on the first call. Says once, through the log, that eager PyTorch runs instead.
    """
    library = _outcome(kind)
    return str(library) if isinstance(library, BuildError) else None


def sources(kind: str) -> list[Path]:
    """All files that the library of `kind` is compiled from, without headers."""
    return sorted(_ROOT.glob("*/csrc/*" + _PATTERNS[kind]))


def _library(kind: str) -> ctypes.CDLL:
    library = _outcome(kind)
    if isinstance(library, BuildError):
        raise library
    return library


@cache
def _outcome(kind: str) -> ctypes.CDLL | BuildError:
    """The library, or why there is none; either way found out once in a process."""
    try:
        return ctypes.CDLL(str(_build(_TOOLCHAINS[kind]())))
    except (BuildError, OSError) as error:
        reason = error if isinstance(error, BuildError) else BuildError(f"build: {error}")
        _LOG.warning("The compiled %s kernels are not used: %s", kind, reason)
        return reason


def _build(tools: _Toolchain) -> Path:
    """Path of the library, compiled if no process has done so before."""
    folder = _cache_folder() / f"{tools.kind}-{_key(tools)}"
    library = folder / f"ganvas_{tools.kind}.so"
    if library.is_file():
        return library
    ninja = _ninja()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(folder / "lock"):
            if library.is_file():
                return library
            _LOG.warning("Compiling the %s kernels, once for this machine ...", tools.kind)
            unfinished = library.with_suffix(".part")
            (folder / "build.ninja").write_text(_script(tools, unfinished), encoding="utf-8")
            done = subprocess.run(
                [ninja, "-C", str(folder)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                (folder / "failure.log").write_text(done.stdout + done.stderr, encoding="utf-8")
                raise BuildError(
                    f"build: {tools.compiler} could not compile the {tools.kind} kernels, "
                    f"see {folder / 'failure.log'}"
                )
            os.replace(unfinished, library)
    except OSError as error:
        raise BuildError(f"build: cannot write to {folder}: {error.strerror or error}") from error
    return library


def _script(tools: _Toolchain, target: Path) -> str:
    """The ninja file: one rule to compile, one to link."""
    compiler, compile_flags = _escape(tools.compiler), " ".join(tools.compile_flags)
    lines = [
        f"rule compile\n  command = {compiler} {compile_flags} -c $in -o $out",
        f"rule link\n  command = {compiler} -shared $in -o $out {' '.join(tools.link_flags)}",
    ]
    objects = []
    for source in sources(tools.kind):
        objects.append(f"{source.parent.parent.name}_{source.stem}.o")
        lines.append(f"build {objects[-1]}: compile {_escape(str(source))}")
    lines.append(f"build {_escape(target.name)}: link {' '.join(objects)}")
    return "\n".join(lines) + "\n"


def _escape(path: str) -> str:
    return path.replace("$", "$$").replace(" ", "$ ").replace(":", "$:")


def _key(tools: _Toolchain) -> str:
    """Hash of all that the library depends on."""
    digest = hashlib.sha256()
    version = subprocess.run(
        [tools.compiler, "--version"], capture_output=True, text=True, check=False
    ).stdout
    for part in (version, tools.machine, *tools.compile_flags, *tools.link_flags):
        digest.update(part.encode() + b"\0")
    for file in sorted(_ROOT.glob("*/csrc/*")):
        if file.is_file():
            digest.update(file.relative_to(_ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:20]


def _cache_folder() -> Path:
    named = os.environ.get("GANVAS_CACHE")
    if named:
        return Path(named).absolute() / "kernels"
    parent = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(parent) if parent else Path.home() / ".cache") / "ganvas" / "kernels"
    except RuntimeError as error:
        raise BuildError("build: expected a home folder or GANVAS_CACHE, got neither") from error


def _ninja() -> str:
    if importlib.util.find_spec("ninja") is not None:
        from ninja import BIN_DIR

        bundled = shutil.which("ninja", path=BIN_DIR)
        if bundled is not None:
            return bundled
    found = shutil.which("ninja")
    if found is None:
        raise BuildError("build: expected ninja (pip install ninja), found none")
    return found


def _cpu_toolchain() -> _Toolchain:
    named = os.environ.get("CXX")
    found = [path for name in ([named] if named else _COMPILERS) if (path := shutil.which(name))]
    if not found:
        wanted = named or ", ".join(_COMPILERS)
        raise BuildError(f"build: expected a C++ compiler ({wanted}), found none")
    native = "-march=native" if platform.machine() in ("x86_64", "AMD64") else "-mcpu=native"
    return _Toolchain("cpu", found[0], (*_CXX_FLAGS, native), ("-fopenmp",), _cpu_identity())


def _cpu_identity() -> str:
    """What -march=native depends on: a home folder may be shared by unlike machines."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return f"{platform.machine()} {platform.processor()}"
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    told = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(told)}))


def _cuda_toolchain() -> _Toolchain:
    if not torch.cuda.is_available():
        raise BuildError("build: expected a CUDA device, found none")
    home = os.environ.get("CUDA_HOME") or "/usr/local/cuda"
    compiler = shutil.which("nvcc") or shutil.which("nvcc", path=str(Path(home) / "bin"))
    if compiler is None:
        raise BuildError("build: expected nvcc on PATH or in CUDA_HOME, found none")
    devices = range(torch.cuda.device_count())
    found = sorted({torch.cuda.get_device_capability(device) for device in devices})
    targets = [f"{major}{minor}" for major, minor in found]
    flags = [f"-gencode=arch=compute_{target},code=sm_{target}" for target in targets]
    return _Toolchain(
        "cuda", compiler, (*NVCC_FLAGS, *flags), ("-cudart", "static"), " ".join(targets)
    )


_PATTERNS = {"cpu": ".cpp", "cuda": ".cu"}
_TOOLCHAINS: dict[str, Callable[[], _Toolchain]] = {
    "cpu": _cpu_toolchain,
    "cuda": _cuda_toolchain,
}
