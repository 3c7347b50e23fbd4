"""From the name of a data set to its images: every layout by its kind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError, printable
from ..files import check_input_file, kind_of
from .attributes import chosen_attributes, label_by_attributes
from .celeba import IMAGES, celeba_layout
from .dataset import CACHE_BYTES, ImageDataset
from .description import LABEL_FILE, MAX_LABEL_BYTES, describe, parse_object
from .ffhq import ffhq_layout
from .identities import classes_layout, people_layout
from .idx import IdxSource
from .names import chosen_images
from .recognise import spec_of
from .recordio import RecordStore, records_layout
from .samples import shards_layout
from .shards import TarStore
from .sources import EncodedSource, Layout, Progress, Reading, Source
from .spec import Spec
from .stores import FolderStore, Store, ZipStore

LOG = logging.getLogger("ganvas.data")
_MAX_FACES = 2000


@dataclass(frozen=True)
class Opening:
    """How a data set is opened.

    Attributes:
        resolution: side wanted, or None for the images' own.
        channels: 3, or 1 for grey; None leaves it to the spec.
        on_error: "stop" at an unreadable image or "skip" it; None leaves it to the spec.
        cache: folder for what is costly to find out (rendered faces, indices of shards).
        workers: processes that render into the cache.
        progress: called with (images done, count) while that takes long.
    """

    resolution: int | None = None
    channels: int | None = None
    on_error: str | None = None
    cache: Path | None = None
    workers: int = 1
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.channels not in (None, 1, 3):
            raise InputError(f"data set: channels must be 1 or 3, got {self.channels}")
        if self.on_error not in (None, "stop", "skip"):
            raise InputError(f"data set: on_error must be stop or skip, got {self.on_error!r}")


def store_at(path: str) -> Store:
    """The files of a folder or of a zip archive.

    Raises:
        InputError: neither is there.
    """
    kind = kind_of(path)
    if kind == "a folder":
        return FolderStore(Path(path))
    if kind == "nothing there":
        raise InputError(f"{path[:200]}: no such folder or zip archive")
    check_input_file(path, "a folder or a zip archive")
    return ZipStore(Path(path))


def plain_layout(store: Store, spec: Spec) -> Layout:
    """Every image of a folder or archive, with what its dataset.json says.

    Raises:
        InputError: a damaged dataset.json, or labels=folders without folders.
    """
    names = chosen_images(store.names, store.where)
    crop = spec.crop()
    layout = Layout(
        store, names, crop=crop or "none", resized=crop is not None or "size" in spec.options
    )
    attributes = spec.options.get("attr")
    if spec.choice("labels", ("folders",)) is not None:
        if attributes is not None:
            raise InputError(f"{spec}: expected labels=folders or attr, got both")
        return classes_layout(layout)
    place = _label_file(store, names)
    if place is None:
        if attributes not in (None, "none"):
            raise InputError(f"{spec}: attr needs labels in a {LABEL_FILE}")
        return layout
    entry = store.entry(place)
    data = store.read(place, MAX_LABEL_BYTES)
    where = f"{store.where}: {place}"
    annotations = parse_object(data, where)
    own_names = [name.removeprefix(place.removesuffix(LABEL_FILE)) for name in names]
    known = describe(annotations, own_names, where)
    row = (place, entry.length, entry.crc)
    described = replace(
        layout, names=own_names, description=known, annotations=annotations, rows=(row,)
    )
    if attributes is not None:
        described = label_by_attributes(described, attributes, str(spec))
    return replace(described, names=names)


def _label_file(store: Store, names: Sequence[str]) -> str | None:
    """The dataset.json at the top, or the only one where all images lie beside or below it."""
    found = [name for name in store.names if name.rpartition("/")[2] == LABEL_FILE]
    if not found or not names:
        return None
    if LABEL_FILE in found:
        return LABEL_FILE
    folder = found[0].removesuffix(LABEL_FILE)
    if len(found) == 1 and all(name.startswith(folder) for name in names):
        return found[0]
    said = f"{store.where}: {found[0]} is not read, it does not lie above all images"
    LOG.warning("%s", printable(said))
    return None


def layout_of(spec: Spec, cache: Path | None = None) -> Layout:
    """The files of a data set and what is known of them, before any image is looked at.

    Raises:
        InputError: it cannot be read, or is no set of image files.
    """
    if spec.kind == "wds":
        return shards_layout(TarStore(spec.path, cache), spec)
    path = Path(spec.path)
    if spec.kind == "casia":
        records = path if path.suffix == ".rec" else path / "train.rec"
        if path.suffix == ".rec" or kind_of(records) == "a file":
            return records_layout(RecordStore(records), spec)
    layouts: dict[str, Callable[[Store, Spec, Path], Layout]] = {
        "celeba": celeba_layout,
        "ffhq": ffhq_layout,
        "lfw": people_layout,
        "casia": people_layout,
    }
    if spec.kind == "celeba":
        path = _archive_inside(path)
    store = store_at(str(path))
    if spec.kind in layouts:
        folder = path if isinstance(store, FolderStore) else path.parent
        return layouts[spec.kind](store, spec, folder)
    if spec.kind in ("folder", "zip"):
        return plain_layout(store, spec)
    raise InputError(f"{spec}: expected image files, not {spec.kind}:")


def _archive_inside(path: Path) -> Path:
    """The archive of CelebA's images in its folder, where they are not unpacked beside it."""
    for folder in (path, path / "Img"):
        packed = folder / f"{IMAGES}.zip"
        if packed.is_file() and not (folder / IMAGES).exists():
            return packed
    return path


