"""What GANs share whose generator draws an image from z and labels at once."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.models.plain_generator import PlainGenerator
from ..batch_norm import calibrate, synchronise
from ..labels import column_labels, drawn_labels
from ..snapshot import ModelFile
from ..streams import Stream, normal
from ..system import System

GRID_ROWS, GRID_COLUMNS = 8, 8
_CHUNK = 64  # images drawn at once for grids, metrics and statistics
_CALIBRATION = 4  # chunks from which the statistics of the averaged generator are taken


class PlainSystem(System):
    """The averaged generator "EMA" of the network "G": its samples, its grid, its file.

    Subclasses set `arch` and take the steps. Where `conditional` is set, samples have labels drawn
    from the data.
    """

    arch: str
    conditional: bool
    _calibrated = False

    @property
    def averaged(self) -> PlainGenerator:
        """The averaged generator, its batch normalisation with statistics of its own."""
        average = self.averages["EMA"]
        assert isinstance(average, PlainGenerator)
        if not self._calibrated:
            first = [np.arange(_CHUNK) + chunk * _CHUNK for chunk in range(_CALIBRATION)]
            calibrate(average, [partial(self._draw, average, s, Stream.GRID) for s in first])
            self._calibrated = True
        return average

    def finish(self, step: int) -> None:
        """End a step: equal statistics on all ranks, then the weight average."""
        synchronise(self.ranks, self.networks.values())
        self.average(step)
        self._calibrated = False

    def _load_tensors(self, tensors: dict[str, Tensor]) -> None:
        super()._load_tensors(tensors)
        self._calibrated = False

    def z(self, sample: np.ndarray, stream: Stream) -> Tensor:
        """z [n, z_dim] of these samples, on the device."""
        generator = self.networks["G"]
        assert isinstance(generator, PlainGenerator)
        return normal(self.config.seed, stream, sample, (generator.config.z_dim,)).to(
            self.ranks.device
        )

    def labels(self, labels: Tensor | None) -> Tensor | None:
        """The labels of a part [n, L] on the device; None where the system takes none."""
        return labels.to(self.ranks.device) if self.conditional and labels is not None else None

    def drawn_labels(self, sample: np.ndarray) -> Tensor | None:
        """Labels of random images of the data, [n, L]; None where the system takes none."""
        return self.labels(drawn_labels(self.feed, self.config.seed, sample))

    def samples(self, sample: np.ndarray) -> Tensor:
        """Samples of the averaged generator, their labels as frequent as in the data."""
        return self._draw(self.averaged, sample, Stream.EVALUATE)

    def _draw(self, generator: PlainGenerator, sample: np.ndarray, stream: Stream) -> Tensor:
        c = self.drawn_labels(sample)
        return draw(generator, self.z(sample, stream), c)

    def columns(self) -> Tensor | None:
        """The labels of a grid's columns [K, L], in the order of the classes; None: no labels."""
        return self.labels(column_labels(self.feed))

    def grid(self) -> tuple[Tensor, int]:
        """Fixed-seed samples; with labels, a column for each class and a row for each z."""
        z, c, columns = self.grid_inputs()
        return draw(self.averaged, z, c), columns

    def grid_inputs(self) -> tuple[Tensor, Tensor | None, int]:
        """z, labels and number of columns of the grid."""
        c = self.columns()
        if c is None:
            return self.z(np.arange(GRID_ROWS * GRID_COLUMNS), Stream.GRID), None, GRID_COLUMNS
        z = self.z(np.arange(GRID_ROWS), Stream.GRID)
        return z.repeat_interleave(len(c), dim=0), c.repeat(GRID_ROWS, 1), len(c)

    def model(self, training: dict[str, Any]) -> ModelFile:
        """The averaged generator."""
        average = self.averaged
        return ModelFile(self.arch, asdict(average.config), average.state_dict(), training)


@torch.no_grad()
def draw(generator: PlainGenerator, z: Tensor, c: Tensor | None) -> Tensor:
    """Images of z and labels in float32, -1..1, in chunks."""
    labels = [None] * len(z) if c is None else c.split(_CHUNK)
    chunks = [generator(part, own) for part, own in zip(z.split(_CHUNK), labels, strict=False)]
    return torch.cat(chunks).float().clamp(-1, 1)
