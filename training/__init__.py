"""Training: presets, exact resume, `torchrun`. Nothing here is imported before it is asked for.

`train(preset, data, outdir, overrides, resume, dry_run)` runs one preset; `PRESETS` is their table.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loop import TrainingResult as TrainingResult
    from .loop import train as train
    from .presets import PRESETS as PRESETS
    from .presets import Preset as Preset

__all__ = ["PRESETS", "Preset", "TrainingResult", "train"]


def __getattr__(name: str) -> Any:
    if name in ("train", "TrainingResult"):
        from . import loop

        return getattr(loop, name)
    if name in ("PRESETS", "Preset"):
        from . import presets

        return getattr(presets, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
