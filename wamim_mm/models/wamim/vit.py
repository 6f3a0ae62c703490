"""mmpretrain's Vision Transformer that can leave masked patches out."""

import torch
from mmpretrain.models import VisionTransformer
from mmpretrain.models.utils import build_2d_sincos_position_embedding, resize_pos_embed
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ...class_names import pretrained_init
from ...ops.masking import VisibleTokens, visible_units
from .masked_encoder import MaskedEncoder


@MODELS.register_module()
class WaMIMViT(MaskedEncoder, VisionTransformer):
    """Vision Transformer for WaMIM pre-training (WaMIM, section 3.1).

    Without a mask it is :class:`mmpretrain.models.VisionTransformer`, whose arguments it takes.
    With a mask, hidden patches are dropped after the patch embedding, and every block sees the
    visible ones and the class token only. The position embedding is sine-cosine and fixed, as in
    MAE.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.pos_embed.requires_grad = False

    @property
    def mask_unit(self) -> int:
        """Side of a mask unit in pixels: one patch."""
        return self.patch_embed.projection.stride[0]

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return self.num_layers

    @property
    def feature_strides(self) -> list[int]:
        """Pixels per token along a side, for each output."""
        return [self.mask_unit] * len(self.out_indices)

    @property
    def feature_channels(self) -> list[int]:
        """Channels of each output."""
        return [self.embed_dims] * len(self.out_indices)

    @property
    def features_normed(self) -> list[bool]:
        """Whether each output is normed already: the last block's is, by the final norm."""
        return [self.final_norm and i == self.num_layers - 1 for i in self.out_indices]

    def init_weights(self) -> None:
        """Initialize as MAE (and LocalMIM) does, in mmpretrain's `MAEViT`.

        First the host's own initialization. Then sines and cosines for the position embedding; for
        the patch embedding the uniform Xavier initialization of a linear layer, which it is over
        flattened patches; and a normal distribution of deviation 0.02 for the class token.
        """
        super().init_weights()
        if pretrained_init(self.init_cfg):
            return
        height, width = self.patch_resolution
        # The library's function counts columns first: swapped sides make its order row-major.
        embedding = build_2d_sincos_position_embedding(
            (width, height), self.embed_dims, cls_token=self.cls_token is not None
        )
        self.pos_embed.data.copy_(embedding)
        nn.init.xavier_uniform_(self.patch_embed.projection.weight.data.flatten(1))  # a view
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=0.02)

    #: ``(N, L)`` positions of the visible tokens: a unit is a patch.
    geometry = staticmethod(visible_units)

    def encode_visible(self, x: Tensor, layout: Tensor) -> tuple[VisibleTokens, ...]:
        """Encode what is visible of ``(N, C, H, W)`` images.

        Args:
            x: The images.
            layout: ``(N, L)`` positions of the visible tokens, see `geometry`.

        Returns:
            One for each entry of ``out_indices``; the last block's are normalized by the final
            norm.
        """
        pos_embed = resize_pos_embed(
            self.pos_embed,
            self.patch_resolution,
            self.mask_grid(*x.shape[-2:]),
            self.interpolate_mode,
            self.num_extra_tokens,
        )
        x = self.embed_visible(x, layout) + pos_embed[0, self.num_extra_tokens :][layout]
        if self.cls_token is not None:
            cls_token = (self.cls_token + pos_embed[:, :1]).expand(x.shape[0], -1, -1)
            x = torch.cat([cls_token, x], dim=1)  # (N, 1 + L, C)
        x = self.pre_norm(self.drop_after_pos(x))

        outs = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i == len(self.layers) - 1 and self.final_norm:
                x = self.ln1(x)
            if i in self.out_indices:
                cls_token = x[:, 0] if self.cls_token is not None else None
                outs.append(VisibleTokens(x[:, self.num_extra_tokens :], layout, cls_token))
        return tuple(outs)
