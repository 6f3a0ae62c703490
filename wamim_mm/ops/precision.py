"""The precision in which transforms are computed."""

import torch
from torch import Tensor

__all__ = ['at_least_float32']


def at_least_float32(x: Tensor, what: str = 'images') -> Tensor:
    """Float64 stays as it is, all else becomes float32: half precision loses small coefficients.

    Args:
        x: A real tensor of any shape and dtype.
        what: What it is, for messages.

    Returns:
        The same values in float32 or float64.

    Raises:
        TypeError: It is not a tensor.
        ValueError: It is complex.

    >>> at_least_float32(torch.ones(2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    if not isinstance(x, Tensor):
        raise TypeError(
            f'{what} must be tensors, got {type(x).__name__}; torch.as_tensor makes one of an array'
        )
    if x.is_complex():
        raise ValueError(f'{what} must be real, got {x.dtype}')
    return x.to(torch.promote_types(x.dtype, torch.float32))
