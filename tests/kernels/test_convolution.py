"""The plain convolution whose gradients are compiled, against PyTorch's in float64."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ganvas.kernels import build
from ganvas.kernels.convolution import convolution, transposed_convolution
from ganvas.kernels.convolution.op import convolution_op, input_gradient_op, weight_gradient_op
from ganvas.kernels.registry import use_backend

needs_compiler = pytest.mark.skipif(
    build.unavailable("cpu") is not None, reason="no C++ compiler or ninja"
)
BACKENDS = ["eager", pytest.param("cpu", marks=needs_compiler)]
OPS = ["convolution", "convolution_input_gradient", "convolution_weight_gradient"]

# N, I, O, size of the result, stride, kernel.
CASES = [
    (2, 32, 16, 4, 1, 3),
    (1, 16, 48, 7, 1, 3),
    (3, 48, 32, 8, 1, 3),
    (2, 16, 32, 17, 1, 3),
    (1, 64, 64, 23, 1, 3),
    (2, 32, 16, 1, 2, 3),
    (3, 16, 32, 4, 2, 3),
    (2, 48, 16, 9, 2, 3),
    (1, 16, 16, 18, 2, 3),
    (2, 3, 5, 6, 1, 1),
    (1, 16, 32, 9, 1, 1),
]
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def relative(value: Tensor, exact: Tensor) -> float:
    return float((value.double() - exact).norm() / exact.norm())


def tensors(case: tuple[int, ...], layout: torch.memory_format) -> tuple[Tensor, Tensor, Tensor]:
    count, channels, out, size, stride, kernel = case
    large = size if stride == 1 else 2 * size + 1
    draw = torch.Generator().manual_seed(sum(case))
    shapes = (
        (count, channels, large, large + 2 * (stride - 1)),
        (out, channels, kernel, kernel),
        (count, out, size, size + stride - 1),
    )
    x, weight, dy = (
        torch.randn(shape, generator=draw).contiguous(memory_format=layout) for shape in shapes
    )
    return x, weight, dy


def expected(x: Tensor, weight: Tensor, dy: Tensor, stride: int) -> tuple[Tensor, ...]:
    x, weight = (t.double().requires_grad_() for t in (x, weight))
    padding = weight.shape[2] // 2 if stride == 1 else 0
    y = functional.conv2d(x, weight * 0.7, stride=stride, padding=padding)
    return y.detach(), *torch.autograd.grad(y, (x, weight), dy.double())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_and_gradients(backend, layout, case, poisoned_empty):
    x, weight, dy = tensors(case, layout)
    y, dx, dweight = expected(x, weight, dy, case[4])
    x.requires_grad_()
    weight.requires_grad_()
    with use_backend(backend, ops=OPS):
        value = convolution(x, weight, stride=case[4], gain=0.7)
        gradients = torch.autograd.grad(value, (x, weight), dy)
    assert value.is_contiguous(memory_format=torch.channels_last)
    assert relative(value.detach(), y) < 1e-5
    assert relative(gradients[0], dx) < 1e-5
    assert relative(gradients[1], dweight) < 1e-5


@needs_compiler
@pytest.mark.parametrize("case", CASES, ids=str)
def test_double_backward_of_a_penalty(case):
    def penalty(x: Tensor, weight: Tensor, own: bool) -> Tensor:
        x = x.clone().requires_grad_()
        if own:
            y = convolution(x, weight, stride=case[4])
        else:
            padding = weight.shape[2] // 2 if case[4] == 1 else 0
            y = functional.conv2d(x, weight, stride=case[4], padding=padding)
        (dx,) = torch.autograd.grad((y.square() * y).sum(), x, create_graph=True)
        return dx.square().sum()

    x, weight, _ = tensors(case, torch.channels_last)
    weight.requires_grad_()
    (own,) = torch.autograd.grad(penalty(x, weight, True), weight)
    double = weight.detach().double().requires_grad_()
    (exact,) = torch.autograd.grad(penalty(x.double(), double, False), double)
    assert relative(own, exact) < 2e-5


def test_gradients_of_gradients_are_exact():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 5, 7, generator=draw, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 3, 3, generator=draw, dtype=torch.float64, requires_grad=True)
    for stride in (1, 2):

        def run(x: Tensor, weight: Tensor, stride: int = stride) -> Tensor:
            return convolution_op(x, weight, stride, 0.7)

        assert torch.autograd.gradcheck(run, (x, weight))
        assert torch.autograd.gradgradcheck(run, (x, weight))
        y = run(x, weight).detach().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda y, weight, stride=stride: input_gradient_op(y, weight, stride, 0.7), (y, weight)
        )
        assert torch.autograd.gradcheck(
            lambda y, x, stride=stride: weight_gradient_op(y, x, 3, stride, 0.7), (y, x)
        )


@pytest.mark.parametrize("case", CASES[:9], ids=str)
def test_transposed_is_the_adjoint(case):
    if case[4] != 2:
        pytest.skip("stride 2 only")
    x, weight, dy = tensors(case, torch.channels_last)
    back = transposed_convolution(dy, weight.transpose(0, 1))
    exact = functional.conv_transpose2d(dy.double(), weight.double(), stride=2)
    assert relative(back, exact) < 1e-5
    assert back.shape == x.shape


@needs_compiler
def test_same_for_any_batch_and_number_of_threads():
    x, weight, dy = tensors((4, 32, 32, 12, 1, 3), torch.channels_last)
    alone = convolution(x[1:2], weight)
    together = convolution(x, weight)
    assert torch.equal(alone[0], together[1])
    gradient = weight_gradient_op(dy, x, 3, 1, 1.0)
    threads = torch.get_num_threads()
    try:
        for count in (1, 3, 7):
            torch.set_num_threads(count)
            assert torch.equal(weight_gradient_op(dy, x, 3, 1, 1.0), gradient)
            assert torch.equal(convolution(x, weight), together)
    finally:
        torch.set_num_threads(threads)


@needs_compiler
def test_strided_views_of_weights_and_images():
    x, weight, dy = tensors((2, 32, 32, 9, 1, 3), torch.channels_last)
    wide = torch.randn(2, 64, 9, 9)
    view, turned = wide[:, ::2], weight.transpose(0, 1).flip(2)
    y, _, dweight = expected(view, turned, dy, 1)
    assert relative(convolution(view, turned, gain=0.7), y) < 1e-5
    assert relative(weight_gradient_op(dy, view, 3, 1, 0.7), dweight) < 1e-5
    expanded = dy[:1, :1].expand(2, 32, 9, 9)
    _, dx, _ = expected(x, weight, expanded, 1)
    assert relative(input_gradient_op(expanded, weight, 1, 0.7), dx) < 1e-5


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_opcheck(count, stride):
    x = torch.randn(count, 16, 9, 7, requires_grad=True)
    weight = torch.randn(32, 16, 3, 3, requires_grad=True)
    torch.library.opcheck(convolution_op, (x, weight, stride, 0.5))
    y = convolution_op(x, weight, stride, 0.5).detach().requires_grad_()
    torch.library.opcheck(input_gradient_op, (y, weight, stride, 0.5))
    torch.library.opcheck(weight_gradient_op, (y, x, 3, stride, 0.5))


def test_compile():
    x, weight, _ = tensors((2, 16, 32, 8, 1, 3), torch.channels_last)
    compiled = torch.compile(convolution, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(x, weight), convolution(x, weight))


@pytest.mark.parametrize(
    ("shapes", "stride", "message"),
    [
        (((2, 3, 4), (5, 3, 3, 3)), 1, "expected x"),
        (((2, 4, 4, 4), (5, 3, 3, 3)), 1, "expected x"),
        (((2, 3, 4, 4), (5, 3, 2, 2)), 1, "odd square k"),
        (((2, 3, 4, 4), (5, 3, 3, 3)), 3, "stride 1 or 2"),
        (((2, 3, 4, 5), (5, 3, 3, 3)), 2, "odd height"),
    ],
)
def test_rejects(shapes, stride, message):
    with pytest.raises(ValueError, match=message):
        convolution(torch.zeros(shapes[0]), torch.zeros(shapes[1]), stride=stride)
