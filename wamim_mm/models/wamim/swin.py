"""mmpretrain's Swin Transformer that can leave masked patches out."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import PatchMerging
from mmpretrain.models import SwinTransformer
from mmpretrain.models.backbones.swin_transformer import SwinBlock, SwinBlockSequence
from mmpretrain.models.utils import ShiftWindowMSA, WindowMSA, resize_pos_embed
from mmpretrain.registry import MODELS
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ...class_names import pretrained_init
from ...ops.masking import VisibleTokens, gather_tokens
from ...ops.window_attention import biased_attention, flex_attention
from ...ops.windows import Stage, SwinLayout, WindowGroups, Windows, relative_index, swin_layout
from .masked_encoder import MaskedEncoder


@MODELS.register_module()
class WaMIMSwinTransformer(MaskedEncoder, SwinTransformer):
    """Swin Transformer for WaMIM pre-training (WaMIM, section 3.1).

    Without a mask it is :class:`mmpretrain.models.SwinTransformer`, whose arguments it takes. With
    a mask, hidden patches are dropped after the patch embedding and stay out in all stages: every
    layer sees visible tokens only, and each of them gets the feature that the dense network gives
    when its attention ignores masked tokens.

    A mask unit is what one token of the last stage covers, 32 pixels for four stages on patches of
    4. Where a stage's grid is not a multiple of the window, the grid is padded as in mmpretrain.
    The visible tokens attend to the padding in their window, as in the dense network.

    Args:
        args, kwargs: Those of :class:`mmpretrain.models.SwinTransformer`.
        flex_attention: Whether visible tokens attend to each other by PyTorch's FlexAttention,
            which keeps no bias for every pair of tokens. It trains on GPUs only, see
            `ops.window_attention`.

    Raises:
        ValueError: The architecture has attentions or patch mergings that cannot leave patches
            out, or ``flex_attention`` comes with dropout of the attention.
    """

    def __init__(self, *args, flex_attention: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.flex_attention = flex_attention
        for stage in self.stages:
            _check_stage(stage)
            for block in stage.blocks:
                if flex_attention and block.attn.w_msa.attn_drop.p:
                    raise ValueError(
                        'WaMIMSwinTransformer: flex_attention=True has no dropout of the attention,'
                        f' got attn_drop={block.attn.w_msa.attn_drop.p}; use 0 or '
                        'flex_attention=False'
                    )
                block.__class__ = _Block

    def init_weights(self) -> None:
        """Initialize as the host does, then the patch embedding as a linear layer (LocalMIM)."""
        super().init_weights()
        if pretrained_init(self.init_cfg):
            return
        torch.nn.init.xavier_uniform_(self.patch_embed.projection.weight.data.flatten(1))  # a view

    @property
    def mask_unit(self) -> int:
        """Side of a mask unit in pixels: the patch, doubled by every patch merging."""
        return self.patch_embed.projection.stride[0] * 2 ** (len(self.stages) - 1)

    @property
    def depth(self) -> int:
        """Number of stages."""
        return len(self.stages)

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

    @property
    def geometry(self) -> Callable[[Tensor], SwinLayout]:
        """From a mask on the CPU to its layout, see `swin_layout`."""
        stages = [
            Stage(tuple(_windows(stage)), halves=stage.downsample is not None)
            for stage in self.stages
        ]
        return partial(swin_layout, stages=stages)

    @property
    def features_normed(self) -> list[bool]:
        """Whether each output is normed already: all are, unless ``norm_cfg`` is None."""
        norms = [getattr(self, f'norm{i}') for i in self.out_indices]
        return [not isinstance(norm, torch.nn.Identity) for norm in norms]

    def encode_visible(self, x: Tensor, layout: SwinLayout) -> tuple[VisibleTokens, ...]:
        """Encode what is visible of ``(N, C, H, W)`` images.

        Args:
            x: The images.
            layout: Where their visible tokens are, on the device of the images.

        Returns:
            One for each entry of ``out_indices``, normalized by that output's norm.

        Raises:
            RuntimeError: A CPU is to train with FlexAttention.
        """
        if self.flex_attention and x.device.type == 'cpu' and torch.is_grad_enabled():
            raise RuntimeError(
                'WaMIMSwinTransformer: flex_attention=True trains on a GPU only, and the images are'
                ' on the CPU; set model.backbone.flex_attention=False'
            )
        side = 2 ** (len(self.stages) - 1)  # tokens along a side of a unit
        grid = tuple(units * side for units in self.mask_grid(*x.shape[-2:]))
        x = self.embed_visible(x, layout.units)  # (N, L, C)
        if self.use_abs_pos_embed:
            pos_embed = resize_pos_embed(
                self.absolute_pos_embed, self.patch_resolution, grid, self.interpolate_mode, 0
            )
            x = x + pos_embed[0][layout.positions[0]]
        x = self.drop_after_pos(x)

        outs = []
        for i, stage in enumerate(self.stages):
            grouped = {
                windows: _prepared(groups, windows.side, self.flex_attention)
                for windows, groups in zip(_windows(stage), layout.groups[i], strict=True)
            }
            for block in stage.blocks:
                x = block(x, grouped[_windows_of(block)])
            out, positions = x, layout.positions[i]
            if stage.downsample is not None:
                x = _merge_patches(stage.downsample, x, side)
                side //= 2
                if self.out_after_downsample:
                    out, positions = x, layout.positions[i + 1]
            if i in self.out_indices:
                outs.append(VisibleTokens(getattr(self, f'norm{i}')(out), positions, None))
        return tuple(outs)


def _windows_of(block: SwinBlock) -> Windows:
    attn = block.attn
    return Windows(attn.window_size, attn.shift_size, attn.pad_small_map)


def _windows(stage: SwinBlockSequence) -> list[Windows]:
    """The different windows of a stage's blocks, in the order in which they come."""
    return list(dict.fromkeys(_windows_of(block) for block in stage.blocks))


