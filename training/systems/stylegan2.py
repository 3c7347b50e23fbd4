"""StyleGAN2 under training: its phases, lazy regularisation, augmentation and weight average."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.models.stylegan2 import Generator
from ...core.models.stylegan2_discriminator import Discriminator
from .. import losses, regularisers
from ..augment import Augmenter, make_augmenter
from ..configs.stylegan2 import StyleGAN2Config
from ..distributed import Ranks
from ..feed import Feed
from ..mixing import mixed_styles
from ..snapshot import ModelFile
from ..streams import Stream, normal, seeds
from ..system import System, Trained, drawn_at_once, grid_side, initial_weights

_BETAS = (0.0, 0.99)


class StyleGAN2System(System):
    """Generator, discriminator and averaged generator with their optimizers.

    One step trains the discriminator on fakes of fresh latents and then the generator on the same
    latents, whose images need not be computed twice. The regularisers follow in steps of their own.

    Source: Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", and
    "Training generative adversarial networks with limited data".
    """

    config: StyleGAN2Config

    def __init__(self, config: StyleGAN2Config, feed: Feed, ranks: Ranks) -> None:
        with initial_weights(config.seed):
            self.g = Generator(
                z_dim=config.z_dim,
                w_dim=config.w_dim,
                img_resolution=config.resolution,
                channel_base=config.channel_base,
                channel_max=config.channel_max,
                num_mapping_layers=config.mapping_layers,
                conv_clamp=config.conv_clamp,
            )
            self.d = Discriminator(
                img_resolution=config.resolution,
                channel_base=config.channel_base,
                channel_max=config.channel_max,
                conv_clamp=config.conv_clamp,
            )
        lr_d = config.lr if config.lr_d is None else config.lr_d
        lazy_g = config.pl_interval if config.pl_weight > 0 else None
        lazy_d = config.r1_interval if config.r1_gamma > 0 else None
        networks = {
            "G": Trained(self.g, config.lr, _BETAS, lazy_g),
            "D": Trained(self.d, lr_d, _BETAS, lazy_d),
        }
        super().__init__(config, feed, ranks, networks, {"EMA": "G"})
        self.augmenter: Augmenter | None = make_augmenter(config, ranks)
        self._group = config.group
        self._pl_mean = torch.zeros((), device=ranks.device)

    def step(self, step: int) -> None:
        """Discriminator, R1, generator, path length, averages."""
        config = self.config
        batch = self.feed.batch(step)
        reals = [self.reals(part.images) for part in batch]
        samples = [part.sample for part in batch]

        fakes = self._train_discriminator(reals, samples)
        if config.r1_gamma > 0 and step % config.r1_interval == 0:
            self._regularise_discriminator(reals, samples)
        w_mean = self._train_generator(fakes, samples)
        if config.pl_weight > 0 and step % config.pl_interval == 0:
            self._regularise_generator(samples)

        self.ranks.mean_([w_mean])
        self.g.mapping.w_avg.lerp_(w_mean, 1 - config.w_avg_beta)
        self.average(step)
        if self.augmenter is not None:
            self.augmenter.after_step(step, self.meter)

    def _train_discriminator(
        self, reals: list[Tensor], samples: list[np.ndarray]
    ) -> list[tuple[Tensor, Tensor]]:
        """One Adam step of D; gives (fakes, mean w), with graph, where the batch is in one part."""
        self.d.requires_grad_(True)
        keep = len(reals) == 1
        kept = []
        for real, sample in zip(reals, samples, strict=True):
            with torch.set_grad_enabled(keep):
                fake, w_mean = self._fakes(sample)
            if keep:
                kept.append((fake, w_mean))
            real_in = self._augment(real, sample, Stream.AUGMENT_REAL)
            fake_in = self._augment(fake.detach(), sample, Stream.AUGMENT_FAKE)
            # Columns of the stddev groups side by side: one pass, each group real or fake only.
            both = torch.cat([self._columns(real_in), self._columns(fake_in)], dim=1).flatten(0, 1)
            logits = self._columns(self._logits(both))
            real_logits, fake_logits = logits.chunk(2, dim=1)
            loss = losses.discriminator_loss(real_logits, fake_logits)
            (loss / len(reals)).backward()
            self.meter.add("loss_d", loss)
            self.meter.add_distribution("logits_real", real_logits)
            self.meter.add_distribution("logits_fake", fake_logits)
            if self.augmenter is not None:
                self.augmenter.observe(real_logits)
        self.update("D")
        return kept

    def _regularise_discriminator(self, reals: list[Tensor], samples: list[np.ndarray]) -> None:
        """R1 in a step of its own, weighted by its interval."""
        config = self.config
        for real, sample in zip(reals, samples, strict=True):
            some = self._shrink(len(real), config.r1_batch_shrink)
            real_in = self._augment(real[some], sample[some], Stream.AUGMENT_REAL)
            real_in = real_in.detach().requires_grad_(True)
            penalty = regularisers.r1_penalty(self._logits(real_in), real_in)
            weight = config.r1_gamma * config.r1_interval / len(reals)
            (penalty * weight).backward()
            self.meter.add("r1", penalty)
        self.update("D")

    def _train_generator(
        self, fakes: list[tuple[Tensor, Tensor]], samples: list[np.ndarray]
    ) -> Tensor:
        """One Adam step of G; gives the mean of w over this rank's samples."""
        self.d.requires_grad_(False)
        w_means = []
        for part, sample in enumerate(samples):
            fake, w_mean = fakes[part] if fakes else self._fakes(sample)
            logits = self._logits(self._augment(fake, sample, Stream.AUGMENT_FAKE))
            loss = losses.generator_loss(logits)
            (loss / len(samples)).backward()
            self.meter.add("loss_g", loss)
            w_means.append(w_mean)
        self.update("G")
        return torch.stack(w_means).mean(dim=0)

    def _regularise_generator(self, samples: list[np.ndarray]) -> None:
        """Path length in a step of its own, weighted by its interval, in full precision."""
        config = self.config
        means = []
        for sample in samples:
            some = sample[self._shrink(len(sample), config.pl_batch_shrink)]
            ws = self._styles(some, Stream.PATH_Z)[0]
            images = self.g.synthesis(ws, **self._noise(some, Stream.PATH_NOISE)).float()
            noise = normal(config.seed, Stream.PATH_IMAGE, some, tuple(images.shape[1:]))
            lengths = regularisers.path_lengths(images, ws, noise.to(images.device))
            penalty = regularisers.path_length_penalty(lengths, self._pl_mean)
            (penalty * config.pl_weight * config.pl_interval / len(samples)).backward()
            means.append(lengths.detach().mean())
            self.meter.add("path_length", lengths)
        self.update("G")
        mean = torch.stack(means).mean()
        self.ranks.mean_([mean])
        # The target lags one step, so that it does not depend on how the batch is split.
        self._pl_mean.lerp_(mean, config.pl_decay)

    def _fakes(self, sample: np.ndarray) -> tuple[Tensor, Tensor]:
        """Images [n, 3, H, W] of these samples, and their mean w [w_dim]."""
        ws, w_mean = self._styles(sample, Stream.Z)
        with self.autocast():
            images = self.g.synthesis(ws, **self._noise(sample, Stream.NOISE))
        return images.float(), w_mean

    def _styles(self, sample: np.ndarray, stream: Stream) -> tuple[Tensor, Tensor]:
        """W latents [n, num_ws, w_dim] with style mixing, and the detached mean w before it."""
        config = self.config
        z = normal(config.seed, stream, sample, (config.z_dim,)).to(self.ranks.device)
        ws = self.g.mapping(z, None)
        w_mean = ws[:, 0].detach().mean(dim=0)
        mixed = mixed_styles(
            self.g.mapping,
            ws,
            seed=config.seed,
            stream=Stream.Z_MIX if stream == Stream.Z else Stream.PATH_Z_MIX,
            sample=sample,
            z_dim=config.z_dim,
            share=config.style_mixing,
        )
        return mixed, w_mean

    def _noise(self, sample: np.ndarray, stream: Stream) -> dict[str, Any]:
        """Arguments of synthesis for noise that is a function of each sample."""
        own = torch.tensor(seeds(self.config.seed, stream, sample))
        return {"noise_mode": "random", "generator": own}

    def _logits(self, images: Tensor) -> Tensor:
        with self.autocast():
            return self.d(images, None).float()

    def _augment(self, images: Tensor, sample: np.ndarray, stream: Stream) -> Tensor:
        if self.augmenter is None:
            return images
        return self.augmenter(images, sample, stream)

    def _columns(self, x: Tensor) -> Tensor:
        """[n, ...] -> [group, n / group, ...], one column for each minibatch-stddev group."""
        return x.unflatten(0, (self._group, -1))

    def _shrink(self, count: int, factor: int) -> np.ndarray:
        """Places of every `factor`-th stddev group among `count` samples."""
        return np.arange(count).reshape(self._group, -1)[:, ::factor].reshape(-1)

    def state(self) -> dict[str, Tensor]:
        """All tensors that continue the run, by name."""
        tensors = super().state() | {"pl_mean": self._pl_mean}
        return tensors if self.augmenter is None else tensors | self.augmenter.state()

    def _load_tensors(self, tensors: dict[str, Tensor]) -> None:
        super()._load_tensors(tensors)
        self._pl_mean.copy_(tensors["pl_mean"])
        if self.augmenter is not None:
            self.augmenter.load_state(tensors)

    def model(self, training: dict[str, Any]) -> ModelFile:
        """The averaged generator."""
        ema = self.averages["EMA"]
        return ModelFile("stylegan2-generator", asdict(self.g.config), ema.state_dict(), training)

    def grid(self) -> tuple[Tensor, int]:
        """Fixed-seed samples of the averaged generator at truncation psi 1."""
        side = grid_side(self.config.resolution)
        return self._sample(np.arange(side * side), Stream.GRID), side

    def samples(self, sample: np.ndarray) -> Tensor:
        """Samples of the averaged generator at truncation psi 1."""
        return self._sample(sample, Stream.EVALUATE)

    @torch.no_grad()
    def _sample(self, sample: np.ndarray, stream: Stream) -> Tensor:
        """Images of the averaged generator with constant noise."""
        config, ema = self.config, self.averages["EMA"]
        z = normal(config.seed, stream, sample, (config.z_dim,)).to(self.ranks.device)
        parts = z.split(drawn_at_once(config.resolution))
        chunks = [ema(part, None, noise_mode="const").float() for part in parts]
        return torch.cat(chunks).clamp(-1, 1)
