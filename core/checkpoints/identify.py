"""Says what a file seems to be: by its first bytes, or by the names of its tensors."""

import codecs
from collections.abc import Iterable
from pathlib import Path

PICKLE_START = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""First bytes of a pickle of protocol 2 to 5, as torch.save and the StyleGAN tools write."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GGUF", "a GGUF model"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89HDF", "an HDF5 (Keras) model"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x08\x07\x12\x07pytorch", "an ONNX model"),
    (b"version https://git-lfs", "a Git LFS pointer (the real file was never fetched)"),
    (b"<!DOCTYPE", "a web page (the download failed)"),
    (b"<html", "a web page (the download failed)"),
)

# What a file of unknown tensors seems to be: a description, and parts of names that tell it.
_BY_NAME: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("a LoRA (a small change of another model)", (".lora_up.", ".lora_down.", ".lora_A.")),
    ("a LoRA (a small change of another model)", (".lora_B.", "lora_unet_", ".lora.up.")),
    ("a ControlNet", ("control_model.", "controlnet_cond_embedding.", "controlnet_blocks.")),
    ("a Stable Diffusion checkpoint", ("model.diffusion_model.",)),
    ("a textual inversion embedding", ("emb_params", "string_to_param")),
    ("a diffusion transformer", ("double_blocks.0.", "transformer_blocks.0.", "joint_blocks.0.")),
    ("a diffusion U-Net", ("down_blocks.0.resnets.", "time_embedding.linear_1.", "time_embed.0.")),
    ("the VAE of a diffusion model", ("post_quant_conv.", "decoder.up_blocks.0.")),
    ("the VAE of a diffusion model", ("first_stage_model.", "decoder.mid.attn_1.")),
    ("a CLIP or other text model", ("text_model.encoder.", "visual.transformer.resblocks.")),
    ("a CLIP or other text model", ("cond_stage_model.", "encoder.block.0.layer.0.SelfAttention")),
    ("the state of an optimizer", (".exp_avg", "momentum_buffer", "param_groups")),
    ("a GPEN restorer", ("ecd0.",)),
    ("a BigGAN generator", (".bn1.gain.", "linear.u0", "gen_z.weight")),
    ("a YOLO detector", (".dfl.conv.", "model.0.conv.weight", "model.24.anchors")),
    ("a SwinIR or HAT network for super-resolution", ("layers.0.residual_group.blocks.",)),
    ("an Inception network, as FID uses it", ("Mixed_5b.", "Mixed_7c.")),
    ("a RetinaFace detector", ("BboxHead.", "LandmarkHead.")),
    ("a face parsing network", ("encoder.0.conv2d.", "cp.resnet.")),
    ("a perceptual metric (LPIPS)", ("lin0.model.1.",)),
    ("an e4e or pSp encoder", ("encoder.styles.0.", "encoder.input_layer.")),
    ("the paper's GFPGAN (v1), not the clean version that is read here", ("rgb1.activate.bias",)),
    ("a face recognition network", ("layer1.0.prelu.", "body.0.res_layer.", "repeat_1.0.branch")),
    ("a classifier (ResNet)", ("layer1.0.conv1.weight", "layer4.0.bn1.")),
    ("a classifier (VGG)", ("features.0.weight", "classifier.0.weight")),
)


# Whose classes a pickle may name, beside those that a model may be made of.
_BY_PROGRAM: tuple[tuple[str, str], ...] = (
    ("ultralytics.", "a YOLO detector"),
    ("models.yolo.", "a YOLO detector"),
    ("diffusers.", "a diffusion model"),
    ("transformers.", "a language or vision model of the transformers library"),
    ("clip.", "a CLIP or other text model"),
    ("open_clip.", "a CLIP or other text model"),
    ("torchvision.", "a classifier or detector of torchvision"),
    ("timm.", "a classifier of timm"),
    ("insightface.", "a face recognition network"),
    ("sklearn.", "a model of scikit-learn"),
    ("keras.", "a Keras model"),
)


def identify(path: Path) -> str | None:
    """Describe a file that holds no model by its first bytes; None when it may hold one.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(512)
    if not start:
        return "an empty file"
    for magic, description in _MAGIC:
        if start.lower().startswith(magic.lower()):
            return description
    return "a text file" if _is_text(start) else None


def _is_text(start: bytes) -> bool:
    """Whether bytes are UTF-8 without control characters, of which every model file has some."""
    text = codecs.getincrementaldecoder("utf-8")()  # the last character may be cut
    try:
        return all(c.isprintable() or c in "\t\n\r\f\ufeff" for c in text.decode(start))
    except UnicodeDecodeError:
        return False


def identify_class(name: str) -> str | None:
    """What a pickle seems to be that names a class `name`, if it is one of the known kinds."""
    return next((kind for start, kind in _BY_PROGRAM if name.startswith(start)), None)


def identify_tensors(names: Iterable[str]) -> str | None:
    """What a model of these tensor names seems to be, if it is one of the known kinds."""
    listed = list(names)
    for description, parts in _BY_NAME:
        if any(part in name for part in parts for name in listed):
            return description
    return None
