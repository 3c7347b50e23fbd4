"""Data sets for training: folders, archives, published data sets and procedural faces."""

from __future__ import annotations

from .dataset import ImageDataset
from .description import Description
from .opening import open_dataset
from .pairs import ImageDomains, open_domains, split_pair
from .procedural import write_faces_zip
from .sampling import batch_indices, domain_indices, mirror_flags

__all__ = [
    "Description",
    "ImageDataset",
    "ImageDomains",
    "batch_indices",
    "domain_indices",
    "mirror_flags",
    "open_dataset",
    "open_domains",
    "split_pair",
    "write_faces_zip",
]
