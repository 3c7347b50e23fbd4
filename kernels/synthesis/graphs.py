"""Whole synthesis calls as CUDA graphs: one launch instead of some thirty.

A graph is bound to the memory it was recorded with, so inputs are copied in and the image out. One
is kept for each batch size and kind of noise, the least recently used going first. The GPU's API
is behind `Recorder`, so that all this is tested without one.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from .description import Executor

_LOG = logging.getLogger("ganvas.kernels")

MAX_GRAPHS = 8
MAX_BYTES_SHARE = 4  # graphs may hold this part of the GPU's memory
_MAX_SEEN = 64


@dataclass(frozen=True)
class Recording:
    """One recorded run.

    Attributes:
        replay: run it again, in the current stream, on what its inputs' memory holds now.
        image: where a run leaves its result.
        size: bytes that it holds on to.
    """

    replay: Callable[[], None]
    image: Tensor
    size: int


class Recorder(Protocol):
    """The few things that graphs need of a GPU."""

    def busy(self) -> bool:
        """Whether the current stream is being recorded already, by somebody else."""
        ...

    def record(self, run: Callable[[], Tensor]) -> Recording:
        """Warm `run` up and record it.

        Raises:
            RuntimeError: it cannot be recorded.
        """
        ...

    def wait(self) -> None:
        """Let the current stream wait for the last `mark`."""
        ...

    def mark(self) -> None:
        """Note where the current stream is."""
        ...

    def finish(self) -> None:
        """Wait until the GPU has come to the last `mark`."""
        ...

    def settings(self) -> Hashable:
        """What else a recorded run depends on."""
        ...


class CudaRecorder:
    """`Recorder` of one CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        self._marked: torch.cuda.Event | None = None

    def busy(self) -> bool:
        with torch.cuda.device(self._device):
            return torch.cuda.is_current_stream_capturing()

    def record(self, run: Callable[[], Tensor]) -> Recording:
        with torch.cuda.device(self._device):
            stream = self._stream = self._stream or torch.cuda.Stream(self._device)
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                run()  # compiles kernels and fills this stream's workspaces
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            torch.cuda.empty_cache()
            before = torch.cuda.memory_reserved()
            # Other threads may go on using the device meanwhile.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                image = run()
            size = max(torch.cuda.memory_reserved() - before, image.nbytes)

        def replay() -> None:
            with torch.cuda.device(self._device):
                graph.replay()

        return Recording(replay, image, size)

    def wait(self) -> None:
        if self._marked is not None:
            torch.cuda.current_stream(self._device).wait_event(self._marked)

    def mark(self) -> None:
        self._marked = self._marked or torch.cuda.Event()
        self._marked.record(torch.cuda.current_stream(self._device))

    def finish(self) -> None:
        if self._marked is not None:
            self._marked.synchronize()

    def settings(self) -> Hashable:
        cudnn = torch.backends.cudnn
        # Newer versions of torch refuse to read allow_tf32 once their own setting was used.
        conv = getattr(cudnn, "conv", None)
        precision = cudnn.allow_tf32 if conv is None else conv.fp32_precision
        return cudnn.deterministic, cudnn.enabled, precision


@dataclass
class Captured:
    """A recording and the memory that it reads its inputs from."""

    ws: Tensor
    noise: list[Tensor | None]
    recording: Recording
    # What the noise buffers were last filled from, where that may come again.
    sources: list[tuple[Tensor, int] | None] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes that it holds on to."""
        inputs = [self.ws, *(x for x in self.noise if x is not None)]
        return self.recording.size + sum(x.nbytes for x in inputs)

    def fill(self, ws: Tensor, noise: Sequence[Tensor | None]) -> None:
        """Copy new inputs in; noise that has not changed since stays."""
        targets, values = [self.ws], [ws]
        for index, (target, value) in enumerate(zip(self.noise, noise, strict=True)):
            if target is None or value is None or _same(self.sources[index], value):
                continue
            targets.append(target)
            values.append(value)
            # Drawn noise comes never again; stored noise, one for all samples, does.
            keep = value.shape[0] == 1 and not value.is_inference()
            self.sources[index] = (value, value._version) if keep else None
        torch.ops.aten._foreach_copy_(targets, values)  # one launch


class GraphCache:
    """Captured runs by key: at most so many, of at most so many bytes together.

    The newest always stays, whatever its size.
    """

    def __init__(self, max_count: int, max_bytes: int) -> None:
        self._max_count, self._max_bytes = max_count, max_bytes
        self._entries: OrderedDict[Hashable, Captured] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes of all entries."""
        return sum(entry.size for entry in self._entries.values())

    def get(self, key: Hashable) -> Captured | None:
        """The run of that key, which becomes the most recently used."""
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: Hashable, entry: Captured) -> None:
        """Keep a run and drop the least recently used ones that are too many or too large."""
        self._entries[key] = entry
        self._entries.move_to_end(key)
        while len(self) > 1 and (len(self) > self._max_count or self.size > self._max_bytes):
            self._entries.popitem(last=False)

    def clear(self) -> None:
        self._entries.clear()


