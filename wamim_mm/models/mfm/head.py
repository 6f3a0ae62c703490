"""From a feature map back to an image, and the loss of that."""

from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class MFMHead(BaseModule):
    """A 1 x 1 convolution and a pixel shuffle (MFM, section 3.3).

    Args:
        in_channels: Channels of the feature map; `MFM` fills them in from the encoder.
        stride: Pixels per cell of the feature map along a side; `MFM` measures powers of two.
        loss: `FrequencyLoss`.
        out_channels: Channels of the image; `MFM` fills them in too.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        in_channels: int,
        stride: int,
        loss: dict,
        out_channels: int = 3,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.stride = stride
        self.projection = nn.Conv2d(in_channels, out_channels * stride**2, kernel_size=1)
        self.shuffle = nn.PixelShuffle(stride)
        self.loss_module = MODELS.build(loss)

    def forward(self, features: Tensor) -> Tensor:
        """``(N, in_channels, h, w)`` to ``(N, out_channels, h * stride, w * stride)``."""
        return self.shuffle(self.projection(features))

    def loss(
        self,
        features: Tensor,
        target: Tensor,
        mask: Tensor | None,
        kept_low: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Loss of the image that is predicted from the features.

        Args:
            features: ``(N, in_channels, h, w)``.
            target: ``(N, out_channels, H, W)``.
            mask: As in `FrequencyLoss`.
            kept_low: ``(N,)`` bool, the images that have kept their low frequencies; None to tell
                no groups apart.

        Returns:
            ``loss``; and for the log ``error_low_pass`` and ``error_high_pass``, the same of the
            images that have kept their low and their high frequencies, NaN where there are none.
        """
        distances, frequencies = self.loss_module.of_images(self(features), target, mask)
        losses = dict(loss=distances.sum() / frequencies.sum().clamp(min=1))
        if kept_low is not None:
            groups = dict(error_low_pass=kept_low, error_high_pass=~kept_low)
            for name, group in groups.items():
                losses[name] = (distances.detach() * group).sum() / (frequencies * group).sum()
        return losses
