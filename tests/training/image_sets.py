"""Small image folders: pairs and domains whose translation is known."""

import io
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ganvas.training import snapshot
from ganvas.training.config import override
from ganvas.training.data import open_images
from ganvas.training.distributed import Ranks
from ganvas.training.feed import Feed
from ganvas.training.images import SyntheticImages
from ganvas.training.presets import PRESETS
from ganvas.training.systems import build

SIZE = 16


def smooth_images(count: int, seed: int, size: int = SIZE) -> np.ndarray:
    """Random smooth fields with strong red, middling green and weak blue, uint8 [N, S, S, 3]."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        coarse = rng.integers(0, 100, (4, 4, 3)) + np.array([150, 80, 0])
        picture = Image.fromarray(coarse.astype(np.uint8))
        images.append(np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC)))
    return np.stack(images)


def rotate(images: np.ndarray) -> np.ndarray:
    """The channels of images moved on by one."""
    return images[..., [1, 2, 0]]


def write_images(folder: Path, images: np.ndarray) -> Path:
    """Write PNGs 000.png, 001.png, ..."""
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    return folder


def write_pairs(folder: Path, count: int = 16) -> str:
    """Images and their rotations as a data set of pairs."""
    images = smooth_images(count, 0)
    write_images(folder / "A", images)
    write_images(folder / "B", rotate(images))
    return f"pairs:{folder}"


def write_domains(folder: Path, count: int = 16) -> str:
    """Images, and the rotations of others, as two domains."""
    write_images(folder / "A", smooth_images(count, 0))
    write_images(folder / "B", rotate(smooth_images(count + 3, 1)))
    return f"domains:{folder / 'A'},{folder / 'B'}"


def write_labelled(path: Path, count: int = 20) -> Path:
    """An archive of images in two classes, of which the second is rotated."""
    images = smooth_images(count, 2)
    labels = []
    with zipfile.ZipFile(path, "w") as archive:
        for number, image in enumerate(images):
            chosen = rotate(image) if number % 2 else image
            buffer = io.BytesIO()
            Image.fromarray(chosen).save(buffer, "PNG")
            archive.writestr(f"{number:03d}.png", buffer.getvalue())
            labels.append(f'["{number:03d}.png", {number % 2}]')
        archive.writestr("dataset.json", f'{{"labels": [{", ".join(labels)}]}}')
    return path


def small_system(preset, settings, data=None, folder=None):
    """The system of a preset with settings, on one rank; on synthetic images without data."""
    config = override(PRESETS[preset].config, settings)
    images = SyntheticImages(config.resolution)
    if data is not None:
        images = open_images(data, config.resolution, folder, config.needs)
    return build(config, Feed(images, config, 0, 1), Ranks(0, 1, torch.device("cpu")))


def assert_same_run(first: Path, second: Path) -> None:
    """Both runs ended in the same model file and the same tensors to continue from."""
    model = "model.safetensors"
    assert (first / model).read_bytes() == (second / model).read_bytes()
    states = [snapshot.read(snapshot.find_state(folder)) for folder in (first, second)]
    tensors = [state.tensors for state in states]
    assert states[0].step == states[1].step and tensors[0].keys() == tensors[1].keys()
    assert all(tensors[0][name].equal(tensors[1][name]) for name in tensors[0])
