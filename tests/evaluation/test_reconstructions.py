"""The rows of pictures that are drawn of a pre-trained model."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.registry import MODELS
from PIL import Image

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


def picture(tmp_path, name, channels, size=(64, 128), **pipeline):
    """Draw what an untrained model of so many channels makes of a random file."""
    cfg = Config.fromfile(ROOT / 'configs/demo' / name)
    preprocessor = dict(mean=[127.0] * channels, std=[60.0] * channels, to_rgb=channels == 3)
    cfg.merge_from_dict(
        {
            'model.backbone.in_channels': channels,
            'model.data_preprocessor': preprocessor,
            'train_dataloader.dataset.pipeline.0': pipeline,
        }
    )
    cfg.model['backbone' if 'wamim' in name else 'img_size'] = (
        dict(cfg.model.backbone, img_size=size) if 'wamim' in name else size
    )
    checkpoint = tmp_path / 'model.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), checkpoint)
    values = np.random.default_rng(0).integers(0, 256, (100, 150, channels), dtype=np.uint8)
    path = tmp_path / ('a.tif' if channels == 4 else 'a.png')
    Image.fromarray(values.squeeze()).save(path)
    note = reconstructions.draw_reconstructions(
        cfg, str(checkpoint), [path], tmp_path / 'drawn.png', count=1
    )
    return note, np.asarray(Image.open(tmp_path / 'drawn.png').convert('RGB')).astype(int)


@pytest.mark.parametrize('name', ['wamim_vit.py', 'mfm_r18.py', 'wamim_swin.py'])
def test_grey_images_are_shown_grey(tmp_path, name):
    size = (128, 128) if 'swin' in name else (64, 128)
    note, drawn = picture(tmp_path, name, 1, size, color_type='grayscale')
    assert note == '' and (drawn.max(2) - drawn.min(2)).max() == 0 and len(np.unique(drawn)) > 50


@pytest.mark.parametrize('name', ['wamim_vit.py', 'mfm_r18.py'])
def test_of_four_bands_three_are_shown(tmp_path, name):
    note, drawn = picture(tmp_path, name, 4, color_type='unchanged')
    assert note == 'of 4 channels the first 3' and (drawn.max(2) - drawn.min(2)).max() > 50


def test_images_of_other_channels_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r'3 channels, and model\.backbone takes 1: .*=grayscale'):
        picture(tmp_path, 'wamim_vit.py', 1, color_type='color')


@pytest.mark.parametrize('to_rgb', [True, False])
def test_colours_in_their_order(to_rgb):
    model = build(RESTORATION['denoise'])
    model.data_preprocessor._channel_conversion = to_rgb
    inputs = torch.zeros(1, 3, 4, 4)
    inputs[:, 0 if to_rgb else 2] = 1  # red, as the model sees it
    image = reconstructions.as_pictures(model, dict(image=inputs))['image']
    assert image[0, 0].min() > image[0, 1:].max()


@pytest.mark.parametrize('to_rgb', [True, False])
def test_colours_of_a_classifier(to_rgb):
    preprocessor = ClsDataPreprocessor(mean=[0] * 3, std=[1] * 3, to_rgb=to_rgb)
    inputs = torch.zeros(1, 3, 4, 4)
    inputs[:, 0 if to_rgb else 2] = 255
    model = SimpleNamespace(data_preprocessor=preprocessor)
    image = reconstructions.as_pictures(model, dict(image=inputs))['image']
    assert image[0, 0].min() > image[0, 1:].max()
