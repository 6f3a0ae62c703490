"""Masks and layouts made where a batch is put together: in the workers of the data loader.

Otherwise the training process would compute what depends on a mask alone, in every step, while an
accelerator waits.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS
from torch import Tensor

from ..ops.masking import Masking, pack_masking, sample_masks

__all__ = ['MaskedCollate', 'RandomDraw']


@TRANSFORMS.register_module()
class RandomDraw(BaseTransform):
    """Draw a number for the sample, from which its mask or degradation follows later.

    Adds ``draw``, in [0, 1), which ``PackInputs(algorithm_keys=['draw'])`` hands on.
    """

    def transform(self, results: dict) -> dict:
        """Add the number."""
        # The generator of mmcv's transforms, which the sample's seed sets.
        results['draw'] = np.random.random()  # noqa: NPY002
        return results


class MaskedCollate:
    """A collate function that adds the masks of a batch and their layout, as ``masking``.

    They are packed, see `PackedMasking`; `PretrainDataPreprocessor` unpacks them on the device.

    Args:
        collate: Puts the samples of a batch together: ``inputs`` and ``data_samples``.
        geometry: From masks to their layout, see `MaskedEncoder`.
        grid: Mask units along height and width.
        mask_ratio: Share of hidden units.
    """

    def __init__(
        self,
        collate: Callable[[Sequence[dict]], dict],
        geometry: Callable[[Tensor], Any],
        grid: tuple[int, int],
        mask_ratio: float,
    ) -> None:
        self.collate = collate
        self.geometry = geometry
        self.grid = grid
        self.mask_ratio = mask_ratio

    def __call__(self, samples: Sequence[dict]) -> dict:
        """A batch; without ``masking`` where the samples have neither mask nor number."""
        batch = self.collate(samples)
        mask = sample_masks(batch['data_samples'], self.grid, self.mask_ratio)
        if mask is None:
            return batch
        for sample in batch['data_samples']:
            sample.pop('mask', None)  # else each is copied to the device by itself
        return dict(batch, masking=pack_masking(Masking(mask, self.geometry(mask))))
