"""Networks whose features sets of images are compared by."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..checkpoints import file_hash, load
from ..checkpoints.building import check_fit
from ..checkpoints.catalog import DEMO_FOLDER
from ..checkpoints.containers import read_container
from ..checkpoints.saving import is_finite
from ..devices import open_device
from ..errors import InputError
from ..images import as_rgb
from ..models.conv import fastest_format
from ..models.face_features import FaceFeatures
from ..models.inception import CLASSES, FEATURES, SIZE, InceptionV3
from .inputs import as_float
from .resize import RESIZES, resize

PUBLISHED = "pt_inception-2015-12-05-6726825d.pth"
FACE_FEATURES = DEMO_FOLDER / "face-features.safetensors"
_HASH_DIGITS = 8
_COUNTERS = "num_batches_tracked"


class Features(NamedTuple):
    """Features [N, D] and, of a network that classifies, logits [N, K]; float32 on the CPU."""

    features: Tensor
    logits: Tensor | None


class Extractor(Protocol):
    """Turns images into features.

    Attributes:
        dims: width D of the features.
        classes: width K of the logits, 0 where there are none.
        resize: how images are brought to the network's size; part of a result's name.
        weights: first digits of the SHA-256 of the file of weights; likewise.
    """

    @property
    def dims(self) -> int: ...

    @property
    def classes(self) -> int: ...

    @property
    def resize(self) -> str: ...

    @property
    def weights(self) -> str: ...

    def __call__(self, images: Tensor) -> Features:
        """Features of RGB or grey images [N, C, H, W], uint8 in 0..255 or float in 0..1."""
        ...


@dataclass(frozen=True)
class InceptionExtractor:
    """Inception-v3's 2048 features and 1008 logits, see `load_inception`."""

    network: InceptionV3
    weights: str
    resize: str
    dims: int = FEATURES
    classes: int = CLASSES

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        device = self.network.fc.weight.device
        x = _pixels(images, device)
        x = resize(x, SIZE, self.resize)
        # Each published tool has its own zero: the TensorFlow graph's is 128.
        x = x / 127.5 - 1 if self.resize == "torch" else (x - 128) / 128
        features, logits = self.network(fastest_format(x))
        return Features(features.float().cpu(), logits.float().cpu())


@dataclass(frozen=True)
class FaceExtractor:
    """Our own network's features of faces, see `models.face_features`."""

    network: FaceFeatures
    weights: str
    resize: str = "clean"
    classes: int = 0

    @property
    def dims(self) -> int:
        """Width of the features."""
        return self.network.config.feature_dim

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Features:
        device = self.network.output_mean.device
        x = _pixels(images, device)
        x = resize(x, self.network.config.img_resolution, self.resize) / 127.5 - 1
        return Features(self.network.features(x).float().cpu(), None)


def _pixels(images: Tensor, device: torch.device) -> Tensor:
    """Images as float32 [N, 3, H, W] in 0..255; grey ones are repeated."""
    return as_rgb(as_float("features", images).to(device) * 255)


def load_inception(
    path: str | Path, resize: str = "tf1", device: str | torch.device = "cpu"
) -> InceptionExtractor:
    """Read the user's Inception weights; nothing in the file is run.

    Args:
        path: `pt_inception-2015-12-05-6726825d.pth`, or the same tensors in a safetensors file.
        resize: "tf1" as the original FID, "clean" as Parmar et al. 2022, "torch" as the first
            PyTorch port; the last takes -1..1 for 0..255, the others the graph's (x - 128) / 128.
        device: where the network runs.

    Raises:
        InputError: the file is missing or damaged, a TorchScript program, or not this network; an
            unknown resize.
    """
    file = Path(path)
    if resize not in RESIZES:
        raise InputError(f"resize: expected one of {', '.join(RESIZES)}, got {resize!r}")
    target = open_device(device)
    try:
        container = read_container(file)
    except InputError as error:
        if not _is_torchscript(file):
            raise
        raise InputError(
            f"{file}: this is a TorchScript program, which would have to be run to be read; "
            f"expected {PUBLISHED}, which holds the same weights, or a safetensors file of them"
        ) from error
    with container:
        if len(container.networks) != 1:
            raise InputError(f"{file}: expected one network, got {', '.join(container.networks)}")
        (found,) = container.networks.values()
        with torch.device("meta"):
            network = InceptionV3()
        expected = network.state_dict()
        if "Mixed_7c.branch_pool.conv.weight" not in found.tensors:
            raise InputError(
                f"{file}: expected the Inception weights of FID ({PUBLISHED}), "
                f"got a file whose first tensor is {ascii(next(iter(found.tensors), ''))[:80]}"
            )
        # Counters of training steps say nothing here, and some converters drop them.
        tensors = {
            name: torch.zeros((), dtype=torch.int64)
            for name in expected
            if name.endswith(_COUNTERS)
        }
        try:
            for name, lazy in found.tensors.items():
                if not name.endswith(_COUNTERS):
                    tensors[name] = lazy.read()
            check_fit("Inception-v3", expected, tensors)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
    for name, tensor in tensors.items():
        if not is_finite(tensor):
            raise InputError(f"{file}: {name} holds NaN or infinite weights")
        tensors[name] = tensor.to(expected[name].dtype)
    network.load_state_dict(tensors, assign=True)
    network.eval().requires_grad_(False)
    return InceptionExtractor(network.to(target), file_hash(file)[:_HASH_DIGITS], resize)


def _is_torchscript(file: Path) -> bool:
    """Whether a file is a program of torch.jit, by its list of members; none of them is read."""
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def load_face_extractor(
    path: str | Path = FACE_FEATURES, device: str | torch.device = "cpu"
) -> FaceExtractor:
    """Our own feature network: the one shipped with the package, or another of its kind.

    Raises:
        InputError: the file is missing, damaged or another network.
    """
    model = load(path, device)
    if not isinstance(model.network, FaceFeatures):
        raise InputError(f"{path}: expected a face-features model, got a {model.arch}")
    return FaceExtractor(model.network, model.sha256[:_HASH_DIGITS])
