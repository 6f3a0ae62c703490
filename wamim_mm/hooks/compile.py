"""Encoder and decoder of a pre-training model through ``torch.compile``."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from mmcv.cnn.bricks import DropPath
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn
from torch.utils._pytree import tree_leaves

from ..model_wrappers import unwrapped
from ..ops.windows import SwinLayout


@HOOKS.register_module()
class CompileHook(Hook):
    """Compile encoder and decoder before training, each as one graph.

    ``--cfg-options default_hooks.compile.type=CompileHook`` turns it on. MMEngine's own
    ``compile=True`` compiles the whole ``train_step`` instead, where masks, logging and optimizer
    break the graph.

    Args:
        options: Of ``torch.compile``, such as ``mode='max-autotune-no-cudagraphs'``.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def before_train(self, runner: Runner) -> None:
        """Compile; the compiler itself runs in the first iteration.

        Raises:
            TypeError: The model is neither `WaMIM` nor `MFM`.
        """
        model = unwrapped(runner.model)
        compile_model(model, **self.options)


def compile_model(model: nn.Module, **options: Any) -> None:
    """Let ``torch.compile`` replace what a model names in ``compile_targets``.

    Parameters and the keys of checkpoints stay as they are.

    Args:
        model: `WaMIM` or `MFM`.
        options: Of ``torch.compile``; whatever they are, a break in the graph is an error.

    Raises:
        TypeError: The model has no ``compile_targets``.
    """
    targets = getattr(model, 'compile_targets', None)
    if targets is None:
        raise TypeError(
            f'CompileHook: {type(model).__name__} does not say what to compile; pre-training '
            "models do. For others MMEngine has the config key 'compile'"
        )
    for module in model.modules():
        if isinstance(module, DropPath):
            # mmpretrain's rates are NumPy scalars, which break a graph.
            module.drop_prob = float(module.drop_prob)
    for target in targets:
        part, method = target.split('.')
        owner = getattr(model, part)
        compiled = torch.compile(getattr(owner, method), fullgraph=True, **options)
        setattr(owner, method, _for_any_mask(compiled))


def _for_any_mask(compiled: Callable) -> Callable:
    """Make one graph for all numbers of window groups, which differ from mask to mask in Swin."""

    @functools.wraps(compiled)
    def call(*args: Any) -> Any:
        for tensor in tree_leaves([arg for arg in args if isinstance(arg, SwinLayout)]):
            if tensor.ndim == 3 and tensor.shape[1] > 1:
                torch._dynamo.maybe_mark_dynamic(tensor, 1)
        return compiled(*args)

    return call
