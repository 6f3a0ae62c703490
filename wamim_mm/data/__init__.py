"""Loading, seeding, masking and corrupting images."""

from .classes import ClassFolders
from .corruptions import Corrupt
from .loading import LoadImage, LoadRandomResizedCrop
from .masking import RandomDraw
from .seeding import EpochSampler, SeededDataset
from .shards import ShardBackend, ShardDataset

__all__ = [
    'ClassFolders',
    'Corrupt',
    'EpochSampler',
    'LoadImage',
    'LoadRandomResizedCrop',
    'RandomDraw',
    'SeededDataset',
    'ShardBackend',
    'ShardDataset',
]
