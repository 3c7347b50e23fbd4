"""Sums over features that can be gathered in any batches, on any number of ranks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Reducer = Callable[[Tensor], object]
"""Sums a tensor over all ranks, in place; `torch.distributed.all_reduce` is one."""


def check_features(name: str, *sets: Tensor, least: int = 2) -> None:
    """Refuse what are no features.

    Raises:
        ValueError: not [N >= least, D] floats, not finite, or sets of different D.
    """
    for x in sets:
        if x.ndim != 2 or x.shape[0] < least or x.shape[1] < 1 or not x.is_floating_point():
            raise ValueError(
                f"{name}: expected float features [N >= {least}, D], got {x.dtype} {list(x.shape)}"
            )
        if not bool(torch.isfinite(x).all()):
            raise ValueError(f"{name}: expected finite features, got NaN or infinity")
    if len({x.shape[1] for x in sets}) > 1:
        raise ValueError(
            f"{name}: expected features of one width, got {[x.shape[1] for x in sets]}"
        )


class Statistics:
    """Number, mean and covariance of features, from float64 sums; memory is [D, D] only.

    In float32 the sums of squares lose so much that covariances get negative eigenvalues.

    Args:
        dims: width D of the features.

    Attributes:
        count: features added.
    """

    def __init__(self, dims: int) -> None:
        if dims < 1:
            raise ValueError(f"Statistics: expected dims >= 1, got {dims}")
        self.dims = dims
        self.count = 0
        self._sum = torch.zeros(dims, dtype=torch.float64)
        self._outer = torch.zeros(dims, dims, dtype=torch.float64)

    def add(self, features: Tensor) -> None:
        """Add features [N, D]; the result does not depend on how they are cut into batches.

        Raises:
            ValueError: another width, or not finite.
        """
        if features.shape[0] == 0:
            return
        check_features("Statistics.add", features, least=1)
        if features.shape[1] != self.dims:
            raise ValueError(
                f"Statistics.add: expected [N, {self.dims}], got {list(features.shape)}"
            )
        x = features.detach().to("cpu", torch.float64)
        self.count += len(x)
        self._sum += x.sum(0)
        self._outer += x.T @ x

    def merge(self, other: Statistics) -> None:
        """Add what another one has gathered.

        Raises:
            ValueError: another width.
        """
        if other.dims != self.dims:
            raise ValueError(f"Statistics.merge: expected dims {self.dims}, got {other.dims}")
        self.count += other.count
        self._sum += other._sum
        self._outer += other._outer

    def all_reduce(self, reducer: Reducer, device: torch.device | str = "cpu") -> None:
        """Replace the sums by those of all ranks; every rank must call this.

        Args:
            reducer: sums a tensor over ranks in place.
            device: where the reducer wants its tensor, "cuda" for nccl.
        """
        flat = torch.cat(
            [
                torch.tensor([self.count], dtype=torch.float64),
                self._sum,
                self._outer.flatten(),
            ]
        ).to(device)
        reducer(flat)
        flat = flat.cpu()
        self.count = round(float(flat[0]))
        self._sum = flat[1 : 1 + self.dims].clone()
        self._outer = flat[1 + self.dims :].view(self.dims, self.dims).clone()

    @property
    def mean(self) -> Tensor:
        """Mean, float64 [D].

        Raises:
            ValueError: nothing was added.
        """
        if self.count < 1:
            raise ValueError("Statistics: expected features, got none")
        return self._sum / self.count

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance, float64 [D, D].

        Raises:
            ValueError: fewer than two were added.
        """
        if self.count < 2:
            raise ValueError(f"Statistics: expected at least 2 features, got {self.count}")
        mean = self.mean
        covariance = (self._outer - self.count * torch.outer(mean, mean)) / (self.count - 1)
        return (covariance + covariance.T) / 2
