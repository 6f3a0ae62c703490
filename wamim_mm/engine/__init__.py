"""Hooks, layer decay, and the way from a command line to a Runner."""

from .checkpoint_fit import CheckpointFitHook
from .class_count import ClassCountHook
from .layer_decay import LayerDecayOptimWrapperConstructor
from .pretrained_fit import PretrainedFitHook

__all__ = [
    'CheckpointFitHook',
    'ClassCountHook',
    'LayerDecayOptimWrapperConstructor',
    'PretrainedFitHook',
]
