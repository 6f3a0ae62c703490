"""How good a frozen encoder is, and how robust a classifier."""

from .online_probe import ProbeHook
from .pictures import PicturesHook
from .robustness import DatasetsTestLoop, SubsetAccuracy

__all__ = ['DatasetsTestLoop', 'PicturesHook', 'ProbeHook', 'SubsetAccuracy']
