"""Metrics on the features of a network: which there are, and how each is computed from a set.

Inception's features give the published names and need the user's file of weights. Features of our
own network give names that end in "_faces", and never the published ones: a distance says nothing
beside one in other features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..data.counter import uniform
from ..errors import InputError
from ..latents import seeded_z
from ..models.plans import AnyGenerator, has_latents, plan_of
from .collect import MAX_KEPT_BYTES, Collected
from .extractors import Extractor, load_face_extractor, load_inception
from .inception_score import SPLITS
from .kernel import kernel_distance
from .neighbours import K_DENSITY, neighbourhoods
from .path_length import PathSampler, Space, summarise
from .result import Result
from .shares import ALONE, Group, add_up, own_batches

Progress = Callable[[str, int, int], None]

INCEPTION = ("fid", "kid", "is", "prdc")
"""Metrics on Inception's features."""

OURS = ("fd_faces", "kd_faces", "prdc_faces")
"""The same on our own network's features of faces."""

FEATURE_METRICS = (*INCEPTION, *OURS)
PATH_METRICS = (
    "ppl_faces", "ppl_faces_crop", "ppl_faces_end", "ppl_faces_end_crop",
    "ppl_faces_z", "ppl_faces_z_crop", "ppl_faces_z_end", "ppl_faces_z_end_crop",
)  # fmt: skip
"""Path lengths on our features: in W, or in z; anywhere on a path, or where it begins; of the whole
picture, or of the face alone. Karras et al. 2019 crop and give all four, 2020 do not and give "end"
in W."""

FACES = "faces"
GROUPS = {"inception": INCEPTION, FACES: OURS}
"""Metrics by the network that they need."""
LEAST = {
    "kid": 4, "kd_faces": 4, "prdc": K_DENSITY + 1, "prdc_faces": K_DENSITY + 1,
    "psnr": 1, "ssim": 1,
}  # fmt: skip
"""Images that a metric needs, where they are not two."""

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


Sets = dict[tuple[str, str], Collected]
"""Features by network ("inception", "faces") and side ("real", "fake")."""


def feature_sets(names: Sequence[str], extractors: Mapping[str, Extractor], count: int) -> Sets:
    """Room for the features that some metrics of `FEATURE_METRICS` need of `count` images.

    Raises:
        InputError: so many features would have to be kept that memory may not hold them.
    """
    sets: Sets = {}
    for key, extractor in extractors.items():
        chosen = [name for name in names if name in GROUPS[key]]
        keep = any(name in _KEEPING for name in chosen)
        needed = count * extractor.dims * 4
        if keep and needed > MAX_KEPT_BYTES:
            raise InputError(
                f"metrics: {count} images need {needed / 2**30:.0f} GiB for features, "
                f"at most {MAX_KEPT_BYTES / 2**30:.0f} are allowed; expected a smaller --count"
            )
        if set(chosen) - {"is"}:  # which looks at the fake images only
            sets[key, "real"] = Collected(extractor.dims, count, keep=keep)
        if chosen:
            classes = extractor.classes if "is" in chosen else 0
            sets[key, "fake"] = Collected(extractor.dims, count, keep=keep, classes=classes)
    return sets


def compare_features(
    names: Sequence[str],
    extractors: Mapping[str, Extractor],
    sets: Sets,
    reference: str,
    seed: int = 0,
) -> list[Result]:
    """The metrics of `FEATURE_METRICS` among the names, in their order, of features gathered.

    Args:
        names: what is to be measured; others are passed over.
        extractors: the networks that gave the features.
        sets: the features, see `feature_sets`.
        reference: what results say of the real images.
        seed: of the subsets of kernel distances.
    """
    results: list[Result] = []
    for name in names:
        for key, extractor in extractors.items():
            if name in GROUPS[key]:
                real, fake = sets.get((key, "real")), sets[key, "fake"]
                results += _numbers(name, extractor, real, fake, reference, seed)
    return results


def caveats(names: Sequence[str], extractors: Mapping[str, Extractor], count: int) -> list[str]:
    """Sentences on what so few images do to some metrics."""
    warnings: list[str] = []
    for name in names:
        key = "inception" if name in INCEPTION else FACES
        if name in ("fid", "fd_faces") and count <= extractors[key].dims:
            warnings.append(
                f"{name}: {count} images are no more than its {extractors[key].dims} features, "
                "so its bias is large; compare at equal counts only, or use more images"
            )
        if name == "is" and count < SPLITS * extractors[key].classes:
            warnings.append(
                f"is: {SPLITS} splits of {count} images hold fewer images than there are classes "
                f"({extractors[key].classes}), so it comes out low; compare at equal counts only"
            )
    return warnings


def _numbers(
    name: str,
    extractor: Extractor,
    real: Collected | None,
    fake: Collected,
    reference: str,
    seed: int,
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

    if name == "is":
        return [result("is", *fake.score())]
    assert real is not None
    match name.removesuffix("_faces"):
        case "fid" | "fd" as metric:
            return [result(metric, fake.frechet(real))]
        case "kid" | "kd" as metric:
            return [result(metric, *kernel_distance(fake.features, real.features, seed=seed))]
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
    labels: Tensor | None = None,
    progress: Progress,
    group: Group = ALONE,
) -> Result:
    """Perceptual path length of a generator on our features, over `count` paths.

    Path i runs from seed 2i to seed 2i + 1 and is measured at its beginning ("end" in the name) or
    at a place that depends on `seed` and i only. Without a W, paths run in z whatever the name.
    `labels` [count, c_dim] of a conditional generator belong to the paths.
    """
    in_w = has_latents(generator) and "_z" not in name
    space: Space = "w" if in_w else "z"
    device = next(generator.parameters()).device
    lengths = torch.zeros(count, dtype=torch.float64)
    for paths in own_batches(group, count, _PATHS):
        c = None if labels is None else labels[paths.start : paths.stop].to(device)
        a, b = (
            _latents(generator, [2 * i + end for i in paths], c, in_w=in_w, device=device)
            for end in (0, 1)
        )
        t = torch.from_numpy(uniform(seed, _STREAM_PLACES, list(paths))).to(device)
        sampler = PathSampler(
            lambda x, c=c: _images(generator, x, c, in_w=in_w),
            lambda images: extractor(images).features,
            space=space,
            crop=name.endswith("_crop"),
        )
        lengths[paths.start : paths.stop] = sampler.lengths(a, b, t * 0 if "_end" in name else t)
        progress(name, paths.stop, count)
    add_up(group, lengths)
    mean, error = summarise(lengths)
    return Result(name, mean, count, model, error, extractor.resize, extractor.weights, space=space)


@torch.no_grad()
def _latents(
    generator: AnyGenerator,
    seeds: Sequence[int],
    c: Tensor | None,
    *,
    in_w: bool,
    device: torch.device,
) -> Tensor:
    """Where paths begin or end: z [N, z_dim] of the seeds, or their ws."""
    z = torch.cat([seeded_z(one, 1, generator.config.z_dim) for one in seeds]).to(device)
    return generator.mapping(z, c) if in_w else z


@torch.no_grad()
def _images(generator: AnyGenerator, x: Tensor, c: Tensor | None, *, in_w: bool) -> Tensor:
    """Images [2N, C, H, W] in 0..1 of latents two places on each of N paths, whose labels are c."""
    c = None if c is None else c.repeat(2, 1)
    if not has_latents(generator):
        images = generator(x, c, noise_mode="const")
    else:
        ws = x if in_w else generator.mapping(x, c)
        images = plan_of(generator)(ws, noise_mode="const")
    return images.float().add(1).div(2).clamp(0, 1)
