"""Pure functions on tensors; nothing here knows of OpenMMLab."""

from .masking import VisibleTokens, gather_tokens, merge_tokens, random_mask
from .wavelets import wavedec2, waverec2
from .windows import group_windows, window_cells

__all__ = [
    'VisibleTokens',
    'gather_tokens',
    'group_windows',
    'merge_tokens',
    'random_mask',
    'wavedec2',
    'waverec2',
    'window_cells',
]
