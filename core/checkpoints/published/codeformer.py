"""CodeFormer, for restoration, colour and inpainting: our names are the same."""

import math
import re

from ...errors import InputError
from .family import PublishedFamily, Shapes, Values, argument, count_layers, shape_of

_HEADS = 8  # of the published networks
_BLOCK = re.compile(r"encoder\.blocks\.(\d+)\.")
_FUSION = re.compile(r"fuse_convs_dict\.(\d+)\.encode_enc\.conv1\.weight")
_AFTER_LEVELS = 5  # residual block, attention, residual block, normalisation, convolution


def _detect(shapes: Shapes) -> bool:
    needed = (
        "encoder.blocks.0.weight",
        "position_emb",
        "feat_emb.weight",
        "idx_pred_layer.1.weight",
    )
    return all(name in shapes for name in needed)


def _infer(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    channels = shape_of(shapes, "encoder.blocks.0.weight", 4)[0]
    levels = _levels(shapes)
    widths = [shape_of(shapes, f"encoder.blocks.{blocks[-1]}.conv2.weight", 4)[0]
              for blocks, _ in levels]  # fmt: skip
    counts = {len(blocks) for blocks, _ in levels}
    if len(counts) != 1 or any(width % channels for width in widths):
        raise InputError(
            f"the encoder's levels of {sorted(counts)} blocks and {widths} channels "
            "are not those of a CodeFormer"
        )
    tokens, features = shape_of(shapes, "position_emb", 2)
    codes, embed_dim = shape_of(shapes, "quantize.embedding.weight", 2)
    fusions = (_FUSION.fullmatch(name) for name in shapes)
    return {
        "img_resolution": math.isqrt(tokens) << (len(levels) - 1),
        "channels": channels,
        "channel_multipliers": [width // channels for width in widths],
        "num_res_blocks": counts.pop(),
        "attn_levels": [i for i, (_, attention) in enumerate(levels) if attention],
        "embed_dim": embed_dim,
        "codebook_size": codes,
        "transformer_dim": features,
        "num_heads": argument("num_heads", init, given, _HEADS),
        "num_layers": count_layers(shapes, "ft_layers.{}.linear1.weight"),
        "connect_resolutions": sorted(int(match[1]) for match in fusions if match),
    }


def _levels(shapes: Shapes) -> list[tuple[list[int], bool]]:
    """Numbers of the residual blocks of each level of the encoder, and whether it has attention."""
    last = max(int(match[1]) for name in shapes if (match := _BLOCK.match(name)))
    levels: list[tuple[list[int], bool]] = [([], False)]
    for index in range(1, last + 1 - _AFTER_LEVELS):
        name = f"encoder.blocks.{index}"
        blocks, attention = levels[-1]
        if f"{name}.conv.weight" in shapes:
            levels.append(([], False))
        elif f"{name}.conv1.weight" in shapes:
            levels[-1] = ([*blocks, index], attention)
        elif f"{name}.q.weight" in shapes:
            levels[-1] = (blocks, True)
    if not all(blocks for blocks, _ in levels):
        raise InputError("a level of the encoder has no residual blocks")
    return levels


CODEFORMER = PublishedFamily("codeformer", detect=_detect, infer=_infer, given=("num_heads",))
