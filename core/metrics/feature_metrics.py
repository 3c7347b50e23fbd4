"""Metrics on the features of a network: which there are, and how each is computed from a set.

Inception's features give the published names and need the user's file of weights. Features of our
own network give names that end in "_faces", and never the published ones: a distance says nothing
beside one in other features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..data.counter import uniform
from ..errors import InputError
from ..latents import class_labels, seeded_z
from ..models.plans import AnyGenerator, has_latents, plan_of
from .collect import MAX_KEPT_BYTES, Collected
from .extractors import Extractor, load_face_extractor, load_inception
from .kernel import kernel_distance
from .neighbours import K_DENSITY, neighbourhoods
from .path_length import PathSampler, Space, summarise
from .result import Result

Progress = Callable[[str, int, int], None]

INCEPTION = ("fid", "kid", "is", "prdc")
"""Metrics on Inception's features."""

OURS = ("fd_faces", "kd_faces", "prdc_faces")
"""The same on our own network's features of faces."""

FEATURE_METRICS = (*INCEPTION, *OURS)
PATH_METRICS = ("ppl_faces", "ppl_faces_crop", "ppl_faces_z", "ppl_faces_z_crop")
"""Path lengths on our features: in W, or in z; of the whole picture, or of the face alone."""

FACES = "faces"
LEAST = {"kid": 4, "kd_faces": 4, "prdc": K_DENSITY + 1, "prdc_faces": K_DENSITY + 1}
"""Images that a metric needs, where they are more than two."""

_KEEPING = ("kid", "kd_faces", "prdc", "prdc_faces")
_PATHS = 16
_STREAM_PLACES = 221


def open_extractors(
    names: Sequence[str], features: Path | None, resize: str, device: str | torch.device
) -> dict[str, Extractor]:
    """The networks that these metrics need, by "inception" and "faces".

    Raises:
        InputError: the file of weights is missing or not that network.
    """
    extractors: dict[str, Extractor] = {}
    if any(name in INCEPTION for name in names):
        if features is None:
            raise InputError("metrics: expected a file of Inception's weights, got none")
        extractors["inception"] = load_inception(features, resize, device)
    if any(name in OURS or name in PATH_METRICS for name in names):
        extractors[FACES] = load_face_extractor(device=device)
    return extractors


def compare_features(
    names: Sequence[str],
    extractors: Mapping[str, Extractor],
    real: Callable[[], Iterable[Tensor]],
    fake: Callable[[], Iterable[Tensor]],
    count: int,
    reference: str,
    *,
    seed: int = 0,
    progress: Progress,
) -> tuple[list[Result], list[str]]:
    """Compare two sets of images by their features, each image computed once per network.

    Args:
        names: of `FEATURE_METRICS`; others are passed over.
        extractors: the networks by "inception" and "faces".
        real: gives batches of uint8 or 0..1 images [n, 3, H, W].
        fake: likewise.
        count: images that either gives.
        reference: what results say of the real images.
        seed: of the subsets of kernel distances.
        progress: called with ("real" or "fake", images done, count).

    Returns:
        The results in the order of the names, and warnings.

    Raises:
        InputError: so many features would have to be kept that memory may not hold them.
    """
    groups = {"inception": INCEPTION, FACES: OURS}
    wanted = {
        key: [name for name in names if name in group]
        for key, group in groups.items()
        if key in extractors
    }
    wanted = {key: chosen for key, chosen in wanted.items() if chosen}
    if not wanted:
        return [], []
    sets: dict[tuple[str, str], Collected] = {}
    for key, chosen in wanted.items():
        keep = any(name in _KEEPING for name in chosen)
        dims = extractors[key].dims
        if keep and count * dims * 4 > MAX_KEPT_BYTES:
            raise InputError(
                f"metrics: {count} images need {count * dims * 4 / 2**30:.0f} GiB for features, "
                f"at most {MAX_KEPT_BYTES / 2**30:.0f} are allowed; expected a smaller --count"
            )
        classes = extractors[key].classes if "is" in chosen else 0
        sets[key, "real"] = Collected(dims, count, keep=keep)
        sets[key, "fake"] = Collected(dims, count, keep=keep, classes=classes)
    for side, batches in (("real", real), ("fake", fake)):
        if side == "real" and set(names) <= {"is"}:
            continue  # it looks at the fake images only
        done = 0
        for images in batches():
            for key in wanted:
                sets[key, side].add(extractors[key](images))
            done += len(images)
            progress(side, done, count)
    results: list[Result] = []
    warnings: list[str] = []
    for name in names:
        for key, chosen in wanted.items():
            if name in chosen:
                extractor = extractors[key]
                results += _numbers(
                    name, extractor, sets[key, "real"], sets[key, "fake"], reference, seed
                )
                if name in ("fid", "fd_faces") and count <= extractor.dims:
                    warnings.append(
                        f"{name}: {count} images are no more than its {extractor.dims} features, "
                        "so its bias is large; compare at equal counts only, or use more images"
                    )
    return results, warnings


