"""What the plans of all generators share: executors that are kept while their network stays."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ...kernels.registry import select
from ...kernels.synthesis import Affine
from .layers import FullyConnectedLayer

Network = TypeVar("Network", bound=nn.Module)
Description = TypeVar("Description")
Executor = TypeVar("Executor")


class PreparedExecutors(Generic[Network, Description, Executor]):
    """Of each network the last prepared executor of each dtype.

    It goes when the network goes, and a copy of the network has none.

    Args:
        op: whose backends prepare executors, see `kernels.synthesis`.
        describe: the network in the terms of that op.
        tensors: those that the description is made of.
    """

    def __init__(
        self,
        op: str,
        describe: Callable[[Network], Description],
        tensors: Callable[[Network], Iterable[Tensor]],
    ) -> None:
        self._op, self._describe, self._tensors = op, describe, tensors
        self._known: WeakKeyDictionary[Network, dict[torch.dtype, _Prepared]] = WeakKeyDictionary()

    def __len__(self) -> int:
        """Networks that have executors."""
        return len(self._known)

    def get(self, network: Network, dtype: torch.dtype) -> Executor:
        """The executor of the network as it is now, prepared if it changed.

        Writes through `.data` go unnoticed.

        Raises:
            BackendError: no backend takes the network, or the forced one does not.
        """
        state = _state(self._tensors(network))
        known = self._known.setdefault(network, {})
        prepared = known.get(dtype)
        if prepared is None or not _same(prepared.state, state):
            description = self._describe(network)
            prepared = None
        else:
            description = prepared.description
        # Asked each time, since `use_backend` may have changed the answer.
        run = select(self._op, description, dtype)
        if prepared is None or prepared.run is not run:
            prepared = _Prepared(state, description, run, run(description, dtype))
            known[dtype] = prepared
        return prepared.executor


def affine_of(layer: FullyConnectedLayer, index: int, gain: float | Tensor = 1.0) -> Affine:
    """The layer that makes styles of `ws[:, index]`, with its own gains and `gain` in it."""
    weight = layer.weight.detach() * (layer.weight_gain * gain)
    return Affine(weight, layer.bias.detach() * (layer.bias_gain * gain), index)


_State = Sequence[tuple[Tensor, int, int | None]]


@dataclass(frozen=True)
class _Prepared:
    state: _State
    description: Any
    run: Callable[..., Any]
    executor: Any


def _state(tensors: Iterable[Tensor]) -> _State:
    """Every tensor that is prepared, where it lies, and how often it was written to."""
    return [(x, x.data_ptr(), None if x.is_inference() else x._version) for x in tensors]


def _same(a: _State, b: _State) -> bool:
    return len(a) == len(b) and all(
        x is y and before == now for (x, *before), (y, *now) in zip(a, b, strict=True)
    )
