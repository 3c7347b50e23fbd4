"""The `ganvas bench` command."""

from pathlib import Path
from typing import Annotated

import typer

from .command import command
from .options import Device


@command("ganvas bench --ops modulated_conv2d,bias_act --threads 2 --json bench.json")
def bench(
    device: Device = "auto",
    ops: Annotated[
        str, typer.Option(help="Ops such as bias_act,upfirdn2d; default all, unless --networks.")
    ] = "",
    networks: Annotated[
        str, typer.Option(help="Networks such as stylegan2-256; default all, unless --ops.")
    ] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny sizes, to try the benchmark itself.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="Threads on a CPU.")] = None,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Also time torch.compile; takes minutes.")
    ] = False,
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds after which no further row begins.")
    ] = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Write the result there.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write a PNG there; needs ganvas[train].")
    ] = None,
    backends: Annotated[
        bool, typer.Option("--backends", help="Only say which backends run here, or why not.")
    ] = False,
) -> None:
    """Time ops and networks against eager PyTorch. Also against the published op boundaries."""
    from tqdm import tqdm

    from ..core.benchmark import as_text, benchmark, describe_backends, require_passed

    if backends:
        print(describe_backends(device))
        return
    with tqdm(unit="row", disable=None, bar_format="{n} rows, {elapsed}{postfix}") as bar:

        def advance(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        result = benchmark(
            device=device,
            ops=[name.strip() for name in ops.split(",") if name.strip()],
            networks=[name.strip() for name in networks.split(",") if name.strip()],
            quick=quick,
            threads=threads,
            compile=compile_,
            time_limit_s=time_limit,
            json_file=json_,
            plot_file=plot,
            progress=advance,
        )
    print(as_text(result))
    require_passed(result)
