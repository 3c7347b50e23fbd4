"""What is in a model file, for people and for programs."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch

from ..errors import InputError, printable
from .containers import SAFETENSORS, Container, LazyTensor, read_container
from .finding import resolve_model
from .header import parse_object
from .identify import identify_tensors
from .model import Part, describe, file_hash, licence_of, notes_of


@dataclass(frozen=True)
class TensorReport:
    """One row of the tensor table."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class NetworkReport:
    """One network of a file; `arch` is None where it is not known."""

    name: str
    arch: str | None
    class_name: str | None
    parameters: int
    config: dict[str, object]


@dataclass(frozen=True)
class Report:
    """A file's description; `arch` is None for a file whose networks are not known.

    `weight_range` holds the smallest and largest finite weight (None without weights),
    `image_range` the value range of the model's images. `tensors` are those of the network that
    `load` takes first; names of other networks are prefixed with theirs.
    """

    path: str
    format: str
    arch: str | None
    summary: str
    config: dict[str, object]
    training: dict[str, object]
    metadata: dict[str, str]
    networks: tuple[NetworkReport, ...]
    tensors: tuple[TensorReport, ...]
    dtypes: dict[str, int]
    parameters: int
    file_bytes: int
    weight_range: tuple[float, float] | None
    finite: bool
    image_range: tuple[float, float] | None
    channel_order: str | None
    convention: str
    licence: str
    notes: tuple[str, ...]
    sha256: str

    def as_dict(self) -> dict[str, object]:
        """The report as plain values that JSON can hold."""
        return asdict(self)

    def as_text(self) -> str:
        """The report as lines for a terminal."""
        lines = [f"{self.path}: {self.summary}", f"format      {self.format}"]
        lines.append(f"sha256      {self.sha256}")
        lines.append(f"size        {self.file_bytes:,} bytes")
        kinds = ", ".join(f"{count} x {dtype}" for dtype, count in self.dtypes.items())
        lines.append(f"parameters  {self.parameters:,} in {len(self.tensors)} tensors ({kinds})")
        if self.weight_range is not None:
            state = "" if self.finite else "; NaN or infinite weights present"
            lines.append(
                f"weights     {self.weight_range[0]:.4g} to {self.weight_range[1]:.4g}{state}"
            )
        if self.image_range is not None:
            low, high = self.image_range
            order = f", {self.channel_order}" if self.channel_order else ""
            lines.append(f"images      [N, C, H, W]{order}, {low:g} to {high:g}")
        if self.convention:
            lines.append(f"call        {self.convention}")
        if self.licence:
            lines.append(f"licence     {self.licence}")
        lines += [f"note        {note}" for note in self.notes]
        if len(self.networks) > 1:
            lines.append("networks")
            for network in self.networks:
                kind = network.arch or "not known here"
                lines.append(f"  {network.name}: {kind}, {network.parameters:,} parameters")
        for title, values in (("config", self.config), ("training", self.training)):
            if values:
                lines.append(title)
                lines += [f"  {key} = {value}" for key, value in values.items()]
        if self.tensors:
            width = max(len(tensor.name) for tensor in self.tensors)
            lines.append("tensors")
            lines += [f"  {t.name:<{width}}  {t.dtype:<4}  {list(t.shape)}" for t in self.tensors]
        return "\n".join(printable(line) for line in lines)


def inspect(path: str | os.PathLike[str], given: Mapping[str, object] | None = None) -> Report:
    """Describe a model file of any supported container, without building a network.

    `given` is what the user knows beyond the file, as in `load`.

    Raises:
        InputError: not a readable model file (the message says what it seems to be), or its
            ganvas metadata is damaged.
    """
    file = resolve_model(path)
    with read_container(file) as container:
        own = container.format == SAFETENSORS and "ganvas.format" in container.facts
        metadata: dict[str, str] = {
            key: value for key, value in container.facts.items() if isinstance(value, str)
        }
        parts: list[Part] = []
        try:
            metadata, parts = describe(container, None, given or {})
            first = parts[0].architecture
            summary = f"{first.id} ({first.summary})"
        except InputError as error:
            if own or given:
                raise InputError(f"{file}: {error}") from error
            summary = _guess(container, str(error))
        tensors = _all_tensors(container)
        try:
            weight_range, finite = _weights(tensors)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
        part = parts[0] if parts else None
        entry = part.architecture if part is not None else None
        return Report(
            path=str(file),
            format=container.format,
            arch=None if entry is None else entry.id,
            summary=summary,
            config={} if part is None else part.config,
            training=_training(metadata),
            metadata=metadata,
            networks=_networks(container, part, given or {}),
            tensors=tuple(TensorReport(n, t.dtype, t.shape) for n, t in tensors.items()),
            dtypes=dict(Counter(tensor.dtype for tensor in tensors.values()).most_common()),
            parameters=sum(tensor.count for tensor in tensors.values()),
            file_bytes=container.file_bytes,
            weight_range=weight_range,
            finite=finite,
            image_range=None if entry is None else entry.image_range,
            channel_order=None if entry is None else entry.channel_order,
            convention="" if entry is None else entry.convention,
            licence=licence_of(metadata, entry),
            notes=notes_of(parts),
            sha256=file_hash(file),
        )


def _guess(container: Container, reason: str) -> str:
    names = [name for network in container.networks.values() for name in network.tensors]
    kind = identify_tensors(names)
    if kind is not None:
        return f"seems to be {kind}"
    if container.format == SAFETENSORS:
        return f"safetensors without ganvas metadata; {reason}"
    return reason


def _training(metadata: Mapping[str, str]) -> dict[str, object]:
    return parse_object(metadata.get("ganvas.training", "{}"), "ganvas.training")


def _all_tensors(container: Container) -> dict[str, LazyTensor]:
    if len(container.networks) == 1:
        return next(iter(container.networks.values())).tensors
    return {
        f"{prefix}.{name}": tensor
        for prefix, network in container.networks.items()
        for name, tensor in network.tensors.items()
    }


def _networks(
    container: Container, first: Part | None, given: Mapping[str, object]
) -> tuple[NetworkReport, ...]:
    reports: list[NetworkReport] = []
    for name, raw in container.networks.items():
        part = first if first is not None and first.name == name else None
        if part is None:
            try:
                part = describe(container, name, given)[1][0]
            except InputError:
                part = None
        reports.append(
            NetworkReport(
                name=name,
                arch=None if part is None else part.architecture.id,
                class_name=raw.class_name,
                parameters=sum(tensor.count for tensor in raw.tensors.values()),
                config={} if part is None else part.config,
            )
        )
    return tuple(reports)


def _weights(tensors: Mapping[str, LazyTensor]) -> tuple[tuple[float, float] | None, bool]:
    """Smallest and largest finite weight, and whether all are finite; one tensor at a time."""
    low, high, finite = float("inf"), float("-inf"), True
    for lazy in tensors.values():
        tensor = lazy.read()
        if not tensor.is_floating_point():
            continue
        values = tensor.float()
        good = values[torch.isfinite(values)]
        finite = finite and good.numel() == values.numel()
        if good.numel():
            low, high = min(low, float(good.min())), max(high, float(good.max()))
    return ((low, high) if low <= high else None), finite
