"""The `ganvas` command: argument parsing only; every command imports what it needs when it runs."""

import functools
import io
import json
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

app = typer.Typer(
    name="ganvas",
    help="GAN faces on a canvas: generate, edit and restore faces.",
    epilog="Example: ganvas run workflows/quickstart.json --output-dir output",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0: done; 1: something failed on our side; 2: the user's input was wrong; 130: Ctrl-C.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up as Ctrl-C does
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    _open_streams()
    try:
        try:
            _refuse_null(given)
            app(args=[text for text in given if text != "--debug"], prog_name="ganvas")
        except SystemExit as stop:
            sys.stdout.flush()
            return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BrokenPipeError:  # the reader of a pipe (`| head`) has left
        _drop_output()
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        from .core.errors import as_input_error

        error = as_input_error(error) or error
        with suppress(OSError):
            print(f"ganvas: {_sentence(error)}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:  # what could not be written would fail once more at the interpreter's end
            _drop_output()
        return 2 if isinstance(error, ValueError) else 1
    return 0


def _refuse_null(arguments: list[str]) -> None:
    """No path or name may hold a null character, and each library says so in its own odd way."""
    from .core.errors import InputError

    for text in arguments:
        if "\0" in text:
            raise InputError(f"expected arguments without null characters, got {text[:80]!r}")


def _open_streams() -> None:
    """Make both streams take any text: they may be closed, or of an encoding that lacks letters."""
    if sys.stdout is None:
        sys.stdout = io.StringIO()
    if sys.stderr is None:
        sys.stderr = io.StringIO()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Send what is still to be printed nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sentence(error: Exception) -> str:
    """What to tell the user: their own mistakes in full, anything else in one line."""
    from .core.errors import InputError, OperationError, printable

    text = str(error).strip()
    if isinstance(error, (InputError, OperationError)):
        # A workflow's errors come one to an indented line; no other line break is meant.
        return "\n".join(printable(line) for line in re.split("\n(?=  )", text))
    first = printable(text.splitlines()[0]) if text else "no further details"
    if isinstance(error, ValueError):
        return first
    return f"{type(error).__name__}: {first} (--debug shows where)"


def _command(epilog: str) -> Callable[[CommandT], CommandT]:
    """Register a command whose Ctrl-C ends with status 130 and no traceback."""

    def register(function: CommandT) -> CommandT:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            from .core.errors import Interrupted

            try:
                function(*args, **kwargs)
            except (KeyboardInterrupt, Interrupted):
                print("ganvas: stopped", file=sys.stderr)
                raise SystemExit(130) from None

        app.command(epilog=epilog)(guarded)
        return function

    return register


def _version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        print(f"ganvas {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback when something fails.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@_command("Example: ganvas run workflows/quickstart.json --set 2.seed=7 --output-dir output")
def run(
    workflow: Annotated[Path, typer.Argument(help="Workflow JSON, API format or UI format.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NODE.INPUT=VALUE", help="Change a widget; may be repeated."),
    ] = None,
    output_dir: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("output"),
    input_dir: Annotated[
        Path, typer.Option(help="Folder of the images that the workflow loads by name.")
    ] = Path("input"),
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    batch_over: Annotated[
        str | None,
        typer.Option(metavar="GLOB", help="Run once for each image file that matches."),
    ] = None,
) -> None:
    """Execute a workflow without a window. The results are those of ComfyUI."""
    from .core.progress import WorkflowProgress
    from .nodes.engine import run_file

    with WorkflowProgress() as progress:
        outputs = run_file(
            workflow,
            set_ or [],
            output_dir,
            device,
            batch_over,
            input_dir=input_dir,
            events=progress,
        )
    for path in outputs.files:
        print(path)


@_command("Example: ganvas editor --port 8188")
def editor(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's asks for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8188,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the editor in the browser.")
    ] = True,
    input_dir: Annotated[Path, typer.Option(help="Folder of uploaded images.")] = Path("input"),
    output_dir: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("output"),
    user_dir: Annotated[
        Path, typer.Option(help="Folder of the editor's workflows and settings.")
    ] = Path("user"),
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Serve the visual workflow editor; needs ganvas[editor]."""
    from .nodes.editor import Settings, serve

    serve(Settings(host, port, input_dir, output_dir, user_dir, device, browser))


@_command(
    "Example: ganvas train stylegan2-faces-64 --data faces:count=20000,size=64,seed=0 "
    "--outdir runs/faces total_kimg=100 batch=16"
)
def train(
    preset: Annotated[str | None, typer.Argument(help="Preset name; --list shows them.")] = None,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings to change.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Folder, zip archive, or faces:count=N,size=S,seed=K.")
    ] = None,
    outdir: Annotated[Path | None, typer.Option(help="Folder of the run.")] = None,
    resume: Annotated[
        str, typer.Option(help="auto (continue what is in --outdir), never, or a snapshot's path.")
    ] = "auto",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Two steps on synthetic images, every phase among them, with a small batch and, "
            "where that would be slow, at a low resolution: checks settings and installation, not "
            "memory or speed. Nothing is kept.",
        ),
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="Print the presets and stop.")] = False,
) -> None:
    """Train a model from a preset. Under torchrun on several GPUs or machines."""
    from .core.errors import InputError
    from .training import PRESETS

    if list_:
        width = max(len(name) for name in PRESETS)
        for name, row in PRESETS.items():
            print(f"{name:<{width}}  {row.summary}")
        return
    if preset is None:
        raise InputError("train: expected a preset name (ganvas train --list shows them), got none")
    from .training import train as run_training

    result = run_training(
        preset,
        data,
        outdir,
        settings or [],
        resume=None if resume == "never" else resume,
        dry_run=dry_run,
    )
    if result.outcome == "interrupted":
        raise KeyboardInterrupt
    if result.model is not None and os.environ.get("RANK", "0") == "0":
        print(result.model)


@_command("Example: ganvas sample faces-stylegan2-64 --seeds 0-15 --psi 0.7 --out output --sheet")
def sample(
    model: Annotated[str, typer.Argument(help="Model file, or the name of a model at hand.")],
    given: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="What the file itself does not say."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds such as 0-15,40.")] = "0-15",
    out: Annotated[Path, typer.Option(help="Folder for the images.")] = Path("output"),
    psi: Annotated[
        float | None,
        typer.Option(help="Truncation: 1 is none, 0 the average face; 0.7 where there is any."),
    ] = None,
    class_index: Annotated[
        int, typer.Option("--class", help="Class of a conditional model, from 0.")
    ] = -1,
    noise: Annotated[str, typer.Option(help="Noise mode: const, random or none.")] = "const",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    sheet: Annotated[
        bool, typer.Option("--sheet", help="Also write all images on one sheet.")
    ] = False,
    video: Annotated[
        Path | None,
        typer.Option(help="Write a walk through the seeds instead: .webp, .png or .mp4."),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(help="Of a file with several: generator, generator_ema, ..."),
    ] = None,
) -> None:
    """Write one PNG per seed. Seed K gives the image that the published tools give."""
    from tqdm import tqdm

    from .core.checkpoints import load_model, parse_given, resolve_model
    from .core.devices import choose_device
    from .core.files import check_output_folder
    from .core.progress import progress_bar
    from .core.sampling import parse_seeds, write_samples
    from .core.walks import write_walk

    check_output_folder(out if video is None else video.parent)
    numbers = parse_seeds(seeds)
    known = parse_given(given or [])
    loaded = load_model(resolve_model(model), choose_device(device), network, known)
    if video is not None:
        with progress_bar("frame") as advance:
            print(
                write_walk(
                    loaded,
                    numbers,
                    video,
                    psi=psi,
                    class_index=class_index,
                    noise_mode=noise,
                    report=advance,
                )
            )
        return
    paths = write_samples(
        loaded, numbers, out, psi=psi, class_index=class_index, noise_mode=noise, sheet=sheet
    )
    written = list(tqdm(paths, total=len(numbers) + sheet, unit="image", disable=None))
    print(written[-1] if sheet else out)


@_command("Example: ganvas inspect faces-stylegan2-64 --json")
def inspect(
    file: Annotated[str, typer.Argument(help="Model file, or the name of a model at hand.")],
    given: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="What the file itself does not say."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is in a checkpoint of any supported format. Nothing in it is run."""
    from .core.checkpoints import inspect as describe
    from .core.checkpoints import parse_given, resolve_model

    report = describe(resolve_model(file), parse_given(given or []))
    print(json.dumps(report.as_dict(), indent=2) if as_json else report.as_text())


@_command("Example: ganvas convert ffhq.pkl ffhq.safetensors --dtype fp16 conv_clamp=256")
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="Checkpoint of any known format.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="File to write.")],
    given: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="What the file itself does not say."),
    ] = None,
    dtype: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = "fp32",
    network: Annotated[
        str | None,
        typer.Option(help="Of a file with several: generator, generator_ema or discriminator."),
    ] = None,
) -> None:
    """Turn a checkpoint into a ganvas model file. The outputs of both are compared."""
    from .core.checkpoints import convert as write_converted
    from .core.checkpoints import parse_given, resolve_model

    done = write_converted(
        resolve_model(source), target, dtype=dtype, network=network, given=parse_given(given or [])
    )
    print(done.as_text())


