"""A feature pyramid from one feature map."""

import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_norm_layer
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

NORM = dict(type='mmpretrain.LN2d', eps=1e-6)  # over the channels of a position


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Feature pyramid of a plain backbone (ViTDet, arXiv 2203.16527, section 3).

    Transposed convolutions and max pooling bring the backbone's last map, of stride 16, to strides
    4, 8, 16 and 32, each from the map itself. A 1 x 1 and a 3 x 3 convolution, each followed by a
    layer norm over the channels, make every scale's output. A fifth of stride 64, for the region
    proposals, is every second position of the fourth, as in Mask R-CNN's FPN.

    Args:
        in_channels: Channels of the backbone's map, divisible by 4.
        out_channels: Channels of the outputs.
    """

    def __init__(self, in_channels: int, out_channels: int = 256) -> None:
        super().__init__()
        half, quarter = in_channels // 2, in_channels // 4
        self.scales = nn.ModuleList(
            [
                nn.Sequential(
                    nn.ConvTranspose2d(in_channels, half, 2, stride=2),
                    build_norm_layer(NORM, half)[1],
                    nn.GELU(),
                    nn.ConvTranspose2d(half, quarter, 2, stride=2),
                ),
                nn.ConvTranspose2d(in_channels, half, 2, stride=2),
                nn.Identity(),
                nn.MaxPool2d(2),
            ]
        )
        self.convs = nn.ModuleList(
            nn.Sequential(
                ConvModule(channels, out_channels, 1, norm_cfg=NORM, act_cfg=None),
                ConvModule(out_channels, out_channels, 3, padding=1, norm_cfg=NORM, act_cfg=None),
            )
            for channels in (quarter, half, in_channels, in_channels)
        )

    def forward(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Build the pyramid.

        Args:
            features: Outputs of the backbone; the last one, ``(N, in_channels, H, W)`` with sides
                of at least 2, is used.

        Returns:
            Five maps with ``out_channels`` channels and sides ``4H, 2H, H, H // 2`` and half of
            that, rounded up.
        """
        x = features[-1]
        outs = [conv(scale(x)) for scale, conv in zip(self.scales, self.convs, strict=True)]
        outs.append(F.max_pool2d(outs[-1], 1, stride=2))
        return tuple(outs)
