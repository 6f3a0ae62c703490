"""The fast loader against its slow twin, mmpretrain's LoadImageFromFile and RandomResizedCrop."""

import io

import cv2
import numpy as np
import pytest
from mmengine.dataset import Compose
from mmpretrain.registry import TRANSFORMS
from PIL import Image, ImageOps

from benchmarks.decoding import differences
from wamim_mm.data.bad_files import BadImage
from wamim_mm.data.formats import stored
from wamim_mm.data.loading import LoadImage, LoadRandomResizedCrop, image_size, reduction

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


@pytest.mark.parametrize('name', ['a.jpg', 'a.png'])
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


@pytest.mark.parametrize('kind', ['WEBP', 'AVIF'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_turned_files_that_opencv_leaves_as_they_are(tmp_path, kind, orientation):
    """Pillow's ImageOps turns the twin."""
    if kind not in Image.SAVE:
        pytest.skip(f'this Pillow writes no {kind}')
    exif = Image.Exif()
    exif[0x0112] = orientation
    photograph(60, 90).save(tmp_path / 'a', kind, exif=exif, quality=95)
    with Image.open(tmp_path / 'a') as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
    assert expected.shape[:2] == ((90, 60) if orientation >= 5 else (60, 90))
    Image.fromarray(expected).save(tmp_path / 'a.png')
    path = dict(img_path=str(tmp_path / 'a'))
    assert np.array_equal(LoadImage()(path)['img'][..., ::-1], expected)
    assert LoadImage('unchanged')(path)['img'].shape[:2] == (60, 90)  # as OpenCV does
    for seed in range(3):
        np.random.seed(seed)  # noqa: NPY002
        found = LoadRandomResizedCrop(**OPTIONS)(dict(path))['img'].astype(int)
        assert (np.abs(found - twins(tmp_path / 'a.png', seed)[1]) <= 1).mean() > 0.99


FRAMES = [photograph(40, 50, seed) for seed in (1, 2)]
#: Kind -> what Pillow writes; the first of two frames counts.
BY_PILLOW = {
    'GIF': dict(format='GIF', save_all=True, append_images=FRAMES[1:]),
    'JPEG 2000': dict(format='JPEG2000'),
    'TIFF': dict(format='TIFF', compression='zstd', save_all=True, append_images=FRAMES[1:]),
    'TIFF of 16 bits': dict(format='TIFF', compression='zstd'),
}


@pytest.mark.parametrize('kind', BY_PILLOW)
def test_pillow_decodes_what_opencv_cannot(tmp_path, monkeypatch, kind):
    """As OpenCV decodes other formats; as in a build of OpenCV without any of these."""
    deep = kind.endswith('16 bits')
    image = FRAMES[0] if not deep else Image.fromarray(np.uint16(FRAMES[0].convert('L')) * 257)
    image.save(tmp_path / 'a', **BY_PILLOW[kind])
    with Image.open(tmp_path / 'a') as image:
        expected = np.asarray(FRAMES[0].convert('L') if deep else image.convert('RGB'))
    expected = np.broadcast_to(expected[..., None], (40, 50, 3)) if deep else expected
    decoded = cv2.imdecode
    monkeypatch.setattr(cv2, 'imdecode', lambda data, flag: None)
    load = LoadImage(value_range=(0, 65535) if deep else None)
    found = load(dict(img_path=str(tmp_path / 'a')))['img']
    assert np.array_equal(found[..., ::-1], expected)
    for color_type in ('grayscale', 'unchanged') if not deep else ():
        cv2.imwrite(str(tmp_path / 'a.png'), expected[..., ::-1])
        data = np.fromfile(tmp_path / 'a.png', np.uint8)
        flag = dict(grayscale=cv2.IMREAD_GRAYSCALE, unchanged=cv2.IMREAD_UNCHANGED)[color_type]
        theirs = decoded(data, flag).astype(int)
        ours = LoadImage(color_type)(dict(img_path=str(tmp_path / 'a')))['img']
        assert ours.shape == theirs.shape and np.abs(ours - theirs).max() <= 1


def test_pillow_does_not_overrule_opencv(tmp_path, monkeypatch):
    """Of the formats that OpenCV reads well it knows whether a file is damaged."""
    FRAMES[0].save(tmp_path / 'a.png')
    monkeypatch.setattr(cv2, 'imdecode', lambda data, flag: None)
    with pytest.raises(BadImage, match=r"a\.png' is no image: OpenCV cannot read it"):
        LoadImage()(dict(img_path=str(tmp_path / 'a.png')))


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'TIFF', 'PPM', 'BMP', 'WEBP', 'GIF'])
@pytest.mark.parametrize('loader', ['LoadImage', 'LoadRandomResizedCrop'])
def test_too_many_pixels(tmp_path, monkeypatch, kind, loader):
    path = tmp_path / 'a'
    photograph(20, 30).save(path, kind)
    options = dict(scale=8) if loader == 'LoadRandomResizedCrop' else {}
    load = TRANSFORMS.build(dict(type=loader, max_pixels=600, **options))
    assert load(dict(img_path=str(path)))['ori_shape'] == (20, 30)
    load = TRANSFORMS.build(dict(type=loader, max_pixels=599, **options))
    monkeypatch.setattr(cv2, 'imdecode', None)  # nothing is decoded
    message = r"/a' has 30 x 20 pixels, and at most 599 .*pipeline\.0\.max_pixels=600"
    with pytest.raises(BadImage, match=message):
        load(dict(img_path=str(path)))
    for wrong in (0, 1.5, '9', True):
        with pytest.raises(ValueError, match=f'{loader}: max_pixels must be a number from 1 on'):
            TRANSFORMS.build(dict(type=loader, max_pixels=wrong, **options))


