"""mmpretrain's Vision Transformer as a backbone for detection."""

import math
from collections.abc import Sequence

from mmpretrain.models import VisionTransformer
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.backbones.vit_sam import window_partition, window_unpartition
from mmpretrain.models.utils import resize_pos_embed
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@MODELS.register_module()
class ViTDet(VisionTransformer):
    """Plain Vision Transformer for large images (ViTDet, arXiv 2203.16527, section 3).

    A :class:`mmpretrain.models.VisionTransformer` in most of whose blocks a token attends within a
    window only. Its tensors have the same names and shapes, so a pre-training checkpoint fits by
    its prefix alone. ``img_size`` is the size of the images of pre-training: the position embedding
    is kept at that size and resized (bicubic) to each input's grid.

    As in ViTDet, there is no class token among the patches, and a grid that is not a multiple of
    the window is padded with zeros after the block's first norm; tokens attend to the padding.
    Unlike in ViTDet, positions are absolute only, without relative ones in the attention, and the
    output is normalized by the final norm, as it was in pre-training.

    Args:
        window_size: Side of a window in tokens.
        global_blocks: Indices of the blocks that attend to the whole image. Defaults to the last
            block of each quarter: 2, 5, 8 and 11 of 12.
        with_cp: Whether to compute the blocks' activations again in the backward pass (activation
            checkpointing) in order to save memory.
        *args: Those of `VisionTransformer`.
        **kwargs: Those of `VisionTransformer`, except ``out_type``.

    Raises:
        ValueError: There is no block of an index in ``global_blocks``.
    """

    def __init__(
        self,
        *args,
        window_size: int = 14,
        global_blocks: Sequence[int] | None = None,
        with_cp: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(*args, out_type='featmap', **kwargs)
        if global_blocks is None:
            global_blocks = [math.ceil(self.num_layers * i / 4) - 1 for i in (1, 2, 3, 4)]
        absent = [i for i in global_blocks if not 0 <= i < self.num_layers]
        if absent:
            raise ValueError(
                f'ViTDet: global_blocks must be in 0 to {self.num_layers - 1}, got {absent}'
            )
        self.window_size = window_size
        self.global_blocks = frozenset(global_blocks)
        self.with_cp = with_cp
        if self.cls_token is not None:
            # Unused: kept because checkpoints hold it, frozen so that DDP expects no gradient.
            self.cls_token.requires_grad = False
        for layer in self.layers:
            # Attention sees each window as a sample; a path must be dropped for a whole image.
            layer.drop_path, layer.attn.out_drop = layer.attn.out_drop, nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode images.

        Args:
            x: ``(N, C, H, W)`` normalized images of any size.

        Returns:
            A feature map ``(N, C, H / patch, W / patch)``, sides rounded up, for each entry of
            ``out_indices``, by default of the last block only.
        """
        x, grid = self.patch_embed(x)  # (N, L, C)
        pos_embed = resize_pos_embed(
            self.pos_embed,
            self.patch_resolution,
            grid,
            self.interpolate_mode,
            self.num_extra_tokens,
        )
        x = self.pre_norm(self.drop_after_pos(x + pos_embed[:, self.num_extra_tokens :]))
        x = x.unflatten(1, grid)  # (N, H, W, C)

        outs = []
        for i, layer in enumerate(self.layers):
            window = None if i in self.global_blocks else self.window_size
            if self.with_cp:
                x = checkpoint(_block, layer, x, window, use_reentrant=False)
            else:
                x = _block(layer, x, window)
            if i == len(self.layers) - 1 and self.final_norm:
                x = self.ln1(x)
            if i in self.out_indices:
                outs.append(x.permute(0, 3, 1, 2))
        return tuple(outs)


def _block(layer: TransformerEncoderLayer, x: Tensor, window: int | None) -> Tensor:
    """`TransformerEncoderLayer.forward` on a map ``(N, H, W, C)``, attention within windows.

    ``window`` is None where attention is over the whole map.
    """
    attended = layer.ln1(x)
    if window is None:
        attended = layer.attn(attended.flatten(1, 2)).view_as(x)
    else:
        windows, padded = window_partition(attended, window)  # (N * windows, A, A, C)
        windows = layer.attn(windows.flatten(1, 2)).view_as(windows)
        attended = window_unpartition(windows, window, padded, x.shape[1:3])
    x = x + layer.drop_path(attended)
    return layer.ffn(layer.ln2(x), identity=x)
