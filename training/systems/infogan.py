"""InfoGAN under training: the game, and the information that images carry about their codes."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...core.models.infogan import Codes, Discriminator, Generator
from ...core.models.plain_generator import PlainGenerator
from ..configs.infogan import InfoGanConfig
from ..feed import Batch
from ..streams import Stream
from .gan import GanSystem
from .plain import GRID_ROWS

_CLUSTERED = 1000  # images of which the categories are compared with their labels
_CHUNK = 64


class InfoGanSystem(GanSystem):
    """DCGAN whose networks also raise a lower bound of the information on codes in images.

    Q, which reads the codes, shares the discriminator's convolutions and moves with it.

    Source: Chen et al. 2016, "InfoGAN", equations 5 and 6.
    """

    config: InfoGanConfig
    grid_shows = "A column for each value of the first categorical code, a row for each z."
    g: Generator
    d: Discriminator

    def new_networks(
        self, config: InfoGanConfig, c_dim: int
    ) -> tuple[str, PlainGenerator, nn.Module]:
        """A generator of noise and codes, and a discriminator with Q."""
        categories = config.num_categorical * config.num_categories
        generator = Generator(
            z_dim=config.z_dim + config.num_continuous + categories,
            c_dim=categories,
            img_resolution=config.resolution,
            num_categorical=config.num_categorical,
            num_categories=config.num_categories,
            num_continuous=config.num_continuous,
            channel_base=config.channel_base,
            channel_max=config.channel_max,
        )
        discriminator = Discriminator(
            img_resolution=config.resolution,
            num_categorical=config.num_categorical,
            num_categories=config.num_categories,
            num_continuous=config.num_continuous,
            channel_base=config.channel_base,
            channel_max=config.channel_max,
            norm=config.d_norm,
            hidden=config.q_hidden,
        )
        return "infogan-generator", generator, discriminator

    def shared_loss(self, part: Batch, fake: Tensor, stream: Stream) -> Tensor:
        """The bound of the information on the codes of these fakes, negative and weighted."""
        config = self.config
        with torch.no_grad():
            categories, continuous = self.g.codes(self.g.mapping(self.z(part.sample, stream))[:, 0])
        with self.autocast():
            read = self.d.read(self.d.critic.features(fake))
        on_categories, on_continuous = information(read, categories, continuous)
        self.meter.add("information", on_categories + on_continuous)
        self.meter.add("information_categorical", on_categories)
        weighted = config.info_weight * on_categories + config.continuous_weight * on_continuous
        return -weighted.mean()

    def columns(self) -> Tensor:
        """The values of the first categorical code."""
        config = self.config
        columns = torch.zeros(config.num_categories, self.g.config.c_dim)
        columns[:, : config.num_categories] = torch.eye(config.num_categories)
        return columns.to(self.ranks.device)

    def grid_inputs(self) -> tuple[Tensor, Tensor | None, int]:
        """A row for each z, a column for each value of the first categorical code."""
        c = self.columns()
        z = self.z(np.arange(GRID_ROWS), Stream.GRID)
        return z.repeat_interleave(len(c), dim=0), c.repeat(GRID_ROWS, 1), len(c)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """How well the first code's categories agree with the data's classes, where it has any."""
        labels = self.feed.dataset.labels
        if labels is None or labels.shape[1] < 2 or not bool((labels.sum(dim=1) == 1).all()):
            return {}
        chosen = torch.linspace(0, self.feed.count - 1, min(_CLUSTERED, self.feed.count)).long()
        self.d.eval()
        found = [
            self.d.read(self.d.critic.features(self.reals(self.feed.dataset.images(some))))
            for some in chosen.split(_CHUNK)
        ]
        self.d.train()
        categories = torch.cat([codes.logits[:, 0].argmax(dim=1) for codes in found]).cpu()
        return {"cluster_accuracy": cluster_accuracy(categories, labels[chosen].argmax(dim=1))}


def information(codes: Codes, categories: Tensor, continuous: Tensor) -> tuple[Tensor, Tensor]:
    """Lower bounds of the information on each sample's codes, in nats.

    Args:
        codes: what Q believes.
        categories: the true categories, int64 [N, num_categorical].
        continuous: the true continuous codes in -1..1, [N, num_continuous].

    Returns:
        [N] for the categorical and [N] for the continuous codes: log Q(code | image) plus the
        entropy of the code, log K for one of K categories and log 2 for a uniform number.

    Source: Chen et al. 2016, equation 5.
    """
    count = codes.logits.shape[2]
    log_q = functional.log_softmax(codes.logits, dim=2).gather(2, categories[:, :, None])
    on_categories = (log_q[:, :, 0] + math.log(count)).sum(dim=1)
    error = (continuous - codes.mean) / codes.log_std.exp()
    log_q = -0.5 * error.square() - codes.log_std - 0.5 * math.log(2 * math.pi)
    return on_categories, (log_q + math.log(2)).sum(dim=1)


def cluster_accuracy(categories: Tensor, classes: Tensor) -> float:
    """Share of samples whose class is the most frequent one of their category, int64 [N] each."""
    table = torch.zeros(int(categories.max()) + 1, int(classes.max()) + 1, dtype=torch.int64)
    table.index_put_((categories, classes), torch.ones_like(classes), accumulate=True)
    return int(table.max(dim=1).values.sum()) / len(classes)
