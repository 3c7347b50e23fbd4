"""Nodes that measure sets of images."""

from __future__ import annotations

from typing import Annotated

from ..core.checkpoints import list_models
from ..core.evaluation import Request, evaluate, parse_names
from ..core.metrics.images import TensorImages
from ..core.metrics.resize import RESIZES
from .context import Context, Host
from .convert import image_to_unit
from .spec import Choice, Image, Seed, String, Text, node

NO_FILE = "none"


def _files(host: Host) -> list[str]:
    """Names of the files that may hold Inception's weights."""
    return [NO_FILE, *list_models(host.model_folders)]


@node(
    "Ganvas_QualityMetrics",
    title="Quality Metrics",
    category="ganvas/measure",
    aliases=("fid", "kid", "inception score", "precision recall", "swd", "diversity", "evaluate"),
    output_node=True,
)
def quality_metrics(
    ctx: Context,
    real: Image,
    fake: Image,
    metrics: Annotated[str, String()] = "fd_faces, kd_faces, prdc_faces, swd, diversity",
    inception: Annotated[str, Choice(_files)] = NO_FILE,
    resize: Annotated[str, Choice(RESIZES)] = "tf1",
    seed: Seed = 0,
) -> Text:
    """Measure how close a set of images comes to real ones, and how varied it is.

    Args:
        real: Real images, square; as many as there are of the smaller set are used.
        fake: Images to measure, of the same size.
        metrics: Names with commas between; those on Inception's features need its weights.
        inception: File of Inception's weights in a model folder, for fid, kid, is and prdc.
        resize: How images are brought to Inception's size; part of the result's name.
        seed: Seed of the random directions and subsets that some metrics use.

    Returns:
        table: One line per number, named by how it was measured.
    """
    file = None if inception == NO_FILE else ctx.find_model(inception)
    count = min(len(real), len(fake))
    request = Request(parse_names(metrics), count, seed, file, resize)
    sets = [
        TensorImages(name, image_to_unit(images, name=name))
        for name, images in (("real", real), ("fake", fake))
    ]
    found = evaluate(
        request,
        *sets,
        device=ctx.device,
        progress=lambda stage, done, total: ctx.progress(done, total),
    )
    table = "\n".join([found.as_text(), *found.warnings])
    ctx.show("text", [table])
    return table
