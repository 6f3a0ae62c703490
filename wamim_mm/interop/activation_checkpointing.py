"""MMEngine's ``activation_checkpointing`` cuts gradients off, without a word.

It leaves torch's variant to torch, whose first one sees tensors that are arguments, and none inside
tuples or keywords: what a module gets in those learns nothing from what comes behind it. Upstream:
say ``use_reentrant=False``.
"""

import functools
from collections.abc import Callable
from typing import Any

from torch.utils.checkpoint import checkpoint


def install() -> None:
    """Let it keep every gradient, and take keyword arguments."""
    from mmengine.runner import activation_checkpointing

    activation_checkpointing.wrap_forward = wrap_forward


def wrap_forward(forward: Callable) -> Callable:
    """A module's forward that computes its activations again in the backward pass."""

    @functools.wraps(forward)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return wrapper
