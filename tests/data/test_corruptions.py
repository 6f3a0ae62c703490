"""Corruptions on the fly: the same again for the same image, colours, sizes, and bad input."""

import sys

import numpy as np
import pytest
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from wamim_mm.data.corruptions import Corrupt, corrupted
from wamim_mm.demo.drawing import draw_scene
from wamim_mm.imagenet_c import CORRUPTIONS

package = pytest.importorskip(
    'imagecorruptions', reason='needs the package imagecorruptions-imaug, of the test extra'
)
RANDOM = {*CORRUPTIONS[:3], *CORRUPTIONS[4:6], *CORRUPTIONS[7:10], 'elastic_transform'}


def scene(size=64, seed=0):
    return draw_scene(np.random.default_rng(seed), size, 0).image


def corrupt(image, corruption, severity, order='rgb'):
    return Corrupt(corruption, severity, order)({'img': image})['img']


def test_the_fifteen_of_the_benchmark():
    assert package.get_corruption_names('common') == list(CORRUPTIONS)


@pytest.mark.parametrize('corruption', CORRUPTIONS)
@pytest.mark.parametrize('shape', [(32, 32), (64, 64), (97, 50)])
def test_same_image_same_corruption(corruption, shape):
    image = np.asarray(Image.fromarray(scene()).resize(shape[::-1]))
    before = image.copy()
    results = [corrupt(image, corruption, severity) for severity in (1, 3, 5)]
    np.random.seed(7)  # noqa: NPY002
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    again = [corrupt(image, corruption, severity) for severity in (1, 3, 5)]
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    np.testing.assert_array_equal(results, again)
    np.testing.assert_array_equal(image, before)
    for result in results:
        assert result.dtype == np.uint8 and result.shape == image.shape
        assert (result != image).any()


@pytest.mark.parametrize('corruption', sorted(RANDOM))
def test_other_images_have_other_draws(corruption):
    # Two images that differ in one pixel by one level: what is far from it differs by the draw.
    image = np.full((64, 64, 3), 128, dtype=np.uint8)
    image[:, ::4] = 40
    other = image.copy()
    other[0, 0] += 1
    one, two = (corrupt(x, corruption, 3) for x in (image, other))
    assert (one[32:] != two[32:]).mean() > 0.005


def test_parameters_are_those_of_imagenet_c():
    image = scene(128)
    means = image.mean((0, 1), keepdims=True)
    contrast = np.clip((image - means) * 0.2 + means, 0, 255)
    assert np.abs(corrupt(image, 'contrast', 3) - contrast).max() <= 1
    grey = np.full((128, 128, 3), 128, dtype=np.uint8)
    noise = corrupt(grey, 'gaussian_noise', 1) / 255
    assert noise.std() == pytest.approx(0.08, rel=0.03)
    salt = corrupt(grey, 'impulse_noise', 5)
    assert np.isin(salt, (0, 255)).mean() == pytest.approx(0.27, rel=0.05)


@pytest.mark.parametrize('corruption', ['gaussian_noise', 'frost', 'snow'])
def test_channel_order(corruption):
    image = scene()
    bgr = corrupt(np.ascontiguousarray(image[..., ::-1]), corruption, 3, 'bgr')
    np.testing.assert_array_equal(bgr[..., ::-1], corrupt(image, corruption, 3))


def test_last_before_packing():
    files = [dict(type='LoadImageFromFile'), dict(type='CenterCrop', crop_size=224)]
    pack = dict(type='PackInputs')
    step = dict(type='mmpretrain.Corrupt', corruption='fog', severity=2, channel_order='bgr')
    assert corrupted([*files, pack], 'fog', 2) == [*files, step, pack]
    assert corrupted([pack], 'fog', 2) == [dict(step, channel_order='rgb'), pack]
    assert isinstance(TRANSFORMS.build(step), Corrupt)
    with pytest.raises(ValueError, match='PackInputs'):
        corrupted(files, 'fog', 2)


def test_bad_input(monkeypatch):
    with pytest.raises(ValueError, match=r"corruption must be one of .* got 'rain'"):
        Corrupt('rain', 1)
    with pytest.raises(ValueError, match=r'severity must be one of .* got 6'):
        Corrupt('fog', 6)
    with pytest.raises(ValueError, match='at least 32 pixels, got 31 x 40'):
        corrupt(np.zeros((31, 40, 3), np.uint8), 'fog', 1)
    for image in (np.zeros((40, 40), np.uint8), np.zeros((40, 40, 3), np.float32)):
        with pytest.raises(ValueError, match=r'must be uint8 \(H, W, 3\)'):
            corrupt(image, 'fog', 1)
    monkeypatch.setitem(sys.modules, 'imagecorruptions', None)
    with pytest.raises(ImportError, match='pip install imagecorruptions-imaug'):
        Corrupt('fog', 1)