@_command("Example: ganvas faces --count 1000 --size 64 --seed 0 --out faces.zip")
def faces(
    out: Annotated[Path, typer.Option(help="Zip archive to write.")],
    count: Annotated[int, typer.Option(help="Number of faces.")] = 1000,
    size: Annotated[int, typer.Option(help="Width and height in pixels.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the data set.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that render.")] = 1,
    segmentation: Annotated[
        bool, typer.Option("--segmentation", help="Also store segmentation images.")
    ] = False,
    degrade: Annotated[
        bool, typer.Option("--degrade", help="Damage the faces, with exactly known parameters.")
    ] = False,
) -> None:
    """Render the procedural face data set as a training archive. Its labels are exact."""
    from .core.data.procedural import write_faces_zip
    from .core.progress import progress_bar
    from .core.restoration.degrade import DEFAULT

    with progress_bar("face") as advance:
        write_faces_zip(
            out,
            count,
            size,
            seed,
            workers=workers,
            progress=advance,
            segmentation=segmentation,
            degradation=DEFAULT if degrade else None,
        )
    print(out)


@_command("Example: ganvas prepare photos --out photos-64.zip --size 64 --workers 4")
def prepare(
    source: Annotated[str, typer.Argument(help="Folder, archive, or KIND:PATH like celeba:DIR.")],
    out: Annotated[Path, typer.Option(help="Zip archive, or a new folder, to write.")],
    size: Annotated[int, typer.Option(help="Width and height in pixels.")],
    crop: Annotated[str | None, typer.Option(help="center, celeba or face.")] = None,
    align: Annotated[str | None, typer.Option(help="landmarks: level the eyes by them.")] = None,
    filter_: Annotated[str, typer.Option("--filter", help="lanczos or box.")] = "lanczos",
    workers: Annotated[int, typer.Option(help="Threads; the result is the same.")] = 1,
    on_error: Annotated[str, typer.Option(help="stop or skip, at unreadable images.")] = "stop",
    labels: Annotated[Path | None, typer.Option(help="CSV or JSON file of labels.")] = None,
    first_frame: Annotated[
        bool, typer.Option("--first-frame", help="Take the first image of an animation.")
    ] = False,
) -> None:
    """Cut, align and resize images to training data. No face is detected; landmarks are given."""
    from .core.data.prepare import prepare as write_prepared
    from .core.progress import progress_bar

    with progress_bar("image") as advance:
        done = write_prepared(
            source,
            out,
            size,
            crop=crop,
            align=align,
            filter_name=filter_,
            on_error=on_error,
            workers=workers,
            labels=labels,
            first_frame=first_frame,
            progress=advance,
        )
    for _, reason in done.skipped:
        print(f"skipped {reason}", file=sys.stderr)
    small = f" ({done.enlarged} were smaller)" if done.enlarged else ""
    print(f"{out}: {done.count} images of {size} px{small}, {len(done.skipped)} skipped")