class _Groups(NamedTuple):
    """Window groups as attention reads them.

    Attributes:
        layout: The groups.
        window: Side of a window in tokens.
        relative: ``(N, G, S, S)``, see `relative_index`; None for FlexAttention.
    """

    layout: WindowGroups
    window: int
    relative: Tensor | None


def _prepared(layout: WindowGroups, window: int, flex_attention: bool) -> _Groups:
    pairs = None if flex_attention else relative_index(layout.cells, layout.offsets, window)
    return _Groups(layout, window, pairs)


class _Block(SwinBlock):
    """mmpretrain's block, which takes visible tokens in window groups too.

    It is called as a module for both, as what wraps modules expects (`fully_shard`, MMEngine's
    ``activation_checkpointing``).
    """

    def forward(self, x: Tensor, place: tuple[int, int] | _Groups) -> Tensor:
        """The block's output for a dense map of this size, or for tokens of these groups."""
        if not isinstance(place, _Groups):
            return super().forward(x, place)
        if self.with_cp and x.requires_grad:
            return checkpoint(self._visible, x, place, use_reentrant=False)
        return self._visible(x, place)

    def _visible(self, x: Tensor, groups: _Groups) -> Tensor:
        x = x + self.attn.drop(_group_attention(self.attn.w_msa, self.norm1(x), groups))
        return self.ffn(self.norm2(x), identity=x)


def _group_attention(msa: WindowMSA, x: Tensor, groups: _Groups) -> Tensor:
    """`WindowMSA.forward` on window groups.

    Args:
        msa: The module whose weights are used.
        x: ``(N, L, C)`` visible tokens.
        groups: The groups of this stage and shift.
    """
    batch, length, channels = x.shape
    layout = groups.layout
    num_groups, capacity = layout.slots.shape[1:]
    # mmpretrain pads with zeros after the norm: key and value of the padding are the biases.
    num_padding = layout.inverse.shape[1] - length
    if num_padding:
        x = F.pad(x, (0, 0, 0, num_padding))  # (N, L + P, C)
    qkv = msa.qkv(x)
    if num_groups > 1:
        qkv = gather_tokens(qkv, layout.slots.flatten(1))  # (N, G * S, 3 * C)
    qkv = qkv.view(batch * num_groups, capacity, 3, msa.num_heads, channels // msa.num_heads)
    table = msa.relative_position_bias_table
    if groups.relative is None:
        cells, offsets = layout.cells.flatten(0, 1), layout.offsets.flatten(0, 1)
        out = flex_attention(qkv, table, cells, offsets, groups.window, msa.scale)
    else:
        relative = groups.relative.flatten(0, 1)
        out = biased_attention(qkv, table, relative, msa.scale, msa.attn_drop)
    out = out.view(batch, num_groups * capacity, channels)
    # (N, L, C), padding left behind
    out = gather_tokens(out, layout.inverse[:, :length]) if num_groups > 1 else out[:, :length]
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


def _check_stage(stage: SwinBlockSequence) -> None:
    """Raise ValueError for attentions and mergings that the visible-only forward cannot compute."""
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
