"""Parameter groups of an optimizer, and mixed precision on the CPU."""

from .amp import CPUAmpOptimWrapper
from .groups import MergedOptimWrapperConstructor
from .layer_decay import LayerDecayOptimWrapperConstructor

__all__ = [
    'CPUAmpOptimWrapper',
    'LayerDecayOptimWrapperConstructor',
    'MergedOptimWrapperConstructor',
]
