"""Focal loss of independent classes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .tensors import full


def _focal(
    input: Tensor, target: Tensor, weight: Tensor, alpha: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Sign (1 at the target class, else -1), logit of the truth, and factor, each `(N, C)`.

    The truth is "it is this class" at the target class and "it is not" at the others.
    """
    input = full(input)
    is_target = target[:, None] == torch.arange(input.shape[1], device=input.device)
    sign = torch.where(is_target, 1.0, -1.0).to(input.dtype)
    factor = torch.full_like(input, 1 - alpha).masked_fill_(is_target, alpha)
    if weight.numel():
        # Background, the label after the last class, weighs 1; compiled mmcv reads past the end.
        factor = factor * F.pad(full(weight), (0, 1), value=1.0)[target][:, None]
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
        gamma: how much less entries count that are predicted well already.
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
    # By hand: autograd would compute 0 * inf where the loss is saturated and gamma is below 1.
    p, q = torch.sigmoid(logit), torch.sigmoid(-logit)
    grad_input.copy_(-factor * sign * q**gamma * (q - gamma * p * F.logsigmoid(logit)))
