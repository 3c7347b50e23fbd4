"""RestoreFormer: our names are the same."""

from ...errors import InputError
from .family import PublishedFamily, Shapes, Values, argument, count_layers, shape_of

_HEADS = 8  # of the published network


def _detect(shapes: Shapes) -> bool:
    needed = (
        "encoder.down.0.block.0.conv1.weight",
        "decoder.mid.attn_1.norm2.weight",
        "quantize.embedding.weight",
    )
    return all(name in shapes for name in needed)


def _infer(shapes: Shapes, init: Values | None, given: Values) -> dict[str, object]:
    ch, in_channels = shape_of(shapes, "encoder.conv_in.weight", 4)[:2]
    levels = range(count_layers(shapes, "encoder.down.{}.block.0.conv1.weight"))
    widths = [shape_of(shapes, f"encoder.down.{i}.block.0.conv1.weight", 4)[0] for i in levels]
    with_attention = _attention(shapes, "encoder.down", levels)
    if _attention(shapes, "decoder.up", levels) != with_attention:
        raise InputError("RestoreFormer++ networks (attention at more sizes) are not supported")
    if any(width % ch for width in widths):
        raise InputError(f"the levels' channels {widths} are not multiples of {ch}")
    n_embed, embed_dim = shape_of(shapes, "quantize.embedding.weight", 2)
    return {
        "in_channels": in_channels,
        "out_channels": shape_of(shapes, "decoder.conv_out.weight", 4)[0],
        "ch": ch,
        "ch_mult": [width // ch for width in widths],
        "num_res_blocks": count_layers(shapes, "encoder.down.0.block.{}.conv1.weight"),
        "attn_levels": with_attention,
        "z_channels": shape_of(shapes, "encoder.conv_out.weight", 4)[0],
        "embed_dim": embed_dim,
        "n_embed": n_embed,
        "head_size": argument("head_size", init, given, _HEADS),
    }


def _attention(shapes: Shapes, part: str, levels: range) -> list[int]:
    return [i for i in levels if f"{part}.{i}.attn.0.q.weight" in shapes]


RESTOREFORMER = PublishedFamily("restoreformer", detect=_detect, infer=_infer, given=("head_size",))
