"""Any set of images as training data: cut, aligned, resized and stored with all that is known.

Faces are cut and aligned by landmarks that come with the data; no face is detected here.
"""

from __future__ import annotations

import io
import json
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from ..errors import InputError
from .archive import check_destination, image_name, training_data
from .decode import Conversion, decode_rgb
from .description import LABEL_FILE, Description
from .geometry import CROPS, FACE_CROPS, FILTERS, NO_LANDMARKS, choose_square, cut
from .given_labels import read_labels
from .names import no_images
from .opening import layout_of
from .recognise import spec_of
from .sources import MAX_SIDE, Layout, Progress, named
from .spec import Spec

FORMAT = 1
MAX_WORKERS = 256
_AHEAD = 4  # images begun for each worker
_SKIP_HINT = "; --on-error skip leaves such images out"
_PNG_LEVEL = 4  # of zlib: half of the time of its default, for a few percent more bytes
_OWN_OPTIONS = ("size", "crop", "channels", "on_error")


class Prepared(NamedTuple):
    """What `prepare` did.

    Attributes:
        count: images written.
        enlarged: how many of them were smaller than the size asked for.
        skipped: (name, reason) of the others.
    """

    count: int
    enlarged: int
    skipped: list[tuple[str, str]]


class _Done(NamedTuple):
    """One prepared image."""

    png: bytes
    landmarks: npt.NDArray[np.float32] | None
    enlarged: bool


@dataclass(frozen=True)
class _Job:
    """How every image is prepared."""

    layout: Layout
    size: int
    filter_name: str
    conversion: Conversion

    def image(self, row: int) -> _Done:
        """Prepare one image; InputError names it."""
        layout = self.layout
        name = layout.names[row]
        known = layout.description
        pixels = decode_rgb(layout.store.read(name), name, self.conversion)
        points = None if known.landmarks is None else known.landmarks[row].numpy()
        height, width = pixels.shape[:2]
        with named(name):
            square = choose_square(layout.crop, width, height, points, known.landmark_names)
            small = cut(pixels, square, self.size, self.filter_name)
        buffer = io.BytesIO()
        Image.fromarray(small).save(buffer, "PNG", compress_level=_PNG_LEVEL)
        moved = None if points is None else square.to_result(points, self.size)
        return _Done(buffer.getvalue(), moved, square.side < self.size)

    def attempt(self, row: int) -> _Done | InputError:
        """Prepare one image, or give the error."""
        try:
            return self.image(row)
        except InputError as error:
            return error


