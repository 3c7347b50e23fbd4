"""The data of a run, as its settings need them: images, pairs of images, or two domains."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import Tensor

from ..core.data import ImageDataset, ImageDomains, open_dataset, open_domains
from ..core.errors import InputError
from ..core.progress import progress_bar
from .config import RunConfig
from .heldout import split
from .images import Images, SyntheticImages, TwoSets

Needs = Literal["images", "pairs", "domains"]
"""What a system learns from."""

_WORDS: dict[Needs, str] = {
    "images": "single images, as in --data FOLDER",
    "pairs": "pairs of images, as in --data pairs:PATH",
    "domains": "two domains of images, as in --data domains:PATH_A,PATH_B",
}
_CHANNELS, _PAIR_CHANNELS = 3, 6


class _Channels:
    """Some channels of a data set's images."""

    labels: Tensor | None = None

    def __init__(self, dataset: ImageDataset, channels: slice) -> None:
        self.content_hash = dataset.content_hash
        self.resolution = dataset.resolution
        self._dataset = dataset
        self._channels = channels

    def __len__(self) -> int:
        return len(self._dataset)

    def images(self, indices: Tensor) -> Tensor:
        return self._dataset.images(indices)[:, self._channels]


def open_images(
    name: str | Path, resolution: int, cache: Path | None, needs: Needs
) -> Images | TwoSets:
    """Open a data set for a system that learns from `needs`.

    Args:
        name: as `core.data.open_dataset` takes it, or `domains:PATH_A,PATH_B`.
        resolution: side of the images.
        cache: folder for rendered faces and indices.
        needs: what the system learns from.

    Raises:
        InputError: not a data set, or one of another kind than needed.
    """
    if str(name).startswith("domains:"):
        _check_kind("domains", needs)
        domains = open_domains(str(name), resolution, cache=cache)
        _check_colour(domains.a)
        return two_domains(domains)
    if needs == "domains":
        _check_kind("pairs" if str(name).startswith("pairs:") else "images", needs)
    with progress_bar("image") as advance:  # faces are rendered, or all images looked at
        dataset = open_dataset(name, resolution, cache=cache, progress=advance)
    if dataset.channels != _PAIR_CHANNELS:
        _check_kind("images", needs)
        _check_colour(dataset)
        return dataset
    _check_kind("pairs", needs)
    middle = _PAIR_CHANNELS // 2
    first, second = (_Channels(dataset, s) for s in (slice(0, middle), slice(middle, None)))
    return TwoSets(first, second, True, dataset.content_hash)


def two_domains(domains: ImageDomains) -> TwoSets:
    """Two domains as images with independent targets."""
    return TwoSets(domains.a, domains.b, False, domains.content_hash)


def stand_in(name: str | Path | None, config: RunConfig, resolution: int) -> Images | TwoSets:
    """What `--dry-run` learns from: synthetic images, under the labels of the data.

    Args:
        name: the data, of which all is checked but the pixels; None: images in two classes.
        config: the settings of the run itself.
        resolution: side of the images.

    Raises:
        InputError: the data do not fit the settings.
    """
    needs = config.needs
    images = SyntheticImages(resolution)
    if name is not None:
        data = open_images(name, config.resolution, None, needs)
        split(data, config.heldout)
        images = SyntheticImages(resolution, len(data))
        images.labels = data.labels
    if needs == "images":
        return images
    return TwoSets(images, images, needs == "pairs", images.content_hash)


def described(needs: Needs) -> str:
    """What a system learns from, in words."""
    return _WORDS[needs]


def _check_colour(dataset: ImageDataset) -> None:
    if dataset.channels != _CHANNELS:
        raise InputError(
            f"train: networks learn from images in colour, expected channels={_CHANNELS}, got "
            f"{dataset.channels}"
        )


def _check_kind(kind: Needs, needs: Needs) -> None:
    if kind != needs:
        raise InputError(
            f"train: this preset learns from {described(needs)}; the data are {described(kind)}"
        )
