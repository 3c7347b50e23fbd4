"""What systems with an encoder and a decoder share: held-out images, samples, the model file."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.metrics import psnr
from ...core.models.vae import VAE
from ..configs.vae import AutoencoderConfig
from ..feed import Batch, Feed
from ..snapshot import ModelFile
from ..streams import Stream, normal
from ..system import System, initial_weights
from ..variational import active_units, kl_divergence

_COLUMNS, _SAMPLE_ROWS = 8, 4
CHUNK = 64  # images run at once for grids and metrics


class AutoencoderSystem(System):
    """A VAE under training, whatever trains it."""

    config: AutoencoderConfig
    grid_shows = "Held-out images, their reconstructions, and samples of the same z each time."
    grid_rows = ("image", "rebuilt", *["samples"] * _SAMPLE_ROWS)

    @property
    @abstractmethod
    def averaged(self) -> VAE:
        """The encoder and decoder as they are published."""

    def model(self, training: dict[str, Any]) -> ModelFile:
        """The averaged encoder and decoder in one file."""
        vae = self.averaged
        return ModelFile("vae", asdict(vae.config), vae.state_dict(), training)

    def noise(self, stream: Stream, sample: np.ndarray) -> Tensor:
        """Standard normal [n, z_dim] on the device, a function of each sample's number."""
        drawn = normal(self.config.seed, stream, sample, (self.config.z_dim,))
        return drawn.to(self.ranks.device, non_blocking=True)

    def labels(self, batch: Batch) -> Tensor | None:
        """Labels [n, c_dim] on the device, where the network takes them."""
        return self._used(batch.labels)

    @torch.no_grad()
    def grid(self) -> tuple[Tensor, int]:
        """Rows of held-out images, of their reconstructions, and of samples under their labels."""
        img, c, _ = self.heldout()
        img, c = img[:_COLUMNS], None if c is None else c[:_COLUMNS]
        columns = len(img)
        z = self.noise(Stream.GRID, np.arange(_SAMPLE_ROWS * columns))
        samples = [self.averaged.decode(row, c) for row in z.split(columns)]
        rows = [img, self.averaged(img, c), *samples]
        return torch.cat([row.float().cpu() for row in rows]), columns

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """On held-out images: latents in use, and how well they rebuild the images.

        With `active_units` falling to 0 the posterior has collapsed.
        """
        img, c, _ = self.heldout()
        vae = self.averaged
        kls, means = [], []
        for part in torch.arange(len(img)).split(CHUNK):
            posterior = vae.encode(img[part], rows_of(c, part))
            kls.append(kl_divergence(*posterior).sum(dim=1))
            means.append(posterior.mean)
        mean = torch.cat(means)
        rebuilt = self._decoded(mean, c)
        return {
            "kl": float(torch.cat(kls).double().mean()),
            "active_units": float(active_units(mean)),
            "psnr": float(psnr(_unit(rebuilt), _unit(img)).clamp(max=100).mean()),
        }

    @torch.no_grad()
    def samples(self, sample: np.ndarray) -> Tensor:
        """Images of latents drawn from the prior, under labels of the data."""
        labels = self.feed.dataset.labels
        rows = torch.from_numpy(sample % self.feed.count)
        c = None if labels is None else self._used(labels[rows])
        return self._decoded(self.noise(Stream.EVALUATE, sample), c)

    def heldout(self) -> tuple[Tensor, Tensor | None, np.ndarray]:
        """Images -1..1 that training never sees, their labels, and their numbers."""
        batch = self.feed.heldout_batch()
        return self.reals(batch.images), self._used(batch.labels), batch.sample

    def _used(self, labels: Tensor | None) -> Tensor | None:
        if not self.config.conditional or labels is None:
            return None
        return labels.to(self.ranks.device, non_blocking=True)

    def _decoded(self, z: Tensor, c: Tensor | None) -> Tensor:
        parts = torch.arange(len(z)).split(CHUNK)
        return torch.cat([self.averaged.decode(z[part], rows_of(c, part)) for part in parts])


def new_vae(config: AutoencoderConfig, feed: Feed) -> VAE:
    """The untrained network that settings and data describe.

    Raises:
        InputError: it is conditional, and the data have no labels.
    """
    with initial_weights(config.seed):
        return VAE(
            img_resolution=config.resolution,
            img_channels=feed.dataset.images(torch.zeros(1, dtype=torch.int64)).shape[1],
            z_dim=config.z_dim,
            c_dim=feed.label_dim if config.conditional else 0,
            base_channels=config.base_channels,
            channel_max=config.channel_max,
        )


def rows_of(c: Tensor | None, rows: Tensor) -> Tensor | None:
    """Some rows of the labels, where there are any."""
    return None if c is None else c[rows.to(c.device)]


def _unit(images: Tensor) -> Tensor:
    """-1..1 -> 0..1 on the CPU."""
    return images.float().cpu().add(1).div(2).clamp(0, 1)
