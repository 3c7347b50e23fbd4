"""Tiny data, tiny networks, and child processes that import this checkout."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]

TINY = [
    "resolution=8",
    "batch=8",
    "z_dim=8",
    "w_dim=8",
    "mapping_layers=1",
    "channel_base=32",
    "channel_max=4",
    "amp=none",
    "threads=1",
    "tick_kimg=0.008",
    "snapshot_kimg=0.024",
    "total_kimg=0.064",
    "r1_interval=2",
    "pl_weight=1",
    "pl_interval=3",
    "ema_kimg=0.02",
    "watch_images=16",
    "report=false",
]

BIND = f"import runpy; runpy.run_path({str(ROOT / 'tests' / 'conftest.py')!r})\n"
RANK_END = """
import os, sys
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)
"""
# A rank ends at once, as under `ganvas.cli`, which says why.


@pytest.fixture(scope="session")
def images_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Zip archive of 20 smooth images of 16 px."""
    path = tmp_path_factory.mktemp("data") / "images.zip"
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(20):
            coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
            buffer = io.BytesIO()
            coarse.resize((16, 16), Image.Resampling.BICUBIC).save(buffer, "PNG")
            archive.writestr(f"{index:03d}.png", buffer.getvalue())
    return path


@pytest.fixture
def tiny() -> list[str]:
    """Overrides that make a StyleGAN2 preset take milliseconds a step; eight steps in all."""
    return list(TINY)


@pytest.fixture
def run_child():
    """Run Python source in a process of its own that imports this checkout as `ganvas`."""

    def run(
        source: str, *arguments: str, module: tuple[str, ...] = (), folder: Path
    ) -> subprocess.CompletedProcess[str]:
        script = folder / "child.py"
        script.write_text(BIND + source + (RANK_END if module else ""))
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, *module, str(script), *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            env=environment,
        )

    return run
