"""MLP GAN, DCGAN, conditional GAN, WGAN-GP and the modern baseline: one system for all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...core.models import dcgan, mlp_gan, r3gan
from ...core.models.plain_generator import PlainGenerator
from .. import regularisers
from ..configs.gan import DcganConfig, GanConfig, MlpGanConfig, R3ganConfig
from ..distributed import Ranks
from ..feed import Batch, Feed
from ..labels import GRID_SHOWS
from ..losses import LOSSES
from ..streams import Stream, uniforms
from ..system import Trained, initial_weights
from .plain import PlainSystem


class GanSystem(PlainSystem):
    """Generator and discriminator under any loss, with any of the regularisers.

    A step shows the discriminator a batch; the generator moves in every `d_steps`-th step, on
    latents of its own. Labels of fakes are those of the batch's real images.

    Source: Goodfellow et al. 2014, algorithm 1, and for several steps of D, Gulrajani et al. 2017,
    algorithm 1.

    Raises:
        InputError: the settings ask for labels, which the data lack.
    """

    config: GanConfig

    def __init__(self, config: GanConfig, feed: Feed, ranks: Ranks) -> None:
        self.conditional = config.conditional
        if config.conditional:
            self.grid_shows = GRID_SHOWS
        c_dim = feed.label_dim if config.conditional else 0
        with initial_weights(config.seed):
            self.arch, self.g, self.d = self.new_networks(config, c_dim)
            if config.spectral_norm:
                regularisers.spectral_norm(self.d)
        betas = (config.beta1, config.beta2)
        lr_d = config.lr if config.lr_d is None else config.lr_d
        networks = {"G": Trained(self.g, config.lr, betas), "D": Trained(self.d, lr_d, betas)}
        super().__init__(config, feed, ranks, networks, {"EMA": "G"})
        self._game = LOSSES[config.loss]

    def new_networks(self, config: GanConfig, c_dim: int) -> tuple[str, PlainGenerator, nn.Module]:
        """The architecture's name, the generator and the discriminator that settings describe."""
        return build_networks(config, c_dim)

    def shared_loss(self, part: Batch, fake: Tensor, stream: Stream) -> Tensor | None:
        """What both networks lower beside the game, of fakes drawn from `stream`."""
        return None

    def step(self, step: int) -> None:
        """Discriminator, generator where it is due, averages."""
        batch = self.feed.batch(step)
        self._train_discriminator(batch)
        if (step + 1) % self.config.d_steps == 0:
            self._train_generator(batch)
        self.finish(step)

    def _train_discriminator(self, batch: list[Batch]) -> None:
        config = self.config
        self.d.requires_grad_(True)
        regularisers.power_iteration(self.d)
        for part in batch:
            c = self.labels(part.labels)
            real = self.reals(part.images).requires_grad_(config.r1_gamma > 0)
            with torch.no_grad():
                fake = self._fakes(part, Stream.GAN_Z_D)
            fake = fake.requires_grad_(config.r2_gamma > 0)
            real_logits, fake_logits = self._logits(real, c), self._logits(fake, c)
            loss = self._game.discriminator(real_logits, fake_logits)
            self.meter.add("loss_d", loss)
            self.meter.add_distribution("logits_real", real_logits)
            self.meter.add_distribution("logits_fake", fake_logits)
            penalties = self._penalties(part, c, (real, real_logits), (fake, fake_logits))
            for name, (weight, penalty) in penalties.items():
                self.meter.add(name, penalty)
                loss = loss + weight * penalty
            shared = self.shared_loss(part, fake, Stream.GAN_Z_D)
            loss = loss if shared is None else loss + shared
            (loss / len(batch)).backward()
        self.update("D")

    def _penalties(
        self,
        part: Batch,
        c: Tensor | None,
        real: tuple[Tensor, Tensor],
        fake: tuple[Tensor, Tensor],
    ) -> dict[str, tuple[float, Tensor]]:
        """Weight and value of what regularises D, of images and their logits."""
        config, device = self.config, self.ranks.device
        result: dict[str, tuple[float, Tensor]] = {}
        if config.r1_gamma > 0:
            result["r1"] = config.r1_gamma, regularisers.r1_penalty(real[1], real[0])
        if config.r2_gamma > 0:
            result["r2"] = config.r2_gamma, regularisers.r2_penalty(fake[1], fake[0])
        if config.gp_weight > 0:
            share = uniforms(config.seed, Stream.BETWEEN, part.sample, 1)[:, 0].to(device)
            penalty = regularisers.gradient_penalty(
                lambda images: self._logits(images, c), real[0], fake[0], share
            )
            result["gradient_penalty"] = config.gp_weight, penalty
        if config.bcr_weight > 0:
            draws = uniforms(config.seed, Stream.CONSISTENCY, part.sample, 6)
            changes = [
                regularisers.consistency_penalty(
                    logits, self._logits(regularisers.flip_and_shift(images.detach(), own), c)
                )
                for (images, logits), own in zip((real, fake), draws.split(3, dim=1), strict=True)
            ]
            result["consistency"] = config.bcr_weight, changes[0] + changes[1]
        return result

    def _train_generator(self, batch: list[Batch]) -> None:
        self.d.requires_grad_(False)
        for part in batch:
            c = self.labels(part.labels)
            fake = self._fakes(part, Stream.GAN_Z_G)
            fake_logits = self._logits(fake, c)
            # Only the relativistic game looks at real images here.
            paired = self._logits(self.reals(part.images), c) if self._game.paired else fake_logits
            loss = self._game.generator(fake_logits, paired)
            self.meter.add("loss_g", loss)
            shared = self.shared_loss(part, fake, Stream.GAN_Z_G)
            loss = loss if shared is None else loss + shared
            (loss / len(batch)).backward()
        self.update("G")

    def _fakes(self, part: Batch, stream: Stream) -> Tensor:
        with self.autocast():
            return self.g(self.z(part.sample, stream), self.labels(part.labels)).float()

    def _logits(self, images: Tensor, c: Tensor | None) -> Tensor:
        with self.autocast():
            return self.d(images, c).float()


