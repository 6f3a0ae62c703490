"""Names of the pictures of predictions."""

from pathlib import Path

import mmcv
import numpy as np
import pytest
from PIL import Image

from wamim_mm.evaluation.predictions import picture_names, rgb_picture


def names(*images):
    out = Path('out')
    found = picture_names(images, out)
    return [str(picture.relative_to(out)) for picture in found]


def test_each_image_has_its_picture():
    assert names('a.jpg', 'b/a.jpg', 'c.png') == ['a.png', 'b/a.png', 'c.png']
    assert names('a.jpg', 'a.png') == ['a.jpg.png', 'a.png.png']
    # Not even a name that looks like another's picture is written twice.
    images = ['a.jpg', 'a.png', 'a.jpg.png', 'b.tif']
    assert len(set(names(*images))) == len(images)


@pytest.mark.parametrize(
    ('values', 'step', 'expected'),
    [
        (np.uint8([9, 8, 7]), dict(type='LoadImageFromFile'), [9, 8, 7]),
        (np.uint8([9, 8, 7, 6]), dict(type='LoadImage', color_type='unchanged'), [9, 8, 7]),
        (np.uint8(9), dict(type='LoadImageFromFile', color_type='grayscale'), [9, 9, 9]),
        (np.uint16(4095), dict(type='mmpretrain.LoadImage', value_range=(0, 4095)), [255] * 3),
    ],
)
def test_the_image_below_the_predictions(tmp_path, values, step, expected):
    path = tmp_path / 'a.png'
    Image.fromarray(np.tile(values, (4, 5, 1)).squeeze()).save(path)
    image = rgb_picture(path, [step])
    assert image.dtype == np.uint8 and (image == expected).all() and image.shape == (4, 5, 3)
    if step == dict(type='LoadImageFromFile'):
        assert np.array_equal(image, mmcv.imread(str(path), channel_order='rgb'))


def test_deep_images_are_not_drawn_as_what_is_left_of_them(tmp_path):
    path = tmp_path / 'a.png'
    Image.fromarray(np.full((4, 5), 4095, np.uint16)).save(path)
    with pytest.raises(ValueError, match=r"a\.png' has 16 bits a channel"):
        rgb_picture(path, [dict(type='LoadImageFromFile')])
