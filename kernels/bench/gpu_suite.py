"""Everything that only a GPU can show, in one command: tests, memory checker, benchmark.

    python3 kernels/bench/gpu_suite.py OUT [--stages tests,sanitizer,bench] [--limit 570]

Runs from a checkout, installed or not, with nothing but the standard library here: what a stage
needs (pytest, hypothesis, compute-sanitizer, matplotlib) is looked for, and a stage that cannot
run says what is missing. Each stage gets its share of the time limit and its own log in OUT;
summary.json says how each ended. The exit status is 1 if a stage that ran failed.
"""

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Shares of the time limit; what a stage leaves over goes to the next one.
SHARES = {"tests": 0.35, "sanitizer": 0.15, "bench": 0.5, "compile": 1.0}
DEFAULT_STAGES = ("tests", "sanitizer", "bench")
LIMIT_S = 570.0
_RESERVE_S = 30.0
_COMPILED = "stylegan2-1024-bf16,stylegan2-256-n8-bf16"
# The sanitizer slows kernels by a factor of ten to a hundred: one small pass through every op.
_SANITIZED = "from ganvas.core.benchmark import describe_backends; print(describe_backends('cuda'))"


@dataclass(frozen=True)
class Outcome:
    """How a stage ended: "passed", "failed", "timed out" or "skipped"."""

    stage: str
    state: str
    seconds: float
    detail: str


def plan(stage: str, out: Path, limit_s: float) -> tuple[list[str] | None, str]:
    """The command of a stage, and what is worth knowing about it; None if it cannot run here."""
    python = sys.executable
    if stage == "tests":
        missing = [name for name in ("pytest", "hypothesis") if not _has(name)]
        if missing:
            # The benchmark compares every op with float64 before it times it, so that is left.
            return None, f"not installed: {', '.join(missing)}"
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/kernels"]
        return command, "tests/kernels on CUDA"
    if stage == "sanitizer":
        tool = shutil.which("compute-sanitizer") or shutil.which(
            "compute-sanitizer", path="/usr/local/cuda/bin"
        )
        if tool is None:
            return None, "compute-sanitizer is not installed"
        command = [tool, "--tool", "memcheck", "--error-exitcode", "9", "--launch-timeout", "0"]
        return [*command, python, "-c", _SANITIZED], "memcheck"
    if stage in ("bench", "compile"):
        # The last row begins within the limit, and the result must be written too.
        seconds = max(1, round(limit_s - _RESERVE_S))
        arguments = ["--device", "cuda", "--time-limit", str(seconds)]
        arguments += ["--json", str(out / f"{stage}.json")]
        if stage == "compile":
            arguments += ["--compile", "--networks", _COMPILED]
        note = "with plot"
        if _has("matplotlib"):
            arguments += ["--plot", str(out / f"{stage}.png")]
        else:
            note = "no plot: matplotlib is not installed"
        missing = [name for name in ("typer", "tqdm") if not _has(name)]
        if missing:
            script = _without_command_line(stage, out, seconds)
            return [python, "-c", script], f"{note}; not installed: {', '.join(missing)}"
        return [python, "-m", "ganvas.cli", "bench", *arguments], note
    raise ValueError(f"gpu_suite: expected stages of {', '.join(SHARES)}, got {stage!r}")


def run(stage: str, out: Path, limit_s: float, environment: dict[str, str]) -> Outcome:
    """Run one stage, its output both in a log and on stdout."""
    command, note = plan(stage, out, limit_s)
    if command is None:
        return Outcome(stage, "skipped", 0.0, note)
    print(f"== {stage} ({note}, at most {limit_s:.0f} s): {' '.join(command)[:300]}", flush=True)
    start = time.monotonic()
    log = out / f"{stage}.log"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=limit_s)
            state = "passed" if status == 0 else "failed"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status, state = -9, "timed out"
    text = log.read_text(encoding="utf-8", errors="replace")
    print(text[-6000:], flush=True)
    return Outcome(stage, state, time.monotonic() - start, f"{note}; exit status {status}")


def main(arguments: list[str] | None = None) -> int:
    """Run the stages in order; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path, help="folder for logs, results and plots")
    parser.add_argument("--stages", default=",".join(DEFAULT_STAGES), help=", ".join(SHARES))
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds for all stages")
    options = parser.parse_args(arguments)
    stages = [name.strip() for name in options.stages.split(",")]
    unknown = [name for name in stages if name not in SHARES]
    if unknown:
        parser.error(f"expected stages of {', '.join(SHARES)}, got {unknown[0]!r}")
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    environment = checkout_environment(Path(tempfile.mkdtemp(prefix="ganvas-suite-")))
    start = time.monotonic()
    outcomes = []
    for index, stage in enumerate(stages):
        left = options.limit - (time.monotonic() - start)
        share = SHARES[stage] / sum(SHARES[name] for name in stages[index:])
        outcomes.append(run(stage, out, max(1.0, left * share), environment))
    (out / "summary.json").write_text(
        json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n", encoding="utf-8"
    )
    for outcome in outcomes:
        line = f"{outcome.stage:10} {outcome.state:10} {outcome.seconds:6.1f} s  {outcome.detail}"
        print(line, flush=True)
    return 1 if any(outcome.state in ("failed", "timed out") for outcome in outcomes) else 0


def checkout_environment(folder: Path) -> dict[str, str]:
    """Environment in which `import ganvas` finds this checkout, through a link in `folder`."""
    (folder / "ganvas").symlink_to(ROOT, target_is_directory=True)
    before = os.environ.get("PYTHONPATH")
    path = str(folder) + (os.pathsep + before if before else "")
    unset = {"TRITON_INTERPRET", "GANVAS_BACKEND"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _without_command_line(stage: str, out: Path, seconds: int) -> str:
    networks = _COMPILED.split(",") if stage == "compile" else []
    return "\n".join(
        [
            "from pathlib import Path",
            "from ganvas.core.benchmark import as_text, benchmark, require_passed",
            f"result = benchmark(device='cuda', networks={networks}, compile={stage == 'compile'},"
            f" time_limit_s={seconds}, json_file=Path({str(out / f'{stage}.json')!r}))",
            "print(as_text(result))",
            "require_passed(result)",
        ]
    )


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


if __name__ == "__main__":
    sys.exit(main())
