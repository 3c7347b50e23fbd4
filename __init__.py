"""ganvas: GAN faces on a canvas. This folder is both the Python package and the ComfyUI node pack.

Importing it loads neither torch nor ComfyUI: `ganvas.load` and the entry point import on use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.checkpoints import load as load
    from .core.errors import InputError as InputError

__version__ = "0.1.0"
WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY", "InputError", "__version__", "comfy_entrypoint", "load"]


async def comfy_entrypoint() -> Any:
    """Return ComfyUI's extension object; called by ComfyUI only."""
    from .nodes.comfy_adapter import GanvasExtension

    return GanvasExtension()


def __getattr__(name: str) -> Any:
    if name == "load":
        from .core.checkpoints import load

        return load
    if name == "InputError":
        from .core.errors import InputError

        return InputError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
