"""pix2pix under training: a U-Net from the first to the second image of a pair."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...core.metrics import psnr
from ...core.models.pix2pix_unet import Pix2PixUNet
from ..configs.pix2pix import Pix2PixConfig
from ..distributed import Ranks
from ..feed import Batch, Feed
from ..report import Headline
from ..snapshot import ModelFile
from ..streams import Stream, seeds
from ..system import initial_weights
from .translation import COLUMNS, TranslationSystem, patchgan, trained, translated

_MIN_DOWNS, _MAX_DOWNS = 5, 8  # of the U-Net: at least what it takes, at most what is published
_MEAN_COUNT = 1024  # targets in the mean image, a baseline


class Pix2PixSystem(TranslationSystem):
    """U-Net, discriminator of patches of input and output together, and averaged U-Net.

    The loss is the adversarial one plus `l1_weight` times the L1 distance. Dropout, the only noise,
    is drawn for each sample from its number; normalisation takes each image's own statistics, as
    in the published training with one image at a time.
    Source: Isola et al. 2017, "Image-to-image translation with conditional adversarial networks".
    """

    config: Pix2PixConfig
    headline = Headline("psnr", higher_is_better=True)
    grid_shows = "Held-out pairs and what the averaged generator makes of the input."
    grid_rows = ("input", "translation", "target")

    def __init__(self, config: Pix2PixConfig, feed: Feed, ranks: Ranks) -> None:
        with initial_weights(config.seed):
            self.g = Pix2PixUNet(
                num_downs=min(max(config.resolution.bit_length() - 1, _MIN_DOWNS), _MAX_DOWNS),
                ngf=config.ngf,
                norm="instance",
                use_dropout=config.dropout,
            )
            g, d = trained(self.g, config.lr), patchgan(config, in_channels=6)
        super().__init__(config, feed, ranks, {"G": g, "D": d}, {"EMA": "G"})
        self.d = d.module
        self.g.eval()  # in training mode, dropout would ask torch's own generator
        self._baselines = _baselines(feed)

    def step(self, step: int) -> None:
        """Discriminator, generator, weight average."""
        self.set_learning_rates(step)
        batch = self.feed.batch(step)
        pairs = [self._pair(part) for part in batch]
        self.d.requires_grad_(True)
        # With one part, the images of D's step serve G's as well; more would not fit into memory.
        keep = len(batch) == 1
        kept: list[Tensor] = []
        for part, (source, target) in zip(batch, pairs, strict=True):
            with torch.set_grad_enabled(keep):
                fake = self._translate(source, part.sample)
            kept += [fake] if keep else []
            real, made = torch.cat([source, target], 1), torch.cat([source, fake.detach()], 1)
            self.accumulate_discriminator("d", self.d, real, made, len(batch))
        self.update("D")
        self.d.requires_grad_(False)
        for row, (part, (source, target)) in enumerate(zip(batch, pairs, strict=True)):
            fake = kept[row] if keep else self._translate(source, part.sample)
            self._accumulate_generator(source, target, fake, len(batch))
        self.update("G")
        self.average(step)

    def _accumulate_generator(
        self, source: Tensor, target: Tensor, fake: Tensor, parts: int
    ) -> None:
        config = self.config
        fake_logits = self.score(self.d, torch.cat([source, fake], 1))
        loss_gan = self.game.generator(fake_logits, fake_logits)
        loss_l1 = functional.l1_loss(fake, target)
        ((config.gan_weight * loss_gan + config.l1_weight * loss_l1) / parts).backward()
        self.meter.add("loss_g", loss_gan)
        self.meter.add("l1", loss_l1)

    def _pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.targets is not None
        return self.reals(batch.images), self.reals(batch.targets)

    def _translate(self, source: Tensor, sample: np.ndarray) -> Tensor:
        own = torch.tensor(seeds(self.config.seed, Stream.DROPOUT, sample))
        with self.autocast():
            return self.g(source, dropout="seeded", generator=own).float()

    def model(self, training: dict[str, Any]) -> ModelFile:
        """The averaged U-Net."""
        ema = self.averages["EMA"]
        assert isinstance(ema, Pix2PixUNet)
        return ModelFile("pix2pix-unet", asdict(ema.config), ema.state_dict(), training)

    def grid(self) -> tuple[Tensor, int]:
        """Held-out pairs: rows of inputs, translations and targets."""
        source, target = self._pair(self.feed.heldout_batch())
        source, target = source[:COLUMNS], target[:COLUMNS]
        rows = torch.cat([source, translated(self.averages["EMA"], source), target])
        return rows.cpu(), len(source)

    def evaluate(self) -> dict[str, float]:
        """L1 (of -1..1) and PSNR on held-out pairs, beside what one gets without a network.

        The baselines are the input itself ("copy") and the mean of the training targets ("mean").
        """
        source, target = self._pair(self.feed.heldout_batch())
        made = translated(self.averages["EMA"], source)
        return {**_errors("", made, target), **self._baselines}


@torch.no_grad()
def _baselines(feed: Feed) -> dict[str, float]:
    heldout = feed.heldout_batch()
    training = feed.first_batch(_MEAN_COUNT)
    assert heldout.targets is not None and training.targets is not None
    target = _signed(heldout.targets)
    mean = _signed(training.targets).mean(dim=0, keepdim=True).expand_as(target)
    return {
        **_errors("_copy", _signed(heldout.images), target),
        **_errors("_mean", mean, target),
    }


def _signed(images: Tensor) -> Tensor:
    return images.float().mul_(2 / 255).sub_(1)


def _errors(suffix: str, made: Tensor, target: Tensor) -> dict[str, float]:
    """Mean L1 and PSNR of images in -1..1."""
    ratio = psnr(made.add(1).div(2).clamp(0, 1), target.add(1).div(2)).clamp(max=100)
    return {
        f"l1{suffix}": float(functional.l1_loss(made, target)),
        f"psnr{suffix}": float(ratio.mean()),
    }
