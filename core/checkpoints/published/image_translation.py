"""pix2pix's and CycleGAN's networks: our names are the same.

Instance normalisation of old files has statistics of training, which nothing ever used.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import InputError
from .family import PublishedFamily, Shapes, Values, argument, count_layers, shape_of

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_FIRST_BLOCK = 10  # number of the first residual block, and layers before and after the blocks
_LAST_LAYER = 17
_NUM_DOWNS_LIMIT = 16


def settled_statistics(tensors: Mapping[str, Tensor], config: Values) -> dict[str, Tensor]:
    """Leave out the statistics of normalisation without weights; count from 0 where none counted.

    The counter, which nothing here uses, came with PyTorch 0.4.1.
    """
    result = {
        name: tensor
        for name, tensor in tensors.items()
        if name.rpartition(".")[2] not in _STATISTICS
        or f"{name.rpartition('.')[0]}.weight" in tensors
    }
    for name in list(result):
        owner, _, part = name.rpartition(".")
        if part == "running_mean":
            counter = torch.zeros((), dtype=torch.int64)
            result.setdefault(f"{owner}.num_batches_tracked", counter)
    return result


def _norm(shapes: Shapes, norm: str, before: str) -> str:
    """The normalisation in layer `norm`, after the convolution in layer `before`."""
    if f"{norm}.weight" in shapes:
        return "batch"
    return "instance" if f"{before}.bias" in shapes else "none"


def _detect_unet(shapes: Shapes) -> bool:
    needed = ("model.model.0.weight", "model.model.1.model.1.weight", "model.model.3.weight")
    return all(len(shapes.get(name, ())) == 4 for name in needed)


def _infer_unet(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    ngf, in_channels = shape_of(shapes, "model.model.0.weight", 4)[:2]
    level, num_downs = "model.model.1.model", 2
    while f"{level}.5.weight" in shapes and num_downs < _NUM_DOWNS_LIMIT:
        level, num_downs = f"{level}.3.model", num_downs + 1
    inner = "model.model.1.model"
    return {
        "in_channels": in_channels,
        "out_channels": shape_of(shapes, "model.model.3.weight", 4)[1],
        "num_downs": num_downs,
        "ngf": ngf,
        "norm": _norm(shapes, f"{inner}.2", f"{inner}.1"),
        "use_dropout": argument("use_dropout", init, given, True),
    }


def _detect_resnet(shapes: Shapes) -> bool:
    first = shapes.get("model.1.weight", ())
    block = f"model.{_FIRST_BLOCK}.conv_block.1.weight"
    return first[2:] == (7, 7) and "model.4.weight" in shapes and block in shapes


def _infer_resnet(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    ngf, in_channels = shape_of(shapes, "model.1.weight", 4)[:2]
    num_blocks = count_layers(shapes, "model.{}.conv_block.1.weight", start=_FIRST_BLOCK)
    last = f"model.{num_blocks + _LAST_LAYER}.weight"
    if last not in shapes:
        raise InputError(f"{last} is missing after {num_blocks} residual blocks")
    # Dropout has no weights, but moves the second convolution on by one.
    second = shapes.get(f"model.{_FIRST_BLOCK}.conv_block.6.weight", ())
    return {
        "in_channels": in_channels,
        "out_channels": shape_of(shapes, last, 4)[0],
        "ngf": ngf,
        "num_blocks": num_blocks,
        "norm": _norm(shapes, "model.2", "model.1"),
        "use_dropout": len(second) == 4,
    }


def _detect_patchgan(shapes: Shapes) -> bool:
    if not all(name.startswith(("model.", "net.")) for name in shapes):
        return False
    patches = all(shapes.get(f"model.{i}.weight", ())[2:] == (4, 4) for i in (0, 2))
    pixels = all(shapes.get(f"net.{i}.weight", ())[2:] == (1, 1) for i in (0, 2, 5))
    return patches or pixels


def _infer_patchgan(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    root = "net" if "net.0.weight" in shapes else "model"
    ndf, in_channels = shape_of(shapes, f"{root}.0.weight", 4)[:2]
    convolutions = sum(len(shape) == 4 for shape in shapes.values())
    return {
        "in_channels": in_channels,
        "ndf": ndf,
        "num_layers": 0 if root == "net" else convolutions - 2,
        "norm": _norm(shapes, f"{root}.3", f"{root}.2"),
    }


PIX2PIX_UNET = PublishedFamily(
    "pix2pix-unet",
    detect=_detect_unet,
    infer=_infer_unet,
    translate=settled_statistics,
    given=("use_dropout",),
)
CYCLEGAN_RESNET = PublishedFamily(
    "cyclegan-resnet",
    detect=_detect_resnet,
    infer=_infer_resnet,
    translate=settled_statistics,
)
PATCHGAN = PublishedFamily(
    "patchgan",
    detect=_detect_patchgan,
    infer=_infer_patchgan,
    translate=settled_statistics,
)
