"""From a Runner's model to the model itself."""

from __future__ import annotations

from typing import Any

from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> Any:
    """The model inside MMEngine's wrapper for several processes, or the model as it is.

    Args:
        model: A Runner's model. One that `FSDP2Strategy` has sharded has no wrapper.
    """
    return model.module if is_model_wrapper(model) else model
