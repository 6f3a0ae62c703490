"""mmcv's detection operators in torchvision and plain torch.

`mmcv_ext` imports this file under the name `mmcv._ext` where mmcv was installed without
compiled operators. Each function has the name, the arguments and the output buffers with which
`mmcv/ops/*.py` (mmcv 2.1 and onedl-mmcv 2.3) calls the compiled one: results are written in place
into tensors that the caller made. What an operator computes is defined in `mmcv/ops/csrc`. The code
runs on any device, but only the CPU is tested. Half precision is computed in float32.
Operators that are missing here raise NotImplementedError when called.
"""

from collections.abc import Callable
from typing import Any, NoReturn

# Not relative: this module is loaded as `mmcv._ext`.
from wamim_mm.interop.mmcv_ops.deform import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from wamim_mm.interop.mmcv_ops.focal import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward
from wamim_mm.interop.mmcv_ops.nms import nms, softnms
from wamim_mm.interop.mmcv_ops.roi import (
    roi_align_backward,
    roi_align_forward,
    roi_pool_backward,
    roi_pool_forward,
)

__all__ = [
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'get_compiler_version',
    'get_compiling_cuda_version',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'nms',
    'roi_align_backward',
    'roi_align_forward',
    'roi_pool_backward',
    'roi_pool_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softnms',
]


def __getattr__(name: str) -> Callable[..., NoReturn]:
    """Answer `mmcv.utils.ext_loader.load_ext`, which asks for each operator by name at import."""
    # Inspection tools ask modules for `__path__`, `__wrapped__`, `_repr_html_` and the like.
    if name.startswith('_'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

    def missing(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            f'mmcv operator {name!r}: this mmcv was installed without compiled operators, and the '
            'ones that wamim_mm puts in their place (torchvision.ops and plain torch) do not '
            f'include {name!r}. Install an mmcv with compiled operators: `pip install mmcv` with '
            'a torch that it has been built for (below 2.14), or a CUDA build of onedl-mmcv.'
        )

    missing.__name__ = missing.__qualname__ = name
    return missing


def get_compiler_version() -> str:
    """What `mmcv.utils.collect_env` prints as `MMCV Compiler`."""
    return 'n/a (torchvision and torch in place of compiled operators)'


def get_compiling_cuda_version() -> str:
    """What `mmcv.utils.collect_env` prints as `MMCV CUDA Compiler`."""
    return 'n/a'
