"""mmcv's public operators on the stand-in, against loops written from their definitions."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

pytest.importorskip('mmcv')

from mmengine.registry import init_default_scope

from wamim_mm.interop.mmcv_ext import install

install()

from mmcv import _ext  # noqa: E402

if 'stand_in' not in _ext.__file__:
    pytest.skip('this mmcv has compiled operators', allow_module_level=True)

from mmcv.ops import (  # noqa: E402
    DeformConv2d,
    DeformConv2dPack,
    ModulatedDeformConv2d,
    ModulatedDeformConv2dPack,
    RoIAlign,
    RoIPool,
    SigmoidFocalLoss,
    batched_nms,
    deform_conv2d,
    modulated_deform_conv2d,
    nms,
    roi_align,
    roi_pool,
    sigmoid_focal_loss,
    soft_nms,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def assert_same_gradients(actual, expected, inputs):
    """Both functions return the same, and so do their gradients under one random cotangent."""
    a, e = actual(*inputs), expected(*inputs)
    torch.testing.assert_close(a, e)
    cotangent = torch.randn_like(a)
    torch.testing.assert_close(
        torch.autograd.grad(a, inputs, cotangent), torch.autograd.grad(e, inputs, cotangent)
    )


def leaf(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


# ---------------------------------------------------------------- non-maximum suppression


def iou(a, b, offset):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)

    def area(box):
        return (box[2] - box[0] + offset) * (box[3] - box[1] + offset)

    union = area(a) + area(b) - width * height
    return width * height / union if union else 0.0


def random_boxes(n):
    """Boxes with corners on a grid of 1/4, exact in float32, and distinct scores."""
    corner, size = torch.randint(0, 80, (n, 2)) / 4, torch.randint(1, 60, (n, 2)) / 4
    return torch.cat([corner, corner + size], 1), (torch.randperm(n) + 1) / (n + 1)


def greedy_nms(boxes, scores, threshold, offset):
    order = sorted(range(len(boxes)), key=lambda i: -scores[i])
    keep = []
    for i in order:
        if all(iou(boxes[i], boxes[k], offset) <= threshold for k in keep):
            keep.append(i)
    return keep


class TestNMS:
    @pytest.mark.parametrize('offset', [0, 1])
    @pytest.mark.parametrize('threshold', [0.1, 0.31, 0.7])
    @pytest.mark.parametrize('n', [1, 60])
    def test_greedy_search(self, n, threshold, offset):
        boxes, scores = random_boxes(n)
        dets, keep = nms(boxes, scores, threshold, offset)
        assert keep.tolist() == greedy_nms(boxes.tolist(), scores.tolist(), threshold, offset)
        assert torch.equal(dets, torch.cat([boxes[keep], scores[keep, None]], 1))

    def test_offset_changes_the_overlap(self):
        # Areas 1 and 2, overlap 1: 1/2. With the offset areas 4 and 6, overlap 4: 2/3.
        boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 2]])
        scores = torch.tensor([0.1, 0.9])
        assert nms(boxes, scores, 0.6, 0)[1].tolist() == [1, 0]
        assert nms(boxes, scores, 0.6, 1)[1].tolist() == [1]

    def test_neighbours_overlap_with_the_offset_only(self):
        # One pixel apart: without the offset they do not touch; with it they share a column, of
        # 2 x 2 and 2 x 2 pixels: 2 / 6.
        boxes = torch.tensor([[0.0, 0, 1, 1], [1, 0, 2, 1]])
        scores = torch.tensor([0.9, 0.8])
        assert nms(boxes, scores, 0.3, 0)[1].tolist() == [0, 1]
        assert nms(boxes, scores, 0.3, 1)[1].tolist() == [0]

    def test_overlap_at_the_threshold_stays(self):
        # 60 / 100, which in float32 is above the double 0.6.
        boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 6]])
        assert nms(boxes, torch.tensor([0.9, 0.8]), 0.6)[1].tolist() == [0, 1]

    def test_empty(self):
        dets, keep = nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
        assert (dets.shape, keep.shape, keep.dtype) == ((0, 5), (0,), torch.long)

    def test_half_precision_and_mixed(self):
        boxes, scores = random_boxes(30)
        expected = nms(boxes, scores, 0.5)[1]
        assert torch.equal(nms(boxes.half(), scores.half(), 0.5)[1], expected)
        assert torch.equal(nms(boxes, scores.half(), 0.5)[1], expected)

    def test_score_threshold_max_num_and_numpy(self):
        boxes = np.array([[0, 0, 1, 1], [5, 5, 6, 6], [7, 7, 8, 8], [2, 2, 3, 3]], np.float32)
        scores = np.array([0.1, 0.5, 0.7, 0.6], np.float32)
        dets, keep = nms(boxes, scores, 0.5, score_threshold=0.2, max_num=2)
        assert keep.tolist() == [2, 3]
        assert isinstance(dets, np.ndarray)

    def test_batched(self):
        boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 8]])
        scores, labels = torch.tensor([0.7, 0.8, 0.9]), torch.tensor([0, 1, 0])
        config = {'type': 'nms', 'iou_threshold': 0.5}
        assert batched_nms(boxes, scores, labels, config)[1].tolist() == [2, 1]
        assert batched_nms(boxes, scores, labels, config, class_agnostic=True)[1].tolist() == [2]


def slow_soft_nms(boxes, scores, threshold, sigma, min_score, method, offset):
    scores, left, out = list(scores), list(range(len(boxes))), []
    while left:
        best = max(left, key=lambda i: scores[i])
        out.append((best, scores[best]))
        left.remove(best)
        for i in list(left):
            overlap = iou(boxes[best], boxes[i], offset)
            if method == 'gaussian':
                scores[i] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= threshold:
                scores[i] *= 0 if method == 'naive' else 1 - overlap
            if scores[i] < min_score:
                left.remove(i)
    return out


class TestSoftNMS:
    @pytest.mark.parametrize('offset', [0, 1])
    @pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
    @pytest.mark.parametrize('min_score', [0.0, 0.15])
    def test_slow_search(self, min_score, method, offset):
        boxes, scores = random_boxes(40)
        settings = {'sigma': 0.4, 'min_score': min_score, 'method': method, 'offset': offset}
        dets, keep = soft_nms(boxes, scores, 0.3, **settings)
        expected = slow_soft_nms(boxes.tolist(), scores.tolist(), 0.3, **settings)
        # Scores that were set to zero are equal, and their order is free.
        picked = sum(score > 0 for _, score in expected)
        assert len(keep) == len(expected)
        assert keep[:picked].tolist() == [index for index, _ in expected[:picked]]
        torch.testing.assert_close(dets[:, 4], torch.tensor([score for _, score in expected]))
        assert torch.equal(dets[:, :4], boxes[keep])

    @pytest.mark.parametrize(
        ('method', 'score'),
        [('naive', None), ('linear', 0.4), ('gaussian', 0.8 * math.exp(-0.25 / 0.5))],
    )
    def test_two_boxes_that_overlap_by_half(self, method, score):
        boxes = torch.tensor([[0.0, 0, 2, 1], [0, 0, 2, 2]])
        dets, keep = soft_nms(boxes, torch.tensor([0.8, 0.9]), 0.5, 0.5, 0.01, method)
        assert keep.tolist() == ([1] if score is None else [1, 0])
        if score is not None:
            assert dets[1, 4].item() == pytest.approx(score)

    def test_boxes_without_area_do_not_overlap(self):
        boxes = torch.tensor([[4.0, 3, 5, 3], [4, 3, 5, 4], [3, 1, 3, 1], [3, 1, 3, 1]])
        scores = torch.tensor([0.9, 0.8, 0.4, 0.0])
        for method in ('naive', 'linear', 'gaussian'):
            dets, keep = soft_nms(boxes, scores, 0.6, method=method)
            assert keep.tolist() == [0, 1, 2]
            torch.testing.assert_close(dets[:, 4], scores[:3])

    def test_empty(self):
        dets, keep = soft_nms(torch.zeros(0, 4), torch.zeros(0))
        assert (dets.shape, keep.shape, keep.dtype) == ((0, 5), (0,), torch.long)

    def test_inputs_are_left_alone(self):
        boxes, scores = random_boxes(20)
        copies = boxes.clone(), scores.clone()
        soft_nms(boxes, scores, 0.1)
        assert torch.equal(boxes, copies[0])
        assert torch.equal(scores, copies[1])


# ---------------------------------------------------------------- RoIAlign


def clamped_bilinear(image, y, x):
    """`image` (C, H, W) at a point; beyond the edge the edge goes on for a pixel, then zero."""
    height, width = image.shape[1:]
    if y < -1 or y > height or x < -1 or x > width:
        return image[:, 0, 0] * 0
    y, x = max(y, 0.0), max(x, 0.0)
    top, left = min(int(y), height - 1), min(int(x), width - 1)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy = y - top if top < height - 1 else 0.0
    dx = x - left if left < width - 1 else 0.0
    return (
        image[:, top, left] * (1 - dy) * (1 - dx)
        + image[:, top, right] * (1 - dy) * dx
        + image[:, bottom, left] * dy * (1 - dx)
        + image[:, bottom, right] * dy * dx
    )


def slow_roi_align(images, rois, size, scale, ratio, mode, aligned):
    """(R, C, *size)."""
    shift = 0.5 if aligned else 0.0
    out = []
    for index, *corners in rois.tolist():
        x1, y1, x2, y2 = (c * scale - shift for c in corners)
        height, width = y2 - y1, x2 - x1
        if not aligned:
            height, width = max(height, 1.0), max(width, 1.0)
        rows = ratio or math.ceil(height / size[0])
        columns = ratio or math.ceil(width / size[1])
        for i in range(size[0]):
            for j in range(size[1]):
                samples = [
                    clamped_bilinear(
                        images[int(index)],
                        y1 + (i + (a + 0.5) / rows) * height / size[0],
                        x1 + (j + (b + 0.5) / columns) * width / size[1],
                    )
                    for a in range(rows)
                    for b in range(columns)
                ]
                samples = torch.stack(samples)
                out.append(samples.mean(0) if mode == 'avg' else samples.amax(0))
    return torch.stack(out).unflatten(0, (len(rois), *size)).permute(0, 3, 1, 2)


# One inside, one over two edges, one so small that `aligned` matters, one beyond the image.
ROIS = torch.tensor(
    [
        [1, 1.3, 2.1, 9.7, 13.2],
        [0, -3.1, 5.3, 4.2, 19.4],
        [1, 6.2, 6.1, 6.9, 7.3],
        [0, 40.1, 40.2, 47.3, 44.4],
        [0, 3.3, 1.2, 15.1, 5.7],
    ],
    dtype=torch.float64,
)


class TestRoIAlign:
    @pytest.mark.parametrize('aligned', [True, False])
    @pytest.mark.parametrize('mode', ['avg', 'max'])
    @pytest.mark.parametrize('ratio', [0, 2])
    @pytest.mark.parametrize('size', [(3, 2), (1, 4)])
    def test_loops(self, size, ratio, mode, aligned):
        settings = (ROIS, size, 0.5, ratio, mode, aligned)
        assert_same_gradients(
            lambda x: roi_align(x, *settings),
            lambda x: slow_roi_align(x, *settings),
            (leaf(2, 3, 8, 9),),
        )

    def test_by_hand(self):
        # Value = column. The roi spans columns 1 to 5 at scale 1: aligned, its two bins are
        # centred on 1.5 and 3.5; legacy, on 2 and 4. The two samples of a bin lie 1/2 to each side.
        x = torch.arange(8.0).expand(1, 1, 8, 8)
        roi = torch.tensor([[0.0, 1, 1, 5, 5]])
        for mode, aligned, expected in [
            ('avg', True, [1.5, 3.5]),
            ('avg', False, [2.0, 4.0]),
            ('max', True, [2.0, 4.0]),
            ('max', False, [2.5, 4.5]),
        ]:
            out = RoIAlign((1, 2), 1.0, 2, mode, aligned)(x, roi)
            assert out.flatten().tolist() == expected

    @pytest.mark.parametrize('mode', ['avg', 'max'])
    def test_no_rois(self, mode):
        x = leaf(2, 3, 8, 9)
        out = roi_align(x, ROIS[:0], (3, 2), 0.5, 0, mode, True)
        assert out.shape == (0, 3, 3, 2)
        out.sum().backward()
        assert not x.grad.any()

    @pytest.mark.parametrize('mode', ['avg', 'max'])
    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_half_precision(self, dtype, mode):
        # Coordinates and values that both types hold exactly, but for the values' last digits.
        rois = torch.tensor([[0.0, 1, 2, 9, 14], [1, 3, 1, 15, 6]])
        x = torch.randn(2, 3, 8, 9).to(dtype)
        low, high = x.clone().requires_grad_(), x.float().requires_grad_()
        out = roi_align(low, rois.to(dtype), (3, 2), 0.5, 0, mode, True)
        expected = roi_align(high, rois, (3, 2), 0.5, 0, mode, True)
        assert out.dtype == dtype
        torch.testing.assert_close(out.float(), expected, rtol=0.01, atol=0.01)
        out.sum().backward()
        expected.sum().backward()
        torch.testing.assert_close(low.grad.float(), high.grad, rtol=0.02, atol=0.02)

    def test_roi_without_area(self):
        x = torch.arange(8.0).expand(1, 1, 8, 8)
        roi = torch.tensor([[0.0, 3.5, 3.5, 3.5, 3.5]])
        assert roi_align(x, roi, (2, 2), 1.0, 0, 'avg', True).eq(0).all()
        assert roi_align(x, roi, (2, 2), 1.0, 0, 'max', True).eq(3).all()


# ---------------------------------------------------------------- RoIPool


def slow_roi_pool(images, rois, size, scale):
    """(R, C, *size)."""
    out = []
    for index, x1, y1, x2, y2 in rois.tolist():
        x1, y1, x2, y2 = x1 * scale, y1 * scale, (x2 + 1) * scale, (y2 + 1) * scale
        dy, dx = (y2 - y1) / size[0], (x2 - x1) / size[1]
        for i in range(size[0]):
            for j in range(size[1]):
                top, bottom = math.floor(y1 + i * dy), math.ceil(y1 + (i + 1) * dy)
                left, right = math.floor(x1 + j * dx), math.ceil(x1 + (j + 1) * dx)
                pixels = images[int(index)][
                    :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)
                ].flatten(1)
                empty = pixels.shape[1] == 0 or dy <= 0 or dx <= 0
                out.append(images[0, :, 0, 0] * 0 if empty else pixels.amax(1))
    return torch.stack(out).unflatten(0, (len(rois), *size)).permute(0, 3, 1, 2)


class TestRoIPool:
    @pytest.mark.parametrize('size', [(3, 2), (1, 4)])
    @pytest.mark.parametrize('scale', [0.5, 1.0])
    def test_loops(self, scale, size):
        malformed = torch.tensor([[0, 5.2, 5.1, 2.2, 9.3]], dtype=torch.float64)
        rois = torch.cat([ROIS, malformed])
        assert_same_gradients(
            lambda x: roi_pool(x, rois, size, scale),
            lambda x: slow_roi_pool(x, rois, size, scale),
            (leaf(2, 3, 8, 9),),
        )

    def test_by_hand(self):
        # Columns 1 to 3, the last one included, in two bins of 1.5: 1 to 2.5, 2.5 to 4. Both hold
        # column 2. Value = column, and the gradient of both maxima arrives at their pixels.
        x = torch.arange(6.0).expand(1, 1, 1, 6).clone().requires_grad_()
        out = RoIPool((1, 2))(x, torch.tensor([[0.0, 1, 0, 3, 0]]))
        assert out.flatten().tolist() == [2, 3]
        (out * torch.tensor([10.0, 20.0])).sum().backward()
        assert x.grad.flatten().tolist() == [0, 0, 10, 20, 0, 0]

    def test_corners_are_not_rounded(self):
        # Pixels 1.4 to 3.4: rounding the corners, as torchvision does, would leave out pixel 3.
        x = torch.arange(6.0).expand(1, 1, 1, 6)
        out = roi_pool(x, torch.tensor([[0.0, 1.4, 0, 2.4, 0]]), (1, 1), 1.0)
        assert out.item() == 3

    def test_no_rois(self):
        x = leaf(2, 3, 8, 9)
        out = roi_pool(x, ROIS[:0], (3, 2), 0.5)
        assert out.shape == (0, 3, 3, 2)
        out.sum().backward()
        assert not x.grad.any()

    def test_half_precision(self):
        x = torch.randn(2, 3, 8, 9).half().requires_grad_()
        rois = torch.tensor([[0.0, 1, 2, 9, 14], [1, 3, 1, 15, 6]])
        out = roi_pool(x, rois.half(), (3, 2), 0.5)
        assert torch.equal(out.float(), roi_pool(x.float(), rois, (3, 2), 0.5))
        out.sum().backward()
        assert x.grad.sum() == out.numel()


# ---------------------------------------------------------------- focal loss


def slow_focal_loss(logits, target, gamma, alpha, weight):
    rows = []
    for row, t in zip(logits, target.tolist(), strict=True):
        factor = 1.0 if weight is None or t == len(row) else weight[t]
        for c, z in enumerate(row):
            p = 1 / (1 + torch.exp(-z))
            if c == t:
                rows.append(-factor * alpha * (1 - p) ** gamma * torch.log(p))
            else:
                rows.append(-factor * (1 - alpha) * p**gamma * torch.log(1 - p))
    return torch.stack(rows).view(logits.shape)


class TestSigmoidFocalLoss:
    # Three classes; label 3 is background.
    target = torch.tensor([0, 2, 3, 1, 1, 3])
    weight = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)

    @pytest.mark.parametrize('weighted', [False, True])
    @pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (0.0, 0.5), (1.5, 0.9)])
    def test_loops(self, gamma, alpha, weighted):
        settings = (self.target, gamma, alpha, self.weight if weighted else None)
        assert_same_gradients(
            lambda x: sigmoid_focal_loss(x, *settings, 'none'),
            lambda x: slow_focal_loss(x, *settings),
            (leaf(6, 3),),
        )

    def test_gradient_by_finite_differences(self):
        def loss(x):
            return sigmoid_focal_loss(x, self.target, 2.0, 0.25, self.weight, 'none')

        assert torch.autograd.gradcheck(loss, (leaf(6, 3),))

    def test_by_hand(self):
        # p = 1/2 everywhere: 1/4 log 2, by 0.25 at the class and 0.75 elsewhere.
        loss = sigmoid_focal_loss(torch.zeros(2, 2), torch.tensor([1, 2]), 2.0, 0.25, None, 'none')
        expected = torch.tensor([[0.75, 0.25], [0.75, 0.75]]) * 0.25 * math.log(2)
        torch.testing.assert_close(loss, expected)

    @pytest.mark.parametrize(('reduction', 'divisor'), [('sum', 1), ('mean', 6)])
    def test_reduction(self, reduction, divisor):
        x = leaf(6, 3)
        loss = SigmoidFocalLoss(2.0, 0.25, reduction=reduction)(x, self.target)
        expected = slow_focal_loss(x, self.target, 2.0, 0.25, None).sum() / divisor
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(torch.autograd.grad(loss, x), torch.autograd.grad(expected, x))

    @pytest.mark.parametrize('gamma', [0.5, 2.0])
    def test_saturated_logits(self, gamma):
        x = torch.tensor([[60.0, -60.0]], requires_grad=True)
        right = sigmoid_focal_loss(x, torch.tensor([0]), gamma, 0.25, None, 'none')
        wrong = sigmoid_focal_loss(x, torch.tensor([1]), gamma, 0.25, None, 'none')
        torch.testing.assert_close(right, torch.zeros(1, 2), rtol=0, atol=1e-9)
        # p = 1: the loss is the distance from zero, with slopes -alpha and 1 - alpha.
        torch.testing.assert_close(wrong, torch.tensor([[45.0, 15.0]]))
        (right + wrong).sum().backward()
        torch.testing.assert_close(x.grad, torch.tensor([[0.75, -0.25]]))

    def test_no_rows(self):
        x = leaf(0, 3)
        sigmoid_focal_loss(x, self.target[:0], 2.0, 0.25, None, 'sum').backward()
        assert x.grad.shape == (0, 3)

    def test_half_precision(self):
        x = torch.randn(6, 3).half()
        loss = sigmoid_focal_loss(x, self.target, 2.0, 0.25, self.weight.half(), 'none')
        expected = slow_focal_loss(x.double(), self.target, 2.0, 0.25, self.weight)
        assert loss.dtype == torch.float16
        torch.testing.assert_close(loss.double(), expected, rtol=1e-2, atol=1e-3)


# ---------------------------------------------------------------- deformable convolution


def zero_bilinear(image, y, x):
    """`image` (C, H, W) at a point, differentiable by it; outside of the image it is zero."""
    height, width = image.shape[1:]
    top, left = int(y.detach().floor()), int(x.detach().floor())
    value = image[:, 0, 0] * 0
    for row, wy in ((top, top + 1 - y), (top + 1, y - top)):
        for column, wx in ((left, left + 1 - x), (left + 1, x - left)):
            if 0 <= row < height and 0 <= column < width:
                value = value + image[:, row, column] * wy * wx
    return value


def slow_deform_conv(x, offset, weight, mask, bias, stride, padding, dilation, groups, deform):
    """Sum over the kernel of weight * mask * image at (regular position + offset)."""
    batch, _, height, width = x.shape
    out_channels, per_group, kernel_h, kernel_w = weight.shape
    out_h = (height + 2 * padding[0] - dilation[0] * (kernel_h - 1) - 1) // stride[0] + 1
    out_w = (width + 2 * padding[1] - dilation[1] * (kernel_w - 1) - 1) // stride[1] + 1
    out = []
    for n in range(batch):
        for i in range(out_h):
            for j in range(out_w):
                # What the kernel sees: (channels, kernel_h * kernel_w).
                seen = []
                for k in range(kernel_h * kernel_w):
                    parts = []
                    for d, part in enumerate(x[n].chunk(deform)):
                        at = d * kernel_h * kernel_w + k
                        y = i * stride[0] - padding[0] + k // kernel_w * dilation[0]
                        z = j * stride[1] - padding[1] + k % kernel_w * dilation[1]
                        value = zero_bilinear(
                            part, y + offset[n, 2 * at, i, j], z + offset[n, 2 * at + 1, i, j]
                        )
                        parts.append(value if mask is None else value * mask[n, at, i, j])
                    seen.append(torch.cat(parts))
                seen = torch.stack(seen, 1)
                for o in range(out_channels):
                    first = o // (out_channels // groups) * per_group
                    kernel = weight[o].flatten(1)
                    value = (seen[first : first + per_group] * kernel).sum()
                    out.append(value if bias is None else value + bias[o])
    out = torch.stack(out).view(batch, out_h, out_w, out_channels)
    return out.permute(0, 3, 1, 2)


# stride, padding, dilation, groups, deform_groups
GEOMETRIES = [
    ((1, 1), (1, 1), (1, 1), 1, 1),
    ((2, 1), (0, 2), (1, 2), 1, 2),
    ((1, 2), (2, 1), (2, 1), 2, 1),
    ((2, 2), (1, 1), (1, 1), 2, 4),
]


def deform_inputs(geometry, batch=2, dtype=torch.float64):
    """Image, offset, weight and mask for a 3 x 2 kernel; offsets reach beyond the image."""
    stride, padding, dilation, groups, deform = geometry
    out_h = (5 + 2 * padding[0] - dilation[0] * 2 - 1) // stride[0] + 1
    out_w = (6 + 2 * padding[1] - dilation[1] - 1) // stride[1] + 1
    x, weight = leaf(batch, 4, 5, 6, dtype=dtype), leaf(6, 4 // groups, 3, 2, dtype=dtype)
    offset = leaf(batch, deform * 12, out_h, out_w, dtype=dtype)
    mask = leaf(batch, deform * 6, out_h, out_w, dtype=dtype)
    return x, offset, weight, mask


class TestDeformConv:
    @pytest.mark.parametrize('geometry', GEOMETRIES)
    def test_loops(self, geometry):
        x, offset, weight, _ = deform_inputs(geometry)
        assert_same_gradients(
            lambda x, offset, weight: deform_conv2d(x, offset, weight, *geometry),
            lambda x, o, w: slow_deform_conv(x, o, w, None, None, *geometry),
            (x, offset, weight),
        )

    def test_only_the_weight_learns(self):
        x, offset, weight, _ = deform_inputs(GEOMETRIES[1])
        out = deform_conv2d(x.detach(), offset.detach(), weight, *GEOMETRIES[1])
        expected = slow_deform_conv(x, offset, weight, None, None, *GEOMETRIES[1])
        torch.testing.assert_close(
            torch.autograd.grad(out.sum(), weight), torch.autograd.grad(expected.sum(), weight)
        )

    def test_zero_offset_is_a_convolution(self):
        layer = DeformConv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2, deform_groups=2)
        x = torch.randn(2, 4, 9, 8)
        expected = F.conv2d(x, layer.weight, None, 2, 1, 2, 2)
        torch.testing.assert_close(layer(x, torch.zeros(2, 36, *expected.shape[2:])), expected)

    def test_offset_is_row_then_column(self):
        # A 1 x 1 kernel that looks one pixel down.
        x = torch.arange(12.0).view(1, 1, 3, 4)
        offset = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 3, 4)
        out = deform_conv2d(x, offset, torch.ones(1, 1, 1, 1))
        assert out.view(3, 4).tolist() == [[4, 5, 6, 7], [8, 9, 10, 11], [0, 0, 0, 0]]

    def test_im2col_step(self):
        x, offset, weight, _ = deform_inputs(GEOMETRIES[0], batch=4)
        whole = deform_conv2d(x, offset, weight, *GEOMETRIES[0])
        torch.testing.assert_close(
            deform_conv2d(x, offset, weight, *GEOMETRIES[0], False, 2), whole
        )

    def test_pack_learns(self):
        layer = DeformConv2dPack(4, 6, 3, padding=1)
        layer(torch.randn(2, 4, 5, 5)).square().sum().backward()
        assert all(p.grad.abs().sum() > 0 for p in layer.parameters())

    def test_half_precision(self):
        x, offset, weight, _ = deform_inputs(GEOMETRIES[3], dtype=torch.float16)
        out = deform_conv2d(x, offset, weight, *GEOMETRIES[3])
        assert out.dtype == torch.float16
        high = [t.detach().double().requires_grad_() for t in (x, offset, weight)]
        expected = deform_conv2d(*high, *GEOMETRIES[3])
        torch.testing.assert_close(out.double(), expected, rtol=1e-2, atol=1e-2)
        for low, full in zip(
            torch.autograd.grad(out.sum(), (x, offset, weight)),
            torch.autograd.grad(expected.sum(), high),
            strict=True,
        ):
            torch.testing.assert_close(low.double(), full, rtol=1e-2, atol=2e-2)

    def test_wrong_groups_are_refused(self):
        x, offset, weight, _ = deform_inputs(GEOMETRIES[2])  # 2 groups, 1 deform group
        stride, padding, dilation, _, _ = GEOMETRIES[2]
        with pytest.raises(RuntimeError, match=r'group=1 .* needs 2 channels, got 4'):
            deform_conv2d(x, offset, weight, stride, padding, dilation, 1, 1)
        with pytest.raises(RuntimeError, match=r'deformable_group=2 .* needs 24 channels, got 12'):
            deform_conv2d(x, offset, weight, stride, padding, dilation, 2, 2)


class TestModulatedDeformConv:
    @pytest.mark.parametrize('geometry', GEOMETRIES)
    @pytest.mark.parametrize('with_bias', [True, False])
    def test_loops(self, with_bias, geometry):
        x, offset, weight, mask = deform_inputs(geometry)
        bias = [leaf(6)] * with_bias
        assert_same_gradients(
            lambda x, o, m, w, b=None: modulated_deform_conv2d(x, o, m, w, b, *geometry),
            lambda x, o, m, w, b=None: slow_deform_conv(x, o, w, m, b, *geometry),
            (x, offset, mask, weight, *bias),
        )

    def test_zero_offset_is_a_convolution(self):
        layer = ModulatedDeformConv2d(4, 6, 3, padding=1)
        torch.nn.init.normal_(layer.bias)
        x = torch.randn(2, 4, 5, 5)
        out = layer(x, torch.zeros(2, 18, 5, 5), torch.full((2, 9, 5, 5), 0.5))
        torch.testing.assert_close(out, F.conv2d(x, layer.weight / 2, layer.bias, 1, 1))

    def test_pack_learns(self):
        layer = ModulatedDeformConv2dPack(4, 6, 3, padding=1)
        layer(torch.randn(2, 4, 5, 5)).square().sum().backward()
        assert all(p.grad.abs().sum() > 0 for p in layer.parameters())


# ---------------------------------------------------------------- mmdet


class TestMMDet:
    """The places of a Mask R-CNN that call operators."""

    @pytest.fixture(autouse=True)
    def mmdet(self):
        pytest.importorskip('mmdet')
        init_default_scope('mmdet')  # where mmdet's modules look for their own parts

    def test_roi_extractor_and_mask_head(self):
        from mmdet.models.roi_heads.mask_heads import FCNMaskHead
        from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

        layer = {'type': 'RoIAlign', 'output_size': 7, 'sampling_ratio': 0}
        extractor = SingleRoIExtractor(layer, out_channels=8, featmap_strides=[4, 8])
        head = FCNMaskHead(1, roi_feat_size=7, in_channels=8, conv_out_channels=8, num_classes=2)
        features = [
            leaf(2, 8, 32, 32, dtype=torch.float32),
            leaf(2, 8, 16, 16, dtype=torch.float32),
        ]
        # The extractor sends boxes of up to 112 pixels to the first level.
        rois = torch.tensor([[0.0, 4, 4, 60, 50], [1, 0, 0, 127, 120]])
        pooled = extractor(features, rois)
        expected = [
            slow_roi_align(f.double(), r.double()[None], (7, 7), 1 / s, 0, 'avg', True)
            for f, r, s in zip(features, rois, (4, 8), strict=True)
        ]
        torch.testing.assert_close(pooled.double(), torch.cat(expected), rtol=1e-4, atol=1e-4)
        masks = head(pooled)
        assert masks.shape == (2, 2, 14, 14)
        masks.sum().backward()
        assert features[0].grad[0].any()
        assert not features[0].grad[1].any()
        assert features[1].grad[1].any()

    def test_multiclass_nms(self):
        from mmdet.models.layers import multiclass_nms

        boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
        scores = torch.tensor([[0.9, 0.0, 0.1], [0.8, 0.7, 0.2], [0.01, 0.6, 0.3]])
        config = {'type': 'nms', 'iou_threshold': 0.5}
        dets, labels = multiclass_nms(boxes, scores, 0.05, config, max_num=10)
        assert labels.tolist() == [0, 1, 1]
        torch.testing.assert_close(dets[:, 4], torch.tensor([0.9, 0.7, 0.6]))

    def test_mask_targets(self):
        from mmdet.structures.mask import BitmapMasks

        mask = np.zeros((1, 8, 8), np.uint8)
        mask[:, 2:6, 2:6] = 1
        target = BitmapMasks(mask, 8, 8).crop_and_resize(
            np.array([[0, 0, 8, 8]], np.float32), (4, 4), np.array([0])
        )
        expected = np.zeros((4, 4))
        expected[1:3, 1:3] = 1
        assert np.array_equal(target.masks[0], expected)
