"""Mixed precision on the CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Steps in bfloat16 on the CPU, where MMEngine's ``AmpOptimWrapper`` refuses to work."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass under torch's autocast."""
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield
