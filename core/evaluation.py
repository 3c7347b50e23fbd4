"""Measuring a model or a set of images against real ones: what `ganvas metrics` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from .checkpoints import Model, load, resolve_model
from .data import ImageDataset, open_dataset
from .errors import InputError
from .metrics import pairwise_diversity, psnr, sliced_wasserstein, ssim
from .models.stylegan2 import Generator
from .restoration import DEFAULT, bicubic, degrade, median, sample_degradations
from .restoration.apply import restore
from .sampling import sample_images

Numbers = dict[str, float]

_SET_METRICS = ("swd", "diversity")
_PAIR_METRICS = ("psnr", "ssim")
_DAMAGE_SEED = 1_000_000


def open_model_or_images(text: str) -> Model | ImageDataset:
    """Open what `--fake` names: a folder, a zip archive or `faces:...`, else a model.

    Raises:
        InputError: it is neither, or cannot be read.
    """
    if Path(text).is_dir() or Path(text).suffix == ".zip" or text.startswith("faces:"):
        return open_dataset(text)
    return load(resolve_model(text))


def measure(
    names: list[str], real: ImageDataset, fake: Model | ImageDataset, count: int, seed: int = 0
) -> Numbers:
    """Compare the first `count` real images with as many of `fake`.

    A generator draws seeds 0..count-1 at psi 1. A restorer gets the real images damaged at the
    default strength, and its results are compared with them, beside those of the damaged images
    and of bicubic and median filters.

    Args:
        names: of "swd", "diversity" (two sets of images) or "psnr", "ssim" (a restorer).
        real: images that training did not see.
        fake: a loaded model or another data set.
        count: images of either.
        seed: of the random projections of "swd".

    Returns:
        Numbers by name: "swd_64", ..., "swd_mean" (times 1000, normalised by the reference),
        "diversity_*" as in `metrics.Diversity`, "psnr_*" in dB, "ssim_*".

    Raises:
        InputError: an unknown name, too few images, or a metric that does not fit the model.
    """
    known = (*_SET_METRICS, *_PAIR_METRICS)
    for name in names:
        if name not in known:
            raise InputError(f"metrics: expected names of {', '.join(known)}, got {name!r}")
    if not 2 <= count <= len(real):
        raise InputError(
            f"metrics: expected a count of 2..{len(real)} (the real images), got {count}"
        )
    restores = isinstance(fake, Model) and fake.network is not None
    wrong = [name for name in names if (name in _PAIR_METRICS) != restores]
    if wrong:
        wanted = "a generator or images" if restores else "a restorer"
        raise InputError(f"metrics: {wrong[0]} needs {wanted} as --fake")

    clean = real.images(torch.arange(count)).to(torch.float32).div_(255)
    if restores:
        assert isinstance(fake, Model)
        return _restoration(names, clean, fake)
    images = _images(fake, count)
    if images.shape != clean.shape:
        raise InputError(
            f"metrics: expected images {tuple(clean.shape[1:])} like the real ones, "
            f"got {tuple(images.shape[1:])}"
        )
    numbers: Numbers = {}
    if "swd" in names:
        distances = sliced_wasserstein(images, clean, seed=seed, normalise="reference")
        numbers |= {f"swd_{level}": value for level, value in distances.items()}
    if "diversity" in names:
        diversity = pairwise_diversity(images, clean)
        numbers |= {
            f"diversity_{name}": value
            for name, value in diversity._asdict().items()
            if value is not None
        }
    return numbers


def _images(fake: Model | ImageDataset, count: int) -> Tensor:
    """`count` images [N, 3, H, W] in 0..1 of a generator or a data set."""
    if isinstance(fake, ImageDataset):
        if len(fake) < count:
            raise InputError(f"metrics: expected {count} images in --fake, got {len(fake)}")
        return fake.images(torch.arange(count)).to(torch.float32).div_(255)
    if not isinstance(fake.generator, Generator):
        raise InputError(f"metrics: expected a generator or a restorer, got a {fake.arch}")
    return torch.stack(list(sample_images(fake.generator, range(count), chunk=32)))


def _restoration(names: list[str], clean: Tensor, model: Model) -> Numbers:
    """Quality of the restored images and of what one gets without a network."""
    assert model.network is not None
    seeds = torch.arange(_DAMAGE_SEED, _DAMAGE_SEED + len(clean))
    damaged = degrade(clean, sample_degradations(seeds, DEFAULT), seeds)
    restored = restore(model.network, damaged.mul(2).sub(1), chunk=32).add(1).div(2).clamp(0, 1)
    versions = {
        "restored": restored,
        "degraded": damaged,
        "bicubic": bicubic(damaged),
        "median": median(damaged),
    }
    metrics: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"psnr": psnr, "ssim": ssim}
    return {
        f"{name}_{version}": float(metrics[name](images, clean).clamp(max=100).mean())
        for name in names
        for version, images in versions.items()
    }
