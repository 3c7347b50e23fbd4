"""Data sets for training: folders, zip archives and procedural faces."""

from __future__ import annotations

from .dataset import ImageDataset, open_dataset
from .procedural import write_faces_zip
from .sampling import batch_indices, mirror_flags

__all__ = ["ImageDataset", "batch_indices", "mirror_flags", "open_dataset", "write_faces_zip"]
