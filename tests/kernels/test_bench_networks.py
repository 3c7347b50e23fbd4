"""Whole networks in the benchmark, and the command from its arguments to its files."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch

from ganvas.cli import main
from ganvas.core.benchmark import benchmark
from ganvas.core.benchmark_networks import network_entries
from ganvas.core.errors import InputError, OperationError
from ganvas.kernels.bench import COMPOSED, EAGER, OURS, Entry, from_json, plot
from ganvas.kernels.bench.protocol import laid_out, select_part

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[2]
QUICK = network_entries(CPU, quick=True)
ROWS = [row for rows in QUICK.values() for row in rows]


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """What the benchmark does is the same whatever backend ours is."""
    monkeypatch.setenv("GANVAS_BACKEND", "eager")


@pytest.mark.parametrize("entry", ROWS, ids=lambda row: f"{row.name} {row.phase}")
def test_all_columns_of_a_network_compute_the_same(entry: Entry):
    case = entry.make()
    exact = case.exact({name: tensor.double() for name, tensor in case.inputs.items()})
    limit = 2e-2 if entry.dtype == torch.bfloat16 else 1e-4
    for name in (COMPOSED, EAGER, OURS):
        outputs = case.columns[name](laid_out(case, name))
        assert len(outputs) == len(exact)
        outputs = select_part(outputs, case)
        for y, reference in zip(outputs, exact, strict=True):
            assert y.shape == reference.shape
            scale = max(1.0, float(reference.abs().max()))
            assert float((y.double() - reference).abs().max()) <= limit * scale, name


def test_networks_name_their_sizes_and_training_adds_up():
    rows = network_entries(CPU)
    assert list(rows) == [
        "stylegan2-256",
        "stylegan2-512",
        "stylegan2-1024",
        "stylegan2-256-n8",
        "stylegan2-1024-bf16",
        "stylegan2-64-training",
        "stylegan3-t-256",
        "stylegan3-r-256",
    ]
    training = {row.phase: row.weight for row in rows["stylegan2-64-training"]}
    assert training == {"G": 1, "D": 1, "R1": 1 / 16, "path length": 1 / 4}
    on_gpu = network_entries(torch.device("cuda"))
    assert {"stylegan2-1024-n32-bf16", "stylegan2-256-n8-bf16"} <= set(on_gpu)
    assert all(row.cache == "warm" for entries in on_gpu.values() for row in entries)


def test_command_writes_a_checked_result_and_prints_the_table(tmp_path, capsys):
    start = time.process_time()
    path = tmp_path / "new" / "bench.json"
    arguments = ["--quick", "--device", "cpu", "--threads", "1", "--ops", "bias_act,upfirdn2d"]
    assert main(["bench", *arguments, "--networks", "stylegan2-16", "--json", str(path)]) == 0
    result = from_json(path.read_text())
    assert {row.op for row in result.rows} == {"bias_act", "upfirdn2d", "synthesis"}
    assert result.arguments["networks"] == "stylegan2-16,stylegan2-16-n2-bf16"
    assert result.machine.threads == 1
    assert all(row.passed for row in result.rows)
    text = capsys.readouterr().out
    assert "stylegan2-16-n2-bf16" in text and "% floor" in text
    assert time.process_time() - start < 20


def test_threads_are_given_back(monkeypatch):
    before = torch.get_num_threads()
    benchmark(device="cpu", ops=["minibatch_stddev"], quick=True, threads=1)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--ops", "nothing"], "expected ops of bias_act, "),
        (["--networks", "stylegan9"], "expected networks of stylegan2-16, "),
        (["--threads", "0"], "expected threads >= 1, got 0"),
        (["--device", "tpu"], "expected auto, cpu"),
        (["--device", "cuda:99"], "not available"),
        (["--json", "/dev/null/x"], "/dev/null"),
        (["--threads", "two"], "--threads: expected a whole number, got 'two'"),
        (["--wrong"], "--wrong"),
    ],
    ids=str,
)
def test_wrong_arguments_exit_with_two(arguments, said, capsys):
    assert main(["bench", "--quick", *arguments]) == 2
    found = capsys.readouterr()
    assert said in found.err and "Traceback" not in found.err


def test_a_red_row_makes_the_command_fail_after_its_table(monkeypatch, capsys, tmp_path):
    from ganvas.kernels.bench import entries

    right = entries.bias_act

    def wrong(x, b, **arguments):
        return right(x, b, **arguments) * 1.01

    monkeypatch.setattr(entries, "bias_act", wrong)
    path = tmp_path / "bench.json"
    assert main(["bench", "--quick", "--ops", "bias_act", "--json", str(path)]) == 1
    found = capsys.readouterr()
    assert "RED bias_act/" in found.out and "rows are red" in found.err
    assert "timing" in path.read_text() and not json.loads(path.read_text())["rows"][0]["passed"]


def test_backends_are_listed_with_their_reasons():
    # In a process of its own: here Triton's interpreter is on, which takes minutes for them all.
    script = (
        "from ganvas.core.benchmark import describe_backends as text\n"
        "from ganvas.kernels import ops\n"
        "print(text('cpu')); print('ops:', *ops())"
    )
    unset = {"TRITON_INTERPRET", "GANVAS_BACKEND"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ganvas").symlink_to(ROOT, target_is_directory=True)
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**environment, "PYTHONPATH": folder},
            capture_output=True,
            text=True,
            check=True,
        )
    *lines, last = done.stdout.splitlines()
    ops = last.split()[1:]
    assert set(ops) <= set(lines) and len(ops) >= 7
    text = "\n".join(lines)
    assert "no example is known" not in text
    assert "it failed" not in text
    assert text.count("(chosen)") == len(ops)


def test_a_plot_needs_matplotlib_before_any_work(monkeypatch, tmp_path):
    monkeypatch.setattr(plot.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OperationError, match=r"ganvas\[train\]"):
        benchmark(device="cpu", quick=True, plot_file=tmp_path / "plot.png")


def test_plot_is_a_png(tmp_path: Path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "plot.png"
    benchmark(device="cpu", ops=["bias_act"], quick=True, plot_file=path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_other_devices_are_refused():
    with pytest.raises(InputError, match="device"):
        benchmark(device="meta")
