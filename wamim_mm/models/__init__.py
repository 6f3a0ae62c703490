"""What the registries know; importing this package registers it."""

from .dense import SimpleFeaturePyramid, ViTDet
from .mfm import (
    MFM,
    Deblur,
    Denoise,
    FrequencyFilter,
    FrequencyLoss,
    MFMHead,
    SuperResolution,
)
from .preprocessor import PretrainDataPreprocessor
from .wamim import (
    WaMIM,
    WaMIMDecoder,
    WaMIMHead,
    WaMIMSwinTransformer,
    WaMIMViT,
    WaveletTargetGenerator,
)

__all__ = [
    'MFM',
    'Deblur',
    'Denoise',
    'FrequencyFilter',
    'FrequencyLoss',
    'MFMHead',
    'PretrainDataPreprocessor',
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
