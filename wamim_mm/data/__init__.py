"""Loading, seeding, masking and corrupting images."""

from .corruptions import Corrupt
from .loading import LoadImage, LoadRandomResizedCrop
from .masking import RandomDraw
from .seeding import EpochSampler, SeededDataset

__all__ = [
    'Corrupt',
    'EpochSampler',
    'LoadImage',
    'LoadRandomResizedCrop',
    'RandomDraw',
    'SeededDataset',
]
