"""Numbers about sets of images: of pixels alone, or of features that a network gives.

Networks themselves are in `extractors`; `feature_metrics` computes everything from images.
"""

from __future__ import annotations

from .diversity import Diversity, nearest_neighbours, pairwise_diversity
from .fidelity import SSIM_WINDOW, psnr, ssim
from .frechet import frechet_distance, frechet_from_features
from .inception_score import InceptionScore, Score, inception_score
from .kernel import KernelDistance, kernel_distance, polynomial_mmd
from .neighbours import Neighbourhoods, neighbourhoods
from .path_length import PathLength, PathSampler, crop_face, lerp, slerp, summarise
from .resize import RESIZES, resize
from .result import Result, as_table
from .statistics import Reducer, Statistics
from .swd import laplacian_pyramid, sliced_wasserstein

__all__ = [
    "RESIZES",
    "SSIM_WINDOW",
    "Diversity",
    "InceptionScore",
    "KernelDistance",
    "Neighbourhoods",
    "PathLength",
    "PathSampler",
    "Reducer",
    "Result",
    "Score",
    "Statistics",
    "as_table",
    "crop_face",
    "frechet_distance",
    "frechet_from_features",
    "inception_score",
    "kernel_distance",
    "laplacian_pyramid",
    "lerp",
    "nearest_neighbours",
    "neighbourhoods",
    "pairwise_diversity",
    "polynomial_mmd",
    "psnr",
    "resize",
    "slerp",
    "sliced_wasserstein",
    "ssim",
    "summarise",
]
