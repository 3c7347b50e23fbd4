"""Measuring a model or a set of images against real ones: what `ganvas metrics` does.

`request` says what may be asked, `sources` what images are drawn from, `restoring` measures
restorers, `measuring` everything else.
"""

from __future__ import annotations

from .measuring import Evaluation, evaluate, evaluate_files, measure
from .request import METRICS, Request, parse_names

__all__ = [
    "METRICS",
    "Evaluation",
    "Request",
    "evaluate",
    "evaluate_files",
    "measure",
    "parse_names",
]
