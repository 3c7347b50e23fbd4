"""The synthesis for GPUs, in Triton's interpreter; its graphs, with a pretended GPU.

Where there is a GPU, the kernels are compiled and run there.
"""

import importlib.util
import json
import logging
import weakref
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.core.models.stylegan2 import Generator
from ganvas.core.models.stylegan2_plan import SynthesisPlan, describe
from ganvas.kernels import use_backend
from ganvas.kernels.synthesis import EagerExecutor, graphs, tuning, without_graph
from ganvas.kernels.synthesis.graphs import Captured, GraphCache, GraphedExecutor, Recording

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def generator(**changes) -> Generator:
    torch.manual_seed(0)
    config = dict(z_dim=6, w_dim=8, img_resolution=16, channel_base=256, channel_max=24)
    network = Generator(**{**config, "num_mapping_layers": 2, **changes}).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.5)
            elif name.endswith("bias") and "affine" not in name:
                parameter.normal_()
    return network.to(DEVICE)


def inputs(network: Generator, count: int, kind: str) -> tuple[torch.Tensor, list]:
    """ws and noise: "const" for one for all samples, "random" for one each, "none"."""
    rng = torch.Generator().manual_seed(1)
    ws = torch.randn(count, network.num_ws, 8, generator=rng).to(DEVICE)
    samples = 1 if kind == "const" else count
    noise = [
        None if kind == "none" else torch.randn(samples, 1, size, size, generator=rng).to(DEVICE)
        for size in (4, 8, 8, 16, 16)
    ]
    return ws, noise


def exact(network: Generator, ws: torch.Tensor, noise: list) -> torch.Tensor:
    synthesis = describe(network.double().synthesis)
    image = EagerExecutor(synthesis, torch.float64)(
        ws.double(), [None if x is None else x.double() for x in noise]
    )
    network.float()
    return image


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b).norm() / b.norm())


@needs_triton
@pytest.mark.slow
@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("implementation", ["cudnn", "own", "layer", "layer/4"])
@pytest.mark.parametrize(
    "architecture,dtype,kind,clamp",
    [
        ("skip", torch.float32, "const", None),
        ("skip", torch.float16, "random", 1.0),
        ("skip", torch.bfloat16, "none", None),
        ("resnet", torch.float32, "random", 0.7),
        ("orig", torch.float32, "const", 1.0),
        ("resnet", torch.float16, "const", None),
    ],
)
def test_draws_what_the_network_draws(architecture, dtype, kind, clamp, implementation):
    from ganvas.kernels.synthesis.gpu import GpuExecutor

    network = generator(architecture=architecture, conv_clamp=clamp)
    ws, noise = inputs(network, 3, kind)
    synthesis = describe(network.synthesis)
    executor = GpuExecutor(
        synthesis, dtype, lambda key: implementation if key.up == 1 else tuning.CUDNN
    )
    image = executor(ws, noise)
    want = exact(network, ws, noise)
    assert image.dtype == torch.float32 and image.shape == want.shape
    # Eager PyTorch's own distance; in bfloat16 the interpreter truncates where a GPU rounds.
    allowed = distance(EagerExecutor(synthesis, dtype)(ws, noise), want)
    assert distance(image, want) <= allowed * (3 if dtype == torch.bfloat16 else 1.5)


@needs_triton
@pytest.mark.parametrize("channels,f", [(1, None), (4, [1, 2, 4, 1]), (3, [1, 3, 1])])
def test_other_image_channels_filters_and_widths(channels, f):
    from ganvas.kernels.synthesis.gpu import GpuExecutor

    network = generator(img_channels=channels, channel_base=320, channel_max=17, w_dim=8)
    synthesis = describe(network.synthesis)
    if f is not None:
        two = torch.outer(torch.tensor(f, dtype=torch.float32), torch.rand(len(f)) + 0.5)
        two = (two / two.sum()).to(DEVICE)
        blocks = [
            replace(b, conv0=b.conv0 and replace(b.conv0, f=two), conv1=replace(b.conv1, f=two))
            for b in synthesis.blocks
        ]
        kept = synthesis.f if len(f) < 4 else two  # the eager form pads for four taps
        synthesis = replace(synthesis, blocks=tuple(blocks), f=kept)
    ws, noise = inputs(network, 2, "const")
    image = GpuExecutor(synthesis, torch.float32)(ws, noise)
    want = EagerExecutor(synthesis, torch.float32)(ws, noise)
    assert distance(image, want.double()) < (1e-6 if DEVICE == "cpu" else 2e-3)  # tf32


