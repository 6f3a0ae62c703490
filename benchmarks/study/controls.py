"""Targets of the study alone: the controls for wavelets, and HOG on a grid of any size."""

from mmpretrain.models.selfsup.maskfeat import HOGGenerator
from mmpretrain.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from wamim_mm import FrequencyLoss, WaMIMViT, WaveletTargetGenerator


@MODELS.register_module()
class PooledPixels(WaveletTargetGenerator):
    """Pixels of averaged images in place of wavelet coefficients, all else being WaMIM's.

    The target of level ``l`` is the image averaged over ``2**(l - 1)`` pixels, the pixels of a
    block of 2 x 2 being the channels: ``(N, 4 * C, H / 2**l, W / 2**l)``. The four Haar subbands of
    the level are a rotation of these four pixels (and a factor), so that both hold the same.

    Args:
        levels: As in `WaveletTargetGenerator`.
        norm: Likewise. ``'token'`` normalizes a block of 2 x 2 pixels, ``'subband'`` a place in the
            block over all blocks.
    """

    def __init__(self, levels: tuple[int, ...] = (1, 2, 3), norm: str = 'token') -> None:
        super().__init__(wavelet='haar', levels=levels, norm=norm)

    def coefficients(self, images: Tensor) -> list[Tensor]:
        """Blocks of pixels before normalization, finest level first."""
        self.check_size(*images.shape[-2:])
        return [
            F.pixel_unshuffle(F.avg_pool2d(images, 2 ** (level - 1)), 2) for level in self.levels
        ]


@MODELS.register_module()
class PlainPatchInit(WaMIMViT):
    """`WaMIMViT` whose patch embedding starts as torch starts a convolution, not as MAE's."""

    def init_weights(self) -> None:
        super().init_weights()
        self.patch_embed.projection.reset_parameters()


@MODELS.register_module()
class PerImageFrequencyLoss(FrequencyLoss):
    """`FrequencyLoss` of each image by itself, then the mean.

    In the loss of a batch, an image that lost its high frequencies has fifty times the weight of
    one that lost its low ones.
    """

    def of_images(
        self, pred: Tensor, target: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As in the parent, each divided already; an image that lost nothing counts for none."""
        distances, frequencies = super().of_images(pred, target, mask)
        return distances / frequencies.clamp(min=1), (frequencies > 0).to(frequencies)


@MODELS.register_module()
class HOGOnPatches(HOGGenerator):
    """mmpretrain's HOG, whose grid of patches is 14 x 14 whatever the image, on another grid.

    Args:
        grid: Patches along a side.
        *args: Those of `HOGGenerator`.
        **kwargs: Those of `HOGGenerator`.
    """

    def __init__(self, grid: int, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.grid = grid

    def _reshape(self, hog_feat: Tensor) -> Tensor:
        """``(N, C, bins, h, w)`` cells to ``(N, grid**2, features)``, as the parent does."""
        cells = hog_feat.shape[-1] // self.grid
        return F.unfold(hog_feat.flatten(1, 2), cells, stride=cells).transpose(1, 2)
