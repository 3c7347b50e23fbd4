"""Says what a file that is no safetensors file seems to be, from its first bytes."""

import zipfile
from pathlib import Path

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GGUF", "a GGUF model"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89HDF", "an HDF5 (Keras) model"),
    (b"version https://git-lfs", "a Git LFS pointer (the real file was never fetched)"),
    (b"<!DOCTYPE", "a web page (the download failed)"),
    (b"<html", "a web page (the download failed)"),
)


def identify(path: Path) -> str | None:
    """Describe `path`, or return None when it may be a safetensors file.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(512)
    if not start:
        return "an empty file"
    for magic, description in _MAGIC:
        if start.lower().startswith(magic.lower()):
            return description
    if start.startswith(b"PK\x03\x04"):
        return _identify_zip(path)
    # Protocol 2 to 5 of pickle; a safetensors header of that length would need an opening brace at
    # byte 8.
    if (
        start[0] == 0x80
        and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
        and start[8:9] != b"{"
    ):
        if b"persistence" in start or b"_reconstruct_persistent_obj" in start:
            return "a StyleGAN pickle"
        return "a Python pickle (an old torch.save file or a StyleGAN .pkl)"
    return None


def _identify_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "a damaged zip archive"
    if any(name.endswith("data.pkl") for name in names):
        return "a torch.save file (zip with pickled contents)"
    if "dataset.json" in names:
        return "a data set zip"
    return "a zip archive"
