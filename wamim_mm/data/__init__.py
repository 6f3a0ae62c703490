"""Loading, corrupting and looking after images."""

from .corruptions import Corrupt
from .loading import LoadRandomResizedCrop

__all__ = ['Corrupt', 'LoadRandomResizedCrop']
