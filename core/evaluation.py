"""Measuring a model or a set of images against real ones: what `ganvas metrics` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from .checkpoints import Model, load, resolve_model
from .data import ImageDataset, open_dataset
from .errors import InputError
from .latents import MAX_SEED
from .metrics import pairwise_diversity, psnr, sliced_wasserstein, ssim
from .models.plans import is_generator
from .restoration import (
    DEFAULT,
    bicubic,
    convention_of,
    degrade,
    median,
    sample_degradations,
)
from .restoration.apply import restore
from .sampling import sample_images

Numbers = dict[str, float]

DEFAULT_COUNT = 1000
_SET_METRICS = ("swd", "diversity")
_PAIR_METRICS = ("psnr", "ssim")
_DAMAGE_SEED = 1_000_000


def open_model_or_images(text: str) -> Model | ImageDataset:
    """Open what `--fake` names: a folder, a zip archive or `faces:...`, else a model.

    Raises:
        InputError: it is neither, or cannot be read.
    """
    if Path(text).is_dir() or Path(text).suffix.lower() == ".zip" or text.startswith("faces:"):
        return open_dataset(text)
    return load(resolve_model(text))


def measure(
    names: list[str],
    real: ImageDataset,
    fake: Model | ImageDataset,
    count: int | None = None,
    seed: int = 0,
) -> Numbers:
    """Compare the first `count` real images with as many of `fake`.

    A generator draws seeds 0..count-1 at psi 1. A restorer gets the real images damaged at the
    default strength, and its results are compared with them, beside those of the damaged images
    and of bicubic and median filters.

    Args:
        names: of "swd", "diversity" (two sets of images) or "psnr", "ssim" (a restorer).
        real: images that training did not see.
        fake: a loaded model or another data set.
        count: images of either; None is what `number_of_images` makes of it.
        seed: of the random projections of "swd", 0..2**32-1.

    Returns:
        Numbers by name: "swd_64", ..., "swd_mean" (times 1000, normalised by the reference),
        "diversity_*" as in `metrics.Diversity`, "psnr_*" in dB, "ssim_*".

    Raises:
        InputError: an unknown or repeated name, a metric that does not fit the model, images of
            another size, too few of them, or a seed out of range.
    """
    _check(names, real, fake)
    count = number_of_images(real, fake, count)
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"metrics: expected a seed of 0..{MAX_SEED}, got {seed}")

    clean = real.images(torch.arange(count)).to(torch.float32).div_(255)
    if isinstance(fake, Model) and fake.network is not None:
        return _restoration(names, clean, fake)
    images = _images(fake, count)
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


def number_of_images(
    real: ImageDataset, fake: Model | ImageDataset, count: int | None = None
) -> int:
    """How many images of either side are compared.

    None is `DEFAULT_COUNT`, or all of the smaller data set when that has fewer.

    Raises:
        InputError: fewer than two images, or more than there are.
    """
    sizes = {"--real": len(real)} | ({"--fake": len(fake)} if not isinstance(fake, Model) else {})
    side, most = min(sizes.items(), key=lambda item: item[1])
    if most < 2:
        raise InputError(f"metrics: expected at least 2 images in {side}, got {most}")
    if count is None:
        return min(DEFAULT_COUNT, most)
    if not 2 <= count <= most:
        raise InputError(
            f"metrics: expected a count of 2..{most} (the images of {side}), got {count}"
        )
    return count


def _check(names: list[str], real: ImageDataset, fake: Model | ImageDataset) -> None:
    """Refuse names, a model or images that do not go together, before anything is computed."""
    known = (*_SET_METRICS, *_PAIR_METRICS)
    for index, name in enumerate(names):
        if name not in known:
            raise InputError(f"metrics: expected names of {', '.join(known)}, got {name[:80]!r}")
        if name in names[:index]:
            raise InputError(f"metrics: expected every name once, got {name!r} twice")
    restores = isinstance(fake, Model) and fake.network is not None
    wrong = [name for name in names if (name in _PAIR_METRICS) != restores]
    if wrong:
        wanted = "a generator or images" if restores else "a restorer"
        got = f"a {fake.arch}" if isinstance(fake, Model) else "images"
        raise InputError(f"metrics: {wrong[0]} needs {wanted} as --fake, got {got}")
    if isinstance(fake, Model) and restores:
        try:
            convention_of(fake)
        except InputError as error:
            raise InputError(f"metrics: {error}") from error
        return
    if isinstance(fake, ImageDataset):
        channels, size = 3, fake.resolution
    elif is_generator(fake.generator):
        config = fake.generator.config
        channels, size = config.img_channels, config.img_resolution
    else:
        raise InputError(f"metrics: expected a generator or a restorer, got a {fake.arch}")
    if (channels, size) != (3, real.resolution):
        raise InputError(
            f"metrics: expected RGB images of {real.resolution} px like the real ones, "
            f"got {size} px with {channels} channels from --fake"
        )


def _images(fake: Model | ImageDataset, count: int) -> Tensor:
    """`count` images [N, 3, H, W] in 0..1 of a generator or a data set."""
    if isinstance(fake, ImageDataset):
        return fake.images(torch.arange(count)).to(torch.float32).div_(255)
    assert is_generator(fake.generator)
    return torch.stack(list(sample_images(fake.generator, range(count), chunk=32)))


def _restoration(names: list[str], clean: Tensor, model: Model) -> Numbers:
    """Quality of the restored images and of what one gets without a network."""
    assert model.network is not None
    seeds = torch.arange(_DAMAGE_SEED, _DAMAGE_SEED + len(clean))
    damaged = degrade(clean, sample_degradations(seeds, DEFAULT), seeds)
    damaged_signed = damaged.mul(2).sub(1)
    restored = restore(model.network, damaged_signed, convention=convention_of(model), chunk=32)
    restored = restored.add(1).div(2).clamp(0, 1)
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