def build_networks(config: GanConfig, c_dim: int) -> tuple[str, PlainGenerator, nn.Module]:
    """The architecture's name, the generator and the discriminator that settings describe."""
    size = config.resolution
    if isinstance(config, MlpGanConfig):
        layers = config.num_layers
        return (
            "mlp-gan-generator",
            mlp_gan.Generator(
                z_dim=config.z_dim,
                c_dim=c_dim,
                img_resolution=size,
                hidden=config.hidden,
                num_layers=layers,
            ),
            mlp_gan.Discriminator(
                c_dim=c_dim,
                img_resolution=size,
                hidden=config.d_hidden,
                num_layers=layers,
                pieces=config.pieces,
            ),
        )
    if isinstance(config, R3ganConfig):
        shape = {
            "channel_base": config.channel_base,
            "channel_max": config.channel_max,
            "num_blocks": config.num_blocks,
            "group_width": config.group_width,
        }
        return (
            "r3gan-generator",
            r3gan.Generator(z_dim=config.z_dim, c_dim=c_dim, img_resolution=size, **shape),
            r3gan.Discriminator(c_dim=c_dim, img_resolution=size, **shape),
        )
    assert isinstance(config, DcganConfig)
    base, most = config.channel_base, config.channel_max
    return (
        "dcgan-generator",
        dcgan.Generator(
            z_dim=config.z_dim,
            c_dim=c_dim,
            img_resolution=size,
            channel_base=base,
            channel_max=most,
        ),
        dcgan.Discriminator(
            c_dim=c_dim,
            img_resolution=size,
            channel_base=base,
            channel_max=most,
            norm=config.d_norm,
            labels=config.labels,
        ),
    )
