"""Window groups against mmpretrain's cyclic shift, and the packing against brute force."""

from itertools import pairwise

import pytest
import torch
from mmpretrain.models.utils import ShiftWindowMSA, WindowMSA

from wamim_mm.ops.windows import (
    _first_fit_decreasing,
    group_windows,
    padding_positions,
    relative_index,
    window_cells,
)


def swin_pairs(grid, window, shift):
    """Which positions attend to each other, and with which bias, by mmpretrain's own code."""
    positions = torch.arange(grid[0] * grid[1]).view(1, *grid, 1)
    rolled = positions.roll((-shift, -shift), (1, 2)).float()
    windows = ShiftWindowMSA.window_partition(rolled, window).flatten(1).long()  # (nW, A)
    apart = ShiftWindowMSA.get_attn_mask(grid, window, shift)
    index = WindowMSA(4, (window, window), 1).relative_position_index
    bias = {}
    for w, members in enumerate(windows.tolist()):
        for i, query in enumerate(members):
            for j, key in enumerate(members):
                if apart is None or apart[w, i, j] == 0:
                    bias[query, key] = index[i, j].item()
    return bias


@pytest.mark.parametrize(
    ('grid', 'window', 'shift'),
    [
        ((6, 6), 3, 0),
        ((6, 6), 3, 1),
        ((6, 9), 3, 1),
        ((4, 8), 4, 2),
        ((4, 4), 4, 2),
        ((4, 4), 1, 0),
    ],
)
def test_cells_are_swins_shifted_windows(grid, window, shift):
    cells, offsets = window_cells(grid, window, shift)
    relative = relative_index(cells, offsets, window)
    expected = torch.full_like(relative, (2 * window - 1) ** 2)
    for (query, key), row in swin_pairs(grid, window, shift).items():
        expected[query, key] = row
    assert torch.equal(relative, expected)


@pytest.mark.parametrize('visible', [1, 5, 24, 36])
@pytest.mark.parametrize(('window', 'shift'), [(3, 0), (3, 1), (2, 1), (6, 3)])
def test_groups_keep_every_pair_and_add_none(window, shift, visible):
    grid = (6, 6)
    table = window_cells(grid, window, shift)
    tokens = torch.rand(4, 36).argsort(1)[:, :visible]
    cells, offsets = (part[tokens] for part in table)
    groups = group_windows(cells, offsets, window)
    relative = relative_index(groups.cells, groups.offsets, window)
    capacity = groups.cells.shape[2]
    assert capacity == min(window**2, visible)

    # Every token has a slot of its own, which knows it.
    assert all(len(set(row.tolist())) == visible for row in groups.inverse)
    assert torch.equal(
        groups.slots.flatten(1).gather(1, groups.inverse), torch.arange(visible).expand(4, -1)
    )

    apart = (2 * window - 1) ** 2
    for n in range(4):
        found = {}
        for g, block in enumerate(relative[n]):
            for i, j in (block != apart).nonzero().tolist():
                if groups.cells[n, g, i] >= 0:
                    query, key = groups.slots[n, g, [i, j]].tolist()
                    found[query, key] = block[i, j].item()
        dense = relative_index(cells[n], offsets[n], window)
        expected = {(i, j): dense[i, j].item() for i, j in (dense != apart).nonzero().tolist()}
        assert found == expected


def test_empty_slots_leave_no_row_without_a_key():
    # Cells of 3, 3 and 1 tokens in groups of 4: one slot stays empty.
    cells = torch.tensor([[0, 0, 0, 1, 1, 1, 2]])
    groups = group_windows(cells, torch.zeros_like(cells), window=2)
    relative = relative_index(groups.cells, groups.offsets, 2)
    assert groups.cells.shape == (1, 2, 4) and (groups.cells == -1).sum() == 1
    assert (relative != 9).any(-1).all()


def test_few_tokens_share_one_group():
    tokens = torch.rand(3, 196).argsort(1)[:, :48]
    cells, offsets = (part[tokens] for part in window_cells((14, 14), 7, 3))
    assert group_windows(cells, offsets, 7).cells.shape == (3, 1, 48)


def test_packing():
    torch.manual_seed(0)
    for capacity in (4, 49):
        sizes = torch.randint(0, capacity + 1, (50, 30))
        start = torch.from_numpy(_first_fit_decreasing(sizes.numpy(), capacity))
        for size, begin in zip(sizes.tolist(), start.tolist(), strict=True):
            taken = sorted((b, b + s) for s, b in zip(size, begin, strict=True) if s)
            # Nothing overlaps, and nothing crosses the end of a bin.
            assert all(a[1] <= b[0] for a, b in pairwise(taken))
            assert all(b // capacity == (e - 1) // capacity for b, e in taken)
            # First-fit decreasing never needs more than 11/9 of the optimum, plus 6/9.
            bins = 1 + max((b // capacity for b, _ in taken), default=0)
            assert bins <= -(-sum(size) // capacity) * 1.7 + 1


@pytest.mark.parametrize(
    ('grid', 'padded', 'count'), [((6, 6), (6, 6), 0), ((5, 6), (6, 6), 6), ((4, 4), (6, 6), 20)]
)
def test_padding(grid, padded, count):
    size, added = padding_positions(grid, window=3)
    assert size == padded and len(added) == count
    rows, columns = added // padded[1], added % padded[1]
    assert ((rows >= grid[0]) | (columns >= grid[1])).all()
