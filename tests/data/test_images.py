"""How an image reaches a model's input size."""

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import Compose
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from wamim_mm.data.images import (
    centre_crop_pipeline,
    loading_step,
    train_folder,
    train_pipeline,
)
from wamim_mm.data.loading import LoadImage


@pytest.mark.parametrize('size', [(32, 32), (32, 64), (64, 32)])
@pytest.mark.parametrize('image', [(100, 70), (20, 90)])
def test_centre_crop(tmp_path, size, image):
    """The centre of the image, undistorted: a gradient keeps its middle value in the middle."""
    height, width = image
    ramp = np.tile(np.linspace(0, 250, width), (height, 1)).astype(np.uint8)
    Image.fromarray(np.stack([ramp] * 3, -1)).save(tmp_path / 'ramp.png')
    pipeline = Compose([TRANSFORMS.build(step) for step in centre_crop_pipeline(size)])
    out = pipeline(dict(img_path=str(tmp_path / 'ramp.png')))['inputs'].float()
    assert out.shape == (3, *size)
    assert abs(out[0, :, size[1] // 2 - 1 : size[1] // 2 + 1].mean() - 125) < 4


def centre(path, like=(), size=(32, 32)):
    pipeline = Compose([TRANSFORMS.build(step) for step in centre_crop_pipeline(size, like)])
    return pipeline(dict(img_path=str(path)))['inputs']


def test_colour_images_as_ever(tmp_path):
    """What mmpretrain's own transforms make of a file."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)).save(tmp_path / 'a.png')
    steps = centre_crop_pipeline((32, 48))
    steps[0] = dict(type='LoadImageFromFile')
    expected = Compose([TRANSFORMS.build(step) for step in steps])
    expected = expected(dict(img_path=str(tmp_path / 'a.png')))['inputs']
    assert expected.dtype == centre(tmp_path / 'a.png').dtype and expected.shape == (3, 32, 48)
    assert (expected == centre(tmp_path / 'a.png', size=(32, 48))).all()


@pytest.mark.parametrize(
    ('step', 'values', 'expected'),
    [
        (dict(type='LoadRandomResizedCrop', color_type='grayscale'), [[70]], [70]),
        (
            dict(type='mmpretrain.LoadImageFromFile', color_type='unchanged'),
            [[9, 8, 7, 6]],
            [7, 8, 9, 6],
        ),
        (
            dict(type='LoadImage', value_range=(0, 4095)),
            np.uint16([[1000]]),
            [1000 / 4095 * 255] * 3,
        ),
    ],
)
@pytest.mark.parametrize('shape', [(64, 96), (20, 90)])
def test_read_as_the_training_reads(tmp_path, step, values, expected, shape):
    values = np.asarray(values, getattr(values, 'dtype', np.uint8))
    constant = np.broadcast_to(values, (*shape, values.shape[-1])).squeeze()
    suffix = '.tif' if constant.ndim == 3 else '.png'
    Image.fromarray(np.ascontiguousarray(constant)).save(tmp_path / f'a{suffix}')
    found = centre(tmp_path / f'a{suffix}', [dict(type='RandomFlip'), step])
    assert found.shape == (len(expected), 32, 32)
    np.testing.assert_allclose(found.float().mean((1, 2)), expected, rtol=1e-5)
    assert (found.float().std((1, 2)) < 1e-3).all()


def test_the_pipeline_of_the_training():
    pipeline = [dict(type='LoadRandomResizedCrop', scale=32, max_pixels=9)]
    dataset = dict(type='CustomDataset', pipeline=pipeline)
    for wrapped in (
        dataset,
        dict(type='RepeatDataset', dataset=dataset),
        dict(type='ConcatDataset', datasets=[dataset, dataset]),
    ):
        cfg = Config(dict(train_dataloader=dict(dataset=wrapped)))
        step = loading_step(train_pipeline(cfg))
        assert step == dict(type=LoadImage, max_pixels=9)
    assert loading_step(train_pipeline(Config({}))) == dict(type=LoadImage)
    # A step of another library, and one that is a class.
    steps = [
        dict(type='PackDetInputs'),
        dict(type=len),
        dict(type=LoadImageFromFile, color_type='grayscale'),
    ]
    assert loading_step(steps) == dict(type=LoadImage, color_type='grayscale')


@pytest.mark.parametrize('size', [(64, 128), (64, 192), (96, 32)])
def test_an_image_of_the_size_stays_as_it_is(size, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    found = centre(tmp_path / 'a.png', size=size).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found[..., ::-1], pixels)


@pytest.mark.parametrize('image', [(50, 70), (70, 50), (33, 33), (32, 91)])
def test_squares_are_cut_as_by_mmpretrain(image, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (*image, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    steps = centre_crop_pipeline((32, 32))
    steps[1] = dict(type='mmpretrain.ResizeEdge', scale=32, edge='short', backend='pillow')
    expected = Compose([TRANSFORMS.build(step) for step in steps])
    expected = expected(dict(img_path=str(tmp_path / 'a.png')))['inputs']
    assert (expected == centre(tmp_path / 'a.png')).all()


def test_where_the_training_images_lie(tmp_path):
    (tmp_path / 'images').mkdir()
    set_of = dict(pipeline=[dict(type='LoadImage')])

    def folder(dataset):
        return train_folder(Config(dict(train_dataloader=dict(dataset=dataset))))

    inside = str(tmp_path / 'images')
    root = str(tmp_path)
    assert folder(dict(set_of, data_root=root, data_prefix='images')) == inside
    assert folder(dict(set_of, data_root=root, data_prefix=dict(img_path='images'))) == inside
    assert folder(dict(set_of, data_root=root, data_prefix='gone')) == root
    assert folder(dict(set_of, data_prefix=inside)) == inside
    wrapped = dict(type='RepeatDataset', times=2, dataset=dict(set_of, data_root=root))
    assert folder(wrapped) == root
    assert folder(dict(set_of, shards='a/{0..3}.tar')) == 'a/{0..3}.tar'
    assert folder(set_of) == '' and train_folder(Config()) == ''