def test_the_limit_may_be_above_that_of_pillow(tmp_path, monkeypatch):
    photograph(20, 30).save(tmp_path / 'a.bmp')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    load = LoadImage(max_pixels=600)
    assert load(dict(img_path=str(tmp_path / 'a.bmp')))['img'].shape == (20, 30, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize('error', [SyntaxError('no'), OverflowError(), MemoryError(), KeyError(3)])
def test_whatever_a_decoder_raises_names_the_file(tmp_path, monkeypatch, error):
    def fail(data, flag):
        raise error

    photograph(20, 30).save(tmp_path / 'a.jpg')
    monkeypatch.setattr(cv2, 'imdecode', fail)
    with pytest.raises(
        BadImage, match=rf"a\.jpg' is no image: {str(error) or type(error).__name__}"
    ):
        LoadRandomResizedCrop(scale=8)(dict(img_path=str(tmp_path / 'a.jpg')))


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
        with pytest.raises(BadImage, match=rf'{name}. is no image'):
            load(dict(img_path=str(tmp_path / name)))
    with pytest.raises(BadImage, match=r"nothing\.jpg' cannot be read: No such file"):
        load(dict(img_path=str(tmp_path / 'nothing.jpg')))
    with pytest.raises(ValueError, match="'bilinear' or 'bicubic', got 'area'"):
        LoadRandomResizedCrop(scale=32, interpolation='area')


def test_bytes_that_fill_a_jpeg(tmp_path):
    """Any number of 0xFF may stand before a marker."""
    file = io.BytesIO()
    photograph(400, 300).save(file, 'JPEG')
    data = file.getvalue()
    for place in (2, 2 + 2 + int.from_bytes(data[4:6], 'big')):
        filled = data[:place] + b'\xff' * 3 + data[place:]
        assert stored(filled) == stored(data) and stored(filled).size == (400, 300)
        (tmp_path / 'a.jpg').write_bytes(filled)
        loaded = LoadImage().transform(dict(img_path=str(tmp_path / 'a.jpg')))['img']
        assert loaded.shape == (400, 300, 3)
