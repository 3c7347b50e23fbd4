"""Every configuration of every Triton kernel compiles for every GPU it may meet, without spills."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    ".".join(["ganvas", *file.relative_to(ROOT).with_suffix("").parts])
    for file in (ROOT / "kernels").glob("*/triton_*.py")
    if "def aot_cases(" in file.read_text(encoding="utf-8")
)
# Bytes of shared memory that one block may have.
SHARED = {80: 166912, 86: 101376, 89: 101376, 90: 232448}

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)


def test_every_triton_backend_lists_its_configurations():
    backends = {file.parent.name for file in (ROOT / "kernels").glob("*/triton_backend.py")}
    assert backends
    assert {module.split(".")[2] for module in MODULES} >= backends


@pytest.mark.slow
@pytest.mark.parametrize("capability", SHARED)
@pytest.mark.parametrize("module", MODULES)
def test_compiles_without_spills_and_within_shared_memory(module, capability, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("aot_child.py")),
            str(ROOT),
            module,
            str(capability),
        ],
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found
    wrong = [
        case
        for case in found
        if "error" in case or case["stack"] or case["shared"] > SHARED[capability]
    ]
    assert not wrong
    assert all(case["registers"] >= 8 for case in found)
