"""Hooks, and the way from a command line to a Runner."""

from .checkpoint_fit import CheckpointFitHook
from .pretrained_fit import PretrainedFitHook

__all__ = ['CheckpointFitHook', 'PretrainedFitHook']
