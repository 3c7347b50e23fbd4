"""StyleGAN2 under training: its phases, lazy regularisation, augmentation and weight average."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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
from ..feed import Batch, Feed
from ..labels import GRID_SHOWS, MAX_COLUMNS, column_labels, drawn_labels
from ..mixing import mixed_styles
from ..snapshot import ModelFile
from ..streams import Stream, normal, seeds
from ..system import System, Trained, drawn_at_once, grid_side, initial_weights

_BETAS = (0.0, 0.99)


@dataclass(frozen=True)
class _Part:
    """A part of a step's batch, on the device.

    Attributes:
        reals: float32 -1..1, [n, 3, H, W].
        sample: the samples' numbers, int64 [n].
        c: labels [n, L] of the real images, and of the fake ones that are shown beside them; None
            where the run is not conditional.
    """

    reals: Tensor
    sample: np.ndarray
    c: Tensor | None

    def some(self, places: np.ndarray) -> _Part:
        """The samples in these places alone."""
        c = None if self.c is None else self.c[places]
        return _Part(self.reals[places], self.sample[places], c)


class StyleGAN2System(System):
    """Generator, discriminator and averaged generator with their optimizers.

    One step trains the discriminator on fakes of fresh latents and then the generator on the same
    latents, whose images need not be computed twice. The regularisers follow in steps of their own.
    In a conditional run the mapping network sees a label beside z, and the discriminator projects
    its features on the label's embedding.

    Source: Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", and
    "Training generative adversarial networks with limited data"; for the projection, Miyato and
    Koyama 2018, "cGANs with projection discriminator".

    Raises:
        InputError: the settings ask for labels, which the data lack.
    """

    config: StyleGAN2Config

    def __init__(self, config: StyleGAN2Config, feed: Feed, ranks: Ranks) -> None:
        c_dim = feed.label_dim if config.conditional else 0
        with initial_weights(config.seed):
            self.g = Generator(
                z_dim=config.z_dim,
                c_dim=c_dim,
                w_dim=config.w_dim,
                img_resolution=config.resolution,
                channel_base=config.channel_base,
                channel_max=config.channel_max,
                num_mapping_layers=config.mapping_layers,
                conv_clamp=config.conv_clamp,
            )
            self.d = Discriminator(
                c_dim=c_dim,
                img_resolution=config.resolution,
                channel_base=config.channel_base,
                channel_max=config.channel_max,
                num_mapping_layers=config.mapping_layers,
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
        if config.conditional:
            self.grid_shows = GRID_SHOWS
        self._group = config.group
        self._pl_mean = torch.zeros((), device=ranks.device)

    def step(self, step: int) -> None:
        """Discriminator, R1, generator, path length, averages."""
        config = self.config
        batch = [self._part(part) for part in self.feed.batch(step)]

        fakes = self._train_discriminator(batch)
        if config.r1_gamma > 0 and step % config.r1_interval == 0:
            self._regularise_discriminator(batch)
        w_mean = self._train_generator(fakes, batch)
        if config.pl_weight > 0 and step % config.pl_interval == 0:
            self._regularise_generator(batch)

        self.ranks.mean_([w_mean])
        self.g.mapping.w_avg.lerp_(w_mean, 1 - config.w_avg_beta)
        self.average(step)
        if self.augmenter is not None:
            self.augmenter.after_step(step, self.meter)

    def _part(self, part: Batch) -> _Part:
        c = part.labels if self.config.conditional else None
        return _Part(
            self.reals(part.images),
            part.sample,
            None if c is None else c.to(self.ranks.device, non_blocking=True),
        )

    def _train_discriminator(self, batch: list[_Part]) -> list[tuple[Tensor, Tensor]]:
        """One Adam step of D; gives (fakes, mean w), with graph, where the batch is in one part."""
        self.d.requires_grad_(True)
        keep = len(batch) == 1
        kept = []
        for part in batch:
            with torch.set_grad_enabled(keep):
                fake, w_mean = self._fakes(part)
            if keep:
                kept.append((fake, w_mean))
            real_in = self._augment(part.reals, part.sample, Stream.AUGMENT_REAL)
            fake_in = self._augment(fake.detach(), part.sample, Stream.AUGMENT_FAKE)
            # One pass, in which each stddev group is real or fake only.
            c = None if part.c is None else self._side_by_side(part.c, part.c)
            logits = self._columns(self._logits(self._side_by_side(real_in, fake_in), c))
            real_logits, fake_logits = logits.chunk(2, dim=1)
            loss = losses.discriminator_loss(real_logits, fake_logits)
            (loss / len(batch)).backward()
            self.meter.add("loss_d", loss)
            self.meter.add_distribution("logits_real", real_logits)
            self.meter.add_distribution("logits_fake", fake_logits)
            if self.augmenter is not None:
                self.augmenter.observe(real_logits)
        self.update("D")
        return kept

    def _regularise_discriminator(self, batch: list[_Part]) -> None:
        """R1 in a step of its own, weighted by its interval."""
        config = self.config
        for part in batch:
            some = part.some(self._shrink(len(part.sample), config.r1_batch_shrink))
            real_in = self._augment(some.reals, some.sample, Stream.AUGMENT_REAL)
            real_in = real_in.detach().requires_grad_(True)
            penalty = regularisers.r1_penalty(self._logits(real_in, some.c), real_in)
            weight = config.r1_gamma * config.r1_interval / len(batch)
            (penalty * weight).backward()
            self.meter.add("r1", penalty)
        self.update("D")

    def _train_generator(self, fakes: list[tuple[Tensor, Tensor]], batch: list[_Part]) -> Tensor:
        """One Adam step of G; gives the mean of w over this rank's samples."""
        self.d.requires_grad_(False)
        w_means = []
        for index, part in enumerate(batch):
            fake, w_mean = fakes[index] if fakes else self._fakes(part)
            fake_in = self._augment(fake, part.sample, Stream.AUGMENT_FAKE)
            loss = losses.generator_loss(self._logits(fake_in, part.c))
            (loss / len(batch)).backward()
            self.meter.add("loss_g", loss)
            w_means.append(w_mean)
        self.update("G")
        return torch.stack(w_means).mean(dim=0)

    def _regularise_generator(self, batch: list[_Part]) -> None:
        """Path length in a step of its own, weighted by its interval, in full precision."""
        config = self.config
        means = []
        for part in batch:
            some = part.some(self._shrink(len(part.sample), config.pl_batch_shrink))
            ws = self._styles(some, Stream.PATH_Z)[0]
            images = self.g.synthesis(ws, **self._noise(some, Stream.PATH_NOISE)).float()
            noise = normal(config.seed, Stream.PATH_IMAGE, some.sample, tuple(images.shape[1:]))
            lengths = regularisers.path_lengths(images, ws, noise.to(images.device))
            penalty = regularisers.path_length_penalty(lengths, self._pl_mean)
            (penalty * config.pl_weight * config.pl_interval / len(batch)).backward()
            means.append(lengths.detach().mean())
            self.meter.add("path_length", lengths)
        self.update("G")
        mean = torch.stack(means).mean()
        self.ranks.mean_([mean])
        # The target lags one step, so that it does not depend on how the batch is split.
        self._pl_mean.lerp_(mean, config.pl_decay)

    def _fakes(self, part: _Part) -> tuple[Tensor, Tensor]:
        """Images [n, 3, H, W] of a part's samples, and their mean w [w_dim]."""
        ws, w_mean = self._styles(part, Stream.Z)
        with self.autocast():
            images = self.g.synthesis(ws, **self._noise(part, Stream.NOISE))
        return images.float(), w_mean

    def _styles(self, part: _Part, stream: Stream) -> tuple[Tensor, Tensor]:
        """W latents [n, num_ws, w_dim] with style mixing, and the detached mean w before it."""
        config = self.config
        ws = self.g.mapping(self._z(part.sample, stream), part.c)
        w_mean = ws[:, 0].detach().mean(dim=0)
        mixed = mixed_styles(
            self.g.mapping,
            ws,
            part.c,
            seed=config.seed,
            stream=Stream.Z_MIX if stream == Stream.Z else Stream.PATH_Z_MIX,
            sample=part.sample,
            z_dim=config.z_dim,
            share=config.style_mixing,
        )
        return mixed, w_mean

    def _z(self, sample: np.ndarray, stream: Stream) -> Tensor:
        """z [n, z_dim] of these samples, on the device."""
        config = self.config
        return normal(config.seed, stream, sample, (config.z_dim,)).to(self.ranks.device)

    def _noise(self, part: _Part, stream: Stream) -> dict[str, Any]:
        """Arguments of synthesis for noise that is a function of each sample."""
        own = torch.tensor(seeds(self.config.seed, stream, part.sample))
        return {"noise_mode": "random", "generator": own}

    def _logits(self, images: Tensor, c: Tensor | None) -> Tensor:
        with self.autocast():
            return self.d(images, c).float()

    def _augment(self, images: Tensor, sample: np.ndarray, stream: Stream) -> Tensor:
        if self.augmenter is None:
            return images
        return self.augmenter(images, sample, stream)

    def _columns(self, x: Tensor) -> Tensor:
        """[n, ...] -> [group, n / group, ...], one column for each minibatch-stddev group."""
        return x.unflatten(0, (self._group, -1))

    def _side_by_side(self, a: Tensor, b: Tensor) -> Tensor:
        """Two [n, ...] as one [2 n, ...], the columns of `a` before those of `b`."""
        return torch.cat([self._columns(a), self._columns(b)], dim=1).flatten(0, 1)

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
        """Fixed-seed samples at truncation psi 1; with labels, a column a class and a row a z."""
        config = self.config
        side = grid_side(config.resolution)
        most = grid_side(config.resolution, MAX_COLUMNS)
        c = column_labels(self.feed, most) if config.conditional else None
        if c is None:
            return self._draw(np.arange(side * side), Stream.GRID, None), side
        sample = np.arange(side).repeat(len(c))
        return self._draw(sample, Stream.GRID, c.repeat(side, 1)), len(c)

    def samples(self, sample: np.ndarray) -> Tensor:
        """Samples at truncation psi 1, their labels as frequent as in the data."""
        config = self.config
        c = drawn_labels(self.feed, config.seed, sample) if config.conditional else None
        return self._draw(sample, Stream.EVALUATE, c)

    @torch.no_grad()
    def _draw(self, sample: np.ndarray, stream: Stream, c: Tensor | None) -> Tensor:
        """Images of the averaged generator with constant noise."""
        ema, at_once = self.averages["EMA"], drawn_at_once(self.config.resolution)
        z = self._z(sample, stream).split(at_once)
        labels = [None] * len(z) if c is None else c.to(self.ranks.device).split(at_once)
        parts = zip(z, labels, strict=True)
        images = [ema(part, own, noise_mode="const").float() for part, own in parts]
        return torch.cat(images).clamp(-1, 1)
