"""The fast loader against its slow twin, mmpretrain's LoadImageFromFile and RandomResizedCrop."""

import numpy as np
import pytest
from mmengine.dataset import Compose
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from benchmarks.decoding import differences
from wamim_mm.data.loading import LoadRandomResizedCrop, image_size, reduction

OPTIONS = dict(scale=(48, 64), crop_ratio_range=(0.2, 1.0), interpolation='bicubic')


def photograph(height, width, seed=0):
    """Waves of many lengths, as uint8 RGB: strong at low and weak at high frequencies."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    image = np.zeros((height, width, 3))
    for frequency in (1, 2, 4, 8, 16, 32):
        for channel in range(3):
            a, b, phase = rng.normal(size=3)
            wave = np.sin(2 * np.pi * (frequency * (a * x + b * y) + phase))
            image[..., channel] += wave / frequency
    return Image.fromarray(np.uint8(np.clip(127 + 60 * image, 0, 255)))


def twins(path, seed, **options):
    """The fast loader's image and the slow twin's, from the same seed."""
    options = {**OPTIONS, **options}
    fast = Compose([LoadRandomResizedCrop(**options)])
    slow = Compose(
        [
            TRANSFORMS.build(dict(type='LoadImageFromFile')),
            TRANSFORMS.build(dict(type='RandomResizedCrop', backend='pillow', **options)),
        ]
    )
    results = []
    for pipeline in (fast, slow):
        np.random.seed(seed)  # noqa: NPY002  (what mmpretrain draws from)
        results.append(pipeline(dict(img_path=str(path))))
        assert results[-1]['img'].dtype == np.uint8 and results[-1]['img'].shape == (48, 64, 3)
    fast, slow = results
    assert fast['ori_shape'] == slow['ori_shape'] and fast['img_shape'] == (48, 64)
    return fast['img'].astype(int), slow['img'].astype(int)


@pytest.mark.parametrize('size', [(90, 120), (95, 70), (41, 33), (48, 64), (1, 1), (300, 7)])
@pytest.mark.parametrize('interpolation', ['bicubic', 'bilinear'])
def test_equals_the_twin(tmp_path, size, interpolation):
    """Where nothing can be decoded at half its size."""
    photograph(*size).save(tmp_path / 'a.jpg', quality=95)
    for seed in range(10):
        fast, slow = twins(tmp_path / 'a.jpg', seed, interpolation=interpolation)
        difference = np.abs(fast - slow)
        assert (difference <= 1).mean() > 0.99 and difference.mean() < 0.5


@pytest.mark.parametrize('factor', [2, 4, 8])
def test_reduced_decoding_stays_near_the_twin(tmp_path, factor):
    photograph(120 * factor, 160 * factor).save(tmp_path / 'a.jpg', quality=95)
    whole = dict(crop_ratio_range=(0.9, 1.0))
    differences = [np.abs(np.subtract(*twins(tmp_path / 'a.jpg', i, **whole))) for i in range(10)]
    assert 0 < np.mean(differences) < 2
    shifted = np.abs(
        np.roll(twins(tmp_path / 'a.jpg', 0, **whole)[0], 2, 1)
        - twins(tmp_path / 'a.jpg', 0, **whole)[1]
    )
    assert np.mean(shifted) > 3 * np.mean(differences)  # two pixels aside would be seen


def test_reduction():
    out = (48, 64)
    expected = {(48, 64): 1, (95, 400): 1, (96, 127): 1, (96, 128): 2, (191, 256): 2, (192, 256): 4}
    expected |= {(384, 511): 4, (384, 512): 8, (4000, 4000): 8, (10, 10): 1}
    for half_crop, factor in expected.items():
        assert reduction(tuple(2 * side for side in half_crop), out) == factor


def test_reduced_decoding_leaves_the_targets(shared_data):
    """On photographs: 0.1 % of the variance of the finest level, as in docs/results."""
    files = [p.read_bytes() for p in sorted(shared_data.glob('imagenet_samples/*/*'))[::8]]
    assert reduction((256, 256), (64, 64)) == 2
    files = [data for data in files if min(image_size(data)) >= 256]
    means = np.mean([differences(data, 64, 2)['reduced'] for data in files], axis=0)
    assert len(files) > 20 and (means > 0).all()
    assert means[0] < 0.002 and (np.diff(means) < 0).all()


def test_other_formats_are_not_reduced(tmp_path):
    photograph(240, 320).save(tmp_path / 'a.png')
    fast, slow = twins(tmp_path / 'a.png', 0, crop_ratio_range=(0.9, 1.0))
    assert (np.abs(fast - slow) <= 1).mean() > 0.99


@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.webp'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_turned_photographs(tmp_path, orientation, name):
    """Cameras store how they were held; OpenCV turns the image while it decodes."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    photograph(60, 90).save(tmp_path / name, exif=exif, quality=95)
    height, width = image_size((tmp_path / name).read_bytes())
    assert (height, width) == ((90, 60) if orientation >= 5 else (60, 90))
    fast, slow = twins(tmp_path / name, 3)
    assert (np.abs(fast - slow) <= 1).mean() > 0.99


