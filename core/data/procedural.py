"""Rendered faces as training data: on demand, or written once to a zip archive.

Face number i of a data set is a function of (seed, i) alone. Faces are always rendered in the
same groups of 16 with one thread, so that an archive has the same bytes whatever the number of
worker processes.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import signal
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from ..errors import InputError
from ..faces import LANDMARKS, PARAMETERS, POSE, SEGMENTS, Faces, render, sample_parameters
from ..files import atomic_path
from .archive import image_name, store_entry
from .attributes import face_attributes
from .counter import torch_seeds
from .description import LABEL_FILE, Description

if TYPE_CHECKING:
    from ..restoration.degrade import Degradation

GROUP = 16
FORMAT = 1
_STREAM_FACES = 301
_LIMITS = {"count": (1, 10_000_000), "size": (8, 1024), "seed": (0, 2**63 - 1)}
_NAMES = tuple(parameter.name for parameter in PARAMETERS)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class FacesSpec:
    """Which procedural faces: their number, side in pixels, and seed."""

    count: int = 20_000
    size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"faces: {name} must lie in {low}..{high}, got {value}")

    @classmethod
    def parse(cls, text: str) -> FacesSpec:
        """Read `faces:count=20000,size=64,seed=0`; what is left out keeps its default.

        Raises:
            InputError: nothing after the colon, an unknown or repeated name, or a value that is no
                number in its range.
        """
        values: dict[str, int] = {}
        text = text[:200]
        for part in text.removeprefix("faces:").split(","):
            if not part.strip():
                where = "after the colon" if text == "faces:" else "beside a comma"
                raise InputError(
                    f"{text}: expected values like count=20000,size=64,seed=0, got nothing {where}"
                )
            name, _, value = (piece.strip() for piece in part.partition("="))
            if name not in _LIMITS or name in values:
                raise InputError(
                    f"{text}: {name!r} is unknown or repeated, expected count, size and seed once"
                )
            try:
                values[name] = int(value)
            except ValueError as error:
                raise InputError(f"{text}: {name} must be a whole number, got {value!r}") from error
        return cls(**values)

    def __str__(self) -> str:
        return f"faces:count={self.count},size={self.size},seed={self.seed}"


def face_seeds(seed: int, numbers: Sequence[int]) -> list[int]:
    """The seeds that faces with these numbers hand to `sample_parameters`."""
    return torch_seeds(seed, _STREAM_FACES, np.asarray(numbers, dtype=np.uint64))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Render with one torch thread, as the workers do: sums then round the same way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _render(seed: int, numbers: Sequence[int], size: int) -> tuple[list[int], Any, Faces]:
    """Seeds, parameters and renders of the faces with these numbers."""
    seeds = face_seeds(seed, numbers)
    params = sample_parameters(seeds)
    with torch.no_grad():
        return seeds, params, render(params, size=size)


def _pixels(images: Tensor) -> npt.NDArray[np.uint8]:
    """Images [N, 3, H, W] in 0..1 as uint8 [N, H, W, 3], rounded."""
    rounded = images.clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(0, 2, 3, 1).numpy())


def renderer_fingerprint() -> str:
    """Eight hex digits that change when the renderer draws faces in another way."""
    with _one_thread():
        _, _, faces = _render(0, range(2), 32)
    return hashlib.sha256(_pixels(faces.images).tobytes()).hexdigest()[:8]


class FacesSource:
    """Faces rendered as they are asked for, labelled by attributes such as "glasses+smile"."""

    channels = 3
    annotations: dict[str, Any] | None = None
    skipped: Sequence[tuple[str, str]] = ()

    def __init__(self, spec: FacesSpec, attributes: str | None = None) -> None:
        self.spec = spec
        self.name = str(spec)
        self.resolution = spec.size
        text = f"{spec} {renderer_fingerprint()}"
        self.description = Description()
        if attributes is not None:
            text += f" attr={attributes}"
            params = sample_parameters(face_seeds(spec.seed, range(spec.count)))
            values = torch.stack([params[name] for name in _NAMES], dim=1).numpy()
            middles = np.array([(p.low + p.high) / 2 for p in PARAMETERS])
            self.description = face_attributes(attributes, _NAMES, values, middles, str(spec))
        self.content_hash = hashlib.sha256(text.encode()).hexdigest()

    def __len__(self) -> int:
        return self.spec.count

    def read(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Images [B, H, W, 3] under these numbers."""
        with _one_thread():
            parts = []
            for first in range(0, len(indices), GROUP):
                numbers = indices[first : first + GROUP]
                _, _, faces = _render(self.spec.seed, numbers, self.spec.size)
                parts.append(_pixels(faces.images))
        return np.concatenate(parts)


