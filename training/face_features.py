"""Trains the network that reads faces and gives `fd_faces` its features.

python -m ganvas.training.face_features OUT.safetensors --data FACES.zip --real HELDOUT.zip

It sees rendered faces, half of them damaged, and learns to read off their exact parameters,
landmarks and damage. The same seed, data and number of threads give the same weights.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.checkpoints import save
from ..core.data import ImageDataset, open_dataset
from ..core.data.counter import torch_seeds, uniform
from ..core.data.sampling import batch_indices, mirror_flags
from ..core.errors import InputError
from ..core.faces import LANDMARKS, PARAMETERS
from ..core.models.conv import fastest_format
from ..core.models.face_features import FaceFeatures
from ..core.restoration import Degradation, degrade

ARCH = "face-features"
HUES = {"background_hue": "background_saturation", "cloth_hue": "cloth_saturation"}
"""Parameters that go round in a circle, each with the one that says how much it is seen."""

MIRRORED = ("hair_part", "gaze_x", "yaw", "roll", "light_azimuth")
"""Parameters that change their sign in a mirror."""

UNSEEN = ("texture",)
"""Parameters without an order, which cannot be read off."""

DAMAGE = ("blur_sigma", "log2_downscale", "noise_std", "jpeg_loss")
DAMAGE_SCALE = (0.8, 0.6, 0.04, 0.3)
"""About the deviations of the damage drawn here."""

_STREAM_DAMAGE = 601
_STREAM_NOISE = 602
_CLIP = 5.0


@dataclass(frozen=True)
class Settings:
    """One training run.

    Attributes:
        steps: optimizer steps.
        batch: images of a step.
        lr: peak learning rate of AdamW; a cosine takes it to zero.
        weight_decay: of AdamW.
        warmup: steps in which the rate rises.
        damaged: part of the images that are damaged.
        seed: of the initial weights, the order of the images, mirrors and damage.
    """

    steps: int = 3000
    batch: int = 64
    lr: float = 2e-3
    weight_decay: float = 0.05
    warmup: int = 100
    damaged: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class Labels:
    """What is known of each face: float32 [N, P] values and weights, column by column `names`."""

    names: tuple[str, ...]
    values: Tensor
    weights: Tensor

    def mirrored(self, size: int) -> Labels:
        """The labels of the mirror images."""
        values, weights = self.values.clone(), self.weights.clone()
        column = {name: i for i, name in enumerate(self.names)}
        for name in MIRRORED:
            values[:, column[name]] *= -1
        for name in LANDMARKS:
            other = _other_side(name)
            for axis in ("x", "y"):
                here, there = column[f"{name}.{axis}"], column[f"{other}.{axis}"]
                values[:, here] = self.values[:, there]
                weights[:, here] = self.weights[:, there]
            values[:, column[f"{name}.x"]] *= -1
            values[:, column[f"{name}.x"]] += size
        return Labels(self.names, values, weights)


def _other_side(landmark: str) -> str:
    """Name of a landmark's counterpart in a mirror."""
    if "left" in landmark:
        return landmark.replace("left", "right")
    return landmark.replace("right", "left")


def read_labels(data: ImageDataset) -> Labels:
    """The exact parameters and landmarks of a data set of rendered faces.

    Raises:
        InputError: it says nothing about its faces.
    """
    faces: Mapping[str, Any] | None = (data.annotations or {}).get("faces")
    if faces is None:
        raise InputError(
            f"{data.name}: expected an archive by `ganvas faces`, whose labels are exact, "
            "got images without them"
        )
    columns = {parameter.name: i for i, parameter in enumerate(PARAMETERS)}
    parameters = torch.tensor([record["parameters"] for record in faces["images"]])
    landmarks = torch.tensor([record["landmarks"] for record in faces["images"]])
    visibility = torch.tensor([record["visibility"] for record in faces["images"]])

    names: list[str] = []
    values: list[Tensor] = []
    for name, index in columns.items():
        column = parameters[:, index]
        if name in HUES:
            angle = 2 * math.pi * column
            amount = parameters[:, columns[HUES[name]]]
            names += [f"{name}.cos", f"{name}.sin"]
            values += [amount * angle.cos(), amount * angle.sin()]
        elif name not in UNSEEN:
            names.append(name)
            values.append(column)
    weights = [torch.ones(len(parameters))] * len(names)
    for index, name in enumerate(LANDMARKS):
        names += [f"{name}.x", f"{name}.y"]
        values += [landmarks[:, index, 0], landmarks[:, index, 1]]
        weights += [visibility[:, index].float()] * 2
    return Labels(tuple(names), torch.stack(values, 1).float(), torch.stack(weights, 1))


