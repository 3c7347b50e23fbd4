"""What is measured at a snapshot: a system's own numbers, metrics of its samples, and collapse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..core.metrics import (
    Statistics,
    frechet_distance,
    nearest_neighbours,
    pairwise_diversity,
    sliced_wasserstein,
)
from ..core.metrics.diversity import SMALL, thumbnails
from ..core.metrics.extractors import FaceExtractor, load_face_extractor
from ..core.metrics.modes import Modes
from ..core.metrics.shares import own_batches
from .config import RunConfig
from .distributed import Ranks
from .feed import Feed
from .system import System

ALARM = 0.5
"""Below this share of the data's own diversity, or of its modes, a run is said to collapse."""
WATCHED_FROM = 10_000
"""Images from which on a generator that draws little is said to collapse, not to begin."""
_IMAGES_PER_MODE = 12  # at least; so that real images visit every mode again
_MAX_MODES = 20
SEARCHED = 5000
_CHUNK = 64


class Scores:
    """Compares samples with real images of the training data.

    Args:
        config: `watch_images`, `swd_images` and `fd_images`.
        feed: the real images; the first ones serve as reference.
        ranks: draw the samples together.
    """

    def __init__(self, config: RunConfig, feed: Feed, ranks: Ranks) -> None:
        self._config = config
        self._feed = feed
        self._ranks = ranks
        self._modes: Modes | None = None
        self._extractor: FaceExtractor | None = None
        self._reference: Statistics | None = None

    def measure(self, system: System) -> dict[str, float]:
        """Numbers for the log; every rank takes part and gets the same ones.

        "diversity" is the root mean square difference of two samples over that of two real images,
        "modes" the share of the data in clusters that the samples visit, "swd_*" as
        `core.metrics.sliced_wasserstein`, "fd_faces" the Frechet distance on our own features.
        """
        values = system.evaluate() | self._compare_pixels(system)
        if self._config.fd_images > 1 and system.samples(np.arange(1)) is not None:
            values["fd_faces"] = self._frechet_distance(system)
        return values

    def described(self, values: dict[str, float]) -> list[str]:
        """How the numbers that `measure` gave were measured, a sentence for each kind."""
        config, most = self._config, self._feed.count
        side = self._feed.dataset.resolution
        said = []
        if "diversity" in values:
            n = min(config.watch_images, most)
            small = min(SMALL, side)
            said.append(
                f"diversity, modes: {_compared(n, most)}, pixels reduced to {small} px by means."
            )
        if "swd_mean" in values:
            n = min(config.swd_images, most)
            said.append(f"swd: {_compared(n, most)}, pixels at {side} px, not resized.")
        if self._extractor is not None:
            n, own = min(config.fd_images, most), self._extractor
            said.append(
                f"fd_faces: {_compared(n, most)}, resize {own.resize}, features {own.weights}."
            )
        if config.heldout:
            said.append(f"Where nothing else is said: {config.heldout} held-out images.")
        return said

    def _compare_pixels(self, system: System) -> dict[str, float]:
        config = self._config
        values: dict[str, float] = {}
        count = min(max(config.watch_images, config.swd_images), self._feed.count)
        whole = config.swd_images > 1  # else thumbnails do, which take next to no memory
        fakes = self._samples(system, count, whole) if count > 1 else None
        if fakes is None:
            return values
        reals = self._reals(count, whole)
        if config.watch_images > 1:
            watched = min(config.watch_images, count)
            found = pairwise_diversity(fakes[:watched], reals[:watched])
            if found.ratio_small is not None:
                values["diversity"] = found.ratio_small
            modes = min(_MAX_MODES, watched // _IMAGES_PER_MODE)
            if modes > 1:
                if self._modes is None:
                    self._modes = Modes(reals[:watched], modes)
                values["modes"] = self._modes.coverage(fakes[:watched])
        if config.swd_images > 1:
            compared = min(config.swd_images, count)
            found = sliced_wasserstein(fakes[:compared], reals[:compared], normalise="reference")
            values |= {f"swd_{level}": value for level, value in found.items()}
        return values

    def _frechet_distance(self, system: System) -> float:
        """Distance of samples to real images, every rank taking the features of its share."""
        if self._extractor is None:
            self._extractor = load_face_extractor(device=self._ranks.device)
        count = min(self._config.fd_images, self._feed.count)
        if self._reference is None:
            chosen = torch.linspace(0, self._feed.count - 1, count).long()
            self._reference = self._statistics(count, lambda own: self._images(chosen[own]))
        fakes = self._statistics(count, lambda own: _unit(system.samples(own.numpy())))
        return frechet_distance(fakes, self._reference)

    def _statistics(self, count: int, images: Callable[[Tensor], Tensor]) -> Statistics:
        """Features of images 0..count-1, of which each rank takes its share, a few at a time."""
        assert self._extractor is not None
        result = Statistics(self._extractor.dims)
        for numbers in own_batches(self._ranks, count, _CHUNK):
            result.add(self._extractor(images(torch.tensor(numbers))).features)
        result.all_reduce(self._ranks.sum_, self._ranks.device)
        return result

    def neighbours(self, system: System, count: int = 8) -> Tensor | None:
        """Samples and, below them, the training images nearest to them.

        At most `SEARCHED` images spread over the data are looked at, a few at a time.

        Returns:
            [2 * count, C, H, W] in -1..1: a row of samples and a row of real images. None for
            systems without samples; every rank takes part.
        """
        fakes = self._samples(system, count)
        if fakes is None:
            return None
        chosen = torch.linspace(0, self._feed.count - 1, min(SEARCHED, self._feed.count)).long()
        best, nearest = torch.full((count,), torch.inf), torch.zeros_like(fakes)
        for part in chosen.unique().split(_CHUNK):
            reals = self._images(part)
            index, distance = nearest_neighbours(fakes, reals)
            closer = distance < best
            best = torch.where(closer, distance, best)
            nearest[closer] = reals[index[closer]]
        return torch.cat([fakes, nearest]).mul(2).sub(1)

    def _reals(self, count: int, whole: bool) -> Tensor:
        """Real images spread over the data, float32 0..1, whole or as thumbnails."""
        chosen = torch.linspace(0, self._feed.count - 1, count).long()
        parts = [self._images(part) for part in chosen.split(_CHUNK)]
        return torch.cat([part if whole else _reduced(part) for part in parts])

    def _images(self, indices: Tensor) -> Tensor:
        """Real images under these numbers, float32 0..1."""
        return self._feed.dataset.images(indices).to(torch.float32).div_(255)

    def _samples(self, system: System, count: int, whole: bool = True) -> Tensor | None:
        """Samples 0..count-1, float32 0..1 on the CPU, each rank drawing its share.

        A few are drawn at a time; those that are to be thumbnails become so at once.
        """
        world = self._ranks.world
        # As many on each rank, so that none is left with nothing to draw.
        own = np.arange(self._ranks.rank, -(-count // world) * world, world)
        parts = []
        for start in range(0, len(own), _CHUNK):
            drawn = system.samples(own[start : start + _CHUNK])
            if drawn is None:
                return None
            parts.append((_unit(drawn) if whole else _reduced(_unit(drawn))).cpu())
        images = torch.cat(parts)
        if world == 1:
            return images
        everything = torch.zeros(len(own) * world, *images.shape[1:])
        everything[torch.from_numpy(own)] = images
        return self._ranks.sum_(everything)[:count]


def _reduced(images: Tensor) -> Tensor:
    """Thumbnails [N, C, h, w] of images [N, C, H, W], of which further ones are the same."""
    size = [min(SMALL, side) for side in images.shape[2:]]
    return thumbnails(images).unflatten(1, (images.shape[1], *size))


def _compared(count: int, images: int) -> str:
    return f"n {count} samples, {count} of {images} training images"


def _unit(images: Tensor | None) -> Tensor:
    """Images from -1..1 to 0..1."""
    assert images is not None
    return images.float().add(1).div(2).clamp(0, 1)


def alarms(values: dict[str, float]) -> list[str]:
    """Sentences about signs of collapse, of modes or of posteriors, in a snapshot's numbers."""
    said = []
    if values.get("diversity", 1.0) < ALARM:
        said.append(
            f"mode collapse: samples differ from one another by {values['diversity']:.2f} of what "
            "real images do"
        )
    if values.get("modes", 1.0) < ALARM:
        said.append(
            f"mode collapse: samples visit clusters that hold {values['modes']:.2f} of the data"
        )
    if values.get("active_units", 1.0) == 0:
        said.append(
            "posterior collapse: latents say nothing of the images; lower beta or give free_nats"
        )
    return said
