"""Masked image pre-training for OpenMMLab: WaMIM (wavelets) and MFM (frequencies).

Importing the package registers its models with mmpretrain; in a config that is
``custom_imports = dict(imports=['wamim_mm'])``.
"""

from .version import __version__

from .interop import prepare  # isort: skip

prepare()  # before any mm package is imported

from .data.corruptions import Corrupt  # noqa: E402
from .data.loading import LoadRandomResizedCrop  # noqa: E402
from .evaluation import robustness  # noqa: E402, F401
from .hooks import (  # noqa: E402
    CheckpointFitHook,
    ClassCountHook,
    PretrainedFitHook,
)
from .models import (  # noqa: E402
    MFM,
    Deblur,
    Denoise,
    FrequencyFilter,
    FrequencyLoss,
    MFMHead,
    SimpleFeaturePyramid,
    SuperResolution,
    ViTDet,
    WaMIM,
    WaMIMDecoder,
    WaMIMHead,
    WaMIMSwinTransformer,
    WaMIMViT,
    WaveletTargetGenerator,
)
from .optim import LayerDecayOptimWrapperConstructor  # noqa: E402

__all__ = [
    'MFM',
    'CheckpointFitHook',
    'ClassCountHook',
    'Corrupt',
    'Deblur',
    'Denoise',
    'FrequencyFilter',
    'FrequencyLoss',
    'LayerDecayOptimWrapperConstructor',
    'LoadRandomResizedCrop',
    'MFMHead',
    'PretrainedFitHook',
    'SimpleFeaturePyramid',
    'SuperResolution',
    'ViTDet',
    'WaMIM',
    'WaMIMDecoder',
    'WaMIMHead',
    'WaMIMSwinTransformer',
    'WaMIMViT',
    'WaveletTargetGenerator',
    '__version__',
]
