"""The multi-level neck of WaMIM: one small decoder for each encoder feature."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule, ModuleList
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import build_2d_sincos_position_embedding
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ...ops.masking import VisibleTokens, merge_tokens


@MODELS.register_module()
class WaMIMDecoder(BaseModule):
    """Predict wavelet coefficients of level ``levels[i]`` from feature ``i`` (WaMIM, section 3.3).

    The first six arguments describe the encoder and the targets. `WaMIM` fills them in from those
    two, so that a config has to name the others only.

    Args:
        in_channels: Channels of each feature.
        feature_strides: Pixels per token along a side, of each feature.
        features_normed: Whether the encoder has normed each feature.
        levels: Wavelet level that each feature predicts, finest first.
        out_channels: Channels of a level's target.
        img_size: Height and width of the images, at the size at which they are transformed.
        strides: Pixels per token of each decoder, a multiple of the feature's stride; one number
            is for all levels. A decoder that is coarser than its feature works on fewer tokens:
            each of them sees a block of the feature's tokens and predicts a block of coefficients.
        embed_dims: Width of the decoders.
        num_heads: Attention heads.
        num_layers: Transformer blocks of each decoder.
        norm_raw: Whether a feature that the encoder has not normed gets a layer norm before the
            decoder, as in LocalMIM. Without it, the scale of a ViT's features grows from block to
            block, as only the last one is normed.

    Raises:
        ValueError: Numbers of features, levels and strides differ, a stride does not fit the
            feature, the level or the image, or the heads do not divide the width.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        feature_strides: Sequence[int],
        features_normed: Sequence[bool],
        levels: Sequence[int],
        out_channels: int,
        img_size: tuple[int, int],
        strides: int | Sequence[int],
        embed_dims: int = 256,
        num_heads: int = 8,
        num_layers: int = 1,
        norm_raw: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if isinstance(strides, int):
            strides = [strides] * len(levels)
        if not len(in_channels) == len(feature_strides) == len(levels) == len(strides):
            raise ValueError(
                f'WaMIMDecoder: every level needs a feature and a stride, got {len(levels)} levels '
                f'{tuple(levels)}, {len(in_channels)} features and {len(strides)} strides; change '
                "the backbone's out_indices, the target generator's levels or the neck's strides"
            )
        if embed_dims % num_heads:
            raise ValueError(
                f'WaMIMDecoder: embed_dims {embed_dims} is not a multiple of num_heads {num_heads}'
            )
        self.strides = list(strides)
        # MMEngine's, which initializes what is in it; torch's hides it from there.
        self.decoders = ModuleList(
            LevelDecoder(
                in_channels=channels,
                feature_stride=feature_stride,
                norm_input=norm_raw and not normed,
                level=level,
                out_channels=out_channels,
                img_size=img_size,
                stride=stride,
                embed_dims=embed_dims,
                num_heads=num_heads,
                num_layers=num_layers,
            )
            for channels, feature_stride, normed, level, stride in zip(
                in_channels, feature_strides, features_normed, levels, strides, strict=True
            )
        )

    def forward(self, features: Sequence[VisibleTokens]) -> list[Tensor]:
        """Predict every level.

        Args:
            features: One `VisibleTokens` for each level, finest level first.

        Returns:
            One ``(N, out_channels, H / 2**level, W / 2**level)`` tensor a level.
        """
        return [decoder(feature) for decoder, feature in zip(self.decoders, features, strict=True)]


class LevelDecoder(BaseModule):
    """Transformer blocks over all positions of a grid; a mask token fills the hidden ones.

    Args: see `WaMIMDecoder`; ``norm_input`` is whether the feature is normed here.
    """

    def __init__(
        self,
        in_channels: int,
        feature_stride: int,
        norm_input: bool,
        level: int,
        out_channels: int,
        img_size: tuple[int, int],
        stride: int,
        embed_dims: int,
        num_heads: int,
        num_layers: int,
    ) -> None:
        super().__init__()
        coeff_stride = 2**level
        if stride % feature_stride:
            raise ValueError(
                f'WaMIMDecoder: stride {stride} of level {level} is not a multiple of the '
                f"feature's {feature_stride} pixels per token"
            )
        if stride % coeff_stride and coeff_stride % stride:
            raise ValueError(
                f'WaMIMDecoder: stride {stride} and the {coeff_stride} pixels of a coefficient of '
                f'level {level} do not divide one another; choose another patch size, set '
                'target_generator.img_size to one at which a patch fits, or drop the level'
            )
        if any(side % max(stride, coeff_stride) for side in img_size):
            raise ValueError(
                f'WaMIMDecoder: images of {img_size[0]} x {img_size[1]} are not a multiple of '
                f'{max(stride, coeff_stride)} pixels, which level {level} needs'
            )
        self.stride = stride
        self.grid = (img_size[0] // stride, img_size[1] // stride)
        self.merge = stride // feature_stride
        # A token predicts a block of coefficients, or a block of tokens predicts one coefficient.
        self.split = max(stride // coeff_stride, 1)
        self.pool = max(coeff_stride // stride, 1)

        self.input_norm = nn.LayerNorm(in_channels, eps=1e-6) if norm_input else nn.Identity()
        self.embed = nn.Linear(self.merge**2 * in_channels, embed_dims)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        # The library's function counts columns first: swapped sides make its order row-major.
        embedding = build_2d_sincos_position_embedding(self.grid[::-1], embed_dims)
        self.register_buffer('pos_embed', embedding, persistent=False)
        self.blocks = nn.Sequential(
            *(
                TransformerEncoderLayer(embed_dims, num_heads, 4 * embed_dims)
                for _ in range(num_layers)
            )
        )
        self.norm = nn.LayerNorm(embed_dims)
        self.predict = nn.Conv2d(
            embed_dims, self.split**2 * out_channels, kernel_size=self.pool, stride=self.pool
        )

    def init_weights(self) -> None:
        """Initialize as the config says, then the mask token with a small normal."""
        super().init_weights()
        trunc_normal_(self.mask_token, std=0.02)

    def forward(self, feature: VisibleTokens) -> Tensor:
        """``(N, L, C)`` visible tokens to ``(N, out_channels, H / 2**level, W / 2**level)``."""
        width = self.grid[1] * self.merge
        tokens = self.input_norm(feature.tokens)  # (N, L, C)
        tokens, positions = merge_tokens(tokens, feature.positions, width, self.merge)
        tokens = self.embed(tokens)  # (N, L', D)

        x = self.mask_token.to(tokens.dtype).expand(len(tokens), self.grid[0] * self.grid[1], -1)
        x = x.scatter(1, positions[..., None].expand_as(tokens), tokens)  # (N, grid, D)
        x = self.norm(self.blocks(x + self.pos_embed.to(x.dtype)))
        x = x.transpose(1, 2).unflatten(2, self.grid)  # (N, D, h, w)
        return F.pixel_shuffle(self.predict(x), self.split)
