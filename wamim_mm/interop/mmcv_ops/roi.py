"""Pooling of regions of interest: RoIAlign and RoIPool."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
import torchvision.ops as tv
from torch import Tensor

from .tensors import full, vjp


def _max_groups(
    rois: Tensor, output_size: tuple[int, int], spatial_scale: float, sampling_ratio: int
) -> Iterator[tuple[list[int], int, int]]:
    """Rois that have the same number of samples in a bin: their indices, rows, columns."""
    size = rois[:, 3:] * spatial_scale - rois[:, 1:3] * spatial_scale  # (R, 2): width, height
    if sampling_ratio > 0:
        counts = torch.full_like(size, sampling_ratio)
    else:
        # At least one; mmcv may have none here, and then returns a constant as their maximum.
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
        argmax_y: of `output`'s shape with `pool_mode` 0, else empty. Written: the row, within its
            bin, of the largest sample. (Compiled mmcv writes its position in the image instead;
            only `roi_align_backward` reads it.)
        argmax_x: the same for the column.
        aligned_height: rows of bins of a roi.
        aligned_width: columns of bins of a roi.
        spatial_scale: factor from the coordinates of `rois` to those of `input`.
        sampling_ratio: samples a bin along each axis; 0 takes about one for each pixel of `input`.
        pool_mode: 0 maximum, 1 average.
        aligned: whether to move the rois by half a pixel.
    """
    input = full(input)
    rois = rois.to(input.dtype)
    size = (aligned_height, aligned_width)
    if pool_mode == 1:
        output.copy_(tv.roi_align(input, rois, size, spatial_scale, sampling_ratio, aligned))
        return
    for members, rows, columns in _max_groups(rois, size, spatial_scale, sampling_ratio):
        # With rows * columns times as many bins of one sample each, the averages are the samples.
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
    grad_output = full(grad_output)
    rois = rois.to(grad_output.dtype)
    size = (aligned_height, aligned_width)

    def add_gradient(grad: Tensor, rois: Tensor, size: tuple[int, int], ratio: int) -> None:
        def forward(x: Tensor) -> Tensor:
            return tv.roi_align(x, rois, size, spatial_scale, ratio, aligned)

        # Linear in its input, so its gradient is the same at any input.
        grad_input.add_(vjp(forward, grad, torch.zeros_like(grad_input))[0])

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
        pooled_height: rows of bins of a roi.
        pooled_width: columns of bins of a roi.
        spatial_scale: factor from the coordinates of `rois` to those of `input`.
    """
    height, width = input.shape[2:]
    rois = full(rois)
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
    grad = full(grad_input).flatten().clone()
    grad.index_add_(0, flat, full(grad_output).flatten(2)[pixels >= 0])
    grad_input.copy_(grad.view(n, c, y, x))
