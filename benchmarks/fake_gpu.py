"""A GPU that is not there: tensors with shapes, types and devices, and without values.

An operator that mixes devices, or reads a value of the GPU on the CPU, raises an error. The
backward pass needs a context of CUDA, so that forward and loss is what can be tried.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode


@contextmanager
def pretended_gpu() -> Iterator[FakeTensorMode]:
    """A mode of such tensors; nothing is pinned meanwhile, and autocast believes in the GPU."""
    with ExitStack() as stack:
        for owner, name, replaced in (
            (torch.Tensor, 'pin_memory', lambda self: self),
            (torch.cuda.amp.common, 'amp_definitely_not_available', lambda: False),
            (torch.cuda, 'is_bf16_supported', lambda **_: True),
        ):
            stack.enter_context(mock.patch.object(owner, name, replaced))
        yield FakeTensorMode(allow_non_fake_inputs=True)


def to_gpu(model: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """Give a model parameters and buffers on the pretended GPU; it is changed."""
    with mode:
        for module in model.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    moved = mode.from_tensor(parameter.data).to('cuda')
                    module._parameters[name] = nn.Parameter(moved, parameter.requires_grad)
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = mode.from_tensor(buffer).to('cuda')
    if hasattr(model, 'data_preprocessor'):
        model.data_preprocessor._device = torch.device('cuda')
    return model
