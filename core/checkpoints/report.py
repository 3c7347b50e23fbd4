"""What is in a model file, for people and for programs."""

import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ..errors import printable
from .header import Header
from .model import file_hash, open_header, read_contents, read_tensors


@dataclass(frozen=True)
class TensorReport:
    """One row of the tensor table."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """A file's description; `arch` is None for a safetensors file that is no ganvas model.

    `weight_range` holds the smallest and largest finite weight (None without weights),
    `image_range` the value range of the model's images.
    """

    path: str
    arch: str | None
    summary: str
    config: dict[str, object]
    training: dict[str, object]
    metadata: dict[str, str]
    tensors: tuple[TensorReport, ...]
    dtypes: dict[str, int]
    parameters: int
    file_bytes: int
    weight_range: tuple[float, float] | None
    finite: bool
    image_range: tuple[float, float] | None
    sha256: str

    def as_dict(self) -> dict[str, object]:
        """The report as plain values that JSON can hold."""
        return asdict(self)

    def as_text(self) -> str:
        """The report as lines for a terminal."""
        lines = [f"{self.path}: {self.summary}", f"sha256      {self.sha256}"]
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
            lines.append(f"images      [N, C, H, W], {low:g} to {high:g}")
        for title, values in (("config", self.config), ("training", self.training)):
            if values:
                lines.append(title)
                lines += [f"  {key} = {value}" for key, value in values.items()]
        if self.tensors:
            width = max(len(tensor.name) for tensor in self.tensors)
            lines.append("tensors")
            lines += [f"  {t.name:<{width}}  {t.dtype:<4}  {list(t.shape)}" for t in self.tensors]
        return "\n".join(printable(line) for line in lines)


def inspect(path: str | os.PathLike[str]) -> Report:
    """Describe the safetensors file `path`, ganvas model or not, without building a network.

    Raises:
        InputError: not a readable safetensors file (the message says what it seems to be), or its
            ganvas metadata is damaged.
    """
    file = Path(path)
    header = open_header(file)
    arch = None
    summary = "safetensors without ganvas metadata"
    config: dict[str, object] = {}
    training: dict[str, object] = {}
    image_range = None
    if "ganvas.format" in header.metadata:
        contents = read_contents(file)
        header, arch = contents.header, contents.architecture.id
        summary = f"{arch} ({contents.architecture.summary})"
        config, training = contents.config, contents.training
        image_range = contents.architecture.image_range
    weight_range, finite = _weights(file, header)
    return Report(
        path=str(file),
        arch=arch,
        summary=summary,
        config=config,
        training=training,
        metadata=header.metadata,
        tensors=tuple(TensorReport(t.name, t.dtype, t.shape) for t in header.tensors.values()),
        dtypes=dict(Counter(tensor.dtype for tensor in header.tensors.values()).most_common()),
        parameters=sum(tensor.count for tensor in header.tensors.values()),
        file_bytes=header.file_bytes,
        weight_range=weight_range,
        finite=finite,
        image_range=image_range,
        sha256=file_hash(file),
    )


def _weights(file: Path, header: Header) -> tuple[tuple[float, float] | None, bool]:
    """Smallest and largest finite weight, and whether all are finite; one tensor at a time."""
    low, high, finite = float("inf"), float("-inf"), True
    for _, tensor in read_tensors(file, header):
        if not tensor.is_floating_point():
            continue
        values = tensor.float()
        good = values[torch.isfinite(values)]
        finite = finite and good.numel() == values.numel()
        if good.numel():
            low, high = min(low, float(good.min())), max(high, float(good.max()))
    return ((low, high) if low <= high else None), finite