def _png(image: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def _number(value: float) -> float:
    """The shortest decimal number that reads back as the same float32."""
    return float(str(np.float32(value)))


class _Face(NamedTuple):
    """What an archive holds of one face."""

    record: dict[str, Any]
    image: bytes
    segments: bytes | None


@dataclass(frozen=True)
class _Job:
    """What is to be rendered."""

    spec: FacesSpec
    segmentation: bool
    degradation: Degradation | None


def _render_group(job: _Job, first: int) -> list[_Face]:
    """Up to GROUP faces from number `first` on."""
    spec = job.spec
    seeds, params, faces = _render(spec.seed, range(first, first + GROUP), spec.size)
    clean = faces.images.clamp(0, 1)
    damages: list[dict[str, Any]] = [{} for _ in seeds]
    if job.degradation is not None:
        # Imported here because the damage in turn draws its numbers from this package.
        from ..restoration.degrade import degrade, sample_degradations

        drawn = sample_degradations(seeds, job.degradation)
        clean = degrade(clean, drawn, seeds)
        damages = [{"degradation": asdict(damage)} for damage in drawn]
    columns = {name: params[name].tolist() for name in _NAMES}
    landmarks, visibility = faces.landmarks.tolist(), faces.visibility.tolist()
    images = _pixels(clean)
    done = []
    for i in range(min(GROUP, spec.count - first)):
        record = {
            "name": image_name(first + i),
            "identity": seeds[i],
            "pose": [_number(columns[name][i]) for name in POSE],
            "parameters": [_number(columns[name][i]) for name in _NAMES],
            "landmarks": [[round(x, 3), round(y, 3)] for x, y in landmarks[i]],
            "visibility": visibility[i],
            **damages[i],
        }
        segments = _png(faces.segmentation[i].numpy()) if job.segmentation else None
        done.append(_Face(record, _png(images[i]), segments))
    return done


def _start_worker() -> None:
    """A worker renders with one thread, and leaves Ctrl-C to its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back for the block, so that no worker meets it before `_start_worker` runs."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _groups(job: _Job, workers: int) -> Iterator[list[_Face]]:
    """Rendered groups in order, a bounded number of them ahead."""
    firsts = range(0, job.spec.count, GROUP)
    if workers == 1:
        with _one_thread():
            for first in firsts:
                yield _render_group(job, first)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(firsts)), context, initializer=_start_worker)
    try:
        ahead: deque[Future[list[_Face]]] = deque()
        for first in firsts:
            with _interrupts_held():  # submitting may start a worker, which inherits this
                ahead.append(pool.submit(_render_group, job, first))
            if len(ahead) > 3 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _annotations(spec: FacesSpec, records: list[dict[str, Any]], labels: bool) -> str:
    """Text of dataset.json."""
    content = {
        "labels": [[r["name"], r["parameters"]] for r in records] if labels else None,
        "faces": {
            "format": FORMAT,
            "spec": str(spec),
            "parameters": [
                {"name": p.name, "low": p.low, "high": p.high, "group": p.group} for p in PARAMETERS
            ],
            "pose": list(POSE),
            "landmarks": list(LANDMARKS),
            "segments": list(SEGMENTS),
            "images": records,
        },
    }
    return json.dumps(content, separators=(",", ":"))


def write_faces_zip(
    path: str | Path,
    count: int,
    size: int,
    seed: int,
    *,
    workers: int = 1,
    progress: Progress | None = None,
    segmentation: bool = False,
    labels: bool = False,
    degradation: Degradation | None = None,
) -> Path:
    """Render faces to a StyleGAN-style zip archive with everything known about them.

    Its dataset.json holds under "faces" the table of parameters and, for each image, the exact
    parameters, identity (the face's seed), pose in degrees, landmarks in pixels and their
    visibility; `ImageDataset.annotations` gives it back.

    Args:
        path: the archive; it appears whole or not at all, also after Ctrl-C.
        count: number of faces.
        size: side of the images, pixels.
        seed: of the data set.
        workers: processes that render, one torch thread each.
        progress: called with (faces done, count) after each group of 16.
        segmentation: also store `segmentation/<name>`, 8-bit images of segment numbers.
        labels: store the parameters as training labels too (else "labels" is null).
        degradation: damage each image around this strength, and record its exact parameters.

    Returns:
        The path.

    Raises:
        InputError: a count, size, seed or number of workers out of range, or a path where no zip
            archive can be written.
    """
    spec = FacesSpec(count, size, seed)
    if Path(path).suffix.lower() != ".zip":
        raise InputError(f"faces: expected the name of a .zip archive to write, got {path}")
    if not 1 <= workers <= 256:
        raise InputError(f"faces: workers must lie in 1..256, got {workers}")
    job = _Job(spec, segmentation, degradation)
    records: list[dict[str, Any]] = []
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for group in _groups(job, workers):
            for face in group:
                name = face.record["name"]
                records.append(face.record)
                store_entry(archive, name, face.image)
                if face.segments is not None:
                    store_entry(archive, f"segmentation/{name}", face.segments)
            if progress is not None:
                progress(len(records), count)
        store_entry(archive, LABEL_FILE, _annotations(spec, records, labels).encode())
    return Path(path)


def cached_zip(
    spec: FacesSpec, folder: Path, *, workers: int = 1, progress: Progress | None = None
) -> Path:
    """Path of these faces' archive in a folder, rendered now unless it is there already."""
    name = f"faces-{spec.count}-{spec.size}-{spec.seed}-{renderer_fingerprint()}.zip"
    path = folder / name
    if path.is_file():
        return path
    return write_faces_zip(
        path, spec.count, spec.size, spec.seed, workers=workers, progress=progress
    )
