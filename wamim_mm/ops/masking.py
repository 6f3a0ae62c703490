"""Random masks over mask units, and the bookkeeping of the tokens that stay visible.

A *mask unit* is the square of the image that is hidden or shown as a whole; a mask is a boolean
``(N, h, w)`` map over the units, True where hidden. *Visible tokens* are the patches of the units
that are shown, packed into ``(N, L, C)`` with their positions beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

__all__ = [
    'Masking',
    'PackedMasking',
    'VisibleTokens',
    'drawn_mask',
    'gather_tokens',
    'merge_tokens',
    'num_visible_units',
    'pack_masking',
    'random_mask',
    'sample_draws',
    'sample_masks',
    'to_device',
    'unit_tokens',
    'unpack_masking',
    'visible_patches',
    'visible_units',
]


class VisibleTokens(NamedTuple):
    """What a masked encoder returns for one feature.

    Attributes:
        tokens: ``(N, L, C)`` features of the visible positions.
        positions: ``(N, L)`` int64, the flat row-major index of each token on the feature's grid.
        cls_token: ``(N, C)``, or None where the encoder has no class token.
    """

    tokens: Tensor
    positions: Tensor
    cls_token: Tensor | None


class Masking(NamedTuple):
    """The masks of a batch and what follows from them.

    Attributes:
        mask: ``(N, h, w)`` bool over the mask units, True where hidden.
        layout: Where the visible tokens are, computed from the mask by the encoder's ``geometry``.
    """

    mask: Tensor
    layout: Any


@dataclass(frozen=True)
class Structure:
    """What the tensors of a `PackedMasking` were.

    No tuple, whose parts loaders and preprocessors would look through, and give back as a list.

    Attributes:
        shapes: Of every tensor.
        dtypes: Of every tensor.
        tuples: What they were part of.
    """

    shapes: list[torch.Size]
    dtypes: list[torch.dtype]
    tuples: TreeSpec


class PackedMasking(NamedTuple):
    """A `Masking` in one tensor, which goes to another process or device in one piece.

    A masking of Swin-B has 39 tensors. Sent one by one, each costs a file descriptor between
    processes and a copy to the device.

    Attributes:
        values: ``(M,)`` int32, those of all tensors one after another.
        structure: What `unpack_masking` brings them back to.
    """

    values: Tensor
    structure: Structure


def pack_masking(masking: Masking) -> PackedMasking:
    """Put the tensors of a masking into one; their values are indices below 2**31, or bool."""
    tensors, tuples = tree_flatten(masking)
    values = torch.cat([tensor.flatten().int() for tensor in tensors])
    structure = Structure([t.shape for t in tensors], [t.dtype for t in tensors], tuples)
    return PackedMasking(values, structure)


def unpack_masking(packed: PackedMasking) -> Masking:
    """The masking, on the device of the packed one; tensors of int64 share one storage."""
    shapes, dtypes = packed.structure.shapes, packed.structure.dtypes
    parts = torch.split(packed.values.long(), [shape.numel() for shape in shapes])
    tensors = [p.view(s).to(d) for p, s, d in zip(parts, shapes, dtypes, strict=True)]
    masking: Masking = tree_unflatten(tensors, packed.structure.tuples)
    return masking


def num_visible_units(grid: tuple[int, int], mask_ratio: float) -> int:
    """Number of units that stay visible, the nearest whole number to ``1 - mask_ratio`` of them.

    Raises:
        ValueError: The ratio is not between 0 and 1, or hides every unit or none, or the grid has
            no unit.

    Examples:
        >>> num_visible_units((7, 7), 0.75)
        12
    """
    if min(grid) < 1:
        raise ValueError(f'a grid of mask units needs sides of 1 or more, got {grid}')
    total = grid[0] * grid[1]
    if not isinstance(mask_ratio, int | float) or not 0 < mask_ratio < 1:
        raise ValueError(f'mask_ratio must be between 0 and 1, both excluded, got {mask_ratio!r}')
    visible = round(total * (1 - mask_ratio))
    if not 0 < visible < total:
        raise ValueError(
            f'mask_ratio {mask_ratio} leaves {visible} of {grid[0]} x {grid[1]} mask units '
            'visible; at least one must be visible and one hidden: use larger images or another '
            'ratio'
        )
    return visible


def random_mask(
    batch: int, grid: tuple[int, int], mask_ratio: float, generator: torch.Generator | None = None
) -> Tensor:
    """Draw a mask for each sample, every one with the same number of hidden units.

    Args:
        batch: Number of samples, ``N``, 0 or more.
        grid: Units along height and width, ``(h, w)``.
        mask_ratio: Share of hidden units, see `num_visible_units`.
        generator: A CPU generator; None is torch's default one, which the run's seed sets.

    Returns:
        ``(N, h, w)`` bool on the CPU, True where hidden. What follows from a mask is computed on
        the CPU too, so that the program does not wait for an accelerator.

    Raises:
        ValueError: The batch is negative, or see `num_visible_units`.

    Examples:
        >>> random_mask(3, (4, 4), 0.75).sum((1, 2)).tolist()
        [12, 12, 12]
    """
    if batch < 0:
        raise ValueError(f'a batch has 0 samples or more, got {batch}')
    visible = num_visible_units(grid, mask_ratio)
    rank = torch.rand(batch, grid[0] * grid[1], generator=generator).argsort(dim=1)
    mask = torch.ones(batch, grid[0] * grid[1], dtype=torch.bool)
    mask.scatter_(1, rank[:, :visible], False)
    return mask.view(batch, *grid)


def drawn_mask(draw: float, grid: tuple[int, int], mask_ratio: float) -> Tensor:
    """The mask that follows from a random number, which was drawn for one sample.

    Args:
        draw: In [0, 1), a multiple of 2**-53, as generators of random numbers give it.
        grid: Units along height and width, ``(h, w)``.
        mask_ratio: Share of hidden units, see `num_visible_units`.

    Returns:
        ``(h, w)`` bool, True where hidden; the same number always gives the same mask.

    Raises:
        ValueError: The number is not in [0, 1), or see `num_visible_units`.

    Examples:
        >>> mask = drawn_mask(0.5, (4, 4), 0.75)
        >>> tuple(mask.shape), int(mask.sum()), torch.equal(mask, drawn_mask(0.5, (4, 4), 0.75))
        ((4, 4), 12, True)
    """
    if not 0 <= draw < 1:
        raise ValueError(f'a draw must be in [0, 1), got {draw}')
    generator = torch.Generator().manual_seed(int(draw * 2**53))
    return random_mask(1, grid, mask_ratio, generator)[0]


def sample_masks(samples: Sequence[Any], grid: tuple[int, int], mask_ratio: float) -> Tensor | None:
    """The masks that samples carry, or that follow from their numbers.

    Args:
        samples: Each holds (``in``) an attribute ``mask``, ``(h, w)`` bool, or ``draw``, in [0, 1);
            or none of them has either.
        grid: Units along height and width of a mask that follows from a number.
        mask_ratio: Share of hidden units of such a mask, see `drawn_mask`.

    Returns:
        ``(N, h, w)`` bool on the CPU, or None where no sample has one.

    Raises:
        ValueError: Some samples have a mask and some do not.
    """
    masks = [
        torch.as_tensor(sample.mask).bool().cpu()
        if 'mask' in sample
        else drawn_mask(float(sample.draw), grid, mask_ratio)
        for sample in samples
        if 'mask' in sample or 'draw' in sample
    ]
    if masks and len(masks) != len(samples):
        raise ValueError(f'WaMIM: {len(masks)} masks for {len(samples)} images; give all or none')
    return torch.stack(masks) if masks else None


def sample_draws(samples: Sequence[Any]) -> Tensor | None:
    """The numbers that samples carry.

    Args:
        samples: Each holds (``in``) an attribute ``draw``, in [0, 1), or none of them does.

    Returns:
        ``(N,)`` float64 on the CPU, or None where no sample has one.

    Raises:
        ValueError: Some samples have a number and some do not.
    """
    draws = [float(sample.draw) for sample in samples if 'draw' in sample]
    if draws and len(draws) != len(samples):
        raise ValueError(f'{len(draws)} numbers (draw) for {len(samples)} images; give all or none')
    return torch.tensor(draws, dtype=torch.float64) if draws else None


def visible_units(mask: Tensor) -> Tensor:
    """Flat indices of the visible units, ascending.

    Args:
        mask: ``(N, h, w)`` bool, True where hidden.

    Returns:
        ``(N, K)`` int64.

    Raises:
        ValueError: Not boolean, a sample without visible units, or samples that differ in their
            number.

    Examples:
        >>> visible_units(torch.tensor([[[True, False], [False, True]]])).tolist()
        [[1, 2]]
    """
    if mask.dtype != torch.bool or mask.ndim != 3:
        raise ValueError(
            f'mask must be a boolean (N, h, w) tensor, got {mask.dtype} {tuple(mask.shape)}'
        )
    visible = ~mask.flatten(1)
    counts = visible.sum(1)
    if mask.shape[0] == 0 or counts.min() != counts.max() or counts.min() == 0:
        raise ValueError(
            'every sample of a batch needs the same number, 1 or more, of visible mask units, got '
            f'{sorted(set(counts.tolist()))}'
        )
    return visible.nonzero()[:, 1].view(mask.shape[0], -1)


def unit_tokens(units: Tensor, width: int, side: int) -> Tensor:
    """Positions of the tokens inside the given units.

    Args:
        units: ``(N, K)`` flat indices on a grid of units that is ``width`` units wide.
        width: Width of the grid of units.
        side: Tokens along a side of a unit.

    Returns:
        ``(N, K * side**2)`` flat indices on the grid of tokens, which is ``width * side`` wide;
        unit after unit, row-major inside each.

    Examples:
        >>> unit_tokens(torch.tensor([[1]]), width=2, side=2).tolist()
        [[2, 3, 6, 7]]
    """
    inner = torch.arange(side, device=units.device)
    rows = (units // width)[..., None, None] * side + inner[:, None]  # (N, K, side, 1)
    columns = (units % width)[..., None, None] * side + inner  # (N, K, 1, side)
    return (rows * (width * side) + columns).flatten(1)


def visible_patches(images: Tensor, units: Tensor, unit: int, patch: int) -> Tensor:
    """The pixels of the visible patches, in the order of `unit_tokens`.

    Args:
        images: ``(N, C, H, W)``.
        units: ``(N, K)`` flat indices of the visible units, on the device of the images.
        unit: Side of a unit in pixels, which divides the sides of the images.
        patch: Side of a patch in pixels, which divides that of a unit.

    Returns:
        ``(N, K * (unit / patch)**2, C * patch**2)``; the pixels of a patch are in the order of a
        convolution's weights, colours outermost.
    """
    batch, colours = images.shape[:2]
    height, width = (side // unit for side in images.shape[2:])
    side = unit // patch
    blocks = images.reshape(batch, colours, height, unit, width, unit)
    blocks = blocks.permute(0, 2, 4, 1, 3, 5)  # (N, h, w, C, unit, unit)
    sample = torch.arange(batch, device=units.device)[:, None]
    blocks = blocks[sample, units // width, units % width]  # (N, K, C, unit, unit)
    patches = blocks.reshape(batch, -1, colours, side, patch, side, patch)
    patches = patches.permute(0, 1, 3, 5, 2, 4, 6)  # (N, K, side, side, C, patch, patch)
    return patches.flatten(4).flatten(1, 3)


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """Move a tensor of the CPU without making the CPU wait for an accelerator's queue."""
    if x.device == device:
        return x
    if device.type == 'cuda' and x.device.type == 'cpu' and not x.is_pinned():
        x = x.pin_memory()
    return x.to(device, non_blocking=True)


