"""One measured number under a name that says how it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """A number and what it depends on; two are comparable where all but the value agree.

    Attributes:
        metric: "fid", "precision_faces", "swd_64" ...
        value: the number.
        count: images of either side, or paths.
        reference: first digits of the hash of the real images; of the model for a path length;
            empty where there is nothing to compare with.
        deviation: its standard deviation (over subsets or splits) or error (of a path length).
        resize: how images were brought to the feature network's size, None without a network.
        weights: first digits of the SHA-256 of the network's file, None without one.
        space: of a path length, "w" or "z".
    """

    metric: str
    value: float
    count: int
    reference: str
    deviation: float | None = None
    resize: str | None = None
    weights: str | None = None
    space: str | None = None

    @property
    def name(self) -> str:
        """Such as "fid50k[tf1, 6726825d, 50000, 1a2b3c4d]", or "swd_64[1000, 1a2b3c4d]"."""
        parts = [self.space, self.resize, self.weights, str(self.count), self.reference]
        number = self.count
        short = f"{number // 1000}k" if number % 1000 == 0 else str(number)
        stem = self.metric if self.weights is None else f"{self.metric}{short}"
        return f"{stem}[{', '.join(part for part in parts if part)}]"

    def as_dict(self) -> dict[str, Any]:
        """Its name and fields, without those that are None."""
        fields = {key: value for key, value in asdict(self).items() if value is not None}
        return {"name": self.name, **fields}


def as_table(results: Sequence[Result]) -> str:
    """Name, value and deviation of each result, a line each."""
    width = max((len(result.name) for result in results), default=0)
    lines = []
    for result in results:
        deviation = "" if result.deviation is None else f" +- {_number(result.deviation)}"
        lines.append(f"{result.name:<{width}}  {_number(result.value)}{deviation}")
    return "\n".join(lines)


def _number(value: float) -> str:
    """Four decimals, or four digits of a small number: a good model's KID begins at the fourth."""
    return f"{value:.4g}" if 0 < abs(value) < 0.1 else f"{value:.4f}"
