"""Binds the import name `ganvas` to this checkout, installed or not, whatever its folder's name."""

import importlib.util
import os
import sys
from pathlib import Path

# Several pytest workers share the machine: more threads each only make them wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
# Without a GPU, Triton kernels run in its interpreter; it must be chosen before the first import.
if not any(Path("/dev").glob("nvidia[0-9]*")):
    os.environ.setdefault("TRITON_INTERPRET", "1")

ROOT = Path(__file__).resolve().parent.parent


def _bind_checkout() -> None:
    present = sys.modules.get("ganvas")
    if present is not None and Path(str(present.__file__)).resolve().parent == ROOT:
        return
    for name in [n for n in sys.modules if n == "ganvas" or n.startswith("ganvas.")]:
        del sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        "ganvas", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ganvas"] = module
    spec.loader.exec_module(module)


_bind_checkout()
