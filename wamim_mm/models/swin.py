"""mmpretrain's Swin Transformer that can leave masked patches out."""

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import PatchMerging
from mmpretrain.models import SwinTransformer
from mmpretrain.models.backbones.swin_transformer import SwinBlock
from mmpretrain.models.utils import ShiftWindowMSA, WindowMSA, resize_pos_embed
from mmpretrain.registry import MODELS
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..ops.masking import VisibleTokens, gather_tokens, to_device, unit_tokens, visible_units
from ..ops.windows import (
    WindowGroups,
    group_windows,
    padding_positions,
    relative_index,
    window_cells,
)
from .masked_encoder import MaskedEncoder


@MODELS.register_module()
class WaMIMSwinTransformer(MaskedEncoder, SwinTransformer):
    """Swin Transformer for WaMIM pre-training (WaMIM, section 3.1).

    Without a mask it is :class:`mmpretrain.models.SwinTransformer`, whose arguments it takes. With
    a mask, hidden patches are dropped after the patch embedding and stay out in all stages: every
    layer sees visible tokens only, and each of them gets the feature that the dense network gives
    when its attention ignores masked tokens.

    A mask unit is what one token of the last stage covers, 32 pixels for four stages on patches of
    4. Where a stage's grid is not a multiple of the window, the grid is padded as in mmpretrain:
    the padding is attended to, like in the dense network, by the visible tokens of its window.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        for stage in self.stages:
            _check_stage(stage)

    @property
    def mask_unit(self) -> int:
        """Side of a mask unit in pixels: the patch, doubled by every patch merging."""
        return self.patch_embed.projection.stride[0] * 2 ** (len(self.stages) - 1)

    @property
    def feature_strides(self) -> list[int]:
        """Pixels per token along a side, for each output."""
        patch, last = self.patch_embed.projection.stride[0], len(self.stages) - 1
        merged = int(self.out_after_downsample)
        return [patch * 2 ** min(i + merged, last) for i in self.out_indices]

    @property
    def feature_channels(self) -> list[int]:
        """Channels of each output."""
        return [self.num_features[i] for i in self.out_indices]

    def forward(self, x: Tensor, mask: Tensor | None = None):
        """Encode images.

        Args:
            x: ``(N, C, H, W)`` normalized images.
            mask: None, or ``(N, H / mask_unit, W / mask_unit)`` bool, True where hidden, the same
                number hidden in every sample; best on the CPU.

        Returns:
            Without a mask, what the host returns. With one, a tuple of `VisibleTokens`, one for
            each entry of ``out_indices``, normalized by that output's norm.

        Raises:
            ValueError: The mask does not fit the images, its samples differ in their number of
                visible units, or a stage's grid is smaller than the window without
                ``pad_small_map``.
        """
        if mask is None:
            return super().forward(x)
        units = visible_units(self.check_mask(x, mask))
        side = 2 ** (len(self.stages) - 1)  # tokens along a side of a unit
        positions = unit_tokens(units, mask.shape[2], side)  # (N, L) on the CPU

        grid = (mask.shape[1] * side, mask.shape[2] * side)
        x = self.embed_visible(x, to_device(units, x.device))  # (N, L, C)
        if self.use_abs_pos_embed:
            pos_embed = resize_pos_embed(
                self.absolute_pos_embed, self.patch_resolution, grid, self.interpolate_mode, 0
            )
            x = x + pos_embed[0][to_device(positions, x.device)]
        x = self.drop_after_pos(x)

        outs = []
        for i, stage in enumerate(self.stages):
            x = self._visible_blocks(stage, x, positions, grid)
            out, out_positions = x, positions
            if stage.downsample is not None:
                x = _merge_patches(stage.downsample, x, side)
                side, grid = side // 2, (grid[0] // 2, grid[1] // 2)
                positions = unit_tokens(units, mask.shape[2], side)
                if self.out_after_downsample:
                    out, out_positions = x, positions
            if i in self.out_indices:
                norm = getattr(self, f'norm{i}')
                outs.append(VisibleTokens(norm(out), to_device(out_positions, x.device), None))
        return tuple(outs)

    def _visible_blocks(
        self, stage: torch.nn.Module, x: Tensor, positions: Tensor, grid: tuple[int, int]
    ) -> Tensor:
        """Run the blocks of a stage on ``(N, L, C)`` visible tokens."""
        groups: dict[tuple[int, int], _Groups] = {}
        for block in stage.blocks:
            layout = _window_layout(block.attn, grid)
            if layout not in groups:
                groups[layout] = _Groups(positions, grid, *layout, x.device)
            if block.with_cp and x.requires_grad:
                x = checkpoint(_visible_block, block, x, groups[layout], use_reentrant=False)
            else:
                x = _visible_block(block, x, groups[layout])
        return x


class _Groups:
    """The window groups of one stage and shift, with the padding that the grid needs."""

    def __init__(
        self,
        positions: Tensor,
        grid: tuple[int, int],
        window: int,
        shift: int,
        device: torch.device,
    ) -> None:
        padded, added = padding_positions(grid, window)
        row, column = positions // grid[1], positions % grid[1]
        tokens = torch.cat(
            [row * padded[1] + column, added.expand(positions.shape[0], -1)], dim=1
        )  # (N, L + P), flat on the padded grid
        cells, offsets = (table[tokens] for table in window_cells(padded, window, shift))
        self.groups: WindowGroups = group_windows(cells, offsets, window).to(device)
        self.num_padding = len(added)
        self.relative = relative_index(self.groups.cells, self.groups.offsets, window)


def _window_layout(attn: ShiftWindowMSA, grid: tuple[int, int]) -> tuple[int, int]:
    """Window and shift that mmpretrain uses on a grid of this size."""
    window, shift, smallest = attn.window_size, attn.shift_size, min(grid)
    if smallest < window and not attn.pad_small_map:
        raise ValueError(
            f'WaMIMSwinTransformer: a stage has a grid of {grid[0]} x {grid[1]}, smaller than the '
            f'window of {window}; use a smaller window_size, larger images or pad_small_map=True'
        )
    return window, 0 if smallest == window and not attn.pad_small_map else shift


def _visible_block(block: SwinBlock, x: Tensor, groups: _Groups) -> Tensor:
    """`SwinBlock.forward` on visible tokens."""
    x = x + block.attn.drop(_group_attention(block.attn.w_msa, block.norm1(x), groups))
    return block.ffn(block.norm2(x), identity=x)


def _group_attention(msa: WindowMSA, x: Tensor, layout: _Groups) -> Tensor:
    """`WindowMSA.forward` on window groups.

    Args:
        msa: The module whose weights are used.
        x: ``(N, L, C)`` visible tokens.
        layout: The groups of this stage and shift.
    """
    groups, (batch, length, channels) = layout.groups, x.shape
    num_groups, capacity = groups.cells.shape[1:]
    # mmpretrain pads with zeros after the norm: padding has a key and a value, those of the biases.
    if layout.num_padding:
        x = F.pad(x, (0, 0, 0, layout.num_padding))  # (N, L + P, C)
    qkv = msa.qkv(x)
    if num_groups > 1:
        qkv = gather_tokens(qkv, groups.slots)  # (N, G * S, 3 * C)
    qkv = qkv.view(batch * num_groups, capacity, 3, msa.num_heads, channels // msa.num_heads)
    # Heads beside groups: each (N * G * heads, S, C / heads).
    query, key, value = qkv.permute(2, 0, 3, 1, 4).flatten(1, 2)

    table = F.pad(msa.relative_position_bias_table, (0, 0, 0, 1), value=float('-inf'))
    # Not F.embedding: for few rows and many indices, its backward pass is 5 times slower on a CPU.
    bias = table.to(query.dtype).index_select(0, layout.relative.flatten())
    bias = bias.view(batch * num_groups, capacity, capacity, -1).permute(0, 3, 1, 2).flatten(0, 1)
    attention = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=msa.scale).softmax(-1)
    out = msa.attn_drop(attention) @ value
    out = out.unflatten(0, (-1, msa.num_heads))  # (N * G, heads, S, C / heads)
    out = out.transpose(1, 2).reshape(batch, num_groups * capacity, channels)
    if num_groups > 1:
        out = gather_tokens(out, groups.inverse[:, :length])
    out = out[:, :length]  # (N, L, C), padding left behind
    return msa.proj_drop(msa.proj(out))


def _merge_patches(merging: PatchMerging, x: Tensor, side: int) -> Tensor:
    """`PatchMerging.forward` on ``(N, K * side**2, C)`` tokens of units that are ``side`` wide."""
    batch, length, channels = x.shape
    half = side // 2
    x = x.view(batch, length // side**2, half, 2, half, 2, channels)  # (N, K, y, 2, x, 2, C)
    # Channels outermost: the order of nn.Unfold, which mmcv's module uses.
    x = x.permute(0, 1, 2, 4, 6, 3, 5).reshape(batch, length // 4, 4 * channels)
    x = x if merging.norm is None else merging.norm(x)
    return merging.reduction(x)


def _check_stage(stage: torch.nn.Module) -> None:
    """Refuse what the visible-only forward does not compute: other attentions and mergings."""
    for block in stage.blocks:
        if type(block.attn) is not ShiftWindowMSA or type(block.attn.w_msa) is not WindowMSA:
            raise ValueError(
                'WaMIMSwinTransformer supports ShiftWindowMSA with WindowMSA only, got '
                f'{type(block.attn).__name__} with {type(block.attn.w_msa).__name__}'
            )
    if stage.downsample is not None:
        sampler = stage.downsample.sampler
        if not (sampler.kernel_size == sampler.stride == (2, 2) and sampler.dilation == (1, 1)):
            raise ValueError(
                'WaMIMSwinTransformer merges 2 x 2 patches, got downsample_cfg with kernel '
                f'{sampler.kernel_size}, stride {sampler.stride}, dilation {sampler.dilation}'
            )
