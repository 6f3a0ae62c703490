"""WaMIM: Wavelet-Driven Masked Image Modeling (AAAI 2025, arXiv 2503.00782)."""

from .algorithm import WaMIM
from .decoder import WaMIMDecoder
from .head import WaMIMHead
from .swin import WaMIMSwinTransformer
from .targets import WaveletTargetGenerator
from .vit import WaMIMViT

__all__ = [
    'WaMIM',
    'WaMIMDecoder',
    'WaMIMHead',
    'WaMIMSwinTransformer',
    'WaMIMViT',
    'WaveletTargetGenerator',
]
