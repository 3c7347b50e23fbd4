"""Animations: frames, times and metadata read back, in each format that can be written here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from PIL import Image

import ganvas
from ganvas.core import animation
from ganvas.core.animation import write_animation
from ganvas.core.errors import InputError, Interrupted
from ganvas.core.walks import write_walk

TEXT = {"prompt": '{"1": {}}', "workflow": '{"nodes": []}'}
DEMO = Path(ganvas.__file__).parent / "core" / "demo_models" / "faces-stylegan2-64.safetensors"
needs_av = pytest.mark.skipif(
    importlib.util.find_spec("av") is None, reason="PyAV (ganvas[video]) is not installed"
)


def colours(count: int, height: int = 12, width: int = 17) -> torch.Tensor:
    """Frames of one grey each, from dark to light."""
    shades = torch.linspace(0.1, 0.9, count)[:, None, None, None]
    return shades.expand(count, height, width, 3).clone()


def read_back(path: Path) -> tuple[torch.Tensor, list[int]]:
    """Mean grey of each frame, and its milliseconds."""
    greys, times = [], []
    with Image.open(path) as film:
        for index in range(film.n_frames):
            film.seek(index)
            frame = film.convert("RGB")
            assert frame.size == (17, 12)
            greys.append(sum(frame.getpixel((8, 6))) / 3 / 255)
            times.append(round(film.info["duration"]))
    return torch.tensor(greys), times


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_frames_and_times_survive(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_animation(path, colours(7), fps=30, quality=90)
    greys, times = read_back(path)
    torch.testing.assert_close(greys, torch.linspace(0.1, 0.9, 7), atol=0.02, rtol=0)
    assert sum(times) in (233, 234) and set(times) <= {33, 34}
    with Image.open(path) as film:
        assert film.info["loop"] == 0


def test_metadata_lies_where_comfyui_looks(tmp_path):
    write_animation(tmp_path / "a.png", colours(2), fps=8, text=TEXT)
    with Image.open(tmp_path / "a.png") as film:
        assert {key: film.info[key] for key in TEXT} == TEXT
    write_animation(tmp_path / "a.webp", colours(2), fps=8, text=TEXT)
    with Image.open(tmp_path / "a.webp") as film:
        exif = film.getexif()
    assert exif[0x0110] == f"prompt:{TEXT['prompt']}"
    assert exif[0x010F] == f"workflow:{TEXT['workflow']}"


def test_one_frame_is_an_animation_too(tmp_path):
    write_animation(tmp_path / "a.webp", colours(1), fps=8)
    greys, _ = read_one(tmp_path / "a.webp")
    assert greys == pytest.approx(0.1, abs=0.02)


def read_one(path: Path) -> tuple[float, int]:
    with Image.open(path) as film:
        return sum(film.convert("RGB").getpixel((8, 6))) / 3 / 255, getattr(film, "n_frames", 1)


@needs_av
def test_mp4_holds_the_frames_and_pads_odd_sides(tmp_path):
    import av

    write_animation(tmp_path / "a.mp4", colours(7, 13, 17), fps=12.5, quality=90, text=TEXT)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (18, 14) and float(stream.average_rate) == 12.5
        assert {key: container.metadata[key] for key in TEXT} == TEXT
        greys = [
            frame.to_ndarray(format="rgb24").mean() / 255 for frame in container.decode(video=0)
        ]
    assert greys == pytest.approx(torch.linspace(0.1, 0.9, 7).tolist(), abs=0.03)


def test_without_pyav_mp4_is_refused_and_webp_is_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "has_av", lambda: False)
    assert animation.best_suffix() == ".webp"
    with pytest.raises(InputError, match=r"a\.mp4: expected \.webp or \.png.*ganvas\[video\]"):
        write_animation(tmp_path / "a.mp4", colours(2), fps=8)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(animation, "has_av", lambda: True)
    assert animation.best_suffix() == ".mp4"


@pytest.mark.parametrize("suffix", [".webp", ".png", pytest.param(".mp4", marks=needs_av)])
def test_an_interrupted_file_does_not_appear(tmp_path, suffix):
    seen = []

    def stop(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 3:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        write_animation(tmp_path / f"a{suffix}", colours(9), fps=8, report=stop)
    assert seen == [(0, 9), (1, 9), (2, 9), (3, 9)] and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "frames,options,message",
    [
        (torch.zeros(0, 4, 4, 3), {}, "expected frames"),
        (torch.zeros(2, 4, 4, 4), {}, "expected frames"),
        (colours(2), {"fps": 0}, "fps: "),
        (colours(2), {"fps": float("nan")}, "fps: "),
        (colours(2), {"quality": 101}, "quality: "),
        (torch.zeros(1, 1, 1, 3).expand(1, 20_000, 20_000, 3), {}, "at most"),
        (torch.zeros(2, 2, 16_384, 3), {}, "16384 x 2 pixels, WebP has at most 16383 to a side"),
    ],
)
def test_what_is_no_animation_is_refused(tmp_path, frames, options, message):
    with pytest.raises(InputError, match=message):
        write_animation(tmp_path / "a.webp", frames, **{"fps": 8, **options})
    with pytest.raises(InputError, match=r"a\.gif: expected one of"):
        write_animation(tmp_path / "a.gif", colours(2), fps=8)
    assert not list(tmp_path.iterdir())


def test_a_walk_through_seeds_is_written(tmp_path):
    model = ganvas.load(DEMO)
    seen = []
    path = write_walk(
        model,
        [3, 8],
        tmp_path / "walk.webp",
        frames=4,
        fps=10,
        report=lambda done, total: seen.append((done, total)),
    )
    with Image.open(path) as film:
        assert (film.n_frames, film.size) == (8, (64, 64))
        assert "ganvas.seeds:3,8" in film.getexif().values()
    assert seen == [(8, 8)]
    with pytest.raises(InputError, match="at least two seeds to go between, got 1"):
        write_walk(model, [3], tmp_path / "b.webp")
    with pytest.raises(InputError, match="fps: "):
        write_walk(model, [3, 8], tmp_path / "b.webp", fps=0, report=seen.append)
    with pytest.raises(InputError, match="--video"):
        write_walk(model, [3, 8], tmp_path / "b.avi")
    restorer = ganvas.load(DEMO.with_name("faces-restore-unet-64.safetensors"))
    with pytest.raises(InputError, match="a generator is needed"):
        write_walk(restorer, [3, 8], tmp_path / "b.webp")
    assert [file.name for file in tmp_path.iterdir()] == ["walk.webp"]
