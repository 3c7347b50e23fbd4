"""PGGAN and StyleGAN1 under training: networks that grow, resolution by resolution."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.models import pggan, stylegan1, stylegan1_discriminator
from ...core.models.progressive import doubled, halved
from .. import regularisers
from ..configs.progressive import PgganConfig, ProgressiveConfig, Stage, StyleGAN1Config
from ..distributed import Ranks
from ..feed import Batch, Feed
from ..losses import LOSSES
from ..mixing import mixed_styles
from ..snapshot import ModelFile
from ..streams import Stream, normal, seeds, uniforms
from ..system import System, Trained, drawn_at_once, grid_side, initial_weights

_BETAS = (0.0, 0.99)


class ProgressiveSystem(System):
    """A growing generator, its discriminator and the averaged generator.

    All layers exist from the start; those of resolutions to come get no gradient, and Adam leaves
    them alone. Real images fade in as the fake ones do. Where the fade-in is not over, a model
    file holds the network without it, as if alpha were 1.
    """

    config: ProgressiveConfig

    def __init__(self, config: ProgressiveConfig, feed: Feed, ranks: Ranks) -> None:
        self.config = config
        with initial_weights(config.seed):
            self.g = self.new_generator()
            self.d = self.new_discriminator()
        lr_d = config.lr if config.lr_d is None else config.lr_d
        networks = {
            "G": Trained(self.g, config.lr, _BETAS),
            "D": Trained(self.d, lr_d, _BETAS),
        }
        super().__init__(config, feed, ranks, networks, {"EMA": "G"})
        self._game = LOSSES[config.loss]
        self.stage = config.stage(0)

    @abstractmethod
    def new_generator(self) -> nn.Module:
        """The generator, untrained."""

    @abstractmethod
    def new_discriminator(self) -> nn.Module:
        """The discriminator, untrained."""

    @abstractmethod
    def fakes(self, sample: np.ndarray, streams: tuple[Stream, Stream, Stream]) -> Tensor:
        """Images of these samples at the stage; streams of z, of the mixed z and of noise."""

    @abstractmethod
    def draw(self, z: Tensor) -> Tensor:
        """Images of the averaged generator at the stage, without anything random."""

    def step(self, step: int) -> None:
        """Discriminator, generator, weight average, at this step's stage."""
        self.stage = self.config.stage(step)
        batch = self.feed.batch(step)
        reals = [at_stage(self.reals(part.images), self.stage) for part in batch]
        self._train_discriminator(batch, reals)
        self._train_generator(batch, reals)
        self.average(step)
        self.meter.add("resolution", float(self.stage.resolution))
        self.meter.add("alpha", self.stage.alpha)

    def _train_discriminator(self, batch: list[Batch], reals: list[Tensor]) -> None:
        config = self.config
        self.d.requires_grad_(True)
        streams = (Stream.GROW_Z_D, Stream.GROW_MIX_D, Stream.GROW_NOISE_D)
        for part, images in zip(batch, reals, strict=True):
            real = images.requires_grad_(config.r1_gamma > 0)
            with torch.no_grad():
                fake = self.fakes(part.sample, streams)
            real_logits, fake_logits = self._logits(real), self._logits(fake)
            loss = self._game.discriminator(real_logits, fake_logits)
            self.meter.add("loss_d", loss)
            self.meter.add_distribution("logits_real", real_logits)
            self.meter.add_distribution("logits_fake", fake_logits)
            if config.gp_weight > 0:
                share = uniforms(config.seed, Stream.GROW_BETWEEN, part.sample, 1)[:, 0]
                penalty = regularisers.gradient_penalty(self._logits, real, fake, share)
                self.meter.add("gradient_penalty", penalty)
                loss = loss + config.gp_weight * penalty
            if config.drift_weight > 0:
                loss = loss + config.drift_weight * real_logits.square().mean()
            if config.r1_gamma > 0:
                penalty = regularisers.r1_penalty(real_logits, real)
                self.meter.add("r1", penalty)
                loss = loss + config.r1_gamma * penalty
            (loss / len(batch)).backward()
        self.update("D")

    def _train_generator(self, batch: list[Batch], reals: list[Tensor]) -> None:
        self.d.requires_grad_(False)
        streams = (Stream.GROW_Z_G, Stream.GROW_MIX_G, Stream.GROW_NOISE_G)
        for part, real in zip(batch, reals, strict=True):
            fake_logits = self._logits(self.fakes(part.sample, streams))
            # Only the relativistic game looks at real images here.
            paired = self._logits(real.detach()) if self._game.paired else fake_logits
            loss = self._game.generator(fake_logits, paired)
            self.meter.add("loss_g", loss)
            (loss / len(batch)).backward()
        self.update("G")

    def _logits(self, images: Tensor) -> Tensor:
        with self.autocast():
            return self.d(images, resolution=self.stage.resolution, alpha=self.stage.alpha).float()

    def z(self, sample: np.ndarray, stream: Stream) -> Tensor:
        """z [n, z_dim] of these samples, on the device."""
        config = self.config
        return normal(config.seed, stream, sample, (config.z_dim,)).to(self.ranks.device)

    def samples(self, sample: np.ndarray) -> Tensor:
        """Samples of the averaged generator, at the resolution of the data."""
        return self._full_size(sample, Stream.EVALUATE)

    def grid(self) -> tuple[Tensor, int]:
        """Fixed-seed samples of the averaged generator, at the resolution of the data."""
        side = grid_side(self.config.resolution)
        return self._full_size(np.arange(side * side), Stream.GRID), side

    @torch.no_grad()
    def _full_size(self, sample: np.ndarray, stream: Stream) -> Tensor:
        """Images of the stage, their pixels repeated up to the resolution of the data."""
        parts = self.z(sample, stream).split(drawn_at_once(self.stage.resolution))
        images = torch.cat([self.draw(part).float() for part in parts]).clamp(-1, 1)
        while images.shape[-1] < self.config.resolution:
            images = doubled(images)
        return images


