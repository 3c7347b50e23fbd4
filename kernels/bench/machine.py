"""What a result needs to say about the machine and the software that it came from."""

import importlib.metadata
import platform
import shutil
import subprocess
from pathlib import Path

import torch

from .schema import Machine

_ROOT = Path(__file__).resolve().parents[2]


def describe(device: torch.device) -> Machine:
    """This machine, as a benchmark on `device` sees it."""
    cuda = device.type == "cuda"
    commit = _output("git", "-C", str(_ROOT), "rev-parse", "HEAD")
    changes = _output("git", "-C", str(_ROOT), "status", "--porcelain")
    return Machine(
        commit=commit,
        dirty=None if commit is None else bool(changes),
        device=device.type,
        cpu=_cpu(),
        threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name() if cuda else None,
        driver=_driver() if cuda else None,
        cuda=torch.version.cuda,
        python=platform.python_version(),
        torch=str(torch.__version__),
        triton=_version("triton"),
        compiler=_first_line("g++", "--version") or _first_line("clang++", "--version"),
        nvcc=_last_line("nvcc", "--version"),
        system=platform.platform(),
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _driver() -> str | None:
    query = ("--query-gpu=driver_version", "--format=csv,noheader")
    return _first_line("nvidia-smi", *query)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _first_line(*command: str) -> str | None:
    text = _output(*command)
    return text.splitlines()[0] if text else None


def _last_line(*command: str) -> str | None:
    text = _output(*command)
    return text.splitlines()[-1] if text else None


def _output(*command: str) -> str | None:
    """What a program prints; None where it does not exist or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
