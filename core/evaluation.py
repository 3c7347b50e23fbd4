"""Measuring a model or a set of images against real ones: what `ganvas metrics` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .checkpoints import Model, load, resolve_model
from .data import open_dataset
from .data.spec import parse_spec
from .errors import InputError
from .files import check_input_file
from .latents import MAX_SEED
from .metrics import pairwise_diversity, psnr, sliced_wasserstein, ssim
from .metrics.extractors import PUBLISHED
from .metrics.feature_metrics import (
    FACES,
    FEATURE_METRICS,
    INCEPTION,
    LEAST,
    PATH_METRICS,
    compare_features,
    open_extractors,
    path_length,
)
from .metrics.images import Images
from .metrics.resize import RESIZES
from .metrics.result import Result, as_table
from .metrics.swd import PATCH, pyramid_sides
from .models.plans import AnyGenerator, class_fits, is_generator
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
Source = Model | Images
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many images of it are done, and how many there are."""

DEFAULT_COUNT = 1000
PIXEL_METRICS = ("swd", "diversity")
PAIR_METRICS = ("psnr", "ssim")
METRICS = (*PIXEL_METRICS, *FEATURE_METRICS, *PATH_METRICS, *PAIR_METRICS)
MAX_IMAGE_BYTES = 16 * 2**30
"""Most memory for the images of either side; metrics of pixels hold them all as float32."""

_DAMAGE_SEED = 1_000_000
_DIGITS = 8
_CHUNK = 32


@dataclass(frozen=True)
class Request:
    """What is to be measured, checked as far as it can be without opening anything large.

    Attributes:
        names: of `METRICS`, each once.
        count: images of either side (or paths); None is what `number_of_images` makes of it.
        seed: of random projections and subsets, and of the places on paths.
        features: file of the Inception weights, which "fid", "kid", "is" and "prdc" need.
        resize: how images are brought to Inception's size.
        class_index: class of a conditional generator; -1 for one without, see `class_labels`.

    Raises:
        InputError: an unknown or repeated name, a number out of range, or a file that is not there.
    """

    names: tuple[str, ...]
    count: int | None = None
    seed: int = 0
    features: Path | None = None
    resize: str = "tf1"
    class_index: int = -1

    def __post_init__(self) -> None:
        for index, name in enumerate(self.names):
            if name not in METRICS:
                raise InputError(
                    f"metrics: expected names of {', '.join(METRICS)}, got {name[:80]!r}"
                )
            if name in self.names[:index]:
                raise InputError(f"metrics: expected every name once, got {name!r} twice")
        least = max((LEAST.get(name, 2) for name in self.names), default=2)
        if self.count is not None and self.count < least:
            raise InputError(f"metrics: expected a count of {least} or more, got {self.count}")
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"metrics: expected a seed of 0..{MAX_SEED}, got {self.seed}")
        if self.resize not in RESIZES:
            raise InputError(
                f"metrics: expected a resize of {', '.join(RESIZES)}, got {self.resize!r}"
            )
        wanting = [name for name in self.names if name in INCEPTION]
        if wanting and self.features is None:
            raise InputError(
                f"metrics: {wanting[0]} needs a file of Inception's weights, such as {PUBLISHED} "
                "(--features of the command, inception of the node), got none; "
                "fd_faces needs no file"
            )
        if self.features is not None:
            check_input_file(self.features, "a file of Inception's weights")


