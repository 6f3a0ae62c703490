"""The study's own targets beside PyWavelets and mmpretrain."""

import numpy as np
import pytest
import pywt
import torch
from mmpretrain.models.selfsup.maskfeat import HOGGenerator

from benchmarks.study.controls import HOGOnPatches, PerImageFrequencyLoss, PooledPixels
from wamim_mm import FrequencyLoss


def test_pixels_hold_what_the_subbands_hold():
    """A Haar level is a rotation of each block of 2 x 2 averaged pixels, times a power of two."""
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    blocks = PooledPixels((1, 2, 3), norm='none')(images)
    rotation = 0.5 * np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    approximation = images.numpy()
    for level, block in enumerate(blocks, 1):
        approximation, details = pywt.dwt2(approximation, 'haar', 'periodization')
        expected = np.stack([approximation, *details], 2)
        pixels = block.unflatten(1, (3, 4)).numpy()  # of a block: rows first
        found = 2 ** (level - 1) * np.einsum('sp,ncphw->ncshw', rotation, pixels)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(('norm', 'dims'), [('token', (1,)), ('subband', (2, 3))])
def test_normalization(norm, dims):
    for target in PooledPixels((1, 2), norm=norm)(torch.randn(2, 3, 16, 16)):
        variance, mean = torch.var_mean(target, dims, correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-5, rtol=0)
        torch.testing.assert_close(variance, torch.ones_like(variance), atol=1e-2, rtol=0)


def test_hog_on_mmpretrains_grid_is_mmpretrains():
    images = torch.randn(2, 3, 224, 224)
    assert torch.equal(HOGOnPatches(14)(images), HOGGenerator()(images))


def test_hog_on_another_grid():
    """A patch's features are those of its own cells: changing it changes no other's."""
    hog = HOGOnPatches(8, pool=2, gaussian_window=4)
    images = torch.rand(1, 3, 32, 32)
    changed = images.clone()
    changed[:, :, 9:11, 21:23] = torch.rand(1, 3, 2, 2)  # inside patch (2, 5)
    differs = (hog(images) != hog(changed)).any(-1)[0]
    assert hog(images).shape == (1, 64, 108)
    assert differs.nonzero().flatten().tolist() == [2 * 8 + 5]


def test_every_image_counts_alike():
    """Beside the two losses of two batches of one, whose images lost 16 and 1008 frequencies."""
    pred, target = torch.randn(2, 2, 3, 32, 32)
    kept = torch.zeros(2, 32, 32, dtype=torch.bool)
    kept[0, 4:] = kept[0, :, 16:] = True
    kept[1, :2, :8] = True
    alone = [FrequencyLoss()(pred[[i]], target[[i]], kept[[i]]) for i in (0, 1)]
    torch.testing.assert_close(PerImageFrequencyLoss()(pred, target, kept), sum(alone) / 2)