@needs_triton
def test_weights_are_read_once():
    from ganvas.kernels.synthesis.gpu import GpuExecutor

    network = generator(architecture="resnet")
    ws, noise = inputs(network, 1, "const")
    with torch.inference_mode():
        executor = GpuExecutor(describe(network.synthesis), torch.float32)
    image = executor(ws, noise)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.fill_(float("nan"))
    torch.testing.assert_close(executor(ws, noise), image)
    with torch.inference_mode(), torch.autocast(DEVICE, torch.bfloat16):
        torch.testing.assert_close(executor(ws.clone(), noise), image)
    assert executor(ws[:0], noise).shape == (0, 3, 16, 16)


@needs_triton
@pytest.mark.parametrize("graph", [True, False])
def test_a_plan_uses_it_where_it_is_forced(graph):
    network = generator()
    ws, _ = inputs(network, 2, "none")
    plan = SynthesisPlan(network.synthesis, graph=graph)
    with torch.no_grad():
        want = network.synthesis(ws, "random", torch.Generator().manual_seed(3))
    with use_backend("triton", ops=["synthesis"]):
        image = plan(ws, "random", torch.Generator().manual_seed(3))
        executor = plan._executor()
    assert type(without_graph(executor)).__name__ == "GpuExecutor"
    assert isinstance(executor, GraphedExecutor) == (DEVICE == "cuda")
    assert distance(image, want.double()) < (1e-5 if DEVICE == "cpu" else 2e-3)  # tf32


@needs_triton
@pytest.mark.parametrize("batch", [1, 17])
@pytest.mark.parametrize("widths", [[5, 16, 33], [160, 8]])
def test_all_styles_and_factors_at_once(widths, batch):
    from ganvas.kernels.synthesis.triton_backend import Product, Products

    torch.manual_seed(0)
    ws = torch.randn(batch, 3, 24, device=DEVICE)
    matrices = [torch.randn(width, 24, device=DEVICE) for width in widths]
    biases = [torch.randn(width, device=DEVICE) for width in widths]
    rgb = torch.randn(3, widths[1], device=DEVICE)
    products = Products(
        [
            Product(matrix, bias, 24 * (i % 3), rgb if i == 1 else None)
            for i, (matrix, bias) in enumerate(zip(matrices, biases, strict=True))
        ],
        demodulate=False,
    )
    y = products(ws, batch)
    for i, matrix in enumerate(matrices):
        want = ws[:, i % 3].double() @ matrix.double().t() + biases[i]
        if i == 1:
            want = want[:, None] * rgb
        torch.testing.assert_close(
            products.part(y, i, batch).double(), want.double(), rtol=1e-4, atol=5e-5
        )
    energy = torch.rand(7, widths[0], device=DEVICE)
    factors = Products([Product(energy, None, products.starts[0])], demodulate=True)
    styles = products.part(y, 0, batch).clone()
    want = (styles.double().square() @ energy.double().t() + 1e-8).rsqrt()
    torch.testing.assert_close(
        factors.part(factors(y, batch), 0, batch).double(), want, rtol=1e-4, atol=1e-6
    )
    products.normalise(y, batch)
    want = styles / styles.abs().amax(dim=1, keepdim=True)
    torch.testing.assert_close(products.part(y, 0, batch), want)


class FakeRecorder:
    """Runs a recorded run again, as a GPU would; knows what was asked of it."""

    def __init__(self, size: int = 100) -> None:
        self.size, self.events, self.recorded = size, [], 0
        self.is_busy = self.fails = False
        self.flags: tuple = ()

    def busy(self) -> bool:
        return self.is_busy

    def record(self, run) -> Recording:
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        image = run().clone()
        self.recorded += 1

        def replay() -> None:
            self.events.append("replay")
            image.copy_(run())

        return Recording(replay, image, self.size)

    def wait(self) -> None:
        self.events.append("wait")

    def mark(self) -> None:
        self.events.append("mark")

    def finish(self) -> None:
        self.events.append("finish")

    def settings(self):
        return self.flags


