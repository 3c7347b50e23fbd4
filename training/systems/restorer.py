"""Restoration under training: a U-Net against a patch discriminator on faces damaged on the fly."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...core.metrics import psnr
from ...core.models.patchgan import PatchDiscriminator
from ...core.models.unet import RestorationUNet
from ...core.restoration import PRESETS, Degradation, bicubic, degrade, median, sample_degradations
from .. import losses, regularisers
from ..configs.restorer import RestorerConfig
from ..distributed import Ranks
from ..feed import Feed
from ..report import Headline
from ..snapshot import ModelFile
from ..streams import Stream, seeds, uniforms
from ..system import System, Trained, initial_weights

_BETAS = (0.5, 0.99)
_GRID_COUNT = 16
_CHUNK = 16  # images restored at once for grids and metrics


class RestorerSystem(System):
    """U-Net, patch discriminator and averaged U-Net with their optimizers.

    The loss is L1 plus, from `gan_start_kimg` on, a small non-saturating adversarial term with R1
    on the discriminator. Source: Isola et al. 2017, "Image-to-image translation with conditional
    adversarial networks", for U-Net, L1 and patches.
    """

    config: RestorerConfig
    headline = Headline("psnr", higher_is_better=True)
    grid_shows = "Held-out faces, damaged and restored by the averaged U-Net."
    grid_rows = ("damaged", "restored", "clean")

    def __init__(self, config: RestorerConfig, feed: Feed, ranks: Ranks) -> None:
        with initial_weights(config.seed):
            self.g = RestorationUNet(
                base_channels=config.base_channels,
                channel_max=config.channel_max,
                num_levels=config.num_levels,
            )
            self.d = PatchDiscriminator(base_channels=config.d_channels)
        lr_d = config.lr if config.lr_d is None else config.lr_d
        lazy_d = config.r1_interval if config.r1_gamma > 0 else None
        networks = {
            "G": Trained(self.g, config.lr, _BETAS),
            "D": Trained(self.d, lr_d, _BETAS, lazy_d),
        }
        super().__init__(config, feed, ranks, networks, {"EMA": "G"})
        self._heldout = _Heldout(config, feed)

    def step(self, step: int) -> None:
        """Discriminator and R1 where they are due, U-Net, weight average."""
        config = self.config
        batch = self.feed.batch(step)
        cleans = [self.reals(part.images) for part in batch]
        damaged = [self._damage(part.images, part.sample) for part in batch]

        adversarial = config.gan_weight > 0 and step * config.batch >= config.gan_start_kimg * 1000
        restored: list[Tensor] = []
        if adversarial:
            restored = self._train_discriminator(cleans, damaged)
            if config.r1_gamma > 0 and step % config.r1_interval == 0:
                self._regularise_discriminator(cleans)
        self._train_network(cleans, damaged, restored, adversarial)
        self.average(step)

    def _train_discriminator(self, cleans: list[Tensor], damaged: list[Tensor]) -> list[Tensor]:
        """One Adam step of D; gives restored images, with graph, where the batch is in one part."""
        self.d.requires_grad_(True)
        keep = len(cleans) == 1
        kept = []
        for clean, bad in zip(cleans, damaged, strict=True):
            with torch.set_grad_enabled(keep):
                restored = self._restore(bad)
            if keep:
                kept.append(restored)
            logits = self._logits(torch.cat([clean, restored.detach()]))
            real_logits, fake_logits = logits.chunk(2)
            loss = losses.discriminator_loss(real_logits, fake_logits)
            (loss / len(cleans)).backward()
            self.meter.add("loss_d", loss)
            self.meter.add_distribution("logits_real", real_logits)
            self.meter.add_distribution("logits_fake", fake_logits)
        self.update("D")
        return kept

    def _regularise_discriminator(self, cleans: list[Tensor]) -> None:
        """R1 of the mean logit in a step of its own, weighted by its interval."""
        config = self.config
        for clean in cleans:
            real = clean.detach().requires_grad_(True)
            penalty = regularisers.r1_penalty(self._logits(real).mean(dim=[1, 2, 3]), real)
            (penalty * config.r1_gamma * config.r1_interval / len(cleans)).backward()
            self.meter.add("r1", penalty)
        self.update("D")

    def _train_network(
        self,
        cleans: list[Tensor],
        damaged: list[Tensor],
        restored: list[Tensor],
        adversarial: bool,
    ) -> None:
        """One Adam step of the U-Net; `restored` are its outputs where D's step has kept them."""
        config = self.config
        self.d.requires_grad_(False)
        for part, (clean, bad) in enumerate(zip(cleans, damaged, strict=True)):
            output = restored[part] if restored else self._restore(bad)
            loss_l1 = functional.l1_loss(output, clean)
            loss = loss_l1 * config.l1_weight
            self.meter.add("l1", loss_l1)
            if adversarial:
                loss_gan = losses.generator_loss(self._logits(output))
                loss = loss + config.gan_weight * loss_gan
                self.meter.add("loss_g", loss_gan)
            (loss / len(cleans)).backward()
        self.update("G")

    def _damage(self, images: Tensor, sample: np.ndarray) -> Tensor:
        """uint8 [n, 3, H, W] -> damaged float32 -1..1 on the device; a share stays clean."""
        config = self.config
        own = seeds(config.seed, Stream.DEGRADE, sample)
        drawn = sample_degradations(own, PRESETS[config.strength], config.spread)
        coins = uniforms(config.seed, Stream.CLEAN, sample, 1)[:, 0]
        chosen = [
            Degradation() if coin < config.clean_share else one
            for coin, one in zip(coins.tolist(), drawn, strict=True)
        ]
        bad = degrade(images.to(torch.float32).div_(255), chosen, own)
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        moved = bad.mul_(2).sub_(1).to(self.ranks.device, non_blocking=True)
        return moved.contiguous(memory_format=layout)

    def _restore(self, bad: Tensor) -> Tensor:
        with self.autocast():
            return self.g(bad).float()

    def _logits(self, images: Tensor) -> Tensor:
        with self.autocast():
            return self.d(images).float()

    def model(self, training: dict[str, Any]) -> ModelFile:
        """The averaged U-Net."""
        ema = self.averages["EMA"]
        return ModelFile("restore-unet", asdict(self.g.config), ema.state_dict(), training)

    def grid(self) -> tuple[Tensor, int]:
        """Held-out faces: rows of damaged, restored and clean ones."""
        count = min(_GRID_COUNT, len(self._heldout.clean))
        bad, clean = self._heldout.bad[:count], self._heldout.clean[:count]
        rows = torch.cat([bad, self._restored()[:count], clean])
        return rows.mul(2).sub(1), count

    def evaluate(self) -> dict[str, float]:
        """Mean PSNR on held-out faces, beside what one gets without a network."""
        return {
            "psnr": _mean_psnr(self._restored(), self._heldout.clean),
            **self._heldout.baselines,
        }

    @torch.no_grad()
    def _restored(self) -> Tensor:
        """The held-out faces restored by the averaged U-Net, 0..1 on the CPU."""
        inputs = self._heldout.bad.mul(2).sub(1).to(self.ranks.device)
        done = torch.cat([self.averages["EMA"](part).float() for part in inputs.split(_CHUNK)])
        return done.add(1).div(2).clamp(0, 1).cpu()


class _Heldout:
    """Faces that training never sees, damaged once: clean and bad [n, 3, H, W] in 0..1."""

    def __init__(self, config: RestorerConfig, feed: Feed) -> None:
        batch = feed.heldout_batch()
        self.clean = batch.images.to(torch.float32).div_(255)
        own = seeds(config.seed, Stream.HELDOUT, batch.sample)
        damage = sample_degradations(own, PRESETS[config.strength])
        self.bad = degrade(self.clean, damage, own)
        self.baselines = {
            "psnr_degraded": _mean_psnr(self.bad, self.clean),
            "psnr_median": _mean_psnr(median(self.bad), self.clean),
            "psnr_bicubic": _mean_psnr(bicubic(self.bad), self.clean),
        }


def _mean_psnr(a: Tensor, b: Tensor) -> float:
    """Mean over images; equal images count as 100 dB."""
    return float(psnr(a, b).clamp(max=100).mean())
