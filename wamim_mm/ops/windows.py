"""Window attention over visible tokens only: which token attends to which, packed into groups.

Dense window attention cuts the grid into windows; in shifted layers the windows at the border fall
into parts that do not see each other. We call such a part a *cell*: two tokens attend to each other
exactly if they are in the same cell. When most tokens are hidden, cells are nearly empty, so
several cells are packed into one *window group* of fixed capacity. Attention is computed for a
whole group at once, under the rule above. GreenMIM (arXiv 2205.13515) packs one mask for a whole
batch; here each sample has its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .masking import unit_tokens, visible_units

__all__ = [
    'Stage',
    'SwinLayout',
    'WindowGroups',
    'Windows',
    'group_windows',
    'padding_positions',
    'relative_index',
    'swin_layout',
    'window_cells',
]


class WindowGroups(NamedTuple):
    """Where each token goes when cells are packed into groups (``G`` groups of ``S`` slots).

    Attributes:
        slots: ``(N, G, S)`` int64, the token in each slot; 0 in an empty slot.
        cells: ``(N, G, S)`` int64, the cell of each slot; -1 in an empty slot. So empty slots
            attend to one another, and every row of the attention has a key.
        offsets: ``(N, G, S)`` int64, the in-window offset of each slot (see `window_cells`).
        inverse: ``(N, L)`` int64, the slot of each token.
    """

    slots: Tensor
    cells: Tensor
    offsets: Tensor
    inverse: Tensor


class Windows(NamedTuple):
    """How a block of a Swin Transformer cuts a grid into windows.

    Attributes:
        side: Of a window, in tokens.
        shift: By how many tokens windows are shifted, 0 in every other block.
        pad_small_map: Whether a grid smaller than the window is padded to it, and its windows are
            shifted; mmpretrain's argument of that name.
    """

    side: int
    shift: int
    pad_small_map: bool


class Stage(NamedTuple):
    """What the layout of a stage depends on, apart from the mask.

    Attributes:
        windows: Those of its blocks, each different one once.
        halves: Whether the stage ends in a patch merging, which halves the tokens along a side.
    """

    windows: tuple[Windows, ...]
    halves: bool


class SwinLayout(NamedTuple):
    """Where the visible tokens of a batch are in every stage, and which attend to which.

    Attributes:
        units: ``(N, K)`` int64, the visible units.
        positions: ``(N, L)`` int64 for each stage, the flat positions of the visible tokens on the
            stage's grid, then the same on the grid of the last stage's output.
        groups: For each stage, the `WindowGroups` of each of its `Windows`. They hold the visible
            tokens, then the padding of the stage's grid.
    """

    units: Tensor
    positions: tuple[Tensor, ...]
    groups: tuple[tuple[WindowGroups, ...], ...]


def padding_positions(grid: tuple[int, int], window: int) -> tuple[tuple[int, int], Tensor]:
    """Pad a grid at the bottom and right to whole windows, and list the added positions.

    Returns:
        ``(H_pad, W_pad)`` and the flat indices, on the padded grid, of the ``P`` added positions.

    Examples:
        >>> padding_positions((2, 3), window=2)
        ((2, 4), tensor([3, 7]))
    """
    height, width = (-(-side // window) * window for side in grid)
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[: grid[0], : grid[1]] = True
    return (height, width), (~inside).flatten().nonzero()[:, 0]


def window_cells(grid: tuple[int, int], window: int, shift: int) -> tuple[Tensor, Tensor]:
    """Cell and in-window offset of every position of a grid.

    Swin shifts the windows cyclically and masks what does not belong together. This has the same
    result as cutting the grid at ``shift, shift + window, ...``.

    Args:
        grid: ``(H, W)``, multiples of ``window``.
        window: Side of a window.
        shift: By how much the windows are shifted, 0 to ``window - 1``.

    Returns:
        Two ``(H * W,)`` int64 tensors: the cell, and ``row * (2 * window - 1) + column`` inside the
        window. The difference of two offsets tells the pair's relative position.

    Examples:
        >>> cell, offset = window_cells((2, 4), window=2, shift=1)
        >>> cell.view(2, 4).tolist()
        [[0, 1, 1, 2], [3, 4, 4, 5]]
        >>> offset.view(2, 4).tolist()
        [[4, 3, 4, 3], [1, 0, 1, 0]]
    """
    moved = [torch.arange(side) + (window - shift) % window for side in grid]
    (row, row_in), (column, column_in) = ((m // window, m % window) for m in moved)
    columns = int(column[-1]) + 1
    cell = row[:, None] * columns + column
    offset = row_in[:, None] * (2 * window - 1) + column_in
    return cell.flatten(), offset.flatten()


def group_windows(cells: Tensor, offsets: Tensor, window: int) -> WindowGroups:
    """Pack the cells of each sample into as few groups as first-fit decreasing finds.

    Args:
        cells: ``(N, L)`` int64 on the CPU, the cell of each token.
        offsets: ``(N, L)`` int64, the in-window offset of each token (see `window_cells`).
        window: Side of a window.

    Returns:
        The groups, on the CPU. A group holds one full window, or all tokens where they are fewer;
        then they stay in their order.

    Cells 0 and 1 with three and two tokens need two groups of four slots:

    Examples:
        >>> cells = torch.tensor([[0, 1, 0, 1, 0]])
        >>> group_windows(cells, torch.zeros_like(cells), window=2).cells.tolist()
        [[[0, 0, 0, -1], [1, 1, -1, -1]]]
    """
    batch, length = cells.shape
    if length <= window**2:
        tokens = torch.arange(length).expand(batch, -1)
        return WindowGroups(tokens[:, None], cells[:, None], offsets[:, None], tokens)
    capacity = window**2
    num_cells = int(cells.max()) + 1

    counts = torch.zeros(batch, num_cells, dtype=torch.int64)
    counts.scatter_add_(1, cells, torch.ones_like(cells))
    start = torch.from_numpy(_first_fit_decreasing(counts.numpy(), capacity))  # (N, cells)
    num_groups = int(torch.where(counts > 0, start, 0).max()) // capacity + 1

    # A token's slot: where its cell starts, plus its rank among the tokens of the cell.
    order = cells.argsort(dim=1, stable=True)
    first = counts.cumsum(1) - counts
    sorted_cells = cells.gather(1, order)
    rank = torch.arange(length) - first.gather(1, sorted_cells)
    inverse = torch.empty_like(cells).scatter_(1, order, start.gather(1, sorted_cells) + rank)

    slots = torch.zeros(batch, num_groups * capacity, dtype=torch.int64)
    slots.scatter_(1, inverse, torch.arange(length).expand(batch, -1))
    slot_cells = torch.full_like(slots, -1).scatter_(1, inverse, cells)
    slot_offsets = torch.zeros_like(slots).scatter_(1, inverse, offsets)
    shape = (batch, num_groups, capacity)
    return WindowGroups(
        slots.view(shape), slot_cells.view(shape), slot_offsets.view(shape), inverse
    )


def swin_layout(mask: Tensor, stages: Sequence[Stage]) -> SwinLayout:
    """Where the visible tokens of a Swin Transformer are, and which attend to which.

    A mask unit is the square that one token of the last stage covers.

    Args:
        mask: ``(N, h, w)`` bool over the mask units, True where hidden, on the CPU.
        stages: The encoder's stages; at least one.

    Returns:
        The layout, on the CPU.

    Raises:
        ValueError: The samples differ in their number of visible units, or a stage's grid is
            smaller than the window without ``pad_small_map``.

    Examples:
        >>> mask = torch.tensor([[[True, False], [True, True]]])
        >>> stage = Stage((Windows(2, 0, False), Windows(2, 1, False)), True)
        >>> layout = swin_layout(mask, [stage] * 2)
        >>> [tuple(positions.shape) for positions in layout.positions]
        [(1, 16), (1, 4), (1, 1)]
    """
    units = visible_units(mask)
    height, width = mask.shape[1:]
    side = 2 ** sum(stage.halves for stage in stages)  # tokens along a side of a unit
    positions, groups = [unit_tokens(units, width, side)], []
    for stage in stages:
        grid = (height * side, width * side)
        groups.append(tuple(_group(positions[-1], grid, windows) for windows in stage.windows))
        if stage.halves:
            side //= 2
        positions.append(unit_tokens(units, width, side))
    return SwinLayout(units, tuple(positions), tuple(groups))


def _group(positions: Tensor, grid: tuple[int, int], windows: Windows) -> WindowGroups:
    """Group visible tokens, and the padding that the grid needs, by windows."""
    side, shift, smallest = windows.side, windows.shift, min(grid)
    if smallest < side and not windows.pad_small_map:
        raise ValueError(
            f'Swin: a stage has a grid of {grid[0]} x {grid[1]}, smaller than the window of {side};'
            ' use a smaller window_size, larger images or pad_small_map=True'
        )
    if smallest == side and not windows.pad_small_map:
        shift = 0  # as mmpretrain does
    padded, added = padding_positions(grid, side)
    row, column = positions // grid[1], positions % grid[1]
    tokens = torch.cat(
        [row * padded[1] + column, added.expand(positions.shape[0], -1)], dim=1
    )  # (N, L + P), flat on the padded grid
    cells, offsets = (table[tokens] for table in window_cells(padded, side, shift))
    return group_windows(cells, offsets, side)


def relative_index(cells: Tensor, offsets: Tensor, window: int) -> Tensor:
    """Row of the relative position bias table for every pair of tokens.

    Args:
        cells: ``(..., S)``; pairs of different cells get the row after the table's last one.
        offsets: ``(..., S)`` in-window offsets, see `window_cells`.
        window: Side of a window; the table has ``(2 * window - 1)**2`` rows.

    Returns:
        ``(..., S, S)`` int64.
    """
    relative = offsets[..., :, None] - offsets[..., None, :] + 2 * window * (window - 1)
    apart = cells[..., :, None] != cells[..., None, :]
    return relative.masked_fill(apart, (2 * window - 1) ** 2)


def _first_fit_decreasing(counts: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """Bin packing of every row of ``(N, M)`` sizes at once.

    Returns ``(N, M)``: the number of the item's bin times the capacity, plus the room that was
    taken in this bin before.
    """
    batch, items = counts.shape
    order = np.argsort(-counts, axis=1, kind='stable')
    sizes = np.take_along_axis(counts, order, axis=1)
    # At most one bin is half empty, so this many are enough.
    bins = min(items, 2 * int(counts.sum(1).max()) // capacity + 1)
    room = np.full((batch, bins), capacity)
    start = np.zeros_like(counts)
    rows = np.arange(batch)
    for item in range(int((sizes > 0).any(0).sum())):
        size = sizes[:, item]
        chosen = (room >= size[:, None]).argmax(1)
        start[rows, order[:, item]] = (chosen + 1) * capacity - room[rows, chosen]
        room[rows, chosen] -= size
    return start
