"""Numbers about images that need no trained network: SWD, diversity, PSNR and SSIM."""

from __future__ import annotations

from .diversity import Diversity, nearest_neighbours, pairwise_diversity
from .fidelity import psnr, ssim
from .swd import laplacian_pyramid, sliced_wasserstein

__all__ = [
    "Diversity",
    "laplacian_pyramid",
    "nearest_neighbours",
    "pairwise_diversity",
    "psnr",
    "sliced_wasserstein",
    "ssim",
]