def with_xmp(data, orientation):
    """A JPEG file that says in XMP how it is turned, and not in EXIF."""
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="{orientation}"/></x:xmpmeta>'
    segment = b'http://ns.adobe.com/xap/1.0/\x00' + xmp.encode()
    return data[:2] + b'\xff\xe1' + (len(segment) + 2).to_bytes(2, 'big') + segment + data[2:]


@pytest.mark.parametrize('size', [(60, 90), (32, 1000)])
def test_an_orientation_in_xmp_only_is_none(tmp_path, size):
    """OpenCV does not read it; Pillow does."""
    file = tmp_path / 'a.jpg'
    photograph(*size).save(file, quality=95)
    file.write_bytes(with_xmp(file.read_bytes(), 6))
    with Image.open(file) as image:
        assert image.getexif()[0x0112] == 6
    assert image_size(file.read_bytes()) == size
    for seed in range(5):
        fast, slow = twins(file, seed)
        assert (np.abs(fast - slow) <= 1).mean() > 0.99


@pytest.mark.parametrize('orientation', [0, 9, 255])
def test_an_orientation_that_there_is_not_is_none(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photograph(60, 90).save(tmp_path / 'a.jpg', exif=exif, quality=95)
    assert image_size((tmp_path / 'a.jpg').read_bytes()) == (60, 90)


def test_a_header_that_says_another_size(tmp_path, monkeypatch):
    """What was decoded counts."""
    photograph(300, 40).save(tmp_path / 'a.jpg', quality=95)
    monkeypatch.setattr('wamim_mm.data.loading.image_size', lambda data: (40, 300))
    found = LoadRandomResizedCrop(scale=32)(dict(img_path=str(tmp_path / 'a.jpg')))
    assert found['img'].shape == (32, 32, 3) and found['ori_shape'] == (300, 40)


@pytest.mark.parametrize(
    ('mode', 'name'),
    [('L', 'a.jpg'), ('CMYK', 'a.jpg'), ('RGBA', 'a.png'), ('P', 'a.png'), ('L', 'a.png')],
)
def test_other_kinds_of_files(tmp_path, mode, name):
    photograph(80, 90).convert(mode).save(tmp_path / name)
    fast, slow = twins(tmp_path / name, 1)
    assert (np.abs(fast - slow) <= 1).mean() > 0.99


def test_bad_files(tmp_path):
    load = LoadRandomResizedCrop(scale=32)
    (tmp_path / 'text.jpg').write_text('no image')
    (tmp_path / 'empty.jpg').touch()
    photograph(64, 64).save(tmp_path / 'whole.jpg')
    (tmp_path / 'head.jpg').write_bytes((tmp_path / 'whole.jpg').read_bytes()[:100])
    for name in ('text.jpg', 'empty.jpg', 'head.jpg'):
        with pytest.raises(ValueError, match=rf'{name}. is no image'):
            load(dict(img_path=str(tmp_path / name)))
    with pytest.raises(FileNotFoundError, match=r'nothing\.jpg'):
        load(dict(img_path=str(tmp_path / 'nothing.jpg')))
    with pytest.raises(ValueError, match="'bilinear' or 'bicubic', got 'area'"):
        LoadRandomResizedCrop(scale=32, interpolation='area')
