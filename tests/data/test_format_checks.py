"""Files and models that do not belong to the pipeline between them are refused before a run."""

import time

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS
from PIL import Image

from wamim_mm.data.format_checks import check_channels, check_formats

CROP = dict(type='LoadRandomResizedCrop', scale=32)
PLAIN = dict(type='LoadImageFromFile')


@pytest.fixture
def folder(tmp_path):
    """Write files of these arrays; a data set over them."""

    def do(load, *arrays, suffix='.png', wrap=None):
        for i, array in enumerate(arrays):
            Image.fromarray(array).save(tmp_path / f'{i:03}{suffix}')
        resize = dict(type='ResizeEdge', scale=32) if 'scale' not in load else None
        pipeline = [load, *filter(None, [resize]), dict(type='PackInputs')]
        config = dict(
            type='CustomDataset', data_root=str(tmp_path), with_label=False, pipeline=pipeline
        )
        return DATASETS.build(wrap(config) if wrap else config)

    return do


def grey(bits=8):
    return np.full((40, 40), 2**bits - 1, np.uint8 if bits == 8 else np.uint16)


def bands(count):
    return np.full((40, 40, count), 9, np.uint8)


def model(channels=3, **preprocessor):
    options = dict(mean=[1.0] * channels, std=[1.0] * channels, to_rgb=channels == 3) | preprocessor
    arch = dict(embed_dims=8, num_layers=1, num_heads=1, feedforward_channels=8)
    backbone = dict(type='VisionTransformer', arch=arch, img_size=32, in_channels=channels)
    return torch.nn.ModuleDict(
        dict(
            backbone=MODELS.build(backbone),
            data_preprocessor=MODELS.build(dict(type='PretrainDataPreprocessor', **options)),
        )
    )


@pytest.mark.parametrize(
    ('load', 'array', 'suffix', 'channels'),
    [
        (CROP, grey(), '.png', 3),
        (PLAIN, grey(), '.png', 3),
        (CROP, bands(4), '.png', 3),  # alpha
        (dict(CROP, color_type='grayscale'), grey(), '.png', 1),
        (dict(PLAIN, color_type='grayscale'), bands(3), '.png', 1),
        (dict(CROP, color_type='unchanged'), bands(4), '.tif', 4),
        (dict(CROP, value_range=(0, 4095)), grey(12), '.png', 3),
        (
            dict(type='LoadImage', value_range=(0, 4095), color_type='grayscale'),
            grey(12),
            '.png',
            1,
        ),
        (dict(PLAIN, color_type='unchanged', to_float32=True), grey(12), '.png', 1),
    ],
)
def test_what_fits(folder, load, array, suffix, channels):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    check_formats(folder(load, array, suffix=suffix), model(channels), 'train_dataloader')
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(
    ('load', 'array', 'suffix', 'message'),
    [
        (
            PLAIN,
            grey(12),
            '.png',
            r'16 bits a channel.*LoadImageFromFile.*train_dataloader\.dataset',
        ),
        (dict(PLAIN, color_type='grayscale'), grey(12), '.tif', '16 bits a channel.*LoadImage '),
        (PLAIN, np.zeros((40, 40), np.float32), '.tif', r'32 bits \(floats\) a channel'),
        (CROP, grey(12), '.png', r'16 bits a channel.*train_dataloader.*value_range="\(0,4095\)"'),
        (dict(type='LoadImage'), grey(12), '.png', r'16 bits .*value_range="\(0,4095\)"'),
        (CROP, bands(4), '.tif', r'4 channels, .*pipeline\.0\.color_type=unchanged'),
        (PLAIN, bands(4), '.tif', r'4 channels, .*model\.backbone\.in_channels=4'),
    ],
)
@pytest.mark.parametrize(
    'wrap', [None, lambda config: dict(type='RepeatDataset', times=2, dataset=config)]
)
def test_what_would_be_flattened(folder, load, array, suffix, message, wrap):
    dataset = folder(load, array, suffix=suffix, wrap=wrap)
    with pytest.raises(ValueError, match=rf"/000\{suffix}' has {message}"):
        check_formats(dataset, model(), 'train_dataloader')


def test_one_deep_file_in_twenty_is_found_in_no_time(folder):
    arrays = [grey()] * 400
    arrays[::20] = [grey(12)] * 20
    dataset = folder(PLAIN, *arrays)
    start = time.perf_counter()
    with pytest.raises(ValueError, match='16 bits a channel'):
        check_formats(dataset, model(), 'train_dataloader')
    assert time.perf_counter() - start < 0.5


def test_a_few_deep_files_are_left_to_the_run(folder, tmp_path):
    """There our loaders refuse them, and others are drawn in their place; mmcv's flattens them."""
    arrays = [grey()] * 9 + [grey(12)]
    check_formats(folder(CROP, *arrays), model(), 'train_dataloader', 0.1)
    for load, share in ((CROP, 0.09), (CROP, 0), (PLAIN, 0.1)):
        with pytest.raises(ValueError, match=r"/009\.png' has 16 bits a channel"):
            check_formats(folder(load, *arrays), model(), 'train_dataloader', share)


