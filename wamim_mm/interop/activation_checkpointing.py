"""MMEngine's ``activation_checkpointing`` cuts gradients off, without a word.

It leaves torch's variant to torch, whose first one sees tensors that are arguments, and none inside
tuples or keywords: what a module gets in those learns nothing from what comes behind it. And a list
of modules, which is never called itself, changes nothing. Upstream: say ``use_reentrant=False``; go
through lists.
"""

import functools
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint


def install() -> None:
    """Let it keep every gradient, and take keyword arguments."""
    from mmengine.runner import activation_checkpointing

    activation_checkpointing.wrap_forward = wrap_forward


def wrap_forward(forward: Callable) -> Callable:
    """A module's forward that computes its activations again in the backward pass.

    That of a `torch.nn.ModuleList` stays, and all its modules get such a forward.
    """
    module = getattr(forward, '__self__', None)
    if isinstance(module, nn.ModuleList):
        for part in module:
            part.forward = wrap_forward(part.forward)
        return forward

    @functools.wraps(forward)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return wrapper