def gather_tokens(x: Tensor, positions: Tensor) -> Tensor:
    """Pick ``(N, L, C)`` tokens at ``(N, L)`` positions out of ``(N, H * W, C)``."""
    tokens: Tensor = _GatherTokens.apply(x, positions)
    return tokens


class _GatherTokens(torch.autograd.Function):
    """`torch.gather` along tokens, with less memory.

    The backward pass of `torch.gather` itself keeps all of ``x``, of which it needs the shape only.
    """

    @staticmethod
    def forward(x: Tensor, positions: Tensor) -> Tensor:
        return x.gather(1, positions[..., None].expand(-1, -1, x.shape[-1]))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        x, positions = inputs
        ctx.length = x.shape[1]
        ctx.save_for_backward(positions)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (positions,) = ctx.saved_tensors
        zeros = grad.new_zeros(grad.shape[0], ctx.length, grad.shape[2])
        return zeros.scatter_add_(1, positions[..., None].expand_as(grad), grad), None


def merge_tokens(
    tokens: Tensor, positions: Tensor, width: int, ratio: int
) -> tuple[Tensor, Tensor]:
    """Concatenate the tokens of each ``ratio x ratio`` block into one token of a coarser grid.

    Args:
        tokens: ``(N, L, C)``; of every block, all tokens are there or none.
        positions: ``(N, L)`` flat indices on a grid that is ``width`` wide.
        width: Width of the fine grid, a multiple of ``ratio``.
        ratio: Tokens along a side of a block.

    Returns:
        ``(N, L / ratio**2, ratio**2 * C)`` tokens, row-major inside a block, and their positions on
        the coarse grid.

    Examples:
        >>> tokens, positions = torch.arange(4.0).view(1, 4, 1), torch.tensor([[2, 3, 6, 7]])
        >>> [x.tolist() for x in merge_tokens(tokens, positions, width=4, ratio=2)]
        [[[[0.0, 1.0, 2.0, 3.0]]], [[1]]]
    """
    if ratio == 1:
        return tokens, positions
    row, column = positions // width, positions % width
    block = (row // ratio) * (width // ratio) + column // ratio
    inner = (row % ratio) * ratio + column % ratio
    order = (block * ratio**2 + inner).argsort(dim=1)
    tokens = gather_tokens(tokens, order)  # (N, L, C), block after block
    batch, length, channels = tokens.shape
    tokens = tokens.reshape(batch, length // ratio**2, ratio**2 * channels)
    return tokens, block.gather(1, order)[:, :: ratio**2]