def draw_damage(seed: int, numbers: Sequence[int], part: float) -> list[Degradation]:
    """A damage for each image number; `part` of them are damaged, each kind at even odds."""
    keys = np.asarray(numbers, dtype=np.uint64)
    u = np.stack([uniform(seed, _STREAM_DAMAGE, k, keys) for k in range(9)], axis=1)
    kinds = (u[:, :4] < 0.5) & (u[:, 8:] < part)
    return [
        Degradation(
            blur_sigma=2.5 * float(v[4]) ** 1.5 if kind[0] else 0.0,
            downscale=2.0 ** (2 * float(v[5])) if kind[1] else 1.0,
            noise_std=0.15 * float(v[6]) ** 1.5 if kind[2] else 0.0,
            jpeg_quality=round(15 + 80 * float(v[7])) if kind[3] else None,
        )
        for kind, v in zip(kinds, u, strict=True)
    ]


def damage_values(damages: Sequence[Degradation]) -> Tensor:
    """What `DAMAGE` names, float32 [N, 4]."""
    rows = [
        (d.blur_sigma, math.log2(d.downscale), d.noise_std, (100 - (d.jpeg_quality or 100)) / 100)
        for d in damages
    ]
    return torch.tensor(rows, dtype=torch.float32)


def damaged(images: Tensor, damages: Sequence[Degradation], seed: int, first: int) -> Tensor:
    """Images [N, 3, H, W] in 0..1 with their damage; image i of the run has number `first + i`."""
    seeds = torch_seeds(seed, _STREAM_NOISE, np.arange(first, first + len(images)))
    touched = [i for i, d in enumerate(damages) if d != Degradation()]
    if touched:
        done = degrade(images[touched], [damages[i] for i in touched], [seeds[i] for i in touched])
        images = images.index_copy(0, torch.tensor(touched), done)
    return images


def train(
    data: ImageDataset, settings: Settings, report: Callable[[int, float], None] | None = None
) -> tuple[FaceFeatures, tuple[str, ...]]:
    """Train a network on rendered faces.

    Args:
        data: an archive of rendered faces with their labels.
        settings: of the run.
        report: called with (steps done, loss) after each step; it may raise to stop.

    Returns:
        The network in evaluation mode, and the names of its outputs.

    Raises:
        InputError: the data set has no exact labels.
    """
    labels = read_labels(data)
    mirrored = labels.mirrored(data.resolution)
    names = (*labels.names, *DAMAGE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = FaceFeatures(img_resolution=data.resolution, num_outputs=len(names))
    mean = torch.cat([labels.values.mean(0), torch.zeros(len(DAMAGE))])
    std = torch.cat([labels.values.std(0).clamp_min(1e-6), torch.tensor(DAMAGE_SCALE)])
    network.output_mean.copy_(mean)
    network.output_std.copy_(std)
    network.train()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
    )

    for step in range(settings.steps):
        progress = step / settings.steps
        rate = settings.lr * min(1, (step + 1) / settings.warmup)
        rate *= 0.5 * (1 + math.cos(math.pi * progress))
        for group in optimizer.param_groups:
            group["lr"] = rate

        indices = batch_indices(settings.seed, step, settings.batch, len(data))
        flags = mirror_flags(settings.seed, step, settings.batch)
        images = data.images(indices).float().div_(255)
        images = torch.where(flags[:, None, None, None], images.flip(3), images)
        first = step * settings.batch
        damages = draw_damage(settings.seed, range(first, first + settings.batch), settings.damaged)
        images = damaged(images, damages, settings.seed, first)

        side = flags[:, None]
        known = torch.where(side, mirrored.values[indices], labels.values[indices])
        weights = torch.where(side, mirrored.weights[indices], labels.weights[indices])
        target = (torch.cat([known, damage_values(damages)], 1) - mean) / std
        weights = torch.cat([weights, torch.ones(len(images), len(DAMAGE))], 1)

        x = fastest_format(images.mul(2).sub(1))
        error = network.standardised(x) - target.clamp(-_CLIP, _CLIP)
        loss = (weights * error.square()).sum() / weights.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if report is not None:
            report(step + 1, float(loss.detach()))
    return network.eval().requires_grad_(False), names