def prepare(
    source: str | Path,
    out: str | Path,
    size: int,
    *,
    crop: str | None = None,
    align: str | None = None,
    filter_name: str = "lanczos",
    workers: int = 1,
    on_error: str = "stop",
    labels: str | Path | None = None,
    first_frame: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Bring images to one size and write them as training data that `open_dataset` opens.

    The images become 8-bit RGB PNG files of `size` pixels under running numbers, in the order of
    the source; dataset.json keeps their former names, labels, identities, splits and landmarks.
    The bytes are the same whatever the number of workers.

    Args:
        source: a data set as for `open_dataset`; its images may differ in size and shape.
        out: a .zip archive, or a new or empty folder; it appears whole or not at all.
        size: side of the images written, pixels.
        crop: "center" (largest square in the middle), "celeba" (middle 148 px of aligned CelebA)
            or "face" (a square around the landmarks); None is "celeba" for CelebA, else "center".
        align: "landmarks" turns each face so that its eyes are level, and cuts it as FFHQ does.
        filter_name: "lanczos" or "box"; both average when reducing.
        workers: threads that decode and encode.
        on_error: "stop" at an unreadable image, or "skip" it.
        labels: a CSV or JSON file (see `read_labels`) in place of the source's own labels.
        first_frame: take the first image of animations, which are else errors.
        progress: called with (images done, count) after each image.

    Raises:
        InputError: a bad choice, a source that cannot be read, an unreadable image, landmarks
            wanted where there are none, or nothing left to write.
    """
    target = Path(out)
    _check(target, size, filter_name, workers, on_error)
    spec, layout = _sources_layout(source)
    layout = replace(layout, crop=_chosen_crop(layout, crop, align))
    if layout.crop in FACE_CROPS and layout.description.landmarks is None:
        raise InputError(f"{spec}: {NO_LANDMARKS}")
    known = layout.description
    if labels is not None:
        given = read_labels(Path(labels))
        known = replace(known, labels=given.of(layout.names, str(labels)), label_names=given.names)
    job = _Job(layout, size, filter_name, Conversion(first_frame))
    rows: list[int] = []
    landmarks: list[npt.NDArray[np.float32] | None] = []
    skipped: list[tuple[str, str]] = []
    enlarged = 0
    with training_data(target) as store:
        for row, done in enumerate(_in_order(job, workers)):
            if isinstance(done, InputError):
                if on_error == "stop":
                    raise InputError(f"{layout.store.where}: {done}{_SKIP_HINT}") from done
                skipped.append((layout.names[row], str(done)))
            else:
                store(image_name(len(rows)), done.png)
                rows.append(row)
                landmarks.append(done.landmarks)
                enlarged += done.enlarged
            if progress is not None:
                progress(row + 1, len(layout.names))
        if not rows:
            raise InputError(f"{spec}: none of {len(skipped)} images is readable")
        facts: dict[str, Any] = {"size": size, "crop": layout.crop, "filter": filter_name}
        facts["skipped"] = [_text(name) for name, _ in skipped]
        names = [layout.names[row] for row in rows]
        store(LABEL_FILE, _annotations(names, known.select(rows), landmarks, facts).encode())
    return Prepared(len(rows), enlarged, skipped)


def _check(target: Path, size: int, filter_name: str, workers: int, on_error: str) -> None:
    """Refuse choices out of range, before anything is read."""
    check_destination(target)
    if not 1 <= size <= MAX_SIDE:
        raise InputError(f"prepare: size must lie in 1..{MAX_SIDE}, got {size}")
    if not 1 <= workers <= MAX_WORKERS:
        raise InputError(f"prepare: workers must lie in 1..{MAX_WORKERS}, got {workers}")
    if filter_name not in FILTERS:
        raise InputError(f"prepare: filter must be {' or '.join(FILTERS)}, got {filter_name!r}")
    if on_error not in ("stop", "skip"):
        raise InputError(f"prepare: on-error must be stop or skip, got {on_error!r}")


def _sources_layout(source: str | Path) -> tuple[Spec, Layout]:
    """The image files of a data set."""
    if isinstance(source, str) and source.startswith("faces:"):
        raise InputError("prepare: `ganvas faces` writes procedural faces at any size by itself")
    spec = spec_of(source)
    if spec.kind in ("idx", "pairs", "domains"):
        raise InputError(
            f"{spec}: expected one set of image files; arrays need no preparation, and the sides "
            "of pairs and domains are prepared one by one"
        )
    own = next((key for key in _OWN_OPTIONS if key in spec.options), None)
    if own is not None:
        raise InputError(f"{spec}: give {own} as an option of its own, --{own.replace('_', '-')}")
    layout = layout_of(spec)
    if not layout.names:
        raise no_images(str(spec))
    return spec, layout


def _chosen_crop(layout: Layout, crop: str | None, align: str | None) -> str:
    choices = CROPS[1:-1]
    if crop is not None and crop not in choices:
        raise InputError(f"prepare: crop must be one of {', '.join(choices)}, got {crop!r}")
    if align is None:
        return crop or (layout.crop if layout.crop != "none" else "center")
    if align != "landmarks" or crop not in (None, "face"):
        raise InputError(
            f"prepare: align must be landmarks, with crop face or none, got {align!r} with {crop}"
        )
    return "align"


def _in_order(job: _Job, workers: int) -> Iterator[_Done | InputError]:
    """Prepared images in the order of the source, a bounded number of them ahead."""
    if workers == 1:
        yield from map(job.attempt, range(len(job.layout.names)))
        return
    pool = ThreadPoolExecutor(workers)
    try:
        ahead: deque[Future[_Done | InputError]] = deque()
        for row in range(len(job.layout.names)):
            ahead.append(pool.submit(job.attempt, row))
            if len(ahead) > _AHEAD * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _annotations(
    names: Sequence[str],
    known: Description,
    landmarks: Sequence[npt.NDArray[np.float32] | None],
    facts: dict[str, Any],
) -> str:
    """Text of dataset.json."""
    identities = known.identities
    people = known.identity_names or ()
    records = []
    for row, (source, points) in enumerate(zip(names, landmarks, strict=True)):
        record: dict[str, Any] = {"name": image_name(row), "source": _text(source)}
        if identities is not None:
            record["identity"] = _text(people[int(identities[row])])
        if known.splits is not None:
            record["split"] = known.splits[row]
        if points is not None:
            record["landmarks"] = [[round(float(x), 3), round(float(y), 3)] for x, y in points]
        records.append(record)
    labels = None if known.labels is None else _label_rows(known.labels)
    content = {
        "labels": None
        if labels is None
        else [[image_name(row), label] for row, label in enumerate(labels)],
        "label_names": known.label_names,
        "ganvas": {
            "format": FORMAT,
            **facts,
            "landmarks": known.landmark_names if landmarks[0] is not None else None,
            "verification": _named_pairs(known.verification),
            "images": records,
        },
    }
    return json.dumps(content, separators=(",", ":"))


def _named_pairs(pairs: Tensor | None) -> list[tuple[str, str, int]] | None:
    """Pairs for verification by the names of their images."""
    if pairs is None:
        return None
    return [(image_name(a), image_name(b), same) for a, b, same in pairs.tolist()]


def _text(name: str) -> str:
    """A name as it may stand in JSON: bytes that are no UTF-8 are written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _label_rows(labels: Tensor) -> list[int] | list[list[float]]:
    """Labels [N, K] as JSON holds them: class numbers where they read back as the same table."""
    classes = labels.argmax(dim=1)
    one_hot = bool(((labels == 0) | (labels == 1)).all() and (labels.sum(dim=1) == 1).all())
    if one_hot and labels.shape[1] > 1 and int(classes.max()) + 1 == labels.shape[1]:
        return classes.tolist()
    return [[float(str(np.float32(value))) for value in row] for row in labels.tolist()]
