"""How well a restorer mends images that were damaged on purpose, beside what needs no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..checkpoints import Model
from ..metrics import psnr, ssim
from ..metrics.feature_metrics import Progress
from ..metrics.images import Images
from ..metrics.shares import ALONE, Group, add_up, own_batches
from ..restoration import (
    DEFAULT,
    bicubic,
    convention_of,
    degrade,
    median,
    sample_degradations,
)
from ..restoration.apply import restore

_DAMAGE_SEED = 1_000_000
_VERSIONS = ("restored", "degraded", "bicubic", "median")
_MAX_PSNR = 100  # of equal images, whose ratio has no end
_MEASURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"psnr": psnr, "ssim": ssim}


def compare_restorations(
    names: Sequence[str],
    clean: Images,
    model: Model,
    count: int,
    *,
    chunk: int,
    progress: Progress,
    group: Group = ALONE,
) -> dict[str, float]:
    """Mean quality of `count` restored images and of what one gets without a network.

    Args:
        names: "psnr" (at most 100 dB an image), "ssim".
        clean: images that are damaged at the default strength, each by its number.
        model: a loaded restorer.
        count: how many images.
        chunk: images at a time.
        progress: called with ("restored", images done, count).
        group: processes that share the images.

    Returns:
        "psnr_restored", "psnr_degraded", "psnr_bicubic", "psnr_median" in dB, and so for "ssim".
    """
    assert model.network is not None
    convention = convention_of(model)
    values = {
        f"{name}_{version}": torch.zeros(count, dtype=torch.float64)
        for name in names
        for version in _VERSIONS
    }
    for numbers in own_batches(group, count, chunk):
        target = clean.images(numbers).to(torch.float32).div_(255)
        seeds = torch.tensor(numbers) + _DAMAGE_SEED
        damaged = degrade(target, sample_degradations(seeds, DEFAULT), seeds)
        restored = restore(
            model.network, damaged.mul(2).sub(1), convention=convention, chunk=len(numbers)
        )
        mended = restored.add(1).div(2).clamp(0, 1)
        versions = (mended, damaged, bicubic(damaged), median(damaged))
        for name in names:
            for version, images in zip(_VERSIONS, versions, strict=True):
                found = _MEASURES[name](images, target).clamp(max=_MAX_PSNR)
                values[f"{name}_{version}"][numbers.start : numbers.stop] = found
        progress("restored", numbers.stop, count)
    for column in values.values():
        add_up(group, column)
    return {key: float(column.mean()) for key, column in values.items()}
