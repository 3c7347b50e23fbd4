"""What all Triton backends share on the host; no kernel runs here."""

import sys
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace

import pytest
import torch

from ganvas.kernels import registry, triton_host, use_backend
from ganvas.kernels.registry import select


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 63, 64, 65, 1000])
def test_sizes_are_rounded_up(n):
    assert triton_host.divide_up(n, 4) == (n + 3) // 4
    power = triton_host.next_power_of_2(n)
    assert power & (power - 1) == 0 and n <= power < 2 * n


def test_a_signature_names_every_argument_in_order():
    kernel = SimpleNamespace(arg_names=["x_ptr", "f_ptr", "size", "gain", "BLOCK"])
    found = triton_host.signature(kernel, {"BLOCK": 4}, {"x_ptr": "*bf16", "gain": "fp32"})
    assert list(found.items()) == [
        ("x_ptr", "*bf16"),
        ("f_ptr", "*fp32"),
        ("size", "i32"),
        ("gain", "fp32"),
        ("BLOCK", "constexpr"),
    ]


def test_a_backend_is_imported_at_its_first_call_and_runs_on_its_tensors_device(monkeypatch):
    monkeypatch.setattr(registry, "_implementations", dict(registry._implementations))
    seen = []
    monkeypatch.setattr(torch.cuda, "device_of", lambda x: seen.append(x) or nullcontext())
    triton_host.register_triton("example", "example_backend", "run", refuse=lambda *_: None)
    backend = ModuleType("example_backend")
    monkeypatch.setattr(backend, "run", lambda x, factor: x * factor, raising=False)
    monkeypatch.setitem(sys.modules, "example_backend", backend)
    x = torch.ones(2)
    assert torch.equal(select("example", x, 3)(x, 3), torch.full((2,), 3.0))
    assert seen[0] is x


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("interpreter", [False, True])
def test_a_cpu_tensor_is_refused_unless_the_interpreter_was_chosen(
    monkeypatch, forced, interpreter
):
    monkeypatch.setenv("TRITON_INTERPRET", str(int(interpreter)))
    monkeypatch.setattr(triton_host, "_installed", lambda: True)
    with use_backend("triton", ops=["bias_act"]) if forced else nullcontext():
        reason = triton_host.refuse_triton("bias_act", torch.ones(1))
    wanted = None if forced and interpreter else "expected a CUDA tensor, got cpu"
    assert reason == wanted


def test_a_dtype_and_a_missing_triton_are_refused(monkeypatch):
    x = SimpleNamespace(device=torch.device("cuda"), dtype=torch.float64)
    told = "expected float32, float16 or bfloat16, got torch.float64"
    assert triton_host.refuse_triton("to_rgb", x, triton_host.DOT_DTYPES) == told
    monkeypatch.setattr(triton_host, "_installed", lambda: False)
    assert triton_host.refuse_triton("to_rgb", x) == "expected triton, found none"