class GraphedExecutor:
    """An `Executor` that records what another one does, and replays it.

    The first call of a kind runs as it is, the second one records: whoever draws once, or changes
    the weights before each call, pays for no recording. Where recording fails, calls of that kind
    run as they are from then on, with one notice. Calls from several threads wait for each other;
    any stream may be current. A call inside somebody else's recording runs as it is.

    Args:
        plain: draws; its weights never change.
        recorder: of the device.
        max_bytes: of all graphs together.
        max_graphs: how many there may be.
    """

    def __init__(
        self, plain: Executor, recorder: Recorder, max_bytes: int, max_graphs: int = MAX_GRAPHS
    ) -> None:
        self.plain = plain
        self._recorder = recorder
        self._cache = GraphCache(max_graphs, max_bytes)
        self._seen: OrderedDict[Hashable, bool] = OrderedDict()  # False: cannot be recorded
        self._noticed = False
        self._lock = threading.Lock()

    @torch.no_grad()
    def __call__(self, ws: Tensor, noise: Sequence[Tensor | None]) -> Tensor:
        if ws.shape[0] == 0 or self._recorder.busy():
            return self.plain(ws, noise)
        with self._lock:
            captured = self._captured(ws, noise)
            if captured is None:
                return self.plain(ws, noise)
            self._recorder.wait()
            captured.fill(ws, noise)
            captured.recording.replay()
            image = captured.recording.image.clone()
            self._recorder.mark()
            return image

    def clear(self) -> None:
        """Give the memory of all graphs back; later calls record again."""
        with self._lock:
            self._recorder.finish()
            self._cache.clear()

    def _captured(self, ws: Tensor, noise: Sequence[Tensor | None]) -> Captured | None:
        """The recorded run of such a call; None if there is none yet, or cannot be one."""
        kinds = tuple(None if value is None else value.shape[0] for value in noise)
        key = (ws.shape[0], kinds, self._recorder.settings())
        captured = self._cache.get(key)
        if captured is not None:
            return captured
        wanted = self._seen.get(key)
        if wanted is None:
            self._seen[key] = True
            if len(self._seen) > _MAX_SEEN:
                self._seen.popitem(last=False)
        return self._record(key, ws, noise) if wanted else None

    def _record(self, key: Hashable, ws: Tensor, noise: Sequence[Tensor | None]) -> Captured | None:
        # Memory made in inference mode could not be written to outside of it.
        with torch.inference_mode(False), torch.no_grad():
            inputs = torch.empty(ws.shape, dtype=torch.float32, device=ws.device)
            buffers = [
                None if x is None else torch.empty(x.shape, dtype=torch.float32, device=x.device)
                for x in noise
            ]
            try:
                recording = self._recorder.record(lambda: self.plain(inputs, buffers))
            except RuntimeError as error:
                self._seen[key] = False
                if not self._noticed:
                    self._noticed = True
                    _LOG.warning("Drawing without a CUDA graph, launch by launch: %s", error)
                return None
        captured = Captured(inputs, buffers, recording, [None] * len(buffers))
        self._recorder.finish()  # before what is dropped gives its memory back
        self._cache.put(key, captured)
        return captured


def without_graph(executor: Executor) -> Executor:
    """The executor that does the same, and records nothing."""
    return executor.plain if isinstance(executor, GraphedExecutor) else executor


def graphed(plain: Executor, device: torch.device) -> Executor:
    """The executor with graphs, where the device has them."""
    if device.type != "cuda":
        return plain
    total = torch.cuda.get_device_properties(device).total_memory
    return GraphedExecutor(plain, CudaRecorder(device), total // MAX_BYTES_SHARE)


def _same(source: tuple[Tensor, int] | None, value: Tensor) -> bool:
    """Whether that noise was filled in, and not written to since."""
    if source is None or value.is_inference():
        return False
    known, version = source
    same = known.data_ptr() == value.data_ptr() and known.shape == value.shape
    return same and known.stride() == value.stride() and version == value._version
