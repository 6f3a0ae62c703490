"""The rows of pictures that are drawn of a pre-trained model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from wamim_mm.evaluation import reconstructions

ROOT = Path(__file__).resolve().parent.parent.parent
RESTORATION = {
    'mfm': dict(type='FrequencyFilter', radius=9),
    'sr': dict(type='SuperResolution', scale=8),
    'deblur': dict(type='Deblur'),
    'denoise': dict(type='Denoise'),
}


def build(degradation):
    cfg = Config.fromfile(ROOT / 'configs/demo/mfm_r18.py').model
    cfg.degradation = degradation
    return MODELS.build(cfg).eval()


@pytest.mark.parametrize('task', RESTORATION)
def test_rows_of_mfm(task):
    model = build(RESTORATION[task])
    inputs = torch.randn(2, 3, 128, 128)
    pictures, spectra = reconstructions.mfm_rows(model, inputs)
    assert list(pictures) == ['image', 'degraded', 'predicted']
    assert list(spectra) == [f'{title}: spectrum' for title in pictures]
    for row in (pictures, spectra):
        for part in row.values():
            assert part.shape == (2, 3, 128, 128) and part.min() >= 0 and part.max() <= 1
    assert not torch.equal(pictures['image'], pictures['degraded'])


def test_spectrum_against_numpy():
    """Four decades below the largest modulus of the image, whatever is drawn beside it."""
    model = build(RESTORATION['denoise'])
    pictures, spectra = reconstructions.mfm_rows(model, torch.randn(1, 3, 128, 128))
    moduli = {
        title: np.fft.fftshift(np.abs(np.fft.fft2(part[0].double().numpy())), axes=(1, 2)).mean(0)
        for title, part in pictures.items()
    }
    for title, modulus in moduli.items():
        share = np.clip(modulus / moduli['image'].max(), 1e-4, 1)
        drawn = spectra[f'{title}: spectrum'][0, 0].numpy()
        np.testing.assert_allclose(drawn, 1 + np.log10(share) / 4, atol=1e-3)
    assert spectra['image: spectrum'][0, 0, 64, 64] == 1


def test_what_was_hidden_is_grey():
    model = MODELS.build(Config.fromfile(ROOT / 'configs/demo/wamim_vit.py').model).eval()
    above, below = reconstructions.wamim_rows(model, torch.randn(2, 3, 128, 128))
    assert list(above) == [
        'image',
        *(f'predicted: {"+ " if i < 5 else ""}level {i}' for i in (5, 4, 3, 2)),
    ]
    assert next(iter(below)) == 'visible' and len(below) == len(above)
    grey = (below['visible'] == 0.6).all(1)
    assert grey.float().mean() == pytest.approx(0.75)
    assert (above['image'] == below['visible']).all(1)[~grey].all()
    for title in list(above)[1:]:
        true = below[title.replace('predicted', 'true')]
        assert torch.equal(above[title].mean(1)[~grey], true.mean(1)[~grey])