@dataclass(frozen=True)
class Evaluation:
    """What was measured, on how many images, and what to bear in mind."""

    results: list[Result]
    count: int
    warnings: list[str] = field(default_factory=list[str])

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain values."""
        results = [result.as_dict() for result in self.results]
        return {"images": self.count, "results": results, "warnings": self.warnings}

    def as_text(self) -> str:
        """The number of images, and a line for each result."""
        return f"images  {self.count}\n{as_table(self.results)}"


def evaluate_files(
    request: Request,
    real: str,
    fake: str,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Evaluation:
    """`evaluate` of what two names stand for; nothing slow begins before the names are checked.

    Args:
        request: what to measure.
        real: a folder, a zip archive or `faces:...`.
        fake: likewise, or a model's file or name.
        device: where networks run.
        progress: as for `evaluate`.

    Raises:
        InputError: something cannot be opened, or as `evaluate`.
    """
    file = None if _names_images(fake) else resolve_model(fake)
    left = open_dataset(real)
    number_of_images(left, left, request.count, request.names)
    right = open_dataset(fake) if file is None else load(file, device)
    return evaluate(request, left, right, device=device, progress=progress)


def _names_images(text: str) -> bool:
    """Whether a text names a set of images rather than a model."""
    path = Path(text)
    named = text.startswith("faces:") or parse_spec(text) is not None
    return named or path.is_dir() or path.suffix.lower() in (".zip", ".tar")


def measure(
    names: list[str],
    real: Images,
    fake: Source,
    count: int | None = None,
    seed: int = 0,
) -> Numbers:
    """The values of `evaluate` by metric, for metrics that need no file of weights.

    Raises:
        InputError: as `Request` and `evaluate`.
    """
    evaluation = evaluate(Request(tuple(names), count, seed), real, fake)
    return {result.metric: result.value for result in evaluation.results}


def evaluate(
    request: Request,
    real: Images,
    fake: Source,
    *,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Evaluation:
    """Compare the first `count` real images with as many of `fake`.

    A generator draws seeds 0..count-1 at psi 1. A restorer gets the real images damaged at the
    default strength, and its results are compared with them, beside those of the damaged images
    and of bicubic and median filters.

    Args:
        request: what to measure.
        real: images that training did not see.
        fake: a loaded model or another data set.
        device: where feature networks run.
        progress: called after each batch; it may raise to stop.

    Returns:
        One result per number: "swd_64", ..., "swd_mean" (times 1000, normalised by the reference),
        "diversity_*" as in `metrics.Diversity`, "fid", "kid", "is", "precision", "recall",
        "density", "coverage", and the like on our own features under "*_faces"; of a restorer
        "psnr_*" in dB and "ssim_*".

    Raises:
        InputError: a metric that does not fit the model, images of another size, too few of them,
            or too many for memory.
    """
    report = progress or _silent
    names = request.names
    check_sources(request, real, fake)
    count = number_of_images(real, fake, request.count, names)
    reference = real.content_hash[:_DIGITS]
    _check_memory(names, real, count)
    if isinstance(fake, Model) and _is_network(fake):
        numbers = _restoration(names, _pixels(real, count), fake)
        return Evaluation(_results(numbers, count, reference), count)
    extractors = open_extractors(names, request.features, request.resize, device)

    results: list[Result] = []
    if any(name in PIXEL_METRICS for name in names):
        report("pixels", 0, count)
        numbers = _pixel_numbers(request, real, fake, count)
        report("pixels", count, count)
        results += _results(numbers, count, reference)
    found, warnings = compare_features(
        names,
        extractors,
        lambda: _batches(real, count, request.class_index),
        lambda: _batches(fake, count, request.class_index),
        count,
        reference,
        seed=request.seed,
        progress=report,
    )
    results += found
    if isinstance(fake, Model):
        assert is_generator(fake.generator)
        for name in names:
            if name in PATH_METRICS:
                results.append(
                    path_length(
                        name,
                        fake.generator,
                        extractors[FACES],
                        count,
                        fake.sha256[:_DIGITS],
                        seed=request.seed,
                        class_index=request.class_index,
                        progress=report,
                    )
                )
    return Evaluation(results, count, warnings)


def number_of_images(
    real: Images, fake: Source, count: int | None = None, names: Sequence[str] = ()
) -> int:
    """How many images of either side are compared.

    None is `DEFAULT_COUNT`, or all of the smaller data set when that has fewer.

    Raises:
        InputError: fewer than the metrics need, or more than there are.
    """
    sizes = {"--real": len(real)} | ({"--fake": len(fake)} if not isinstance(fake, Model) else {})
    side, most = min(sizes.items(), key=lambda item: item[1])
    least = max((LEAST.get(name, 2) for name in names), default=2)
    if most < least:
        raise InputError(f"metrics: expected at least {least} images in {side}, got {most}")
    if count is None:
        return min(DEFAULT_COUNT, most)
    if not least <= count <= most:
        raise InputError(
            f"metrics: expected a count of {least}..{most} (the images of {side}), got {count}"
        )
    return count


def check_sources(request: Request, real: Images, fake: Source) -> None:
    """Refuse a model or images that do not go with the metrics, before anything is computed.

    Raises:
        InputError: they do not.
    """
    names = request.names
    restores = _is_network(fake)
    got = f"a {fake.arch}" if isinstance(fake, Model) else "images"
    wrong = [name for name in names if (name in PAIR_METRICS) != restores]
    if wrong:
        wanted = "a generator or images" if restores else "a restorer"
        raise InputError(f"metrics: {wrong[0]} needs {wanted} as --fake, got {got}")
    if real.channels not in (1, 3):
        raise InputError(
            f"metrics: expected RGB or grey images in --real, got {real.channels} channels"
        )
    if isinstance(fake, Model) and restores:
        if real.channels != 3:
            raise InputError(f"metrics: {names[0]} needs RGB images in --real, got grey ones")
        try:
            convention_of(fake)
        except InputError as error:
            raise InputError(f"metrics: {error}") from error
        return
    if not isinstance(fake, Model):
        paths = [name for name in names if name in PATH_METRICS]
        if paths:
            raise InputError(f"metrics: {paths[0]} needs a generator as --fake, got {got}")
        channels, size = fake.channels, fake.resolution
    elif is_generator(fake.generator):
        config = fake.generator.config
        channels, size = config.img_channels, config.img_resolution
        _check_class(fake.generator, request.class_index)
    else:
        raise InputError(f"metrics: expected a generator or a restorer, got a {fake.arch}")
    if "swd" in names:
        try:
            smallest = pyramid_sides(real.resolution)[-1]
        except ValueError as error:
            raise InputError(f"metrics: swd cannot take these images ({error})") from error
        if smallest < PATCH:
            raise InputError(
                f"metrics: swd needs images of {PATCH} px or more, got {real.resolution} px"
            )
    if (channels, size) != (real.channels, real.resolution):
        kind = "RGB" if real.channels == 3 else "grey"
        raise InputError(
            f"metrics: expected {kind} images of {real.resolution} px like the real ones, "
            f"got {size} px with {channels} channels from --fake"
        )


def _check_class(generator: AnyGenerator, class_index: int) -> None:
    if class_fits(generator, class_index):
        return
    classes = generator.config.c_dim
    if classes == 0:
        raise InputError(f"metrics: this generator has no classes, got --class {class_index}")
    got = f"got {class_index}" if class_index >= 0 else "none is given"
    raise InputError(
        f"metrics: this generator has {classes} classes; expected --class "
        f"0..{classes - 1}, and real images of that class, {got}"
    )


def _check_memory(names: Sequence[str], real: Images, count: int) -> None:
    held = [name for name in names if name in (*PIXEL_METRICS, *PAIR_METRICS)]
    needed = count * real.channels * real.resolution**2 * 4
    if held and needed > MAX_IMAGE_BYTES:
        raise InputError(
            f"metrics: {held[0]} holds all images in memory, which takes "
            f"{needed / 2**30:.0f} GiB for {count} of {real.resolution} px, at most "
            f"{MAX_IMAGE_BYTES / 2**30:.0f} are allowed; expected a smaller --count"
        )


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def _results(numbers: Numbers, count: int, reference: str) -> list[Result]:
    return [Result(name, value, count, reference) for name, value in numbers.items()]


def _is_network(source: Source) -> bool:
    """Whether a model turns images into images; an autoencoder counts by the images it draws."""
    return isinstance(source, Model) and source.generator is None and source.network is not None


def _pixels(source: Source, count: int, class_index: int = -1) -> Tensor:
    """`count` images [N, C, H, W] in 0..1 of a generator or a set of images."""
    if not isinstance(source, Model):
        return source.images(torch.arange(count)).to(torch.float32).div_(255)
    assert is_generator(source.generator)
    images = sample_images(source.generator, range(count), class_index=class_index, chunk=_CHUNK)
    return torch.stack(list(images))


def _batches(source: Source, count: int, class_index: int) -> Iterator[Tensor]:
    """The same images as uint8 [n, C, H, W], a few at a time, as files would hold them."""
    for first in range(0, count, _CHUNK):
        numbers = range(first, min(first + _CHUNK, count))
        if not isinstance(source, Model):
            yield source.images(numbers)
        else:
            assert is_generator(source.generator)
            images = sample_images(source.generator, numbers, class_index=class_index, chunk=_CHUNK)
            yield torch.stack(list(images)).mul(255).round().to(torch.uint8)


def _pixel_numbers(request: Request, real: Images, fake: Source, count: int) -> Numbers:
    """Metrics of pixels alone."""
    clean, images = _pixels(real, count), _pixels(fake, count, request.class_index)
    numbers: Numbers = {}
    if "swd" in request.names:
        distances = sliced_wasserstein(images, clean, seed=request.seed, normalise="reference")
        numbers |= {f"swd_{level}": value for level, value in distances.items()}
    if "diversity" in request.names:
        diversity = pairwise_diversity(images, clean)
        numbers |= {
            f"diversity_{name}": value
            for name, value in diversity._asdict().items()
            if value is not None
        }
    return numbers


def _restoration(names: Sequence[str], clean: Tensor, model: Model) -> Numbers:
    """Quality of the restored images and of what one gets without a network."""
    assert model.network is not None
    seeds = torch.arange(_DAMAGE_SEED, _DAMAGE_SEED + len(clean))
    damaged = degrade(clean, sample_degradations(seeds, DEFAULT), seeds)
    damaged_signed = damaged.mul(2).sub(1)
    restored = restore(model.network, damaged_signed, convention=convention_of(model), chunk=_CHUNK)
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