def test_the_first_sample_is_bad(folder, tmp_path):
    def wrapped(config):
        return dict(type='SeededDataset', dataset=config, seed=0)

    dataset = folder(CROP, *[grey()] * 4, wrap=wrapped)
    (tmp_path / '000.png').write_text('no image')
    check_formats(dataset, model(), 'train_dataloader', 0.3)
    with pytest.raises(ValueError, match='takes 1'):  # another one was looked at
        check_formats(dataset, model(1), 'train_dataloader', 0.3)
    with pytest.raises(ValueError, match=r"/000\.png' is no image"):  # a validation set
        check_formats(dataset.dataset, model(), 'val_dataloader')


@pytest.mark.parametrize(
    ('load', 'array', 'model_', 'message'),
    [
        (
            dict(CROP, color_type='grayscale'),
            grey(),
            dict(channels=3),
            r'images of 1 channel, and model\.backbone takes 3: .*in_channels=1.*color_type=color',
        ),
        (
            CROP,
            grey(),
            dict(channels=1),
            r'images of 3 channels, and model\.backbone takes 1: .*in_channels=3.*=grayscale',
        ),
        (CROP, grey(), dict(channels=4), r'images of 3 channels, .* takes 4: .*=unchanged'),
        (
            dict(CROP, color_type='grayscale'),
            grey(),
            dict(channels=1, mean=[1, 2, 3], std=[1, 2, 3]),
            'images of 1 channel, and the preprocessor has 3 means: .*of 1 values',
        ),
        (
            dict(CROP, color_type='grayscale'),
            grey(),
            dict(channels=1, to_rgb=True),
            r'1 channel, and to_rgb=True .*model\.data_preprocessor\.to_rgb=False',
        ),
    ],
)
def test_models_of_other_channels(folder, load, array, model_, message):
    with pytest.raises(ValueError, match=message):
        check_formats(folder(load, array), model(**model_), 'train_dataloader')


def test_a_batch_needs_one_number_of_channels(folder):
    dataset = folder(dict(CROP, color_type='unchanged'), grey(), bands(3))
    with pytest.raises(
        ValueError, match=r"/000.png' has 1 and .*/001.png' 3 channels, .*=grayscale"
    ):
        check_formats(dataset, model(1), 'train_dataloader')


def test_files_without_a_header_that_is_read(folder):
    with pytest.raises(ValueError, match=r'images of 3 channels, and model\.backbone takes 1'):
        check_formats(folder(CROP, bands(3), suffix='.bmp'), model(1), 'train_dataloader')


def test_one_mean_for_all_channels():
    check_channels(3, model(3, mean=[1.0], std=[1.0]), 'p')
    check_channels(3, model(3, mean=1.0, std=1.0), 'p')
    check_channels(3, model(3, mean=None, std=None), 'p')


@pytest.mark.parametrize('scale', [(32, 64), 32])
def test_models_that_know_their_size(folder, scale):
    net = model()
    net.img_size = (64, 32)
    dataset = folder(dict(CROP, scale=scale), bands(3))
    message = r'images of .*, and the model is built for \(64, 32\).*scale="\(64,32\)"'
    with pytest.raises(ValueError, match=message):
        check_formats(dataset, net, 'train_dataloader')
    check_formats(folder(dict(CROP, scale=(64, 32)), bands(3)), net, 'train_dataloader')


@pytest.mark.parametrize(('scale', 'said'), [(32, False), (64, True)])
def test_a_classifier_of_another_size_is_told(folder, scale, said, monkeypatch):
    """It would resize its position embedding in every step."""
    backbone = dict(type='VisionTransformer', arch='deit-tiny', img_size=32, patch_size=16)
    options = dict(mean=[1.0] * 3, std=[1.0] * 3)
    net = ImageClassifier(backbone, data_preprocessor=options)
    lines = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', lines.append)
    check_formats(folder(dict(CROP, scale=scale), bands(3)), net, 'train_dataloader')
    assert len(lines) == said
    if said:
        assert 'images of (64, 64), and model.backbone.img_size is (32, 32)' in lines[0]


@pytest.mark.parametrize('backbone', ['ResNet', 'SwinTransformer', 'ConvNeXt'])
def test_other_backbones(backbone):
    options = dict(depth=18) if backbone == 'ResNet' else dict(arch='tiny')
    net = MODELS.build(dict(type=backbone, in_channels=2, **options))
    with pytest.raises(ValueError, match=r'images of 3 channels, and model\.backbone takes 2'):
        check_channels(3, torch.nn.ModuleDict(dict(backbone=net)), 'p')


def test_what_is_not_known_is_left_alone(folder):
    check_channels(3, ConfigDict(backbone=dict(type='ResNet')), 'p')
    cifar = torch.utils.data.TensorDataset(torch.zeros(2, 3))
    check_formats(cifar, model(), 'train_dataloader')
    dataset = folder(CROP, grey())
    dataset.get_data_info(0)
    check_formats(torch.utils.data.ConcatDataset([cifar, cifar]), model(), 'train_dataloader')
