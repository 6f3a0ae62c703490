"""Non-maximum suppression, hard and soft."""

import torch
import torchvision.ops as tv
from torch import Tensor

from .tensors import full


def _with_offset(boxes: Tensor, offset: int) -> Tensor:
    """Boxes whose plain `x2 - x1` is the width that mmcv means, `x2 - x1 + offset`.

    The overlap `min(x2) - max(x1) + offset` grows by the same amount, so for torchvision it is
    enough to move the second corner.
    """
    return full(boxes) + boxes.new_tensor([0, 0, offset, offset])


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

    As in mmcv, the first pick is not compared with `min_score`. Boxes of equal score are picked in
    their order, which compiled mmcv does not guarantee.

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
    scores = full(scores).clone()
    left = torch.arange(len(boxes), device=boxes.device)
    picked: list[Tensor] = []
    while len(left):
        best = left[scores[left].argmax()]
        dets[len(picked), :4] = boxes[best]
        dets[len(picked), 4] = scores[best]
        picked.append(best)

        left = left[left != best]
        # Two boxes without area have an overlap of 0 / 0, which counts as 0.
        iou = tv.box_iou(shifted[best, None], shifted[left])[0].nan_to_num()
        if method == 2:
            factor = torch.exp(-(iou**2) / sigma)
        else:
            overlapping = torch.zeros_like(iou) if method == 0 else 1 - iou
            factor = torch.where(iou >= iou_threshold, overlapping, 1.0)
        scores[left] *= factor
        left = left[scores[left] >= min_score]
    return torch.stack(picked) if picked else left
