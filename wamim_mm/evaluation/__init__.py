"""How good a frozen encoder is, and how robust a classifier."""

from .robustness import DatasetsTestLoop, SubsetAccuracy

__all__ = ['DatasetsTestLoop', 'SubsetAccuracy']
