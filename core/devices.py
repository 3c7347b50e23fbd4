"""The choice of a device by name."""

import torch

from .errors import InputError


def choose_device(name: str = "auto") -> str:
    """Turn "auto" into "cuda" where there is one, else "cpu"; check any other name.

    Raises:
        InputError: not a device name, or the device is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (index.isascii() and index.isdigit())):
        raise InputError(f"device: expected auto, cpu, cuda or mps, got {name!r}")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise InputError(f"device: {name} is not available ({torch.cuda.device_count()} found)")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise InputError("device: mps is not available on this machine")
    return name
