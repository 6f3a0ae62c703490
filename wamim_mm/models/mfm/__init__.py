"""MFM: Masked Frequency Modeling (ICLR 2023, arXiv 2206.07706) and its restoration tasks."""

from .algorithm import MFM
from .degradations import Deblur, Denoise, FrequencyFilter, SuperResolution
from .frequency_loss import FrequencyLoss
from .head import MFMHead

__all__ = [
    'MFM',
    'Deblur',
    'Denoise',
    'FrequencyFilter',
    'FrequencyLoss',
    'MFMHead',
    'SuperResolution',
]
