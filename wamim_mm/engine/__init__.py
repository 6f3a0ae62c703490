"""Hooks, layer decay, and the way from a command line to a Runner."""

from .checkpoint_fit import CheckpointFitHook
from .class_count import ClassCountHook
from .compile import CompileHook
from .layer_decay import LayerDecayOptimWrapperConstructor
from .pretrained_fit import PretrainedFitHook

__all__ = [
    'CheckpointFitHook',
    'ClassCountHook',
    'CompileHook',
    'LayerDecayOptimWrapperConstructor',
    'PretrainedFitHook',
]
