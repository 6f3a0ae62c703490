"""What the registries know; importing this package registers it."""

from .decoder import WaMIMDecoder
from .head import WaMIMHead
from .swin import WaMIMSwinTransformer
from .targets import WaveletTargetGenerator
from .vit import WaMIMViT
from .wamim import WaMIM

__all__ = [
    'WaMIM',
    'WaMIMDecoder',
    'WaMIMHead',
    'WaMIMSwinTransformer',
    'WaMIMViT',
    'WaveletTargetGenerator',
]
