"""The GPU suite's logic: what runs, what is skipped and why, time limits, exit status."""

import json
import sys

import pytest

from ganvas.kernels.bench import gpu_suite


def test_stages_run_in_order_and_leave_logs_and_a_summary(monkeypatch, tmp_path, capsys):
    def plan(stage, out, limit_s):
        if stage == "sanitizer":
            return None, "not installed"
        status = 3 if stage == "bench" else 0
        return [sys.executable, "-c", f"print('I am {stage}'); raise SystemExit({status})"], "note"

    monkeypatch.setattr(gpu_suite, "plan", plan)
    assert gpu_suite.main([str(tmp_path)]) == 1
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [(row["stage"], row["state"]) for row in summary] == [
        ("tests", "passed"),
        ("sanitizer", "skipped"),
        ("bench", "failed"),
    ]
    assert (tmp_path / "tests.log").read_text() == "I am tests\n"
    assert "I am bench" in capsys.readouterr().out
    assert gpu_suite.main([str(tmp_path), "--stages", "tests"]) == 0


def test_a_stage_beyond_its_limit_is_ended(monkeypatch, tmp_path):
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(gpu_suite, "plan", lambda *_: (command, ""))
    outcome = gpu_suite.run("tests", tmp_path, 0.5, {})
    assert outcome.state == "timed out" and outcome.seconds < 20


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_suite, "_has", lambda name: False)
    monkeypatch.setattr(gpu_suite.shutil, "which", lambda *_, **__: None)
    assert gpu_suite.plan("tests", tmp_path, 9) == (None, "not installed: pytest, hypothesis")
    assert gpu_suite.plan("sanitizer", tmp_path, 9)[0] is None
    command, note = gpu_suite.plan("bench", tmp_path, 100)
    assert command is not None and "benchmark(device='cuda'" in command[-1]
    assert "time_limit_s=70" in command[-1]
    compile(command[-1], "script", "exec")
    assert "matplotlib" in note and "typer, tqdm" in note


def test_commands_of_a_complete_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_suite, "_has", lambda name: True)
    monkeypatch.setattr(gpu_suite.shutil, "which", lambda *_, **__: "/bin/compute-sanitizer")
    tests, _ = gpu_suite.plan("tests", tmp_path, 9)
    assert tests is not None and "tests/kernels" in tests
    sanitizer, _ = gpu_suite.plan("sanitizer", tmp_path, 9)
    assert sanitizer is not None and sanitizer[0] == "/bin/compute-sanitizer"
    bench, _ = gpu_suite.plan("compile", tmp_path, 100)
    assert bench is not None and "--compile" in bench and "70" in bench


def test_environment_finds_the_checkout_and_no_interpreter(monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setenv("GANVAS_BACKEND", "eager")
    found = gpu_suite.checkout_environment(tmp_path)
    assert (tmp_path / "ganvas" / "kernels" / "bench").is_dir()
    assert found["PYTHONPATH"].startswith(str(tmp_path))
    assert "TRITON_INTERPRET" not in found and "GANVAS_BACKEND" not in found


def test_unknown_stages_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        gpu_suite.main([str(tmp_path), "--stages", "tests,dance"])
    assert stop.value.code == 2 and "dance" in capsys.readouterr().err
