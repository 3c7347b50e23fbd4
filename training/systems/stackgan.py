"""StackGAN under training: a stage that sketches, then, with that one at rest, one that draws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...core.errors import InputError
from ...core.models.progressive import doubled, halved
from ...core.models.stackgan import Discriminator, Gaussian, Generator
from ..configs.stackgan import StackGanConfig
from ..distributed import Ranks
from ..feed import Batch, Feed
from ..losses import LOSSES
from ..streams import Stream, uniforms
from ..system import Trained, initial_weights
from .plain import PlainSystem, draw

_TRIES = 8  # labels looked at to find one unlike an image's own
_COMPARED = 64  # samples whose stages are compared
_CHUNK = 64  # images of the first stage drawn at once


class _Fakes(NamedTuple):
    """Images of a stage, the distribution of its labels, and what the second stage drew from."""

    images: Tensor
    gaussian: Gaussian
    sketch: Tensor | None


class StackGanSystem(PlainSystem):
    """Both stages of the generator in "G", and a discriminator for each.

    The discriminators also see real images with labels of others, so that they learn to look at
    the labels. Until `stage1_kimg` the first stage learns on images of half the size; then it
    rests, and the second one learns, kept near it by `agree_weight`: without that, a small second
    stage forgets its input.

    Source: Zhang et al. 2017, "StackGAN", sections 3.3 and 3.4.

    Raises:
        InputError: the data have no labels, or the same for all images.
    """

    config: StackGanConfig
    grid_shows = "A column for each class; rows of first stages, each above its second stages."
    arch = "stackgan-generator"

    def __init__(self, config: StackGanConfig, feed: Feed, ranks: Ranks) -> None:
        self.conditional = True
        c_dim = feed.label_dim
        _check_labels_differ(feed)
        with initial_weights(config.seed):
            self.g = Generator(
                z_dim=config.noise_dim + 2 * config.embed_dim,
                c_dim=c_dim,
                img_resolution=config.resolution,
                embed_dim=config.embed_dim,
                channel_base=config.channel_base,
                channel_max=config.channel_max,
                num_blocks=config.num_blocks,
            )
            self.d1, self.d2 = (
                Discriminator(
                    c_dim=c_dim,
                    img_resolution=size,
                    embed_dim=config.embed_dim,
                    channel_base=config.channel_base,
                    channel_max=config.channel_max,
                    norm=config.d_norm,
                )
                for size in (config.resolution // 2, config.resolution)
            )
        betas = (config.beta1, config.beta2)
        lr_d = config.lr if config.lr_d is None else config.lr_d
        networks = {
            "G": Trained(self.g, config.lr, betas),
            "D1": Trained(self.d1, lr_d, betas),
            "D2": Trained(self.d2, lr_d, betas),
        }
        super().__init__(config, feed, ranks, networks, {"EMA": "G"})
        self._game = LOSSES[config.loss]
        self._learning = self.stage(0)

    def stage(self, step: int) -> int:
        """Which stage learns in a step, 1 or 2."""
        return 1 if step * self.config.batch < self.config.stage1_kimg * 1000 else 2

    def step(self, step: int) -> None:
        """Discriminator and generator of the stage that learns, averages."""
        stage = self._learning = self.stage(step)
        # At rest, the first stage draws with the statistics that it has gathered.
        for module in (self.g.stage1, self.g.augment1):
            module.train(stage == 1)
        batch = self.feed.batch(step)
        name = f"D{stage}"
        d = self.d1 if stage == 1 else self.d2
        d.requires_grad_(True)
        for part in batch:
            (self._discriminator_loss(part, stage, d) / len(batch)).backward()
        self.update(name)
        d.requires_grad_(False)
        for part in batch:
            (self._generator_loss(part, stage, d) / len(batch)).backward()
        self.update("G")
        self.finish(step)

    def _discriminator_loss(self, part: Batch, stage: int, d: Discriminator) -> Tensor:
        """Half against fakes, half against real images with labels of others."""
        c = self._own_labels(part)
        wrong = self._other_labels(part)
        real = self._reals(part, stage)
        with torch.no_grad():
            fake = self._fakes(part, stage, Stream.GAN_Z_D).images
        real_logits = self._logits(d, real, c)
        fake_logits = self._logits(d, fake, c)
        wrong_logits = self._logits(d, real, wrong)
        loss = 0.5 * self._game.discriminator(real_logits, fake_logits)
        loss = loss + 0.5 * self._game.discriminator(real_logits, wrong_logits)
        self.meter.add("loss_d", loss)
        self.meter.add_distribution("logits_real", real_logits)
        self.meter.add_distribution("logits_fake", fake_logits)
        self.meter.add_distribution("logits_wrong", wrong_logits)
        return loss

    def _generator_loss(self, part: Batch, stage: int, d: Discriminator) -> Tensor:
        c = self._own_labels(part)
        fake = self._fakes(part, stage, Stream.GAN_Z_G)
        fake_logits = self._logits(d, fake.images, c)
        real_logits = fake_logits
        if self._game.paired:
            real_logits = self._logits(d, self._reals(part, stage), c)
        loss = self._game.generator(fake_logits, real_logits)
        spread = conditioning_kl(fake.gaussian)
        self.meter.add("loss_g", loss)
        self.meter.add("kl", spread)
        loss = loss + self.config.kl_weight * spread
        if fake.sketch is None:
            return loss
        departure = functional.l1_loss(halved(fake.images), fake.sketch)
        self.meter.add("stage_distance", departure)
        return loss + self.config.agree_weight * departure

    def _reals(self, part: Batch, stage: int) -> Tensor:
        images = self.reals(part.images)
        return halved(images) if stage == 1 else images

    def _fakes(self, part: Batch, stage: int, stream: Stream) -> _Fakes:
        w = self.g.mapping(self.z(part.sample, stream), self._own_labels(part))[:, 0]
        with self.autocast():
            if stage == 1:
                images, gaussian = self.g.first(w)
                return _Fakes(images.float(), gaussian, None)
            with torch.no_grad():
                sketch, _ = self.g.first(w)
            images, gaussian = self.g.second(sketch, w)
        return _Fakes(images.float(), gaussian, sketch.float())

    def _logits(self, d: Discriminator, images: Tensor, c: Tensor) -> Tensor:
        with self.autocast():
            return d(images, c).float()

    def _own_labels(self, part: Batch) -> Tensor:
        assert part.labels is not None  # as feed.label_dim has been asked
        return part.labels.to(self.ranks.device)

    def _other_labels(self, part: Batch) -> Tensor:
        """Labels of other images, unlike a sample's own where a few tries find such a one."""
        labels, own = self.feed.dataset.labels, part.labels
        assert labels is not None
        assert own is not None
        draws = uniforms(self.config.seed, Stream.WRONG_LABEL, part.sample, _TRIES).double()
        candidates = labels[(draws * self.feed.count).long()]  # [n, tries, L]
        unlike = (candidates != own[:, None]).any(dim=2).float()
        first = unlike.argmax(dim=1)
        return candidates[torch.arange(len(own)), first].to(self.ranks.device)

    @torch.no_grad()
    def samples(self, sample: np.ndarray) -> Tensor:
        """Samples of the averaged generator, of its first stage, enlarged, where that learns.

        The second stage then draws what untrained weights make of it, which says nothing.
        """
        if self._learning == 2:
            return super().samples(sample)
        z, c = self.z(sample, Stream.EVALUATE), self.drawn_labels(sample)
        return doubled(self._first_stage(z, c))

    @torch.no_grad()
    def grid(self) -> tuple[Tensor, int]:
        """Rows of first stages, enlarged, each above its second stages; columns are classes."""
        z, c, columns = self.grid_inputs()
        first, second = self._stages(z, c)
        rows = (doubled(first).unflatten(0, (-1, columns)), second.unflatten(0, (-1, columns)))
        return torch.stack(rows, dim=1).flatten(0, 2), columns

    def evaluate(self) -> dict[str, float]:
        """How far the second stage, halved, is from the first; and from that of other samples."""
        sample = np.arange(_COMPARED)
        c = self.drawn_labels(sample)
        first, second = self._stages(self.z(sample, Stream.EVALUATE), c)
        small = halved(second)
        return {
            "stage_distance": float(functional.l1_loss(small, first)),
            "stage_distance_shuffled": float(functional.l1_loss(small, first.roll(1, dims=0))),
        }

    @torch.no_grad()
    def _stages(self, z: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Images of both stages of the averaged generator, -1..1."""
        return self._first_stage(z, c), draw(self.averaged, z, c)

    def _first_stage(self, z: Tensor, c: Tensor | None) -> Tensor:
        """Images of the first stage of the averaged generator, -1..1."""
        average = self.averaged
        assert isinstance(average, Generator)
        parts = average.mapping(z, c)[:, 0].split(_CHUNK)
        return torch.cat([average.first(w)[0] for w in parts]).float().clamp(-1, 1)


def _check_labels_differ(feed: Feed) -> None:
    """Refuse labels among which there is no wrong one."""
    labels = feed.dataset.labels
    assert labels is not None  # as feed.label_dim has been asked
    if bool((labels == labels[0]).all()):
        raise InputError(
            "train: StackGAN shows its discriminators images under labels of others, expected two "
            f"labels or more, got the same one for all {feed.count} images"
        )


def conditioning_kl(gaussian: Gaussian) -> Tensor:
    """Kullback-Leibler divergence of augmented labels from standard normal ones, mean over samples.

    Source: Zhang et al. 2017, equation 2.
    """
    mean, log_std = gaussian
    return 0.5 * ((2 * log_std).exp() + mean.square() - 1 - 2 * log_std).sum(dim=1).mean()