def _numbers(
    name: str, extractor: Extractor, real: Collected, fake: Collected, reference: str, seed: int
) -> list[Result]:
    """The results of one metric."""
    suffix = "_faces" if name in OURS else ""

    def result(metric: str, value: float, deviation: float | None = None) -> Result:
        return Result(
            metric + suffix,
            value,
            fake.total,
            "" if metric == "is" else reference,
            deviation,
            extractor.resize,
            extractor.weights,
        )

    match name.removesuffix("_faces"):
        case "fid" | "fd" as metric:
            return [result(metric, fake.frechet(real))]
        case "kid" | "kd" as metric:
            return [result(metric, *kernel_distance(fake.features, real.features, seed=seed))]
        case "is":
            return [result("is", *fake.score())]
    found = neighbourhoods(real.features, fake.features)
    return [result(metric, value) for metric, value in found._asdict().items()]


def path_length(
    name: str,
    generator: AnyGenerator,
    extractor: Extractor,
    count: int,
    model: str,
    *,
    seed: int = 0,
    class_index: int = -1,
    progress: Progress,
) -> Result:
    """Perceptual path length of a generator on our features, over `count` paths.

    Path i runs from seed 2i to seed 2i + 1 and is measured at a place that depends on `seed` and i
    only. Without a W, paths run in z whatever the name.

    Raises:
        InputError: a class that does not fit the generator.
    """
    in_w = has_latents(generator) and "_z" not in name
    space: Space = "w" if in_w else "z"
    device = next(generator.parameters()).device

    def latents(seeds: Sequence[int]) -> Tensor:
        z = torch.cat([seeded_z(one, 1, generator.config.z_dim) for one in seeds]).to(device)
        return generator.mapping(z, labels(len(z))) if in_w else z

    def labels(number: int) -> Tensor | None:
        c = class_labels(generator, class_index, number)
        return None if c is None else c.to(device)

    def generate(x: Tensor) -> Tensor:
        if not has_latents(generator):
            images = generator(x, labels(len(x)), noise_mode="const")
        else:
            ws = x if in_w else generator.mapping(x, labels(len(x)))
            images = plan_of(generator)(ws, noise_mode="const")
        return images.float().add(1).div(2).clamp(0, 1)

    sampler = PathSampler(
        generate,
        lambda images: extractor(images).features,
        space=space,
        crop=name.endswith("_crop"),
    )
    lengths: list[Tensor] = []
    with torch.no_grad():
        for first in range(0, count, _PATHS):
            paths = range(first, min(first + _PATHS, count))
            t = torch.from_numpy(uniform(seed, _STREAM_PLACES, list(paths))).to(device)
            a, b = latents([2 * i for i in paths]), latents([2 * i + 1 for i in paths])
            lengths.append(sampler.lengths(a, b, t))
            progress(name, paths.stop, count)
    mean, error = summarise(torch.cat(lengths))
    return Result(name, mean, count, model, error, extractor.resize, extractor.weights, space=space)
