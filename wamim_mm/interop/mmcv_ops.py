"""mmcv's detection operators in torchvision and plain torch.

`install` in `mmcv_ext` loads this file under the name `mmcv._ext` where mmcv was installed without
compiled operators. Each function has the name, the arguments and the output buffers with which
`mmcv/ops/*.py` (mmcv 2.1 and onedl-mmcv 2.3) calls the compiled one: results are written in place
into tensors that the caller made. What an operator means is taken from `mmcv/ops/csrc`. Nothing
here is bound to a device, but only the CPU is tested. Half precision is computed in float32.
Operators that are missing here raise NotImplementedError when called.
"""

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
import torchvision.ops as tv
from torch import Tensor

__all__ = [
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'get_compiler_version',
    'get_compiling_cuda_version',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'nms',
    'roi_align_backward',
    'roi_align_forward',
    'roi_pool_backward',
    'roi_pool_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softnms',
]


def __getattr__(name: str) -> Callable[..., NoReturn]:
    """Answer `mmcv.utils.ext_loader.load_ext`, which asks for each operator by name at import."""
    # Inspection tools ask modules for `__path__`, `__wrapped__`, `_repr_html_` and the like.
    if name.startswith('_'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

    def missing(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            f'mmcv operator {name!r}: this mmcv was installed without compiled operators, and the '
            'ones that wamim_mm puts in their place (torchvision.ops and plain torch) do not '
            f'include {name!r}. Install an mmcv with compiled operators: `pip install mmcv` with '
            'a torch that it has been built for (below 2.14), or a CUDA build of onedl-mmcv.'
        )

    missing.__name__ = missing.__qualname__ = name
    return missing


def get_compiler_version() -> str:
    """What `mmcv.utils.collect_env` prints as `MMCV Compiler`."""
    return 'n/a (torchvision and torch in place of compiled operators)'


def get_compiling_cuda_version() -> str:
    """What `mmcv.utils.collect_env` prints as `MMCV CUDA Compiler`."""
    return 'n/a'


def _full(x: Tensor) -> Tensor:
    """`x` in float32 or, if it has it already, float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _vjp(function: Callable[..., Tensor], grad_output: Tensor, *inputs: Tensor) -> list[Tensor]:
    """The gradient of `function(*inputs)` for each input, given that of its output."""
    leaves = [_full(x).detach().requires_grad_() for x in inputs]
    # mmcv calls the backward operators inside an autograd Function, where gradients are off.
    with torch.enable_grad():
        output = function(*leaves)
    return list(torch.autograd.grad(output, leaves, _full(grad_output)))


# ---------------------------------------------------------------- non-maximum suppression


def _with_offset(boxes: Tensor, offset: int) -> Tensor:
    """Boxes whose plain `x2 - x1` is the width that mmcv means, `x2 - x1 + offset`.

    The overlap `min(x2) - max(x1) + offset` grows by the same amount, so moving the far corner is
    all that torchvision needs.
    """
    return _full(boxes) + boxes.new_tensor([0, 0, offset, offset])


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Drop each box that overlaps one of a higher score by more than `iou_threshold`.

    Args:
        boxes: `(N, 4)`, as `(x1, y1, x2, y2)`.
        scores: `(N,)`.
        iou_threshold: the largest intersection over union that stays.
        offset: 0, or 1 if a box's width is `x2 - x1 + 1`.

    Returns:
        int64 indices of the boxes that stay, by descending score, from `torchvision.ops.nms`.
    """
    boxes = _with_offset(boxes, offset)
    # mmcv compares in the boxes' precision, torchvision in double: a float32 overlap of 0.6 is
    # above 0.6 there, and boxes with whole-numbered corners meet such thresholds exactly.
    iou_threshold = boxes.new_tensor(iou_threshold).item()
    return tv.nms(boxes, scores.to(boxes.dtype), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (Bodla et al., 2017): lower the scores of overlapping boxes, pick the best, repeat.

    As in mmcv, the very first pick is not held against `min_score`. Boxes of equal score are picked
    in their order, which compiled mmcv does not promise.

    Args:
        boxes: `(N, 4)`, as `(x1, y1, x2, y2)`.
        scores: `(N,)`.
        dets: `(N, 5)`, written: in its first `M` rows the picked boxes with their new scores.
        iou_threshold: overlap from which methods 0 and 1 lower a score.
        sigma: width of method 2.
        min_score: boxes whose score falls below are dropped.
        method: the factor for a score, 0 (naive): 0, 1 (linear): `1 - iou`, 2 (gaussian):
            `exp(-iou ** 2 / sigma)`, this one at every overlap.
        offset: as in `nms`.

    Returns:
        int64 indices `(M,)` of the picked boxes, in the order of picking.
    """
    shifted = _with_offset(boxes, offset)
    scores = _full(scores).clone()
    left = torch.arange(len(boxes), device=boxes.device)
    picked: list[Tensor] = []
    while len(left):
        best = left[scores[left].argmax()]
        dets[len(picked), :4] = boxes[best]
        dets[len(picked), 4] = scores[best]
        picked.append(best)

        left = left[left != best]
        # Two boxes without area have an overlap of 0 / 0, which is none.
        iou = tv.box_iou(shifted[best, None], shifted[left])[0].nan_to_num()
        if method == 2:
            factor = torch.exp(-(iou**2) / sigma)
        else:
            overlapping = torch.zeros_like(iou) if method == 0 else 1 - iou
            factor = torch.where(iou >= iou_threshold, overlapping, 1.0)
        scores[left] *= factor
        left = left[scores[left] >= min_score]
    return torch.stack(picked) if picked else left


# ---------------------------------------------------------------- region of interest


def _max_groups(
    rois: Tensor, output_size: tuple[int, int], spatial_scale: float, sampling_ratio: int
) -> Iterator[tuple[list[int], int, int]]:
    """Rois that have the same number of samples in a bin: their indices, rows, columns."""
    size = rois[:, 3:] * spatial_scale - rois[:, 1:3] * spatial_scale  # (R, 2): width, height
    if sampling_ratio > 0:
        counts = torch.full_like(size, sampling_ratio)
    else:
        # At least one, where mmcv takes the maximum of no sample at all and returns a constant.
        counts = (size / size.new_tensor(output_size[::-1])).ceil().clamp(min=1)
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, count in enumerate(counts.int().tolist()):
        groups.setdefault(tuple(count), []).append(index)
    for (columns, rows), members in groups.items():
        yield members, rows, columns


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign (He et al., 2017): the average or maximum of bilinear samples in each bin of a roi.

    Args:
        input: `(N, C, H, W)`.
        rois: `(R, 5)`, as `(index into N, x1, y1, x2, y2)`.
        output: `(R, C, aligned_height, aligned_width)`, written.
        argmax_y, argmax_x: of `output`'s shape with `pool_mode` 0, else empty. Written: row and
            column, within its bin, of the largest sample (compiled mmcv keeps its position in the
            image there; only `roi_align_backward` reads them).
        aligned_height, aligned_width: bins of a roi.
        spatial_scale: factor from the coordinates of `rois` to those of `input`.
        sampling_ratio: samples a bin along each axis; 0 takes about one for each pixel of `input`.
        pool_mode: 0 maximum, 1 average.
        aligned: whether to move the rois by half a pixel.
    """
    input = _full(input)
    rois = rois.to(input.dtype)
    size = (aligned_height, aligned_width)
    if pool_mode == 1:
        output.copy_(tv.roi_align(input, rois, size, spatial_scale, sampling_ratio, aligned))
        return
    for members, rows, columns in _max_groups(rois, size, spatial_scale, sampling_ratio):
        # With one sample a bin, an average over rows * columns times as many bins is the samples.
        fine = (aligned_height * rows, aligned_width * columns)
        samples = tv.roi_align(input, rois[members], fine, spatial_scale, 1, aligned)
        largest, index = F.max_pool2d(samples, (rows, columns), return_indices=True)
        output[members] = largest.to(output.dtype)
        argmax_y[members] = (index // fine[1] % rows).to(argmax_y.dtype)
        argmax_x[members] = (index % fine[1] % columns).to(argmax_x.dtype)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """The gradient of `roi_align_forward`, added to `grad_input` `(N, C, H, W)`.

    The other arguments are those of the forward operator and `grad_output`, of its output's shape.
    """
    grad_output = _full(grad_output)
    rois = rois.to(grad_output.dtype)
    size = (aligned_height, aligned_width)

    def add_gradient(grad: Tensor, rois: Tensor, size: tuple[int, int], ratio: int) -> None:
        def forward(x: Tensor) -> Tensor:
            return tv.roi_align(x, rois, size, spatial_scale, ratio, aligned)

        # Linear in its input, so its gradient is the same at any input.
        grad_input.add_(_vjp(forward, grad, torch.zeros_like(grad_input))[0])

    if pool_mode == 1:
        add_gradient(grad_output, rois, size, sampling_ratio)
        return
    y = torch.arange(aligned_height, device=rois.device)[:, None]
    x = torch.arange(aligned_width, device=rois.device)
    for members, rows, columns in _max_groups(rois, size, spatial_scale, sampling_ratio):
        fine = (aligned_height * rows, aligned_width * columns)
        row = y * rows + argmax_y[members].long()
        column = x * columns + argmax_x[members].long()
        index = (row * fine[1] + column).flatten(2)  # (R', C, bins)
        grad = grad_output.new_zeros(*index.shape[:2], fine[0] * fine[1])
        grad.scatter_(2, index, grad_output[members].flatten(2))
        add_gradient(grad.unflatten(2, fine), rois[members], fine, 1)


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    *,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """RoIPool (Girshick, 2015): the maximum of `input` in each bin of a roi.

    Not `torchvision.ops.roi_pool`, which rounds a roi's corners to whole pixels first; mmcv only
    rounds the edges of the bins. A bin outside of the image, or in a roi without area, is zero.

    Args:
        input: `(N, C, H, W)`.
        rois: `(R, 5)`, as `(index into N, x1, y1, x2, y2)`, the last pixel included.
        output: `(R, C, pooled_height, pooled_width)`, zeros, written.
        argmax: int32, of `output`'s shape, written: `y * W + x` of the maximum, -1 if none.
        pooled_height, pooled_width: bins of a roi.
        spatial_scale: factor from the coordinates of `rois` to those of `input`.
    """
    height, width = input.shape[2:]
    rois = _full(rois)
    start = rois[:, 1:3] * spatial_scale
    size = (rois[:, 3:] + 1) * spatial_scale - start  # (R, 2): width, height

    def edges(axis: int, bins: int, limit: int) -> list[list[list[int]]]:
        """The first pixel, and the one after the last, of each roi's bins along an axis."""
        index = torch.arange(bins, device=rois.device)
        step, origin = size[:, axis, None] / bins, start[:, axis, None]
        first = (index * step + origin).floor()
        last = ((index + 1) * step + origin).ceil()
        return torch.stack([first, last], -1).clamp(0, limit).int().tolist()

    argmax.fill_(-1)
    image, has_area = rois[:, 0].int().tolist(), (size > 0).all(1).tolist()
    left_right, top_bottom = edges(0, pooled_width, width), edges(1, pooled_height, height)
    for r in range(len(rois)):
        for y, (top, bottom) in enumerate(top_bottom[r]):
            for x, (left, right) in enumerate(left_right[r]):
                if not has_area[r] or bottom <= top or right <= left:
                    continue
                pixels = input[image[r], :, top:bottom, left:right].flatten(1)  # (C, pixels)
                output[r, :, y, x], index = pixels.max(1)
                row, column = top + index // (right - left), left + index % (right - left)
                argmax[r, :, y, x] = (row * width + column).to(argmax.dtype)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    *,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """The gradient of `roi_pool_forward`, added to `grad_input` `(N, C, H, W)`.

    The other arguments are those of the forward operator and `grad_output`, of its output's shape.
    """
    n, c, y, x = grad_input.shape
    pixels = argmax.long().flatten(2)  # (R, C, bins)
    channel = torch.arange(c, device=rois.device)[:, None]
    flat = ((rois[:, 0].long()[:, None, None] * c + channel) * y * x + pixels)[pixels >= 0]
    grad = _full(grad_input).flatten().clone()
    grad.index_add_(0, flat, _full(grad_output).flatten(2)[pixels >= 0])
    grad_input.copy_(grad.view(n, c, y, x))


# ---------------------------------------------------------------- focal loss


def _focal(
    input: Tensor, target: Tensor, weight: Tensor, alpha: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Sign (1 at the target class, else -1), logit of the truth and factor of each entry, (N, C).

    The truth is "it is this class" at the target class and "it is not" at the others.
    """
    input = _full(input)
    is_target = target[:, None] == torch.arange(input.shape[1], device=input.device)
    sign = torch.where(is_target, 1.0, -1.0).to(input.dtype)
    factor = torch.full_like(input, 1 - alpha).masked_fill_(is_target, alpha)
    if weight.numel():
        # Background, the label after the last class, weighs 1; compiled mmcv reads past the end.
        factor = factor * F.pad(_full(weight), (0, 1), value=1.0)[target][:, None]
    return sign, sign * input, factor


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, *, gamma: float, alpha: float
) -> None:
    """Focal loss (Lin et al., 2017), `-factor * (1 - p) ** gamma * log(p)`, `p` that of the truth.

    Args:
        input: logits `(N, C)`.
        target: int64 `(N,)`, a class, or `C` for background.
        weight: `(C,)`, the weight of a row by its target class; or empty, all 1.
        output: `(N, C)`, written.
        gamma: how much to hold back entries that are right already.
        alpha: `factor` at the target class; `1 - alpha` elsewhere.
    """
    _, logit, factor = _focal(input, target, weight, alpha)
    output.copy_(-factor * torch.sigmoid(-logit) ** gamma * F.logsigmoid(logit))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, *, gamma: float, alpha: float
) -> None:
    """The derivative of each entry of `sigmoid_focal_loss_forward` by its logit.

    Written to `grad_input` `(N, C)`; the other arguments are those of the forward operator.
    """
    sign, logit, factor = _focal(input, target, weight, alpha)
    # By hand: autograd makes 0 * inf of it where the loss is saturated and gamma is below 1.
    p, q = torch.sigmoid(logit), torch.sigmoid(-logit)
    grad_input.copy_(-factor * sign * q**gamma * (q - gamma * p * F.logsigmoid(logit)))


# ---------------------------------------------------------------- deformable convolution


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
        # torchvision reads both numbers of groups off the shapes, and would not notice.
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
        columns, ones: scratch space of the compiled operator, unused.
        geometry: `dH`, `dW` (the stride), `padH`, `padW`, `dilationH`, `dilationW`, `group`,
            `deformable_group`; others are unused.

    Raises:
        RuntimeError: if the channels of `input` or `offset` do not fit the numbers of groups.
    """
    forward = _deform_conv_v1(geometry)
    output.copy_(forward(_full(input), _full(offset), _full(weight)))


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
    At a sample exactly one pixel before the image, as at the border while all offsets are still
    zero, bilinear interpolation has a kink. torchvision then takes the offset gradient of the side
    towards the image, compiled mmcv that of the other side, zero.
    """

    def forward(input: Tensor, offset: Tensor) -> Tensor:
        return _deform_conv_v1(geometry)(input, offset, _full(weight))

    for buffer, grad in zip(
        (grad_input, grad_offset), _vjp(forward, grad_output, input, offset), strict=True
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
        return _deform_conv_v1(geometry)(_full(input), _full(offset), weight)

    # Linear in its weight, so its gradient is the same at any weight.
    (grad,) = _vjp(forward, grad_output, torch.zeros_like(grad_weight))
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
        input, weight, offset, output: as in `deform_conv_forward`.
        bias: `(C',)`, or empty without `with_bias`.
        mask: `(N, deformable_group * kH * kW, H', W')`, a factor for each sample.
        ones, columns: scratch space of the compiled operator, unused.
        with_bias: whether to add `bias`.
        geometry: `stride_h`, `stride_w`, `pad_h`, `pad_w`, `dilation_h`, `dilation_w`, `group`,
            `deformable_group`; others are unused.

    Raises:
        RuntimeError: as in `deform_conv_forward`.
    """
    inputs = [input, offset, weight, mask] + [bias] * with_bias
    output.copy_(_deform_conv_v2(geometry)(*map(_full, inputs)))


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
    The offset gradient is subject to the remark at `deform_conv_backward_input`.
    """
    inputs = [input, offset, weight, mask] + [bias] * with_bias
    buffers = [grad_input, grad_offset, grad_weight, grad_mask] + [grad_bias] * with_bias
    for buffer, grad in zip(
        buffers, _vjp(_deform_conv_v2(geometry), grad_output, *inputs), strict=True
    ):
        buffer.add_(grad)
