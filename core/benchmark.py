"""The benchmark of ops and networks, as the command line runs it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ..kernels import bench
from ..kernels.bench import Result
from .benchmark_networks import network_entries
from .devices import choose_device
from .errors import InputError, OperationError
from .files import atomic_path, atomic_write, check_output_file


def benchmark(
    *,
    device: str = "auto",
    ops: Sequence[str] = (),
    networks: Sequence[str] = (),
    quick: bool = False,
    threads: int | None = None,
    compile: bool = False,
    time_limit_s: float | None = None,
    json_file: Path | None = None,
    plot_file: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Result:
    """Measure ops and networks.

    Args:
        device: auto, cpu or cuda.
        ops: names of ops; if neither these nor networks are named, everything runs.
        networks: such as "stylegan2-256", which is also the beginning of "stylegan2-256-n8".
        quick: tiny sizes and few samples, to try the benchmark itself.
        threads: of PyTorch on a CPU; None leaves them.
        compile: time torch.compile too, on the networks that ask for it; takes minutes.
        time_limit_s: no row begins later, the rest is listed as skipped. None is nine minutes on a
            GPU, where a machine may be lent for ten, and no limit on a CPU.
        json_file: where the result goes, in the form that `kernels.bench.schema` describes.
        plot_file: where a PNG of the ratios goes.
        progress: called with the name of each row before it runs.

    Returns:
        The result, whose red rows have no timings.

    Raises:
        InputError: a name, number or path is not as above.
        OperationError: a plot is wanted and there is no matplotlib.
    """
    target = _device(device)
    if threads is not None and threads < 1:
        raise InputError(f"bench: expected threads >= 1, got {threads}")
    if time_limit_s is not None and not time_limit_s > 0:
        raise InputError(f"bench: expected a time limit above 0, got {time_limit_s}")
    if time_limit_s is None and target.type == "cuda":
        time_limit_s = bench.GPU_TIME_LIMIT_S
    for path in (json_file, plot_file):
        if path is not None:
            check_output_file(path)
    if plot_file is not None:
        try:
            bench.require_matplotlib()
        except bench.PlotError as error:
            raise OperationError(str(error)) from error
    op_rows = bench.op_entries(target, quick=quick)
    nets = network_entries(target, quick=quick)
    try:
        known = sorted({entry.op for entry in op_rows})
        chosen_ops = bench.choose(ops, known, "ops") if ops or not networks else []
        chosen_nets = bench.choose(networks, list(nets), "networks") if networks or not ops else []
    except ValueError as error:
        raise InputError(str(error)) from error
    # Networks first: where there is a limit on the time, they matter most.
    entries = [entry for name in chosen_nets for entry in nets[name]]
    entries += [entry for entry in op_rows if entry.op in chosen_ops]
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        result = bench.run(
            entries,
            target,
            quick=quick,
            compile=compile,
            time_limit_s=time_limit_s,
            arguments={
                "device": target.type,
                "ops": ",".join(chosen_ops),
                "networks": ",".join(chosen_nets),
                "quick": str(quick),
                "compile": str(compile),
            },
            progress=progress,
        )
    finally:
        torch.set_num_threads(before)
    if json_file is not None:
        atomic_write(json_file, bench.to_json(result))
    if plot_file is not None:
        with atomic_path(plot_file) as path:
            bench.write_plot(result, path)
    return result


def as_text(result: Result) -> str:
    """The result as a table."""
    return bench.table(result)


def require_passed(result: Result) -> None:
    """Check that every row is as accurate as it must be.

    Raises:
        OperationError: one is not; it counts them and names the first.
    """
    red = [f"{row.entry} {row.phase}" for row in result.rows if not row.passed]
    if red:
        raise OperationError(f"bench: {len(red)} of {len(result.rows)} rows are red: {red[0]} ...")


def describe_backends(device: str = "auto") -> str:
    """Every backend of every op, and whether it runs on the device here or why not.

    Raises:
        InputError: the device is not auto, cpu or cuda.
    """
    target = _device(device)
    examples = bench.op_entries(target, quick=True)
    examples += [e for rows in network_entries(target, quick=True).values() for e in rows]
    return bench.backends_text(examples)


def _device(name: str) -> torch.device:
    target = torch.device(choose_device(name))
    if target.type not in ("cpu", "cuda"):
        raise InputError(f"bench: expected device auto, cpu or cuda, got {name!r}")
    return target