class Plain:
    """Draws the sum of everything; counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, ws, noise):
        self.calls += 1
        total = ws.sum(dim=(1, 2))[:, None]
        for x in noise:
            total = total if x is None else total + x.sum(dim=(1, 2, 3))[:, None]
        return total


def draws(executor, ws, noise) -> torch.Tensor:
    image = executor(ws, noise)
    torch.testing.assert_close(image, Plain()(ws, noise))
    return image


def test_the_second_call_is_recorded_and_later_ones_are_replayed():
    plain, recorder = Plain(), FakeRecorder()
    executor = GraphedExecutor(plain, recorder, 10**6)
    for call in range(5):
        noise = [torch.randn(2, 1, 4, 4), None]
        draws(executor, torch.randn(2, 3, 4), noise)
        assert recorder.recorded == (call > 0)
    assert recorder.events == ["finish", *["wait", "replay", "mark"] * 4]
    assert without_graph(executor) is plain


def test_images_are_the_callers_own():
    executor = GraphedExecutor(Plain(), FakeRecorder(), 10**6)
    images = [draws(executor, torch.full((1, 1, 1), float(i)), []) for i in range(4)]
    assert [float(image) for image in images] == [0, 1, 2, 3]


def test_stored_noise_is_copied_when_it_changes_and_only_then(monkeypatch):
    executor = GraphedExecutor(Plain(), FakeRecorder(), 10**6)
    copied = []
    copy = torch.ops.aten._foreach_copy_
    monkeypatch.setattr(
        torch.ops.aten, "_foreach_copy_", lambda a, b: (copied.append(len(a)), copy(a, b))[1]
    )
    stored, ws = torch.randn(4, 4), torch.randn(2, 1, 1)
    for _ in range(4):
        draws(executor, ws, [stored[None, None], torch.randn(2, 1, 4, 4)])
    stored.mul_(2)
    draws(executor, ws, [stored[None, None], torch.randn(2, 1, 4, 4)])
    draws(executor, ws, [torch.randn(1, 1, 4, 4), torch.randn(2, 1, 4, 4)])
    assert copied == [3, 2, 2, 3, 3]


def test_noise_drawn_for_one_sample_is_copied_each_time():
    executor = GraphedExecutor(Plain(), FakeRecorder(), 10**6)
    for _ in range(6):
        draws(executor, torch.randn(1, 1, 1), [torch.randn(1, 1, 4, 4)])


def test_works_in_and_out_of_inference_mode():
    recorder = FakeRecorder()
    executor = GraphedExecutor(Plain(), recorder, 10**6)
    for inference in (True, True, False, True):
        with torch.inference_mode(inference):
            draws(executor, torch.randn(1, 1, 1), [torch.randn(1, 1, 4, 4)])
    assert recorder.recorded == 1


def test_runs_as_it_is_inside_somebody_elses_recording_and_for_no_images():
    plain, recorder = Plain(), FakeRecorder()
    executor = GraphedExecutor(plain, recorder, 10**6)
    for _ in range(3):
        draws(executor, torch.zeros(0, 1, 1), [])
    recorder.is_busy = True
    for _ in range(3):
        draws(executor, torch.randn(1, 1, 1), [])
    assert recorder.recorded == 0 and not recorder.events


def test_what_cannot_be_recorded_runs_as_it_is_with_one_notice(caplog):
    plain, recorder = Plain(), FakeRecorder()
    executor = GraphedExecutor(plain, recorder, 10**6)
    recorder.fails = True
    with caplog.at_level(logging.WARNING, logger="ganvas.kernels"):
        for batch in (1, 2, 1, 2, 1, 2):
            draws(executor, torch.randn(batch, 1, 1), [])
    assert len(caplog.records) == 1 and "capturing" in caplog.records[0].getMessage()
    recorder.fails = False
    for _ in range(3):
        draws(executor, torch.randn(3, 1, 1), [])
    assert recorder.recorded == 1


def test_other_settings_are_recorded_anew_and_clear_forgets():
    recorder = FakeRecorder()
    executor = GraphedExecutor(Plain(), recorder, 10**6)
    for flags in ((), (), (True,), (True,), ()):
        recorder.flags = flags
        draws(executor, torch.randn(1, 1, 1), [])
    assert recorder.recorded == 2
    executor.clear()
    draws(executor, torch.randn(1, 1, 1), [])
    assert recorder.recorded == 3


def entry(size: int) -> Captured:
    return Captured(torch.empty(0), [], Recording(lambda: None, torch.empty(0), size))


@pytest.mark.slow
def test_the_cache_keeps_the_most_recent_within_its_bounds():
    @given(
        st.integers(1, 5),
        st.integers(0, 40),
        st.lists(st.tuples(st.integers(0, 7), st.integers(0, 30)), max_size=20),
    )
    @settings(max_examples=2000, deadline=None)
    def check(count, size, calls):
        cache = GraphCache(count, size)
        order: list[tuple[int, int]] = []  # least recently used first
        for key, cost in calls:
            known = dict(order)
            found = cache.get(key)
            assert (found is not None) == (key in known)
            if found is None:
                cache.put(key, entry(cost))
            order = [(k, v) for k, v in order if k != key] + [(key, known.get(key, cost))]
            if found is None:
                while len(order) > 1 and (len(order) > count or sum(v for _, v in order) > size):
                    order.pop(0)
            assert len(cache) == len(order) and cache.size == sum(v for _, v in order)

    check()


def test_what_the_cache_drops_is_freed():
    executor = GraphedExecutor(Plain(), FakeRecorder(), 10**6, max_graphs=1)
    for _ in range(2):
        executor(torch.randn(1, 1, 1), [])
    (captured,) = executor._cache._entries.values()
    gone = weakref.ref(captured)
    del captured
    for _ in range(2):
        executor(torch.randn(2, 1, 1), [])
    assert gone() is None


def test_any_order_of_calls_draws_the_same():
    @given(
        st.lists(
            st.tuples(st.integers(1, 3), st.sampled_from(["const", "random", "none"])), max_size=12
        )
    )
    @settings(max_examples=50, deadline=None)
    def check(calls):
        executor = GraphedExecutor(Plain(), FakeRecorder(), 250, max_graphs=2)
        stored = torch.randn(1, 1, 4, 4)
        for batch, kind in calls:
            drawn = torch.randn(batch, 1, 4, 4)
            noise = {"const": stored, "random": drawn, "none": None}[kind]
            draws(executor, torch.randn(batch, 2, 2), [noise])
            assert len(executor._cache) <= 2

    check()


def test_a_cpu_has_no_graphs():
    plain = Plain()
    assert graphs.graphed(plain, torch.device("cpu")) is plain
    assert without_graph(plain) is plain


KEY = tuning.LayerKey("9.0", 8, 256, 128, 128, 1, "bfloat16")


@pytest.mark.parametrize(
    "change,name",
    [
        ({}, "layer"),
        ({"resolution": 8, "inputs": 512, "outputs": 512}, "own"),
        ({"resolution": 64, "inputs": 512, "outputs": 512}, "cudnn"),
        ({"up": 2}, "cudnn"),
        ({"dtype": "float32"}, "cudnn"),
    ],
)
def test_the_rule_where_nothing_was_measured(change, name):
    key = replace(KEY, **change)
    assert tuning.choose(key, {}) == name
    assert tuning.choose(key, {key: "own"}) == "own"
    assert name in {n.partition("/")[0] for n in tuning.candidates(key, [128, 32])}


def test_the_batch_is_rounded_up_to_what_is_measured():
    assert [tuning.bucket(n) for n in (1, 2, 3, 5, 8, 9, 33, 999)] == [1, 2, 4, 8, 8, 16, 32, 32]


def test_the_fastest_candidate_is_written_and_read_back(tmp_path):
    times = {"cudnn": 3.0, "own": None, "layer/0": 2.0, "layer/1": None}
    asked = []

    def measure(key, name):
        asked.append(name)
        return times[name]

    keys = [KEY, replace(KEY, resolution=64)]
    entries = tuning.tune(keys[:1], [128, 128, 64], measure)
    assert asked == list(times)
    path = tmp_path / "table.json"
    tuning.write(entries, path)
    assert tuning.read(path.read_text()) == {KEY: "layer/0"}
    tuning.write([{**entries[0], "resolution": 64}, {**entries[0], "implementation": "own"}], path)
    assert tuning.read(path.read_text()) == {KEY: "own", keys[1]: "layer/0"}
    assert tuning.tune(keys, [128], lambda *_: None) == []
    with pytest.raises(ValueError, match="tuning: expected a table of version 1"):
        tuning.read(json.dumps({"version": 2}))


def written(*entries):
    return json.dumps({"version": 1, "entries": [asdict(key) | rest for key, rest in entries]})


@pytest.mark.parametrize(
    "change,name",
    [
        ({}, "cutlass"),
        ({"up": 2}, "own"),
        ({"dtype": "float32"}, "layer/0"),
        ({"outputs": 256}, "layer"),
    ],
)
def test_a_table_that_names_what_cannot_compute_a_layer_is_refused(change, name):
    key = replace(KEY, **change)
    fine = (KEY, {"implementation": "layer/1", "microseconds": {"layer/1": 2.0}})
    assert tuning.read(written(fine)) == {KEY: "layer/1"}
    with pytest.raises(ValueError, match=f"tuning: expected one of .* got '{name}'"):
        tuning.read(written(fine, (key, {"implementation": name})))


@needs_triton
def test_tables_name_tiles_that_exist():
    from ganvas.kernels.synthesis.gpu import LAYER_WIDTHS

    def unknown(table):
        return [
            name for key, name in table.items() if name not in tuning.candidates(key, LAYER_WIDTHS)
        ]

    assert (
        unknown({KEY: "layer/0", replace(KEY, up=2): "cudnn", replace(KEY, batch=1): "own"}) == []
    )
    assert unknown({KEY: f"layer/{len(LAYER_WIDTHS)}"}) == [f"layer/{len(LAYER_WIDTHS)}"]
    assert unknown(tuning.shipped()) == []


def test_the_layers_of_published_networks():
    layers = tuning.layers("9.0", "bfloat16", 8)
    assert len([key for key in tuning.layers("9.0", "bfloat16", 8, (1024,))]) == 17
    assert len(layers) == len(set(layers)) == 17  # 256 has none of its own
    assert layers[-1] == tuning.LayerKey("9.0", 8, 1024, 32, 32, 1, "bfloat16")


@needs_triton
@pytest.mark.parametrize("up,names", [(1, ["cudnn", "own", "layer"]), (2, ["cudnn"])])
def test_the_measured_call_runs(up, names):
    from ganvas.kernels.synthesis.gpu import layer_call

    key = tuning.LayerKey("", 1, 8, 16, 16, up, "float32")
    for name in names:
        assert layer_call(key, name, torch.device(DEVICE))().shape == (1, 16, 8, 8)


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("side", [False, True], ids=["default-stream", "side-stream"])
def test_graphs_draw_what_plain_launches_draw(dtype, inference, side):
    network = generator()
    recorded = SynthesisPlan(network.synthesis, dtype=dtype)
    launched = SynthesisPlan(network.synthesis, dtype=dtype, graph=False)
    stream = torch.cuda.Stream() if side else torch.cuda.current_stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.inference_mode(inference), torch.cuda.stream(stream):
        for count in (1, 4, 1, 4, 1, 4, 4, 1):
            ws = torch.randn(count, network.num_ws, 8, device="cuda")
            for mode in ("const", "random", "none"):
                seeds = torch.arange(count)
                image = recorded(ws, mode, seeds)
                torch.testing.assert_close(image, launched(ws, mode, seeds), rtol=1e-3, atol=1e-3)
    torch.cuda.synchronize()
    executor = recorded._executor()
    assert isinstance(executor, GraphedExecutor) and len(executor._cache) == 6


@needs_gpu
def test_changed_weights_and_noise_reach_the_graph():
    network = generator()
    plan = SynthesisPlan(network.synthesis)
    ws = torch.randn(2, network.num_ws, 8, device="cuda")
    block = network.synthesis.get_submodule("b8.conv0")
    for tensor in (block.noise_const, block.weight, block.noise_strength):
        for _ in range(3):
            before = plan(ws)
        with torch.no_grad():
            tensor.add_(1)
        for _ in range(3):
            image = plan(ws)
            assert not torch.equal(image, before)
            with torch.no_grad():
                assert distance(image, network.synthesis(ws).double()) < 2e-3


@needs_gpu
def test_a_graph_of_the_callers_own():
    network = generator()
    plan = SynthesisPlan(network.synthesis)
    ws = torch.randn(2, network.num_ws, 8, device="cuda")
    want = [plan(ws) for _ in range(3)][-1]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        image = plan(ws)
    graph.replay()
    torch.testing.assert_close(image, want, rtol=1e-4, atol=1e-4)


@needs_gpu
def test_a_small_network_is_tuned(tmp_path):
    path = tmp_path / "table.json"
    entries = tuning.tune_gpu((8,), batches=(1,), path=path)
    assert len(entries) == 3 and tuning.read(path.read_text())
    assert all(entry["microseconds"]["cudnn"] > 0 for entry in entries)
