"""Parameter groups of an optimizer."""

from .groups import MergedOptimWrapperConstructor
from .layer_decay import LayerDecayOptimWrapperConstructor

__all__ = ['LayerDecayOptimWrapperConstructor', 'MergedOptimWrapperConstructor']
