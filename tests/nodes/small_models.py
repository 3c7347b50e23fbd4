"""Small untrained models, and graphs of a few nodes run through the engine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch

from ganvas.core import checkpoints
from ganvas.core.models.stylegan2 import Generator
from ganvas.core.models.unet import RestorationUNet
from ganvas.nodes import registry
from ganvas.nodes.context import Context, Host
from ganvas.nodes.engine import run_workflow
from ganvas.nodes.spec import Socket, build_spec

SIZE = 16
GENERATOR = "faces-stylegan2-64.safetensors"
RESTORER = "faces-restore-unet-64.safetensors"


def save_generator(path: Path, *, seed: int, size: int = SIZE, **options: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Generator(
            z_dim=8,
            w_dim=12,
            img_resolution=size,
            channel_base=8 * size,
            channel_max=16,
            num_mapping_layers=2,
            **options,
        )
    checkpoints.save(
        path,
        arch="stylegan2-generator",
        config=asdict(net.config),
        tensors=net.state_dict(),
        training={},
    )


def save_restorer(path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = RestorationUNet(base_channels=4, num_levels=2)
        torch.nn.init.normal_(net.tail.weight, std=0.1)  # at first it is the identity
    checkpoints.save(
        path, arch="restore-unet", config=asdict(net.config), tensors=net.state_dict(), training={}
    )


def save_demo_stand_ins(folder: Path) -> None:
    """Small untrained models of the demo models' size under their names."""
    save_generator(folder / GENERATOR, seed=0, size=64)
    save_restorer(folder / RESTORER)


def run(host: Host, prompt: dict[str, Any], keep: tuple[str, int], **options: Any) -> list[Any]:
    """Run a graph through the engine and return the values of one output."""
    kept: list[Any] = []

    def keep_value(ctx: Context, value: Annotated[Any, Socket("*")]) -> None:
        """Keep a value for the test.

        Args:
            value: Anything.
        """
        kept.append(value)

    spec = build_spec(keep_value, id="Keep", title="Keep", category="test", output_node=True)
    prompt = {**prompt, "keep": {"class_type": "Keep", "inputs": {"value": list(keep)}}}
    run_workflow(prompt, host, registry={**registry(), "Keep": spec}, **options)
    return kept


def graph(**nodes: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Name nodes in API format; links are written ("node", slot)."""
    prompt = {}
    for name, (kind, inputs) in nodes.items():
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in inputs.items()}
        spec = registry()[f"Ganvas_{kind}"]
        defaults = {i.name: i.default for i in spec.widgets if i.default is not None}
        prompt[name] = {"class_type": spec.id, "inputs": {**defaults, **values}}
    return prompt


def faces(model: str = "tiny.safetensors", count: int = 2, **synthesis: Any) -> dict[str, Any]:
    return graph(
        load=("LoadGenerator", {"model": model}),
        sample=("SampleLatents", {"generator": ("load", 0), "count": count}),
        draw=("Synthesize", {"generator": ("load", 0), "latents": ("sample", 0), **synthesis}),
    )


def call(node: str, **inputs: Any) -> Any:
    """Call a node's function directly; widgets that are not given have their defaults."""
    spec = registry()[f"Ganvas_{node}"]
    defaults = {item.name: item.default for item in spec.widgets}
    return spec.function(Context(), **{**defaults, **inputs})
