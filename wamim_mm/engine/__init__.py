"""Hooks, and the way from a command line to a Runner."""

from .checkpoint_fit import CheckpointFitHook

__all__ = ['CheckpointFitHook']
