"""Tensors of which every process holds a part (FSDP2's `DTensor`), and ordinary ones alike."""

import torch  # noqa: F401  (in the examples)
from torch import Tensor
from torch.distributed.tensor import DTensor


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor. Of a sharded one, all processes must ask for it.

    Examples:
        >>> whole(torch.ones(2)).tolist()
        [1.0, 1.0]
    """
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor, which may have no element.

    Examples:
        >>> own_part(torch.ones(2)).tolist()
        [1.0, 1.0]
    """
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
