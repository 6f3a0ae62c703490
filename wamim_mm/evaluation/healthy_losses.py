"""Is my curve normal? Where the losses of healthy WaMIM runs lay, level by level."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..models import WaMIM, WaMIMSwinTransformer

__all__ = ['Band', 'healthy_band', 'healthy_bands', 'levels_of']

BANDS = Path(__file__).with_name('healthy_losses.json')


class Band(NamedTuple):
    """The losses of one level in all healthy runs.

    They are squared errors of normalized coefficients, at hidden positions, before the level's
    weight: a prediction of zero has a loss of about 1.

    Attributes:
        images: Images seen in pre-training, ascending.
        low: Lowest loss of a run that had seen that many.
        high: Highest loss.
    """

    images: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def at(self, images: float) -> tuple[float, float] | None:
        """The band after so many images, lowest and highest, between its points on a log axis.

        Returns:
            None before its first point and behind its last: nobody has measured there.
        """
        if not self.images or not self.images[0] <= images <= self.images[-1]:
            return None
        place, points = np.log(images), np.log(self.images)
        low, high = (float(np.interp(place, points, edge)) for edge in (self.low, self.high))
        return low, high


def healthy_band(encoder: str, level: int, mask_unit: int, norm: str = 'subband') -> Band | None:
    """The band of a level, from the runs of docs/study.md.

    They are of small encoders on CIFAR-10. Levels are matched by their size beside the mask unit:
    level 4 of a ViT with patches of 16 pixels is like level 2 of one with patches of 4.

    Args:
        encoder: ``'vit'`` or ``'swin'``.
        level: The wavelet level.
        mask_unit: Side of a mask unit in pixels, a power of two, see `MaskedEncoder`.
        norm: Of the targets, ``'subband'`` or ``'block'``, see `WaveletTargetGenerator`.

    Returns:
        None for a level that the study did not train.

    Raises:
        ValueError: There are no bands for this norm or encoder, or the mask unit is no power of
            two.
    """
    norms = _bands()
    if norm not in norms:
        raise ValueError(f'healthy_band: norm must be one of {sorted(norms)}, got {norm!r}')
    bands = norms[norm]
    if encoder not in bands:
        raise ValueError(f'healthy_band: encoder must be one of {sorted(bands)}, got {encoder!r}')
    if mask_unit < 1 or mask_unit & (mask_unit - 1):
        raise ValueError(f'healthy_band: mask_unit must be a power of two, got {mask_unit}')
    return bands[encoder].get(level - (mask_unit.bit_length() - 1))


@cache
def _bands() -> dict[str, dict[str, dict[int, Band]]]:
    """For each norm and encoder, the bands by level relative to the mask unit."""
    return {
        norm: {
            encoder: {int(level): Band(*map(tuple, band.values())) for level, band in bands.items()}
            for encoder, bands in encoders.items()
        }
        for norm, encoders in json.loads(BANDS.read_text())['bands'].items()
    }


def levels_of(model: Any) -> tuple[Sequence[int], Sequence[float]]:
    """WaMIM's levels and their weights, where nothing predicted has a loss of 1; else none."""
    if not isinstance(model, WaMIM) or model.target_generator.norm == 'none':
        return (), ()
    return tuple(model.head.counted), tuple(model.head.counted.values())


def healthy_bands(model: WaMIM) -> dict[int, Band]:
    """The bands of a model's levels; empty where nothing was measured for its normalization."""
    targets, unit = model.target_generator, model.backbone.mask_unit
    encoder = 'swin' if isinstance(model.backbone, WaMIMSwinTransformer) else 'vit'
    try:
        found = {
            level: healthy_band(encoder, level, unit, targets.norm) for level in targets.levels
        }
    except ValueError:
        return {}
    return {level: band for level, band in found.items() if band is not None}
