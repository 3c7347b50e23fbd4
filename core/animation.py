"""Moving pictures: MP4 through PyAV where it is installed, animated WebP and PNG everywhere.

PyAV (the extra `video`) brings FFmpeg's libraries. Without it `best_suffix` chooses WebP, which
browsers, ComfyUI and the editor show just as well.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin
from torch import Tensor

from .errors import InputError, OperationError
from .files import atomic_path
from .images import to_uint8

SUFFIXES = (".mp4", ".webp", ".png")
MAX_PIXELS = 2**28
"""Pixels of all frames together."""

MAX_WEBP_SIDE = 16_383
"""A frame holds its width and height in 14 bits (VP8, RFC 6386, section 9.1)."""

MAX_FPS = 120.0
MISSING = "PyAV is missing (pip install 'ganvas[video]')"

Report = Callable[[int, int], None]
"""Called before each frame with (frames done, frames in all); it may raise to stop."""


def has_av() -> bool:
    """Whether PyAV, which writes MP4, can be imported."""
    return importlib.util.find_spec("av") is not None


def best_suffix() -> str:
    """ ".mp4" where it can be written, else ".webp"."""
    return ".mp4" if has_av() else ".webp"


def check_suffix(suffix: str, *, name: str) -> None:
    """Refuse a format that cannot be written here, before any work is spent on frames.

    Raises:
        InputError: starting with `name`, an unknown format, or MP4 without PyAV.
    """
    if suffix not in SUFFIXES:
        raise InputError(f"{name}: expected one of {', '.join(SUFFIXES)}, got {suffix[:20]!r}")
    if suffix == ".mp4" and not has_av():
        raise InputError(f"{name}: expected .webp or .png, got .mp4, for which {MISSING}")


def check_fps(fps: float) -> None:
    """Refuse frames per second that no player shows, before any work is spent on frames.

    Raises:
        InputError: not above 0 and up to `MAX_FPS`.
    """
    if not 0 < fps <= MAX_FPS:
        raise InputError(f"fps: expected more than 0, up to {MAX_FPS:g}, got {fps:g}")


def write_animation(
    path: str | os.PathLike[str],
    frames: Tensor,
    *,
    fps: float,
    quality: int = 85,
    text: Mapping[str, str] | None = None,
    report: Report | None = None,
) -> None:
    """Write frames as an animation that repeats, whole or not at all, in the format of the suffix.

    Args:
        path: a name that ends in .mp4, .webp or .png.
        frames: [N, H, W, 3], float in 0..1 or uint8. MP4 has even sides: an odd one gets one more
            pixel, a copy of the edge's.
        fps: frames per second, above 0 up to `MAX_FPS`. WebP and PNG count whole milliseconds; the
            frames' times are rounded, not their lengths, so that no error adds up.
        quality: 0 to 100; PNG is lossless and ignores it.
        text: metadata, such as "prompt" and "workflow", where ComfyUI keeps them: text chunks of a
            PNG, EXIF of a WebP, tags of an MP4.
        report: called before each frame is encoded.

    Raises:
        InputError: no frames, too many pixels, a side too long for WebP, or a format that cannot be
            written here.
        OperationError: PyAV could not encode the frames.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    check_suffix(suffix, name=file.name)
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise InputError(f"{file.name}: expected frames [N, H, W, 3], got {list(frames.shape)}")
    check_fps(fps)
    if not 0 <= quality <= 100:
        raise InputError(f"quality: expected 0..100, got {quality}")
    if frames[..., 0].numel() > MAX_PIXELS:
        raise InputError(
            f"{file.name}: {len(frames)} frames of {frames.shape[2]} x {frames.shape[1]} pixels, "
            f"expected at most {MAX_PIXELS:,} pixels in all"
        )
    if suffix == ".webp" and max(frames.shape[1:3]) > MAX_WEBP_SIDE:
        raise InputError(
            f"{file.name}: frames of {frames.shape[2]} x {frames.shape[1]} pixels, "
            f"WebP has at most {MAX_WEBP_SIDE} to a side; write .png or .mp4"
        )
    pixels = to_uint8(frames)
    with atomic_path(file) as temporary:
        if suffix == ".mp4":
            _write_mp4(temporary, pixels, fps, quality, text or {}, report)
            return
        film = _Film(pixels, report)
        durations = _durations(len(pixels), fps)
        options: dict[str, Any] = {"save_all": True, "loop": 0, "duration": durations}
        if suffix == ".webp":
            options |= {"quality": quality, "method": 4, "exif": _exif(text or {})}
            film.save(temporary, "WEBP", **options)
        else:
            film.save(temporary, "PNG", pnginfo=_chunks(text or {}), **options)


class _Film(Image.Image):
    """Frames as one moving Pillow image, each made when the encoder asks for it."""

    def __init__(self, frames: Tensor, report: Report | None) -> None:
        super().__init__()
        self.frames = frames
        self.report = report
        self.n_frames = len(frames)
        self.is_animated = True
        self._position = self._reported = -1
        self._show(0)

    def seek(self, frame: int) -> None:
        """Show a frame, as Pillow's encoders ask for."""
        if not 0 <= frame < self.n_frames:
            raise EOFError("no such frame")
        if self.report is not None and frame > self._reported:  # encoders go back to the start
            self._reported = frame
            self.report(frame, self.n_frames)
        self._show(frame)

    def tell(self) -> int:
        """Number of the frame that is shown."""
        return self._position

    def _show(self, frame: int) -> None:
        if frame != self._position:
            picture = Image.fromarray(np.ascontiguousarray(self.frames[frame].cpu().numpy()))
            self.im, self._mode, self._size = picture.im, picture.mode, picture.size
            self._position = frame


def _durations(count: int, fps: float) -> list[int]:
    """Milliseconds of each frame."""
    times = [round(k * 1000 / fps) for k in range(count + 1)]
    return [max(1, end - start) for start, end in itertools.pairwise(times)]


def _exif(text: Mapping[str, str]) -> bytes:
    """EXIF in which ComfyUI's editor finds a workflow: "prompt:..." as the camera's model (0x0110),
    the rest as "key:..." in its maker (0x010F) and the tags before it.
    """
    exif = Image.Exif()
    tag = 0x010F
    for key, value in text.items():
        if key == "prompt":
            exif[0x0110] = f"{key}:{value}"
        else:
            exif[tag] = f"{key}:{value}"
            tag -= 1
    return exif.tobytes() if text else b""


def _chunks(text: Mapping[str, str]) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    for key, value in text.items():
        chunks.add_text(key, value)
    return chunks


def _write_mp4(
    path: Path,
    pixels: Tensor,
    fps: float,
    quality: int,
    text: Mapping[str, str],
    report: Report | None,
) -> None:
    """Encode H.264 with PyAV; the quality goes from CRF 40 (0) to 10 (100)."""
    av: Any = importlib.import_module("av")
    count, height, width, _ = pixels.shape
    padding = ((0, height % 2), (0, width % 2), (0, 0))
    try:
        with av.open(
            str(path), "w", options={"movflags": "use_metadata_tags+faststart"}
        ) as container:
            container.metadata.update(text)
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
            stream.width, stream.height = width + width % 2, height + height % 2
            stream.pix_fmt = "yuv420p"  # what every player shows
            stream.options = {"crf": str(round(40 - 0.3 * quality))}
            for index in range(count):
                if report is not None:
                    report(index, count)
                array = np.pad(pixels[index].cpu().numpy(), padding, mode="edge")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
            container.mux(stream.encode())
    except av.error.FFmpegError as error:
        raise OperationError(f"{path.name}: the video could not be encoded ({error})") from error
