"""Loading, seeding, masking and corrupting images."""

from .classes import ClassFolders
from .corruptions import Corrupt
from .loading import LoadImage, LoadRandomResizedCrop
from .masking import RandomDraw
from .seeding import EpochSampler, LaterBatchSampler, SeededDataset
from .shards import ShardBackend, ShardDataset

__all__ = [
    'ClassFolders',
    'Corrupt',
    'EpochSampler',
    'LaterBatchSampler',
    'LoadImage',
    'LoadRandomResizedCrop',
    'RandomDraw',
    'SeededDataset',
    'ShardBackend',
    'ShardDataset',
]
