"""Pure functions on tensors; nothing here uses OpenMMLab."""

from .fourier import frequency_filter, low_pass_mask
from .masking import VisibleTokens, gather_tokens, merge_tokens, random_mask
from .wavelets import approximation2, wavedec2, waverec2
from .windows import group_windows, window_cells

__all__ = [
    'VisibleTokens',
    'approximation2',
    'frequency_filter',
    'gather_tokens',
    'group_windows',
    'low_pass_mask',
    'merge_tokens',
    'random_mask',
    'wavedec2',
    'waverec2',
    'window_cells',
]
