"""What images to measure are drawn from, and which metrics go with it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..checkpoints import Model
from ..errors import InputError
from ..images import to_uint8
from ..latents import class_labels
from ..metrics.feature_metrics import PATH_METRICS
from ..metrics.images import Images
from ..metrics.swd import PATCH, pyramid_sides
from ..models.plans import AnyGenerator, class_fits, is_generator
from ..restoration import convention_of
from ..sampling import sample_images
from .request import PAIR_METRICS, Request, needs_real

Source = Model | Images


class GeneratedImages:
    """What a generator draws of seeds 0, 1, ... at psi 1, as the files that it would write.

    Args:
        model: a loaded model with a generator.
        count: how many there are.
        labels: of a conditional generator, float32 [count, c_dim].
    """

    def __init__(self, model: Model, count: int, labels: Tensor | None) -> None:
        assert is_generator(model.generator)
        self._model = model
        self._generator = model.generator
        self._count = count
        self.resolution = self._generator.config.img_resolution
        self.channels = self._generator.config.img_channels
        self.content_hash = model.sha256
        self.labels = labels

    def __len__(self) -> int:
        return self._count

    def images(self, indices: Sequence[int] | Tensor) -> Tensor:
        """Images of these seeds, uint8 [B, C, H, W].

        Raises:
            InputError: the generator gives NaN.
        """
        seeds = [int(index) for index in indices]
        drawn = sample_images(
            self._generator,
            seeds,
            labels=None if self.labels is None else self.labels[seeds],
            chunk=len(seeds),
        )
        images = torch.stack(list(drawn))
        if bool(images.isnan().any()):
            raise InputError(
                f"{self._model.path}: the generator's images hold NaN (seeds {seeds[0]}.."
                f"{seeds[-1]}), so there is nothing to measure"
            )
        return to_uint8(images)


def labels_for(
    generator: AnyGenerator, class_index: int, real: Images | None, count: int
) -> Tensor | None:
    """Labels [count, c_dim] of the images that a generator draws, None where it takes none.

    They are all of one class, or those of the real images: then both sides hold the same mixture.
    InfoGAN's categories, which are no classes of the data, are left to its seeds.
    """
    if class_fits(generator, class_index) or real is None or real.labels is None:
        return class_labels(generator, class_index, count)
    return real.labels[:count].float()


def other_classes(class_index: int, real: Images | None, count: int) -> list[str]:
    """A sentence where one class is drawn, and the real images are known to be of others too."""
    if class_index < 0 or real is None or real.labels is None:
        return []
    labels = real.labels[:count]
    if class_index >= labels.shape[1]:
        return []
    others = int((labels[:, class_index] <= 0).sum())
    if not others:
        return []
    return [
        f"--class {class_index}: {others} of the {count} real images are of other classes; without "
        "--class, each image is drawn with the label of its real one"
    ]


def check_sources(request: Request, real: Images | None, fake: Source) -> None:
    """Refuse a model or images that do not go with the metrics, before anything is computed.

    Raises:
        InputError: they do not.
    """
    names = request.names
    restores = is_restorer(fake)
    got = f"a {fake.arch}" if isinstance(fake, Model) else "images"
    wrong = [name for name in names if (name in PAIR_METRICS) != restores]
    if wrong:
        wanted = "a generator or images" if restores else "a restorer"
        raise InputError(f"metrics: {wrong[0]} needs {wanted} as --fake, got {got}")
    paths = [name for name in names if name in PATH_METRICS]
    if paths and not isinstance(fake, Model):
        raise InputError(f"metrics: {paths[0]} needs a generator as --fake, got {got}")
    if real is not None and real.channels not in (1, 3):
        raise InputError(
            f"metrics: expected RGB or grey images in --real, got {real.channels} channels"
        )
    if isinstance(fake, Model) and restores:
        _check_restorer(names, real, fake)
        return
    if not isinstance(fake, Model):
        channels, size = fake.channels, fake.resolution
    elif is_generator(fake.generator):
        config = fake.generator.config
        channels, size = config.img_channels, config.img_resolution
        _check_class(fake.generator, request.class_index, real)
    else:
        raise InputError(f"metrics: expected a generator or a restorer, got a {fake.arch}")
    if not needs_real(names):
        return
    if real is None:
        needing = next(name for name in names if needs_real((name,)))
        raise InputError(f"metrics: {needing} compares with real images, expected them as --real")
    if "swd" in names:
        _check_pyramid(real.resolution)
    if (channels, size) != (real.channels, real.resolution):
        kind = "RGB" if real.channels == 3 else "grey"
        raise InputError(
            f"metrics: expected {kind} images of {real.resolution} px like the real ones, "
            f"got {size} px with {channels} channels from --fake; `ganvas prepare` makes images "
            "of another size"
        )


def is_restorer(source: Source) -> bool:
    """Whether a model turns images into images; an autoencoder counts by the images it draws."""
    return isinstance(source, Model) and source.generator is None and source.network is not None


def _check_restorer(names: Sequence[str], real: Images | None, model: Model) -> None:
    if real is None:
        raise InputError(f"metrics: {names[0]} needs images to damage and restore as --real")
    if real.channels != 3:
        raise InputError(f"metrics: {names[0]} needs RGB images in --real, got grey ones")
    try:
        convention_of(model)
    except InputError as error:
        raise InputError(f"metrics: {error}") from error


def _check_pyramid(side: int) -> None:
    try:
        smallest = pyramid_sides(side)[-1]
    except ValueError as error:
        raise InputError(f"metrics: swd cannot take these images ({error})") from error
    if smallest < PATCH:
        raise InputError(f"metrics: swd needs images of {PATCH} px or more, got {side} px")


def _check_class(generator: AnyGenerator, class_index: int, real: Images | None) -> None:
    if class_fits(generator, class_index):
        return
    classes = generator.config.c_dim
    if classes == 0:
        raise InputError(f"metrics: this generator has no classes, got --class {class_index}")
    labels = None if real is None else real.labels
    if class_index < 0 and labels is not None and labels.shape[1] == classes:
        return
    got = f"--class {class_index}"
    if class_index < 0:
        got = "neither" if labels is None else f"labels of {labels.shape[1]} numbers"
    raise InputError(
        f"metrics: this generator has {classes} classes; expected --class 0..{classes - 1} and "
        f"real images of that class, or real images with labels of {classes} numbers, got {got}"
    )
