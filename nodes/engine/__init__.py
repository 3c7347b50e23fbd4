"""Headless executor of ComfyUI workflows: check, plan, run, cache.

`run_file` serves the command line; a server uses `parse_workflow`, `validate` or `prepare`, and
`execute` with a `Cache` and an events callback.
"""

from .cache import Cache
from .errors import GraphError, NodeError, NodeFailedError, NodeInputError, node_errors
from .executor import Execution, execute
from .graph import Plan, dependent_outputs, prepare, validate
from .object_info import object_info
from .run import Outputs, run_file, run_workflow
from .source import Workflow, parse_workflow, read_workflow

__all__ = [
    "Cache",
    "Execution",
    "GraphError",
    "NodeError",
    "NodeFailedError",
    "NodeInputError",
    "Outputs",
    "Plan",
    "Workflow",
    "dependent_outputs",
    "execute",
    "node_errors",
    "object_info",
    "parse_workflow",
    "prepare",
    "read_workflow",
    "run_file",
    "run_workflow",
    "validate",
]
