"""Attention inside window groups, in two ways of the same result.

`biased_attention` keeps a bias for every pair of slots, `flex_attention` computes it where it is
needed. See `windows` for groups, cells and offsets.
"""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import at_least_float32

__all__ = ['biased_attention', 'flex_attention']


def biased_attention(
    qkv: Tensor, table: Tensor, relative: Tensor, scale: float, dropout: Callable[[Tensor], Tensor]
) -> Tensor:
    """Attention with a relative position bias, as matrix products.

    Args:
        qkv: ``(B, S, 3, heads, D)`` queries, keys and values of ``B`` groups of ``S`` slots.
        table: ``((2 * window - 1)**2, heads)``, the bias by relative position.
        relative: ``(B, S, S)`` int64, see `relative_index`.
        scale: Of the products of queries and keys.
        dropout: Applied to the attention.

    Returns:
        ``(B, S, heads * D)``.

    Slots of different cells see themselves alone:

    Examples:
        >>> from wamim_mm.ops.windows import relative_index
        >>> qkv = torch.tensor([1.0, 5.0]).view(1, 2, 1, 1, 1).expand(1, 2, 3, 1, 1)
        >>> cells, offsets = torch.tensor([[0, 1]]), torch.tensor([[0, 1]])
        >>> relative = relative_index(cells, offsets, window=2)
        >>> biased_attention(qkv, torch.zeros(9, 1), relative, 1.0, torch.nn.Identity()).tolist()
        [[[1.0], [5.0]]]
    """
    groups, capacity, _, heads, _ = qkv.shape
    # Heads beside groups: each (B * heads, S, D).
    query, key, value = qkv.permute(2, 0, 3, 1, 4).flatten(1, 2)
    table = F.pad(at_least_float32(table), (0, 0, 0, 1), value=float('-inf'))
    # Not F.embedding: for few rows and many indices, its backward pass is 5 times slower on a CPU.
    # The cast comes last: the table's gradient is a sum over all pairs, and float32 holds it.
    bias = table.index_select(0, relative.flatten()).to(qkv.dtype)
    bias = bias.view(groups, capacity, capacity, heads).permute(0, 3, 1, 2).flatten(0, 1)
    attention = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=scale).softmax(-1)
    out: Tensor = dropout(attention) @ value
    return out.view(groups, heads, capacity, -1).transpose(1, 2).flatten(2)


def flex_attention(
    qkv: Tensor, table: Tensor, cells: Tensor, offsets: Tensor, window: int, scale: float
) -> Tensor:
    """The same by PyTorch's FlexAttention (arXiv 2412.05496), without a bias for every pair.

    On a CPU it has no backward pass, and is of use as a check only.

    Args:
        qkv: ``(B, S, 3, heads, D)`` queries, keys and values of ``B`` groups of ``S`` slots.
        table: ``((2 * window - 1)**2, heads)``, the bias by relative position.
        cells: ``(B, S)`` int64; slots of different cells do not see each other.
        offsets: ``(B, S)`` int64, see `window_cells`.
        window: Side of a window.
        scale: Of the products of queries and keys.

    Returns:
        ``(B, S, heads * D)``.

    Raises:
        NotImplementedError: A gradient is asked for on a CPU.
    """

    def biased(score: Tensor, group: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        # `relative_index` for one pair.
        relative = offsets[group, query] - offsets[group, key] + 2 * window * (window - 1)
        together = cells[group, query] == cells[group, key]
        return torch.where(together, score + table[relative, head], float('-inf'))

    from torch.nn.attention import flex_attention as module  # seconds, for those who use it

    # It is fused by the compiler alone: in the encoder's graph where that is compiled, else here.
    alone = qkv.is_cuda and not torch.compiler.is_compiling()
    attend: Callable[..., Tensor] = module.flex_attention
    if alone:
        attend = _compiled(attend)
    query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, S, D)
    out = attend(query, key, value, score_mod=biased, scale=scale)
    return out.transpose(1, 2).flatten(2)


@functools.cache
def _compiled(attend: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return torch.compile(attend, dynamic=True)  # the number of groups differs from mask to mask
