"""Builds a network around tensors of a file, without a second copy of its weights."""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain

import torch
from torch import Tensor, nn

from ..errors import InputError
from .containers import LazyTensor
from .containers.tensors import DTYPE_NAMES
from .registry import Architecture
from .saving import is_finite

_RANGE_ERROR = "{} holds NaN or infinite weights"


def read_tensors(
    tensors: Mapping[str, LazyTensor],
    translate: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
    arch: str,
) -> dict[str, Tensor]:
    """Read tensors, check that they are finite, and put them under our module's names.

    Raises:
        InputError: they are not in the file, not finite, or not what the family says they are.
    """
    read: dict[str, Tensor] = {}
    for name, lazy in tensors.items():
        read[name] = lazy.read()
        if not is_finite(read[name]):
            raise InputError(_RANGE_ERROR.format(_shown(name)))
    try:
        return translate(read)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"its tensors do not make up a {arch}") from error


def build(
    architecture: Architecture, config: Mapping[str, object], tensors: dict[str, Tensor]
) -> nn.Module:
    """Build the network with `tensors` as its weights; `tensors` is emptied.

    The module is first made without memory behind it, then takes the tensors themselves, in the
    dtypes it was written for.

    Raises:
        InputError: the config describes no such network, or the tensors do not fit it.
    """
    state = torch.get_rng_state()
    try:
        with torch.device("meta"):
            module = architecture(config)
        check_fit(architecture.id, module.state_dict(), tensors)
        ready = _as_expected(module.state_dict(), tensors)
        module.load_state_dict(ready, assign=True)
        if _has_no_memory(chain(module.parameters(), module.buffers())):
            module = architecture(config)  # it computes buffers of its own, which no file holds
            module.load_state_dict(ready)
    finally:
        torch.set_rng_state(state)  # initialisation must not disturb the caller's random numbers
    return module.eval().requires_grad_(False)


def check_fit(arch: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Compare names, shapes and kinds of numbers.

    Raises:
        InputError: they differ; names the first tensors that do.
    """
    missing = [name for name in expected if name not in found]
    if missing:
        raise InputError(f"{arch} needs {_list(missing)}, which the file lacks")
    surplus = [name for name in found if name not in expected]
    if surplus:
        raise InputError(f"{arch} has no place for {_list(surplus)}")
    for name, tensor in expected.items():
        other = found[name]
        if other.shape != tensor.shape:
            raise InputError(
                f"{name} should have shape {list(tensor.shape)} by its config, "
                f"got {list(other.shape)}"
            )
        if other.is_floating_point() != tensor.is_floating_point():
            kind = DTYPE_NAMES.get(other.dtype, str(other.dtype))
            raise InputError(f"{name} should hold {tensor.dtype} numbers, got {kind}")


def _as_expected(expected: Mapping[str, Tensor], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take the tensors out one by one, contiguous, apart from each other and in the right dtype."""
    result: dict[str, Tensor] = {}
    owners: set[int] = set()
    for name, tensor in expected.items():
        ready = tensors.pop(name).to(tensor.dtype).contiguous()
        owner = ready.untyped_storage().data_ptr()
        if owner in owners or ready.untyped_storage().nbytes() > 2 * ready.nbytes + 4096:
            ready = ready.clone()
        owners.add(ready.untyped_storage().data_ptr())
        if not is_finite(ready):
            raise InputError(f"{name} holds numbers that {tensor.dtype} does not reach")
        result[name] = ready
    return result


def _has_no_memory(tensors: Iterable[Tensor]) -> bool:
    return any(tensor.is_meta for tensor in tensors)


def _shown(name: str) -> str:
    return ascii(name[:60])[1:-1]


def _list(names: list[str]) -> str:
    shown = ", ".join(ascii(name[:60]) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