@torch.no_grad()
def read_quality(
    network: FaceFeatures, data: ImageDataset, settings: Settings, chunk: int = 64
) -> dict[str, float]:
    """Explained part of each output's variance (R2) on faces that training did not see.

    Parameters and landmarks are read from undamaged images, damage from damaged ones.

    Raises:
        InputError: the data set has no exact labels.
    """
    labels = read_labels(data)
    read: list[Tensor] = []
    read_damage: list[Tensor] = []
    true_damage: list[Tensor] = []
    for first in range(0, len(data), chunk):
        numbers = range(first, min(first + chunk, len(data)))
        images = data.images(numbers).float().div_(255)
        read.append(network(images * 2 - 1))
        damages = draw_damage(settings.seed + 1, numbers, 1.0)
        worse = damaged(images, damages, settings.seed + 1, first)
        read_damage.append(network(worse * 2 - 1)[:, -len(DAMAGE) :])
        true_damage.append(damage_values(damages))
    values = torch.cat(read)[:, : -len(DAMAGE)]
    quality = _r2(values, labels.values, labels.weights)
    quality += _r2(torch.cat(read_damage), torch.cat(true_damage))
    return dict(zip((*labels.names, *DAMAGE), quality, strict=True))


def _r2(read: Tensor, true: Tensor, weights: Tensor | None = None) -> list[float]:
    """1 - squared error / variance of each column, rounded; 0 for a column that never varies."""
    weights = torch.ones_like(true) if weights is None else weights
    total = weights.sum(0)
    mean = (weights * true).sum(0) / total
    variance = (weights * (true - mean).square()).sum(0)
    error = (weights * (read - true).square()).sum(0)
    explained = torch.where(variance > 0, 1 - error / variance, torch.zeros(()))
    return [round(float(value), 3) for value in explained]


def write(
    path: Path,
    network: FaceFeatures,
    names: tuple[str, ...],
    quality: Mapping[str, float],
    facts: Mapping[str, object],
) -> None:
    """Write the model file: weights as float16, and what each output is and how well it is read."""
    tensors = {
        name: tensor.half() if tensor.ndim > 1 else tensor
        for name, tensor in network.state_dict().items()
    }
    config = dict(vars(network.config)) | {"channels": list(network.config.channels)}
    training = {**facts, "outputs": list(names), "r2": dict(quality), "torch": torch.__version__}
    save(path, arch=ARCH, config=config, tensors=tensors, training=training)


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, train, and print how well each output is read."""
    parser = argparse.ArgumentParser(prog="python -m ganvas.training.face_features")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", required=True, help="archive by `ganvas faces` to train on")
    parser.add_argument("--real", required=True, help="archive of other faces to measure on")
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    given = parser.parse_args(arguments)
    settings = Settings(steps=given.steps, seed=given.seed)
    try:
        data, real = open_dataset(given.data), open_dataset(given.real)
        read_labels(real)
        from tqdm import tqdm

        with tqdm(total=settings.steps, unit="step", mininterval=5) as bar:

            def report(done: int, loss: float) -> None:
                bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
                bar.update(done - bar.n)

            network, names = train(data, settings, report)
        quality = read_quality(network, real, settings)
        facts = {
            "preset": ARCH,
            "data": data.content_hash,
            "reference": real.content_hash,
            "settings": vars(settings),
            "licence": "",
        }
        write(given.out, network, names, quality, facts)
    except InputError as error:
        parser.exit(2, f"ganvas: {error}\n")
    print(json.dumps(quality, indent=2))


if __name__ == "__main__":
    main()