class PgganSystem(ProgressiveSystem):
    """PGGAN. Source: Karras et al. 2018, "Progressive growing of GANs"."""

    config: PgganConfig
    g: pggan.Generator

    def new_generator(self) -> pggan.Generator:
        """The generator, untrained."""
        config = self.config
        return pggan.Generator(
            z_dim=config.z_dim,
            img_resolution=config.resolution,
            channel_base=config.channel_base,
            channel_max=config.channel_max,
        )

    def new_discriminator(self) -> pggan.Discriminator:
        """The discriminator, untrained."""
        config = self.config
        return pggan.Discriminator(
            img_resolution=config.resolution,
            channel_base=config.channel_base,
            channel_max=config.channel_max,
            mbstd_group_size=config.group,
        )

    def fakes(self, sample: np.ndarray, streams: tuple[Stream, Stream, Stream]) -> Tensor:
        """Images of these samples at the stage."""
        with self.autocast():
            return self.g(self.z(sample, streams[0]), **self.stage._asdict()).float()

    def draw(self, z: Tensor) -> Tensor:
        """Images of the averaged generator at the stage."""
        return self.averages["EMA"](z, **self.stage._asdict())

    def model(self, training: dict[str, Any]) -> ModelFile:
        """The averaged generator as far as it has grown."""
        config = replace(self.g.config, img_resolution=self.stage.resolution)
        own = pggan.Generator.from_config(config).state_dict()
        tensors = {name: self.averages["EMA"].state_dict()[name] for name in own}
        return ModelFile("pggan-generator", asdict(config), tensors, training)


class StyleGAN1System(ProgressiveSystem):
    """StyleGAN1 with style mixing; its discriminator is PGGAN's with bilinear downsampling.

    Source: Karras et al. 2019, "A style-based generator architecture for generative adversarial
    networks", section 2 and appendix C.
    """

    config: StyleGAN1Config
    g: stylegan1.Generator

    def __init__(self, config: StyleGAN1Config, feed: Feed, ranks: Ranks) -> None:
        super().__init__(config, feed, ranks)
        self._w_means: list[Tensor] = []

    def new_generator(self) -> stylegan1.Generator:
        """The generator, untrained."""
        config = self.config
        return stylegan1.Generator(
            z_dim=config.z_dim,
            w_dim=config.w_dim,
            img_resolution=config.resolution,
            channel_base=config.channel_base,
            channel_max=config.channel_max,
            num_mapping_layers=config.mapping_layers,
            progressive=True,
        )

    def new_discriminator(self) -> stylegan1_discriminator.Discriminator:
        """The discriminator, untrained."""
        config = self.config
        return stylegan1_discriminator.Discriminator(
            img_resolution=config.resolution,
            channel_base=config.channel_base,
            channel_max=config.channel_max,
            progressive=True,
            mbstd_group_size=config.group,
        )

    def fakes(self, sample: np.ndarray, streams: tuple[Stream, Stream, Stream]) -> Tensor:
        """Images of these samples at the stage; remembers their mean w."""
        config = self.config
        z_stream, mix_stream, noise_stream = streams
        ws = self.g.mapping(self.z(sample, z_stream), None)
        self._w_means.append(ws[:, 0].detach().mean(dim=0))
        active = self._active_ws()
        mixed = mixed_styles(
            self.g.mapping,
            ws[:, :active],
            None,
            seed=config.seed,
            stream=mix_stream,
            sample=sample,
            z_dim=config.z_dim,
            share=config.style_mixing,
        )
        noise = torch.tensor(seeds(config.seed, noise_stream, sample))
        with self.autocast():
            images = self.g.synthesis(
                torch.cat([mixed, ws[:, active:]], dim=1),
                noise_mode="random",
                generator=noise,
                **self.stage._asdict(),
            )
        return images.float()

    def _train_generator(self, batch: list[Batch], reals: list[Tensor]) -> None:
        self._w_means.clear()
        super()._train_generator(batch, reals)
        w_mean = torch.stack(self._w_means).mean(dim=0)
        self.ranks.mean_([w_mean])
        self.g.mapping.w_avg.lerp_(w_mean, 1 - self.config.w_avg_beta)

    def draw(self, z: Tensor) -> Tensor:
        """Images of the averaged generator at the stage, with constant noise."""
        return self.averages["EMA"](z, **self.stage._asdict())

    def model(self, training: dict[str, Any]) -> ModelFile:
        """The averaged generator as far as it has grown, with the layers to come."""
        config = replace(
            self.g.config,
            img_resolution=self.stage.resolution,
            max_resolution=self.config.resolution,
        )
        tensors = self.averages["EMA"].state_dict()
        return ModelFile("stylegan1-generator", asdict(config), tensors, training)

    def _active_ws(self) -> int:
        """Latents that the stage uses, two a resolution."""
        return 2 * (self.stage.resolution.bit_length() - 2)


def at_stage(images: Tensor, stage: Stage) -> Tensor:
    """Real images as they look at a stage.

    Shapes: [N, C, R, R] -> [N, C, resolution, resolution]: means over blocks of pixels, and, while
    the last resolution fades in, a share of 1 - alpha of the resolution before, doubled.
    """
    while images.shape[-1] > stage.resolution:
        images = halved(images)
    if stage.alpha == 1:
        return images
    return doubled(halved(images)).lerp(images, stage.alpha)