@_command("Example: ganvas translate photos --model cyclegan.safetensors --out translated")
def translate(
    inputs: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    model: Annotated[str, typer.Option(help="pix2pix or CycleGAN model: a file or a name.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("output"),
    network: Annotated[
        str | None, typer.Option(help="Network of a file with several, such as B_to_A.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Use pix2pix's dropout, image i with this seed + i.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images computed at once.")] = 4,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Translate images with pix2pix or CycleGAN. Any size; each image is translated by itself."""
    from tqdm import tqdm

    from .core.checkpoints import load
    from .core.devices import choose_device
    from .core.files import check_output_folder
    from .core.translation import find_images, translate_files

    check_output_folder(out)
    images = find_images(inputs)
    loaded = load(model, device=choose_device(device), network=network)
    written = translate_files(loaded, images, out, seed=seed, chunk=batch)
    for path in tqdm(written, total=len(images), unit="image", disable=None, leave=False):
        tqdm.write(str(path))


@_command("Example: ganvas metrics fd_faces --real faces.zip --fake faces-stylegan2-64")
def metrics(
    names: Annotated[
        str,
        typer.Argument(
            help="Of fid, kid, is, prdc (these need --features), fd_faces, kd_faces, prdc_faces, "
            "ppl_faces, swd, diversity; psnr, ssim for a restorer."
        ),
    ],
    real: Annotated[str, typer.Option(help="Real images that training did not see.")],
    fake: Annotated[str, typer.Option(help="A model, or a folder or archive of images.")],
    features: Annotated[
        Path | None, typer.Option(help="File of Inception's weights; nothing is downloaded.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="Images compared; 1000, or all where there are fewer.")
    ] = None,
    resize: Annotated[
        str, typer.Option(help="How Inception's images are resized: tf1, clean or torch.")
    ] = "tf1",
    class_index: Annotated[
        int, typer.Option("--class", help="Class of a conditional model, from 0.")
    ] = -1,
    seed: Annotated[int, typer.Option(help="Seed of random projections and subsets.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json_: Annotated[Path | None, typer.Option("--json", help="Write the results there.")] = None,
) -> None:
    """Measure a model or a set of images against real images."""
    from tqdm import tqdm

    from .core.devices import choose_device
    from .core.evaluation import Request, evaluate_files
    from .core.files import atomic_write, check_output_file

    wanted = tuple(name.strip() for name in names.split(","))
    request = Request(wanted, count, seed, features, resize, class_index)
    if json_ is not None:
        check_output_file(json_)
    with tqdm(unit="image", leave=False, disable=None) as bar:

        def advance(stage: str, done: int, total: int) -> None:
            bar.set_description_str(stage, refresh=False)
            if done < bar.n:
                bar.reset()
            bar.total = total
            bar.update(done - bar.n)

        found = evaluate_files(request, real, fake, choose_device(device), advance)
    if json_ is not None:
        atomic_write(json_, json.dumps(found.as_dict(), indent=2) + "\n")
    for warning in found.warnings:
        print(f"ganvas: {warning}", file=sys.stderr)
    print(found.as_text())


@_command("Example: ganvas bench --ops modulated_conv2d,bias_act --threads 2 --json bench.json")
def bench(
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
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

    from .core.benchmark import as_text, benchmark, describe_backends, require_passed

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


if __name__ == "__main__":
    sys.exit(main())
