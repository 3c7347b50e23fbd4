"""What may be measured, and how many images that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..checkpoints import Model
from ..errors import InputError
from ..files import check_input_file
from ..latents import MAX_SEED
from ..metrics.extractors import PUBLISHED
from ..metrics.feature_metrics import FEATURE_METRICS, INCEPTION, LEAST, PATH_METRICS
from ..metrics.images import Images
from ..metrics.resize import RESIZES

DEFAULT_COUNT = 1000
PIXEL_METRICS = ("swd", "diversity")
PAIR_METRICS = ("psnr", "ssim")
METRICS = (*PIXEL_METRICS, *FEATURE_METRICS, *PATH_METRICS, *PAIR_METRICS)
FAKE_ONLY = ("is", *PATH_METRICS)
"""Metrics that look at no real images."""


@dataclass(frozen=True)
class Request:
    """What is to be measured, checked as far as it can be without opening anything large.

    Attributes:
        names: of `METRICS`, each once.
        count: images of either side (or paths); None is what `number_of_images` makes of it.
        seed: of random projections and subsets, and of the places on paths.
        features: file of the Inception weights, which "fid", "kid", "is" and "prdc" need.
        resize: how images are brought to Inception's size.
        class_index: class of a conditional generator; -1 for one without classes, or to draw image
            i with the label of real image i.

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
        if not self.names:
            raise InputError(f"metrics: expected names of {', '.join(METRICS)}, got none")
        for index, name in enumerate(self.names):
            if name not in METRICS:
                raise InputError(
                    f"metrics: expected names of {', '.join(METRICS)}, got {name[:80]!r}"
                )
            if name in self.names[:index]:
                raise InputError(f"metrics: expected every name once, got {name!r} twice")
        least = least_images(self.names)
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


def parse_names(text: str) -> tuple[str, ...]:
    """The names of a list such as "fd_faces, swd"; nothing between two commas is no name."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def least_images(names: Sequence[str]) -> int:
    """Fewest images that all these metrics can do with."""
    return max(LEAST.get(name, 2) for name in names)


def needs_real(names: Sequence[str]) -> bool:
    """Whether any of these metrics looks at real images."""
    return any(name not in FAKE_ONLY for name in names)


def number_of_images(request: Request, real: Images | None, fake: Images | Model | None) -> int:
    """How many images of either side are compared.

    No count means `DEFAULT_COUNT`, or all of the smaller data set when that has fewer.

    Args:
        request: its names and count.
        real: real images; they set no limit where no metric looks at them.
        fake: a model, or None for one that is not loaded yet, has no end of images.

    Raises:
        InputError: fewer than the metrics need, or more than there are.
    """
    sizes = {"--real": len(real)} if real is not None and needs_real(request.names) else {}
    if fake is not None and not isinstance(fake, Model):
        sizes["--fake"] = len(fake)
    if not sizes:
        return DEFAULT_COUNT if request.count is None else request.count
    side, most = min(sizes.items(), key=lambda item: item[1])
    least = least_images(request.names)
    if most < least:
        raise InputError(f"metrics: expected at least {least} images in {side}, got {most}")
    if request.count is None:
        return min(DEFAULT_COUNT, most)
    if request.count > most:
        raise InputError(
            f"metrics: expected a count of {least}..{most} (the images of {side}), "
            f"got {request.count}"
        )
    return request.count
