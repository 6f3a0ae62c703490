"""Plain Vision Transformers for dense tasks (ViTDet, arXiv 2203.16527)."""

from .simple_feature_pyramid import SimpleFeaturePyramid
from .vitdet import ViTDet

__all__ = ['SimpleFeaturePyramid', 'ViTDet']
