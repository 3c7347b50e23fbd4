"""Numbers about a model or a set of images: each image drawn once, for all metrics that want it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints import Model, load, resolve_model
from ..data import open_dataset
from ..data.spec import parse_spec
from ..errors import InputError
from ..metrics import pairwise_diversity, sliced_wasserstein
from ..metrics.collect import Collected
from ..metrics.extractors import Extractor
from ..metrics.feature_metrics import (
    FACES,
    PATH_METRICS,
    Progress,
    caveats,
    compare_features,
    feature_sets,
    open_extractors,
    path_length,
)
from ..metrics.images import Images
from ..metrics.result import Result, as_table
from ..metrics.shares import ALONE, Group, add_up, own_batches
from ..metrics.swd import bytes_of_patches
from ..models.plans import is_generator
from .request import PIXEL_METRICS, Request, needs_real, number_of_images
from .restoring import compare_restorations
from .sources import (
    GeneratedImages,
    Source,
    check_sources,
    is_restorer,
    labels_for,
    other_classes,
)

MAX_IMAGE_BYTES = 16 * 2**30
"""Most memory for images and patches; metrics of pixels hold all of them at once."""

_DIGITS = 8
_CHUNK = 32


@dataclass(frozen=True)
class Evaluation:
    """What was measured, on how many images, and what to bear in mind.

    Attributes:
        results: the numbers, each under a name of its own.
        count: images of either side, or paths.
        real: hash of the real images, empty where no metric looks at them.
        fake: hash of the images measured, or of the model's file.
        seed: of random projections, subsets and places.
        warnings: sentences.
    """

    results: list[Result]
    count: int
    real: str
    fake: str
    seed: int
    warnings: list[str] = field(default_factory=list[str])

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {
            "images": self.count,
            "real": self.real,
            "fake": self.fake,
            "seed": self.seed,
            "results": [result.as_dict() for result in self.results],
            "warnings": self.warnings,
        }

    def as_text(self) -> str:
        """The number of images, and a line for each result."""
        return f"images  {self.count}\n{as_table(self.results)}"


def evaluate_files(
    request: Request,
    real: str | None,
    fake: str,
    device: str = "cpu",
    progress: Progress | None = None,
    group: Group = ALONE,
) -> Evaluation:
    """`evaluate` of what two names stand for; nothing slow begins before the names are checked.

    Args:
        request: what to measure.
        real: a folder, a zip archive or `faces:...`; None for metrics that look at none.
        fake: likewise, or a model's file or name.
        device: where networks run.
        progress: as for `evaluate`.
        group: likewise.

    Raises:
        InputError: something cannot be opened, or as `evaluate`.
    """
    file = None if _names_images(fake) else resolve_model(fake)
    left = None if real is None else open_dataset(real)
    right = open_dataset(fake) if file is None else None
    number_of_images(request, left, right)
    if right is None:
        assert file is not None
        right = load(file, device)
    return evaluate(request, left, right, device=device, progress=progress, group=group)


def _names_images(text: str) -> bool:
    """Whether a text names a set of images rather than a model."""
    path = Path(text)
    named = text.startswith("faces:") or parse_spec(text) is not None
    return named or path.is_dir() or path.suffix.lower() in (".zip", ".tar")


def measure(
    names: list[str], real: Images, fake: Source, count: int | None = None, seed: int = 0
) -> dict[str, float]:
    """The values of `evaluate` by metric, for metrics that need no file of weights.

    Raises:
        InputError: as `Request` and `evaluate`.
    """
    evaluation = evaluate(Request(tuple(names), count, seed), real, fake)
    return {result.metric: result.value for result in evaluation.results}


def evaluate(
    request: Request,
    real: Images | None,
    fake: Source,
    *,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    group: Group = ALONE,
) -> Evaluation:
    """Compare the first `count` real images with as many of `fake`.

    A generator draws seeds 0..count-1 at psi 1, as the bytes that it would write to files. A
    restorer gets the real images damaged at the default strength, and its results are compared with
    them, beside those of the damaged images and of bicubic and median filters.

    Args:
        request: what to measure.
        real: images that training did not see; None where no metric looks at real images.
        fake: a loaded model or another data set.
        device: where feature networks run.
        progress: called after each batch with what is being done, how many images of it are done,
            and how many there are; it may raise to stop.
        group: processes that share the drawing and the features; every one of them calls this
            with the same arguments, and gets the same results as a single process would.

    Returns:
        One result per number: "swd_64", ..., "swd_mean" (times 1000, normalised by the reference),
        "diversity_*" as in `metrics.Diversity`, "fid", "kid", "is", "precision", "recall",
        "density", "coverage", and the like on our own features under "*_faces"; of a restorer
        "psnr_*" in dB and "ssim_*".

    Raises:
        InputError: a metric that does not fit the model, images of another size, too few of them,
            too many for memory, or images of a model that hold NaN.
    """
    report = progress or _silent
    names = request.names
    check_sources(request, real, fake)
    count = number_of_images(request, real, fake)
    reference = "" if real is None else real.content_hash
    measured = fake.sha256 if isinstance(fake, Model) else fake.content_hash
    results: list[Result] = []
    if isinstance(fake, Model) and is_restorer(fake):
        assert real is not None
        found = compare_restorations(
            names, real, fake, count, chunk=_CHUNK, progress=report, group=group
        )
        results += _results(found, count, reference)
        return Evaluation(results, count, reference, measured, request.seed)

    extractors = open_extractors(names, request.features, request.resize, device)
    sets = feature_sets(names, extractors, count)
    labels = None
    if isinstance(fake, Model):
        assert is_generator(fake.generator)
        labels = labels_for(fake.generator, request.class_index, real, count)
    sides = {
        "real": real if needs_real(names) else None,
        "fake": GeneratedImages(fake, count, labels) if isinstance(fake, Model) else fake,
    }
    keep = any(name in PIXEL_METRICS for name in names)
    pixels: dict[str, Tensor] = {}
    for side, images in sides.items():
        own = {key: (extractors[key], some) for (key, where), some in sets.items() if where == side}
        if images is None or not (keep or own):
            continue
        if keep:
            pixels[side] = _room_for_pixels(names, images, count)
        _gather(side, images, count, own, pixels.get(side), report, group)
    if keep:
        report("pixels", 0, count)
        numbers = _compare_pixels(request, pixels["real"], pixels["fake"])
        report("pixels", count, count)
        results += _results(numbers, count, reference)
    results += compare_features(names, extractors, sets, reference[:_DIGITS], request.seed)
    warnings = caveats(names, extractors, count)
    if isinstance(fake, Model):
        if needs_real(names):
            warnings += other_classes(request.class_index, real, count)
        assert is_generator(fake.generator)
        results += [
            path_length(
                name,
                fake.generator,
                extractors[FACES],
                count,
                measured[:_DIGITS],
                seed=request.seed,
                labels=labels,
                progress=report,
                group=group,
            )
            for name in names
            if name in PATH_METRICS
        ]
    return Evaluation(results, count, reference, measured, request.seed, warnings)


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def _results(numbers: Mapping[str, float], count: int, reference: str) -> list[Result]:
    return [Result(name, value, count, reference[:_DIGITS]) for name, value in numbers.items()]


def _room_for_pixels(names: Sequence[str], images: Images, count: int) -> Tensor:
    """Zeros uint8 [count, C, H, H].

    Raises:
        InputError: metrics of pixels would need too much memory.
    """
    held = [name for name in names if name in PIXEL_METRICS]
    needed = 2 * count * images.channels * images.resolution**2
    if "swd" in held:
        needed += bytes_of_patches(count, images.channels, images.resolution)
    if needed > MAX_IMAGE_BYTES:
        raise InputError(
            f"metrics: {held[0]} holds all images in memory, which takes "
            f"{needed / 2**30:.0f} GiB for {count} of {images.resolution} px, at most "
            f"{MAX_IMAGE_BYTES / 2**30:.0f} are allowed; expected a smaller --count"
        )
    return torch.zeros(
        count, images.channels, images.resolution, images.resolution, dtype=torch.uint8
    )


def _gather(
    side: str,
    images: Images,
    count: int,
    sets: Mapping[str, tuple[Extractor, Collected]],
    pixels: Tensor | None,
    report: Progress,
    group: Group,
) -> None:
    """Draw each image once, for every network and, where they are kept, for its pixels."""
    for numbers in own_batches(group, count, _CHUNK):
        batch = images.images(numbers)
        if pixels is not None:
            pixels[numbers.start : numbers.stop] = batch
        for extractor, collected in sets.values():
            collected.add(extractor(batch), numbers.start)
        report(side, numbers.stop, count)
    for _, collected in sets.values():
        collected.all_reduce(group)
    if pixels is not None:
        add_up(group, pixels)


def _compare_pixels(request: Request, real: Tensor, fake: Tensor) -> dict[str, float]:
    """Metrics of pixels alone."""
    numbers: dict[str, float] = {}
    if "swd" in request.names:
        distances = sliced_wasserstein(fake, real, seed=request.seed, normalise="reference")
        numbers |= {f"swd_{level}": value for level, value in distances.items()}
    if "diversity" in request.names:
        diversity = pairwise_diversity(fake, real)
        numbers |= {
            f"diversity_{name}": value
            for name, value in diversity._asdict().items()
            if value is not None
        }
    return numbers
