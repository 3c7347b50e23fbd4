"""The commands of `ganvas`, one module each: options, and one call into the layer that works.

A new command is a module with a function marked `@command(...)`, and its name below.
"""

from .bench import bench
from .command import Command
from .convert import convert
from .editor import editor
from .faces import faces
from .inspect import inspect
from .metrics import metrics
from .prepare import prepare
from .run import run
from .sample import sample
from .train import train
from .translate import translate

# In the order of `ganvas --help`.
COMMANDS = (
    run,
    editor,
    train,
    sample,
    inspect,
    convert,
    faces,
    prepare,
    translate,
    metrics,
    bench,
)

__all__ = ["COMMANDS", "Command"]
