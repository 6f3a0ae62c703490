"""Deformable convolution, first and second version."""

from collections.abc import Callable

import torch
import torchvision.ops as tv
from torch import Tensor

from .tensors import full, vjp


def _deform_conv(
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    group: int,
    deformable_group: int,
) -> Callable[..., Tensor]:
    """`(input, offset, weight, mask=None, bias=None) -> output`, of `torchvision.ops`."""

    def forward(
        input: Tensor,
        offset: Tensor,
        weight: Tensor,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        # torchvision computes both numbers of groups from the shapes, and would not notice.
        if input.shape[1] != group * weight.shape[1]:
            raise RuntimeError(
                f'deformable convolution: with group={group} and a weight of shape '
                f'{tuple(weight.shape)} the input needs {group * weight.shape[1]} channels, '
                f'got {input.shape[1]}'
            )
        channels = 2 * deformable_group * weight.shape[2] * weight.shape[3]
        if offset.shape[1] != channels:
            raise RuntimeError(
                f'deformable convolution: with deformable_group={deformable_group} and a kernel '
                f'of {tuple(weight.shape[2:])} the offset needs {channels} channels, '
                f'got {offset.shape[1]}'
            )
        return tv.deform_conv2d(input, offset, weight, bias, stride, padding, dilation, mask)

    return forward


def _deform_conv_v1(geometry: dict[str, int]) -> Callable[..., Tensor]:
    g = geometry
    return _deform_conv(
        (g['dH'], g['dW']),
        (g['padH'], g['padW']),
        (g['dilationH'], g['dilationW']),
        g['group'],
        g['deformable_group'],
    )


def _deform_conv_v2(geometry: dict[str, int]) -> Callable[..., Tensor]:
    g = geometry
    return _deform_conv(
        (g['stride_h'], g['stride_w']),
        (g['pad_h'], g['pad_w']),
        (g['dilation_h'], g['dilation_w']),
        g['group'],
        g['deformable_group'],
    )


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **geometry: int,
) -> None:
    """Deformable convolution (Dai et al., 2017), by `torchvision.ops.deform_conv2d`.

    Args:
        input: `(N, C, H, W)`.
        weight: `(C', C / group, kH, kW)`.
        offset: `(N, 2 * deformable_group * kH * kW, H', W')`, as `(y, x)` for each kernel entry.
        output: `(N, C', H', W')`, written.
        columns: scratch space of the compiled operator, unused.
        ones: scratch space too, unused.
        geometry: `dH`, `dW` (the stride), `padH`, `padW`, `dilationH`, `dilationW`, `group`,
            `deformable_group`; others are unused.

    Raises:
        RuntimeError: if the channels of `input` or `offset` do not fit the numbers of groups.
    """
    forward = _deform_conv_v1(geometry)
    output.copy_(forward(full(input), full(offset), full(weight)))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **geometry: int,
) -> None:
    """Two gradients of `deform_conv_forward`, added to `grad_input` and `grad_offset`.

    The other arguments are those of the forward operator and `grad_output`, of its output's shape.
    At a sample exactly one pixel outside the image, such as at the border while all offsets are
    still zero, bilinear interpolation has two one-sided derivatives. torchvision takes that of the
    side towards the image, compiled mmcv that of the other side, zero.
    """

    def forward(input: Tensor, offset: Tensor) -> Tensor:
        return _deform_conv_v1(geometry)(input, offset, full(weight))

    for buffer, grad in zip(
        (grad_input, grad_offset), vjp(forward, grad_output, input, offset), strict=True
    ):
        buffer.add_(grad)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    scale: float,
    **geometry: int,
) -> None:
    """`scale` times the third gradient of `deform_conv_forward`, added to `grad_weight`.

    The other arguments are those of the forward operator and `grad_output`, of its output's shape.
    """

    def forward(weight: Tensor) -> Tensor:
        return _deform_conv_v1(geometry)(full(input), full(offset), weight)

    # Linear in its weight, so its gradient is the same at any weight.
    (grad,) = vjp(forward, grad_output, torch.zeros_like(grad_weight))
    grad_weight.add_(grad, alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    *,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Deformable convolution v2 (Zhu et al., 2019), by `torchvision.ops.deform_conv2d`.

    Args:
        input: as in `deform_conv_forward`.
        weight: as in `deform_conv_forward`.
        bias: `(C',)`, or empty without `with_bias`.
        ones: scratch space of the compiled operator, unused.
        offset: as in `deform_conv_forward`.
        mask: `(N, deformable_group * kH * kW, H', W')`, a factor for each sample.
        output: as in `deform_conv_forward`.
        columns: scratch space too, unused.
        with_bias: whether to add `bias`.
        geometry: `stride_h`, `stride_w`, `pad_h`, `pad_w`, `dilation_h`, `dilation_w`, `group`,
            `deformable_group`; others are unused.

    Raises:
        RuntimeError: as in `deform_conv_forward`.
    """
    inputs = [input, offset, weight, mask] + [bias] * with_bias
    output.copy_(_deform_conv_v2(geometry)(*map(full, inputs)))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    *,
    with_bias: bool,
    **geometry: int,
) -> None:
    """The gradients of `modulated_deform_conv_forward`, added to the buffers named `grad_*`.

    The other arguments are those of the forward operator and `grad_output`, of its output's shape.
    For the offset gradient, see the remark at `deform_conv_backward_input`.
    """
    inputs = [input, offset, weight, mask] + [bias] * with_bias
    buffers = [grad_input, grad_offset, grad_weight, grad_mask] + [grad_bias] * with_bias
    for buffer, grad in zip(
        buffers, vjp(_deform_conv_v2(geometry), grad_output, *inputs), strict=True
    ):
        buffer.add_(grad)
