"""The benchmark: every op and network against eager PyTorch and the published op boundaries.

entries.py   which op at which size; networks are handed in by the caller, since nothing here
             may know a model (`core.benchmark_networks`)
composed.py  the published op boundaries, our own eager code; networks.py builds whole networks
             of them, phases.py differentiates them
protocol.py  one row: compare with float64, refuse numbers when red, then time all columns
timers.py    what a sample is, on a CPU and as a CUDA graph; work.py ceilings and floors
run.py       all rows to one result; schema.py checks it; report.py, plot.py show it
"""

from .backends import backends_text, explain_backends
from .entries import op_entries
from .plot import PlotError, require_matplotlib, write_plot
from .protocol import COMPOSED, EAGER, OURS, Case, Entry
from .report import table
from .run import GPU_TIME_LIMIT_S, choose, run
from .schema import Result, SchemaError, from_json, to_json

__all__ = [
    "COMPOSED",
    "EAGER",
    "GPU_TIME_LIMIT_S",
    "OURS",
    "Case",
    "Entry",
    "PlotError",
    "Result",
    "SchemaError",
    "backends_text",
    "choose",
    "explain_backends",
    "from_json",
    "op_entries",
    "require_matplotlib",
    "run",
    "table",
    "to_json",
    "write_plot",
]
