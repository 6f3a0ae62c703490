"""Masks, and the packing of visible tokens, against plain indexing."""

import pytest
import torch
from torch.nn import functional as F

from wamim_mm.ops.masking import (
    gather_tokens,
    merge_tokens,
    num_visible_units,
    random_mask,
    unit_tokens,
    visible_patches,
    visible_units,
)


@pytest.mark.parametrize(
    ('grid', 'ratio', 'visible'),
    [((14, 14), 0.75, 49), ((7, 7), 0.75, 12), ((10, 1), 0.9, 1), ((2, 2), 0.4, 2)],
)
def test_every_sample_hides_the_same_number(grid, ratio, visible):
    mask = random_mask(5, grid, ratio)
    assert mask.shape == (5, *grid) and mask.dtype == torch.bool and mask.device.type == 'cpu'
    assert (~mask).flatten(1).sum(1).tolist() == [visible] * 5


def test_samples_differ_and_seeds_repeat():
    draw = [random_mask(8, (7, 7), 0.75, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(draw[0], draw[1]) and not torch.equal(draw[0], draw[2])
    assert len({tuple(m.flatten().tolist()) for m in draw[0]}) == 8
    torch.manual_seed(3)
    first = random_mask(2, (7, 7), 0.5)
    torch.manual_seed(3)
    assert torch.equal(first, random_mask(2, (7, 7), 0.5))


def test_every_unit_is_hidden_equally_often():
    share = random_mask(20000, (4, 4), 0.75).float().mean(0)
    # Six standard deviations of a share of 20000 draws.
    assert (share - 0.75).abs().max() < 6 * (0.75 * 0.25 / 20000) ** 0.5


@pytest.mark.parametrize('ratio', [0, 1, -0.1, 1.5, float('nan')])
def test_refuses_ratios(ratio):
    with pytest.raises(ValueError, match='between 0 and 1'):
        num_visible_units((7, 7), ratio)


@pytest.mark.parametrize(('ratio', 'visible'), [(0.99, 0), (0.01, 4)])
def test_refuses_ratios_that_hide_all_or_nothing(ratio, visible):
    with pytest.raises(ValueError, match=f'leaves {visible} of 2 x 2 mask units visible'):
        num_visible_units((2, 2), ratio)


def test_visible_units():
    mask = torch.tensor([[[True, False], [False, True]], [[False, True], [True, False]]])
    assert visible_units(mask).tolist() == [[1, 2], [0, 3]]


@pytest.mark.parametrize(
    'mask',
    [
        torch.ones(1, 2, 2, dtype=torch.bool),
        torch.tensor([[[True, False]], [[False, False]]]),
        torch.zeros(0, 2, 2, dtype=torch.bool),
        torch.zeros(1, 2, 2),
        torch.zeros(2, 2, dtype=torch.bool),
    ],
    ids=['all hidden', 'unequal', 'empty', 'not boolean', 'no batch'],
)
def test_refuses_masks(mask):
    with pytest.raises(ValueError, match='mask'):
        visible_units(mask)


def test_unit_tokens():
    grid = torch.arange(6 * 8).view(6, 8)  # 3 x 4 units of 2 x 2 tokens
    positions = unit_tokens(torch.tensor([[0, 6], [11, 3]]), width=4, side=2)
    assert positions.tolist() == [
        grid[0:2, 0:2].flatten().tolist() + grid[2:4, 4:6].flatten().tolist(),
        grid[4:6, 6:8].flatten().tolist() + grid[0:2, 6:8].flatten().tolist(),
    ]


def test_gather_tokens():
    x = torch.randn(2, 6, 3)
    picked = gather_tokens(x, torch.tensor([[5, 0], [1, 1]]))
    assert torch.equal(picked, torch.stack([x[0, [5, 0]], x[1, [1, 1]]]))


def test_gather_tokens_keeps_positions_only():
    """Its slow twin, `torch.gather`, keeps the tokens as well; gradients are the same."""
    tokens, positions = torch.randn(2, 6, 3), torch.tensor([[5, 0, 0], [1, 4, 1]])
    upstream, gradients, kept = torch.randn(2, 3, 3), [], []

    def plain(x, positions):
        return x.gather(1, positions[..., None].expand(-1, -1, 3))

    for function in (gather_tokens, plain):
        shapes = set()
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, shapes=shapes: shapes.add(tuple(tensor.shape)) or tensor,
            lambda tensor: tensor,
        ):
            picked = function(x := tokens.clone().requires_grad_(), positions)
        gradients.append(torch.autograd.grad(picked, x, upstream)[0])
        kept.append(shapes)
    assert torch.equal(*gradients)
    assert kept[0] == {(2, 3)} and (2, 6, 3) in kept[1]
    double = tokens.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: gather_tokens(x, positions), double)


@pytest.mark.parametrize('ratio', [1, 2, 4])
def test_merge_tokens_is_what_a_strided_convolution_sees(ratio):
    height, width, channels = 8, 16, 3
    dense = torch.randn(2, height, width, channels)
    units = torch.tensor([[5, 0, 3], [1, 7, 2]])  # of 2 x 4 units of 4 x 4 tokens
    positions = unit_tokens(units, width=4, side=4)
    positions = positions[:, torch.randperm(positions.shape[1])]  # any order
    tokens = gather_tokens(dense.flatten(1, 2), positions)
    merged, coarse = merge_tokens(tokens, positions, width, ratio)
    blocks = dense.unflatten(2, (-1, ratio)).unflatten(1, (-1, ratio))  # (N, y, r, x, r, C)
    blocks = blocks.transpose(2, 3).flatten(3).flatten(1, 2)  # (N, y * x, r * r * C)
    assert torch.equal(merged, gather_tokens(blocks, coarse))
    assert all(len(set(row.tolist())) == 3 * (4 // ratio) ** 2 for row in coarse)


@pytest.mark.parametrize(('unit', 'patch'), [(16, 16), (32, 4), (8, 8), (8, 2)])
@pytest.mark.parametrize('batch', [1, 3])
def test_visible_patches_are_those_of_unfold(unit, patch, batch):
    images = torch.randn(batch, 3, 64, 96)
    mask = random_mask(batch, (64 // unit, 96 // unit), 0.6)
    units = visible_units(mask)
    positions = unit_tokens(units, mask.shape[2], unit // patch)
    expected = gather_tokens(F.unfold(images, patch, stride=patch).transpose(1, 2), positions)
    assert torch.equal(visible_patches(images, units, unit, patch), expected)
