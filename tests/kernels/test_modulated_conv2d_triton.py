"""Launchers of the Triton kernels that other executors call, each tile and split by itself."""

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="triton is not installed")

from ganvas.kernels import setup_filter
from ganvas.kernels.modulated_conv2d import reference
from ganvas.kernels.modulated_conv2d.triton_convolution import (
    CONV_TILES,
    ConvTile,
    conv_tile,
    convolution,
    pack_weight,
    splits_of,
)
from ganvas.kernels.modulated_conv2d.triton_epilogue import (
    Epilogue,
    Image,
    epilogue,
    fir_epilogue,
    pack_filter,
)

from .tolerances import assert_near

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
F4 = setup_filter([1, 3, 3, 1])


def draw(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=rng).to(DEVICE)


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def ending(n: int, o: int, h: int, w: int, act: str = "lrelu") -> Epilogue:
    return Epilogue(
        draw(n, o), draw(n, 1, h, w), draw(1)[0], draw(o), draw(n, o, seed=1), act, 1.3, 0.9
    )


def finished(u: Tensor, end: Epilogue) -> Tensor:
    """The epilogue in float64: a reference whose convolution leaves u as it is."""
    count = u.shape[1]
    identity = torch.eye(count, dtype=torch.float64, device=u.device)[:, :, None, None]
    given = (end.d, end.noise, end.strength, end.bias, end.next_styles)
    d, noise, strength, bias, following = (None if t is None else t.double() for t in given)
    return reference.modulated_conv2d(
        u.double(), identity, None, d, noise, strength, bias, following,
        None, 1, end.act, end.gain, end.clamp,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize(
    "shape,tile",
    [
        ((2, 21, 19, 9, 8), ConvTile(64, 32, 32, 4, 2)),
        ((3, 16, 33, 3, 5), ConvTile(64, 32, 32, 4, 2)),
        ((2, 21, 19, 3, 7), ConvTile(16, 32, 16, 2, 2)),
    ],
    ids=str,
)
def test_convolution(shape, tile, splits, dtype):
    n, i, o, h, w = shape
    x, styles = channels_last(draw(n, i, h, w)).to(dtype), draw(n, i)
    weight = (draw(o, i, 3, 3) / (9 * i) ** 0.5).to(dtype)
    end = ending(n, o, h, w)
    want = finished(reference.convolve(x.double(), weight.double(), styles.double(), None, 1), end)
    y = convolution(x, pack_weight(weight), styles, end, tile=tile, splits=splits)
    assert y.dtype == dtype
    assert_near(y, want, scale=2)
    ready = channels_last(x * styles.to(dtype)[:, :, None, None])
    plain = convolution(ready, pack_weight(weight), None, end, tile=tile, splits=splits)
    assert_near(plain, want, scale=3)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("splits", [1, 3])
def test_epilogue_with_an_image(splits, store, add):
    n, o, h, w = 2, 37, 5, 7
    parts = torch.stack([channels_last(draw(n, o, h, w, seed=k)) for k in range(splits)])
    end = ending(n, o, h, w)
    u = parts.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    before = draw(n, 3, h, w, seed=9)
    image = Image(draw(n, 3, o), draw(3), before.clone(), 0.8, add)
    y = epilogue(u if splits > 1 else u[0], end, torch.float32, image, store)
    assert (y is not None) == store
    if y is not None:
        assert_near(y, finished(parts.sum(0), end))
    features = finished(parts.sum(0), Epilogue(*_without_next(end)))
    rgb = torch.einsum("nic,nchw->nihw", image.weight.double(), features)
    assert image.bias is not None
    rgb = (rgb + image.bias.double()[:, None, None]).clamp(-0.8, 0.8)
    assert_near(image.target, rgb + before if add else rgb, scale=2)


def _without_next(end: Epilogue) -> tuple:
    return end.d, end.noise, end.strength, end.bias, None, end.act, end.gain, end.clamp


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (1, 70, 1, 9), (2, 3, 20, 1)], ids=str)
@pytest.mark.parametrize("square", [False, True])
def test_fir_epilogue(square, shape, dtype):
    n, o, h, w = shape
    u = channels_last(draw(n, o, 2 * h + 1, 2 * w + 1)).to(dtype)
    f = torch.outer(F4, F4) if square else F4
    end = ending(n, o, 2 * h, 2 * w, "relu")
    filtered = reference.upfirdn2d(
        u.double(), f.to(DEVICE), (1, 1), (1, 1), reference.filter_padding(f), False, 4.0
    )
    y = fir_epilogue(u, pack_filter(f.to(DEVICE)), (1, 1), end, dtype)
    assert_near(y, finished(filtered, end), scale=2)


def test_tiles_are_few_and_chosen_by_shape():
    assert len(CONV_TILES) <= 8
    for rows in (16, 64, 1024, 1 << 20):
        for channels in (16, 64, 512):
            for itemsize in (2, 4):
                assert conv_tile(rows, channels, channels, itemsize).rows >= 16
    assert splits_of(200, 100) == 1
    assert 1 < splits_of(4, 72) <= 16
