"""A small network that reads faces: parameters, landmarks and damage, and features for metrics."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from .levels import check_sizes

_SLOPE = 0.1


@dataclass(frozen=True)
class FaceFeaturesConfig:
    """Everything that a `FaceFeatures` was built from: its constructor's keyword arguments.

    Attributes:
        img_resolution: height and width of the images.
        channels: of each stage; the first works at half the resolution, each next at half again.
        feature_dim: numbers that describe a face.
        num_outputs: numbers read off them; what they mean stands in the file's training facts.
    """

    img_resolution: int
    channels: tuple[int, ...]
    feature_dim: int
    num_outputs: int


class ResidualStage(nn.Module):
    """Half the size, then a residual block. [N, C_in, H, W] -> [N, C_out, H/2, W/2].

    Source: He et al. 2016, "Deep residual learning for image recognition", with two 3x3
    convolutions and batch normalisation.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(
            in_channels, out_channels, kernel, stride=2, padding=kernel // 2, bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)
        self.conv0 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm0 = nn.BatchNorm2d(out_channels)
        self.conv1 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.norm(self.down(x)), _SLOPE)
        y = functional.leaky_relu(self.norm0(self.conv0(x)), _SLOPE)
        return functional.leaky_relu(x + self.norm1(self.conv1(y)), _SLOPE)


class FaceFeatures(nn.Module):
    """Faces to what can be read off them, and the features it is read from.

    See `FaceFeaturesConfig` for the arguments. `features` gives numbers that each have zero mean
    and unit variance over the training images, so that distances have a scale.

    Shapes: [N, 3, img_resolution, img_resolution] in -1..1 -> [N, num_outputs], in the units of
    the outputs themselves.

    Raises:
        ValueError: the config does not describe a network.
    """

    output_mean: Tensor
    output_std: Tensor

    def __init__(
        self,
        *,
        img_resolution: int = 64,
        channels: tuple[int, ...] | list[int] = (32, 64, 96, 112),
        feature_dim: int = 128,
        num_outputs: int = 1,
    ) -> None:
        super().__init__()
        self.config = FaceFeaturesConfig(
            img_resolution=img_resolution,
            channels=tuple(channels),
            feature_dim=feature_dim,
            num_outputs=num_outputs,
        )
        sizes = asdict(self.config) | {f"channels[{i}]": size for i, size in enumerate(channels)}
        del sizes["channels"]
        check_sizes("FaceFeatures", sizes)
        side, rest = divmod(img_resolution, 2 ** len(channels))
        if not channels or rest or side < 1:
            raise ValueError(
                f"FaceFeatures: expected channels for 1 or more halvings of {img_resolution} px, "
                f"got {list(channels)}"
            )
        widths = [3, *channels]
        self.stages = nn.Sequential(
            *(
                ResidualStage(before, after, 5 if before == 3 else 3)
                for before, after in pairwise(widths)
            )
        )
        self.neck = nn.Linear(widths[-1] * side * side, feature_dim, bias=False)
        self.norm = nn.BatchNorm1d(feature_dim, affine=False)
        self.head = nn.Linear(feature_dim, num_outputs)
        self.register_buffer("output_mean", torch.zeros(num_outputs))
        self.register_buffer("output_std", torch.ones(num_outputs))

    def features(self, img: Tensor) -> Tensor:
        """Features of faces: [N, 3, R, R] in -1..1 -> [N, feature_dim].

        Raises:
            ValueError: images of another shape.
        """
        size = self.config.img_resolution
        if img.ndim != 4 or tuple(img.shape[1:]) != (3, size, size):
            raise ValueError(
                f"FaceFeatures: expected img [N, 3, {size}, {size}], got {tuple(img.shape)}"
            )
        return self.norm(self.neck(self.stages(img).flatten(1)))

    def standardised(self, img: Tensor) -> Tensor:
        """Outputs with zero mean and unit variance over the training data, [N, num_outputs]."""
        return self.head(functional.leaky_relu(self.features(img), _SLOPE))

    def forward(self, img: Tensor) -> Tensor:
        return self.standardised(img) * self.output_std + self.output_mean
