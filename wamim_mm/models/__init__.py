"""What the registries know; importing this package registers it."""

from .corruptions import Deblur, Denoise, FrequencyFilter, SuperResolution
from .decoder import WaMIMDecoder
from .frequency_loss import FrequencyLoss
from .head import WaMIMHead
from .mfm import MFM
from .mfm_head import MFMHead
from .simple_feature_pyramid import SimpleFeaturePyramid
from .swin import WaMIMSwinTransformer
from .targets import WaveletTargetGenerator
from .vit import WaMIMViT
from .vitdet import ViTDet
from .wamim import WaMIM

__all__ = [
    'MFM',
    'Deblur',
    'Denoise',
    'FrequencyFilter',
    'FrequencyLoss',
    'MFMHead',
    'SimpleFeaturePyramid',
    'SuperResolution',
    'ViTDet',
    'WaMIM',
    'WaMIMDecoder',
    'WaMIMHead',
    'WaMIMSwinTransformer',
    'WaMIMViT',
    'WaveletTargetGenerator',
]
