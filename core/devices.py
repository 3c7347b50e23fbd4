"""The choice of a device by name, and the one check that it is there."""

import torch

from .errors import InputError

_NAMED = ("cpu", "cuda", "mps")


def choose_device(name: str = "auto") -> str:
    """Turn "auto" into "cuda" where there is one, else "cpu"; check any other name.

    Raises:
        InputError: not a device name, or the device is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.partition(":")[0] not in _NAMED:
        raise _not_a_name(name)
    return str(open_device(name))


def open_device(device: str | torch.device) -> torch.device:
    """The device, after memory on it has been asked for: only that tells whether it works.

    Raises:
        InputError: not a device name, or the device is not there.
    """
    try:
        target = torch.device(device)
    except RuntimeError as error:
        raise _not_a_name(str(device)) from error
    try:
        torch.empty(1, device=target)
    except (RuntimeError, AssertionError) as error:  # the latter from builds without CUDA
        sentence = str(error).splitlines()[0]
        raise InputError(f"device: {target} is not available ({sentence})") from error
    return target


def _not_a_name(name: str) -> InputError:
    return InputError(f"device: expected auto, cpu, cuda or mps, got {name!r}")
