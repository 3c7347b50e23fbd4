"""Model files: load, save, describe and find them.

>>> model = load("faces.safetensors")  # doctest: +SKIP
>>> images = model.generator(z, truncation_psi=0.7)  # doctest: +SKIP
"""

from .catalog import find_model, list_models, model_folders, resolve_model
from .model import Model, file_hash, load
from .registry import ARCHITECTURES, Architecture
from .report import Report, inspect
from .saving import save

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Model",
    "Report",
    "file_hash",
    "find_model",
    "inspect",
    "list_models",
    "load",
    "model_folders",
    "resolve_model",
    "save",
]
