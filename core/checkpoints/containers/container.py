"""What a container reader gives: the networks of a file, their tensors not yet read."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType

from .source import Source
from .tensors import LazyTensor


@dataclass
class RawNetwork:
    """One network as it lies in the file.

    Attributes:
        tensors: by their names in the file.
        init: the published constructor's arguments, where the file has them.
        class_name: the published class, where the file names it; a text, nothing more.
    """

    tensors: dict[str, LazyTensor]
    init: dict[str, object] | None = None
    class_name: str | None = None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes, which say what the network is."""
        return {name: tensor.shape for name, tensor in self.tensors.items()}


@dataclass
class Container:
    """The contents of a model file; its `with` block keeps the file open for reading tensors.

    Attributes:
        format: of the file, in words.
        networks: "generator", "generator_ema", "discriminator", "network" (a file of one network,
            or the averaged one), "network_raw" (beside it, not averaged), or the file's own key.
        facts: plain values found beside the networks: training settings, counters.
    """

    format: str
    source: Source
    networks: dict[str, RawNetwork] = field(default_factory=dict[str, RawNetwork])
    facts: dict[str, object] = field(default_factory=dict[str, object])

    @property
    def file_bytes(self) -> int:
        """Size of the file."""
        return self.source.size

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.source.close()
