"""What the operators share."""

from collections.abc import Callable

import torch
from torch import Tensor


def full(x: Tensor) -> Tensor:
    """`x` as float32, or as it is if it is float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def vjp(function: Callable[..., Tensor], grad_output: Tensor, *inputs: Tensor) -> list[Tensor]:
    """The gradient of `function(*inputs)` for each input, given that of its output."""
    leaves = [full(x).detach().requires_grad_() for x in inputs]
    # mmcv calls the backward operators inside an autograd Function, where gradients are off.
    with torch.enable_grad():
        output = function(*leaves)
    return list(torch.autograd.grad(output, leaves, full(grad_output)))
