"""Hooks, layer decay, and the way from a command line to a Runner."""

from .checkpoint_fit import CheckpointFitHook
from .layer_decay import LayerDecayOptimWrapperConstructor
from .pretrained_fit import PretrainedFitHook

__all__ = ['CheckpointFitHook', 'LayerDecayOptimWrapperConstructor', 'PretrainedFitHook']
