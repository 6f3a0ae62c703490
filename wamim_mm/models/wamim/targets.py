"""Wavelet coefficients as the targets of masked image modeling."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from ...ops.wavelets import approximation2, filter_bank, wavedec2, waverec2

SUBBANDS = ('cA', 'cH', 'cV', 'cD')
NORMS = ('subband', 'block', 'token', 'none')


@MODELS.register_module()
class WaveletTargetGenerator(BaseModule):
    """Coefficients of a multi-level 2-D wavelet transform of the image (WaMIM, section 3.2).

    Args:
        wavelet: Name of an orthogonal or biorthogonal wavelet of PyWavelets.
        levels: Levels whose coefficients are targets, ascending; level ``l`` has a stride of
            ``2**l`` pixels.
        subbands: Which subbands a level's target holds, in this order, out of ``cA``, ``cH``,
            ``cV`` and ``cD``.
        norm: How coefficients are normalized. ``'subband'``: zero mean and unit variance over the
            positions, for every image, level, subband and colour. ``'block'``: each position as MAE
            normalizes a patch (its ``norm_pix_loss``): the approximation loses its mean over the
            colours, and all channels are divided by their root mean square. With Haar and all
            subbands, targets are then a rotation of the normalized pixels of a block of 2 x 2 in
            the image averaged over ``2**(l - 1)`` pixels. ``'token'``: zero mean and unit variance
            over the channels at one position. ``'none'``: not at all.
        img_size: Height and width, or one number for both, to which images are resized (bicubic)
            before they are transformed; None leaves them. It serves encoders whose patches have no
            power of two of pixels: for patches of 14, images of 224 are resized to 256, where a
            patch has 16.

    Raises:
        ValueError: Unknown wavelet, subband or norm; levels not ascending, or under 1; a size that
            is not positive.
    """

    # Keeps a constant region, whose variance is zero, finite; as in MAE.
    eps = 1e-6

    def __init__(
        self,
        wavelet: str = 'haar',
        levels: Sequence[int] = (2, 3, 4, 5),
        subbands: Sequence[str] = SUBBANDS,
        norm: str = 'subband',
        img_size: int | Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        filter_bank(wavelet)
        numbers = isinstance(levels, Sequence) and all(isinstance(n, int) for n in levels)
        if not numbers or not levels or min(levels) < 1 or sorted(set(levels)) != list(levels):
            raise ValueError(
                'WaveletTargetGenerator: levels must be ascending whole numbers, 1 or more, got '
                f'{levels!r}'
            )
        if not subbands or len(set(subbands)) != len(subbands) or not set(subbands) <= {*SUBBANDS}:
            raise ValueError(
                f'WaveletTargetGenerator: subbands must be some of {SUBBANDS}, each once, '
                f'got {subbands}'
            )
        if norm not in NORMS:
            raise ValueError(f'WaveletTargetGenerator: norm must be one of {NORMS}, got {norm!r}')
        if isinstance(img_size, int):
            img_size = (img_size, img_size)
        if img_size is not None and (len(img_size) != 2 or min(img_size) < 1):
            raise ValueError(
                'WaveletTargetGenerator: img_size must be a height and a width above 0, got '
                f'{img_size}'
            )
        self.img_size = None if img_size is None else (img_size[0], img_size[1])
        self.wavelet = wavelet
        self.levels = tuple(levels)
        self.subbands = tuple(subbands)
        self.norm = norm

    def transformed_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which an image is transformed."""
        return self.img_size or (height, width)

    def check_size(self, height: int, width: int) -> None:
        """Raise ValueError unless every level divides the sides at which images are transformed."""
        height, width = self.transformed_size(height, width)
        for level in self.levels:
            if height % 2**level or width % 2**level:
                raise ValueError(
                    f'WaveletTargetGenerator: level {level} needs sides divisible by {2**level}, '
                    f'got {height} x {width}; resize, or drop level {level}'
                )

    def check_training_size(self, height: int, width: int) -> None:
        """Raise ValueError unless every level has something to predict in images of this size.

        With ``norm='subband'``, a level of one position is its own mean: its targets are all zero.
        """
        self.check_size(height, width)
        height, width = self.transformed_size(height, width)
        for level in self.levels:
            if self.norm == 'subband' and height == width == 2**level:
                raise ValueError(
                    f'WaveletTargetGenerator: level {level} of {height} x {width} images is 1 x 1, '
                    "which norm='subband' turns to zero; use larger images, drop the level, or "
                    "set norm='block' or 'none'"
                )

    @torch.no_grad()
    def forward(self, images: Tensor) -> list[Tensor]:
        """Targets of the images.

        Args:
            images: ``(N, C, H, W)``.

        Returns:
            One ``(N, C * len(subbands), H / 2**level, W / 2**level)`` float tensor a level, finest
            level first, subbands outermost: all colours of the first subband, then of the next.
            With an ``img_size``, H and W are that.

        Raises:
            ValueError: A level does not divide the sides of the image.
        """
        found = zip(self.coefficients(images), self.levels, strict=True)
        return [self._normalized(target, level) for target, level in found]

    def coefficients(self, images: Tensor) -> list[Tensor]:
        """The same as :meth:`forward` before normalization."""
        self.check_size(*images.shape[-2:])
        depth = max(self.levels)
        x, per_level = _resized(images, self.transformed_size(*images.shape[-2:])), []
        for level in range(1, depth + 1):
            if level not in self.levels:
                x = approximation2(x, self.wavelet)
                continue
            coeffs: list[Any] = wavedec2(x, self.wavelet, level=1)
            x, details = coeffs
            subbands = dict(zip(SUBBANDS, (x, *details), strict=True))
            per_level.append(torch.cat([subbands[name] for name in self.subbands], dim=1))
        return per_level

    @torch.no_grad()
    def to_images(self, predictions: Sequence[Tensor], images: Tensor) -> Tensor:
        """Inverse wavelet transform of predicted targets.

        Normalization is undone with the statistics of the images themselves, as MAE's pictures do.
        Details that no level predicts are zero. The approximation of the coarsest level is needed;
        where it is not predicted, the mean colour of the image is used in its place.

        Args:
            predictions: What :meth:`forward` returns, or predictions of it.
            images: ``(N, C, H, W)``, the images that they belong to.

        Returns:
            ``(N, C, H, W)`` in the range of ``images``.
        """
        names, colours, depth = self.subbands, images.shape[1], max(self.levels)
        predicted = {}
        for level, prediction, target in zip(
            self.levels, predictions, self.coefficients(images), strict=True
        ):
            mean, std = self._statistics(target, level)
            channels = (prediction.to(target.dtype) * std + mean).split(colours, dim=1)
            predicted[level] = dict(zip(names, channels, strict=True))

        approximation = predicted[depth].get('cA')
        if approximation is None:
            grey = images.float().mean((2, 3), keepdim=True)
            grey = grey.expand(-1, -1, *self.transformed_size(*images.shape[-2:]))
            approximation = wavedec2(grey, self.wavelet, level=depth)[0]
        details = [
            tuple(predicted.get(level, {}).get(name) for name in SUBBANDS[1:])
            for level in range(depth, 0, -1)
        ]
        found = waverec2([approximation, *details], self.wavelet)
        return _resized(found, images.shape[-2:])

    def _normalized(self, target: Tensor, level: int) -> Tensor:
        """Normalize a level's coefficients as `norm` says; layer norm does it in one fused step."""
        if self.norm == 'none':
            return target
        if self.norm == 'block':
            mean, std = self._statistics(target, level)
            return (target - mean) / std
        if self.norm == 'subband':
            return F.layer_norm(target, target.shape[2:], eps=self.eps)
        channels_last = target.movedim(1, -1)
        return F.layer_norm(channels_last, channels_last.shape[-1:], eps=self.eps).movedim(-1, 1)

    def _statistics(self, target: Tensor, level: int) -> tuple[Tensor | float, Tensor | float]:
        """Mean and standard deviation that `_normalized` takes out of a level's coefficients."""
        if self.norm == 'none':
            return 0.0, 1.0
        if self.norm == 'block':
            by_subband = target.unflatten(1, (len(self.subbands), -1))  # (N, subbands, C, h, w)
            mean = torch.zeros_like(by_subband)
            if 'cA' in self.subbands:
                place = self.subbands.index('cA')
                mean[:, place] = by_subband[:, place].mean(1, keepdim=True)
            mean = mean.flatten(1, 2)
            variance = (target - mean).square().mean(1, keepdim=True)
            # An orthonormal transform doubles a constant at each level.
            return mean, (variance + self.eps * 4 ** (level - 1)).sqrt()
        dims = (2, 3) if self.norm == 'subband' else (1,)
        variance, mean = torch.var_mean(target, dims, correction=0, keepdim=True)
        return mean, (variance + self.eps).sqrt()


def _resized(images: Tensor, size: tuple[int, ...]) -> Tensor:
    """``(N, C, H, W)`` images at another height and width."""
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images.float(), size, mode='bicubic', antialias=True)
