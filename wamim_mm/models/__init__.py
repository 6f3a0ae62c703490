"""What the registries know; importing this package registers it."""

from .decoder import WaMIMDecoder
from .head import WaMIMHead
from .simple_feature_pyramid import SimpleFeaturePyramid
from .swin import WaMIMSwinTransformer
from .targets import WaveletTargetGenerator
from .vit import WaMIMViT
from .vitdet import ViTDet
from .wamim import WaMIM

__all__ = [
    'SimpleFeaturePyramid',
    'ViTDet',
    'WaMIM',
    'WaMIMDecoder',
    'WaMIMHead',
    'WaMIMSwinTransformer',
    'WaMIMViT',
    'WaveletTargetGenerator',
]