def reading_of(spec: Spec, opening: Opening, resized: bool) -> Reading:
    """How the images of a spec are read.

    Raises:
        InputError: options out of range, or two numbers of channels.
    """
    size = spec.number("size", 1, 8192)
    if size is None and resized:
        size = opening.resolution
    channels = spec.choice("channels", ("1", "3"))
    if channels is not None and opening.channels not in (None, int(channels)):
        raise InputError(f"{spec}: expected channels={opening.channels}")
    on_error = spec.choice("on_error", ("skip", "stop")) or opening.on_error or "stop"
    wanted = opening.channels or int(channels or 3)
    return Reading(size, wanted, on_error == "skip", opening.cache, opening.progress)


def open_source(name: str | Path, opening: Opening) -> Source:
    """The images that a name stands for.

    Raises:
        InputError: see `open_dataset`.
    """
    if isinstance(name, str) and name.startswith("faces:"):
        return _faces(name, opening)
    spec = spec_of(name)
    if spec.kind == "idx":
        if "crop" in spec.options or "on_error" in spec.options:
            raise InputError(f"{spec}: idx takes neither crop nor on_error")
        reading = reading_of(spec, opening, "pad" not in spec.options)
        return IdxSource(spec, reading.size, reading.channels)
    if spec.kind == "pairs":
        from .pairs import pair_source  # which itself opens data sets

        return pair_source(spec, opening)
    if spec.kind == "domains":
        raise InputError(
            f"{spec}: two domains without pairs, which only image translation (CycleGAN) trains on"
        )
    layout = layout_of(spec, opening.cache)
    return EncodedSource(layout, reading_of(spec, opening, layout.resized))


def _faces(name: str, opening: Opening) -> Source:
    from ..faces import PARAMETERS
    from .procedural import FacesSource, FacesSpec, cached_zip

    if len(name) > _MAX_FACES:
        raise InputError(f"faces: expected at most {_MAX_FACES} characters, got {len(name)}")
    parts = name.split(",")
    chosen = [part for part in parts if part.strip().startswith("attr=")]
    faces = FacesSpec.parse(",".join(part for part in parts if part not in chosen))
    if len(chosen) > 1:
        raise InputError(f"{name}: attr is repeated, expected it once")
    attributes = chosen[0].strip().removeprefix("attr=") if chosen else None
    if attributes is not None:  # before minutes of rendering
        chosen_attributes(attributes, [parameter.name for parameter in PARAMETERS], str(faces))
    if opening.cache is None:
        if opening.channels == 1:
            raise InputError(f"{faces}: procedural faces have colours, expected channels=3")
        return FacesSource(faces, attributes)
    archive = cached_zip(faces, opening.cache, workers=opening.workers, progress=opening.progress)
    options = {} if attributes is None else {"attr": attributes}
    layout = plain_layout(ZipStore(archive), Spec("zip", str(archive), options))
    return EncodedSource(layout, Reading(channels=opening.channels or 3))


def open_dataset(
    spec: str | Path,
    resolution: int | None = None,
    *,
    cache: str | Path | None = None,
    cache_bytes: int = CACHE_BYTES,
    channels: int | None = None,
    on_error: str | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> ImageDataset:
    """Open a data set.

    Args:
        spec: a folder of images; a zip archive (images and an optional dataset.json with
            `{"labels": [[name, label], ...]}`); a published data set, recognised by its layout or
            named as `KIND:PATH,key=value,...` (see `spec.KINDS`), such as
            `celeba:CelebA,split=train,attr=Smiling+Male`; pairs as `pairs:PATH`; or procedural
            faces as `faces:count=20000,size=64,seed=0`, with labels as `...,attr=glasses+smile`.
        resolution: side of the images given out, see `ImageDataset`. Published data sets, and any
            other with a `crop` or `size` in its spec, are cut and resized to it as they are read.
        cache: folder in which procedural faces are rendered once to a zip archive (without it
            they are rendered as they are asked for), and where the index of tar shards and the
            list of unreadable images are kept.
        cache_bytes: memory for decoded images.
        channels: 3, or 1 for grey images; None is what the spec says, else 3.
        on_error: "stop" at an unreadable image, or "skip" it: all are then decoded once, the bad
            ones are logged and counted in the content hash. None is what the spec says, else stop.
        workers: processes that render into the cache.
        progress: called with (images done, count) while they do, or while images are checked.

    Raises:
        InputError: nothing there, not a data set, images of mixed sizes, or a bad spec.
    """
    opening = Opening(
        resolution, channels, on_error, None if cache is None else Path(cache), workers, progress
    )
    return ImageDataset(open_source(spec, opening), resolution, cache_bytes=cache_bytes)
