"""Model files: load, save, describe and find them.

>>> model = load("faces.safetensors")  # doctest: +SKIP
>>> images = model.generator(z, truncation_psi=0.7)  # doctest: +SKIP
"""

from .catalog import list_models
from .convert import Conversion, convert
from .finding import find_model, model_folders, resolve_model
from .given import parse_given, split_given
from .model import Model, file_hash, load, load_model
from .registry import ARCHITECTURES, Architecture
from .report import Report, inspect
from .saving import save

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Conversion",
    "Model",
    "Report",
    "convert",
    "file_hash",
    "find_model",
    "inspect",
    "list_models",
    "load",
    "load_model",
    "model_folders",
    "parse_given",
    "resolve_model",
    "save",
    "split_given",
]
