"""Files of more than 8 bits, of one channel or four: no bit and no band is lost without a word."""

import io
import struct
import zlib

import cv2
import mmcv
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from wamim_mm import LoadImage, LoadRandomResizedCrop
from wamim_mm.data.formats import stored

RNG = np.random.default_rng(0)
#: The crop is the whole image, at its own size.
WHOLE = dict(scale=(12, 16), crop_ratio_range=(1, 1), aspect_ratio_range=(4 / 3, 4 / 3))


def integers(high, dtype, *channels):
    return RNG.integers(0, high, (12, 16, *channels), dtype=dtype)


def encoded(suffix, image):
    """OpenCV's file of an array in its own order, without a loss."""
    options = [cv2.IMWRITE_TIFF_COMPRESSION, 1] if suffix == '.tif' else []
    done, data = cv2.imencode(suffix, image, options)
    assert done
    return data.tobytes()


def pillows(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name, data):
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def grey_png(bits, rows):
    """Pillow writes no grey PNG of 2 or 4 bits. ``rows`` are packed."""
    size = struct.pack('>IIBBBBB', len(rows[0]) * 8 // bits, len(rows), bits, 0, 0, 0, 0)
    lines = zlib.compress(b''.join(b'\0' + row for row in rows))
    parts = chunk(b'IHDR', size), chunk(b'IDAT', lines), chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + b''.join(parts)


def packed_tiff(bits, values):
    """A grey TIFF whose values of 10, 12 or 14 bits stand side by side, as Pillow writes none."""
    lines = [''.join(f'{value:0{bits}b}' for value in row) for row in values]
    strip = b''.join(int(line, 2).to_bytes(len(line) // 8, 'big') for line in lines)
    height, width = values.shape
    size = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 277: 1, 278: height}
    tags = {**size, 273: 8, 279: len(strip)}
    entries = b''.join(struct.pack('<HHII', tag, 4, 1, tags[tag]) for tag in sorted(tags))
    directory = struct.pack('<H', len(tags)) + entries + bytes(4)
    return b'II*\0' + struct.pack('<I', 8 + len(strip)) + strip + directory


@pytest.fixture
def load(tmp_path):
    """Load bytes with a loader and arguments."""

    def do(data, loader=LoadRandomResizedCrop, name='image', **options):
        (tmp_path / name).write_bytes(data)
        if loader is LoadRandomResizedCrop:
            options = {**WHOLE, **options}
        return loader(**options)(dict(img_path=str(tmp_path / name)))['img']

    return do


DEEP = {
    'grey PNG of 12 bits': (encoded('.png', x := integers(4096, np.uint16)), x, (0, 4095)),
    'grey PNG of 16 bits': (encoded('.png', x := integers(65536, np.uint16)), x, (0, 65535)),
    'a part of its range': (encoded('.png', x), x, (1000, 50000)),
    'colour PNG': (encoded('.png', x := integers(65536, np.uint16, 3)), x, (0, 65535)),
    'grey TIFF': (encoded('.tif', x := integers(4096, np.uint16)), x, (0, 4095)),
    'TIFF with a sign': (
        encoded('.tif', x := np.int16(integers(4096, int) - 1024)),
        x,
        (-1024, 3071),
    ),
    'TIFF of bytes with a sign': (
        encoded('.tif', x := np.int8(integers(256, int) - 128)),
        x,
        (-128, 127),
    ),
    'TIFF of long integers': (
        pillows(Image.fromarray(x := np.int32(integers(10**6, int) + 2**30)), 'TIFF'),
        x,
        (2**30, 2**30 + 10**6),
    ),
    'float TIFF': (
        pillows(Image.fromarray(x := RNG.random((12, 16), np.float32)), 'TIFF'),
        x,
        (0, 1),
    ),
    'float colour TIFF': (
        encoded('.tif', x := RNG.random((12, 16, 3), np.float32)),
        x,
        (0.25, 0.75),
    ),
    'float TIFF of 64 bits': (encoded('.tif', x := RNG.random((12, 16)) * 50 + 270), x, (270, 320)),
    'packed TIFF of 12 bits': (packed_tiff(12, x := integers(4096, np.uint16)), x, (0, 4095)),
    'packed TIFF of 10 bits': (packed_tiff(10, x := integers(1024, np.uint16)), x, (0, 1023)),
    'PGM': (encoded('.pgm', x := integers(65536, np.uint16)), x, (0, 65535)),
    'PGM of 4 bits': (
        b'P5 # 16 levels\n16 12\n15\n' + (x := integers(16, np.uint8)).tobytes(),
        x,
        (0, 15),
    ),
}


@pytest.mark.parametrize('kind', DEEP)
def test_a_declared_range_is_scaled(load, kind):
    data, values, (low, high) = DEEP[kind]
    expected = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255
    expected = expected[..., None] if expected.ndim == 2 else expected
    image = load(data, value_range=(low, high))
    assert image.dtype == np.float32 and image.shape == (12, 16, 3)
    np.testing.assert_allclose(image, np.broadcast_to(expected, image.shape), rtol=1e-6, atol=2e-5)
    assert len(np.unique(image)) >= min(len(np.unique(values)), 100) or 'PGM of 4' in kind
    assert np.array_equal(load(data, LoadImage, value_range=(low, high), to_float32=True), image)
    rounded = load(data, LoadImage, value_range=(low, high))
    assert rounded.dtype == np.uint8 and np.array_equal(rounded, np.rint(image))
    if expected.shape[2] == 1:
        grey = load(data, value_range=(low, high), color_type='grayscale')
        assert np.array_equal(grey, image[..., :1])
        assert np.array_equal(load(data, value_range=(low, high), color_type='unchanged'), grey)
    else:
        assert np.array_equal(load(data, value_range=(low, high), color_type='unchanged'), image)


@pytest.mark.parametrize('loader', [LoadRandomResizedCrop, LoadImage])
@pytest.mark.parametrize('color_type', ['color', 'grayscale', 'unchanged'])
@pytest.mark.parametrize('kind', DEEP)
def test_without_one_it_is_refused(load, kind, color_type, loader):
    data, *_ = DEEP[kind]
    assert not stored(data).eight_bits
    with pytest.raises(
        ValueError, match=r"/image' has (\d+ bits|values up to).*value_range=\(LOWEST"
    ):
        load(data, loader, color_type=color_type)


def test_a_crop_is_resized_in_floats(load):
    data, values, range_ = DEEP['grey PNG of 12 bits']
    image = load(data, scale=(24, 32), value_range=range_, color_type='grayscale')
    expected = torch.from_numpy(values / 4095 * 255)[None, None]
    expected = F.interpolate(expected, (24, 32), mode='bicubic', antialias=True).clamp(0, 255)
    np.testing.assert_allclose(image[..., 0], expected[0, 0].numpy(), atol=1e-3)
    assert image.min() >= 0 and image.max() <= 255 and (image % 1 != 0).mean() > 0.5


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_pixels_that_are_no_numbers(load, value):
    image = RNG.random((12, 16), np.float32)
    image[3, 4] = value
    for loader in (LoadImage, LoadRandomResizedCrop):
        with pytest.raises(ValueError, match="/image' has pixels that are no finite numbers"):
            load(pillows(Image.fromarray(image), 'TIFF'), loader, value_range=(0, 1))


def test_a_range_that_8_bits_do_not_reach(load):
    data = encoded('.png', integers(256, np.uint8))
    with pytest.raises(ValueError, match=r'has 8 bits .* value_range=\(0, 4095\)'):
        load(data, value_range=(0, 4095))
    assert np.array_equal(load(data, value_range=(0, 255)), np.float32(load(data)))


@pytest.mark.parametrize('loader', [LoadRandomResizedCrop, LoadImage])
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(value_range=(5, 5)), r'value_range must be two numbers.* got \(5, 5\)'),
        (dict(value_range=(0, float('nan'))), 'value_range must be two numbers'),
        (dict(value_range=(0, 1, 2)), 'value_range must be two numbers'),
        (dict(value_range=(0, None)), 'value_range must be two numbers'),
        (dict(value_range='0,4095'), 'value_range must be two numbers'),
        (dict(value_range=4095), 'value_range must be two numbers'),
        (
            dict(color_type='rgb'),
            r"color_type must be one of \('color', 'grayscale', 'unchanged'\)",
        ),
    ],
)
def test_arguments(load, loader, options, message):
    with pytest.raises(ValueError, match=message):
        load(b'', loader, **options)


# Eight bits and fewer


COLOUR = integers(256, np.uint8, 3)
FOUR = integers(256, np.uint8, 4)
PICTURE = Image.fromarray(COLOUR)
BLACK_AND_WHITE = Image.fromarray(integers(2, np.uint8) == 1)
SHALLOW = {
    'PNG': encoded('.png', COLOUR),
    'grey PNG': encoded('.png', COLOUR[..., 0]),
    'RGBA PNG': encoded('.png', FOUR),
    'LA PNG': pillows(PICTURE.convert('LA'), 'PNG'),
    'palette PNG': pillows(PICTURE.convert('P'), 'PNG'),
    'PNG of 1 bit': pillows(BLACK_AND_WHITE, 'PNG'),
    'PNG of 2 bits': grey_png(2, [bytes([0b00011011] * 4)] * 12),
    'PNG of 4 bits': grey_png(4, [bytes(range(0, 256, 32))] * 12),
    'TIFF': encoded('.tif', COLOUR),
    'grey TIFF': encoded('.tif', COLOUR[..., 0]),
    'palette TIFF': pillows(PICTURE.convert('P'), 'TIFF'),
    'CMYK TIFF': pillows(PICTURE.convert('CMYK'), 'TIFF'),
    'TIFF of 1 bit': pillows(BLACK_AND_WHITE, 'TIFF', compression='group4'),
    'JPEG': pillows(PICTURE, 'JPEG'),
    'grey JPEG': pillows(PICTURE.convert('L'), 'JPEG'),
    'CMYK JPEG': pillows(PICTURE.convert('CMYK'), 'JPEG'),
    'WebP': pillows(PICTURE, 'WEBP'),
    'BMP': encoded('.bmp', COLOUR),
    'PPM': encoded('.ppm', COLOUR),
    'PGM': encoded('.pgm', COLOUR[..., 0]),
}


@pytest.mark.parametrize('color_type', ['color', 'grayscale', 'unchanged'])
@pytest.mark.parametrize('kind', SHALLOW)
def test_eight_bits_as_mmcv_loads_them(load, kind, color_type):
    expected = mmcv.imfrombytes(SHALLOW[kind], flag=color_type)
    image = load(SHALLOW[kind], LoadImage, color_type=color_type)
    assert image.dtype == np.uint8 and np.array_equal(image, expected)
    crop = load(SHALLOW[kind], color_type=color_type)
    assert crop.dtype == np.uint8 and np.array_equal(crop.squeeze(), expected)
    floats = load(SHALLOW[kind], LoadImage, color_type=color_type, to_float32=True)
    assert floats.dtype == np.float32 and np.array_equal(floats, expected)


def test_few_bits_fill_the_range(load):
    for kind in ('PNG of 1 bit', 'TIFF of 1 bit'):
        expected = 255 * np.asarray(BLACK_AND_WHITE, np.uint8)
        assert np.array_equal(load(SHALLOW[kind], LoadImage)[..., 0], expected)
    two, four = (load(SHALLOW[f'PNG of {n} bits'], LoadImage)[0, :, 0] for n in (2, 4))
    assert two.tolist() == [0, 85, 170, 255] * 4
    assert four[::2].tolist() == list(range(0, 256, 34)) and not four[1::2].any()


@pytest.mark.parametrize('factor', [1, 2, 4])
def test_grey_jpegs_are_decoded_at_a_fraction_too(load, factor):
    photograph = cv2.resize(integers(256, np.uint8, 3), (64 * factor, 48 * factor))
    data = pillows(Image.fromarray(photograph), 'JPEG', quality=95)
    options = dict(WHOLE, scale=(24, 32), color_type='grayscale')
    grey = load(data, **options).astype(int)
    assert grey.shape == (24, 32, 1)
    colour = load(data, **dict(options, color_type='color')).astype(float)
    assert np.abs(grey[..., 0] - colour @ (0.114, 0.587, 0.299)).mean() < 1


# Four bands

BANDS = {
    'TIFF of OpenCV': (encoded('.tif', FOUR), FOUR, None),
    # Its fourth band is declared as alpha, by which OpenCV multiplies the others.
    'TIFF of Pillow': (pillows(Image.fromarray(FOUR), 'TIFF'), FOUR[..., [2, 1, 0, 3]], None),
    'packed TIFF': (
        pillows(Image.fromarray(FOUR), 'TIFF', compression='tiff_lzw'),
        FOUR[..., [2, 1, 0, 3]],
        None,
    ),
    'TIFF of 16 bits': (
        encoded('.tif', x := integers(65536, np.uint16, 4)),
        x,
        (0, 65535),
    ),
    'float TIFF': (encoded('.tif', x := RNG.random((12, 16, 4), np.float32)), x, (0, 1)),
    'RGBA PNG': (SHALLOW['RGBA PNG'], FOUR, None),
}


@pytest.mark.parametrize('kind', BANDS)
def test_four_bands(load, kind):
    data, values, range_ = BANDS[kind]
    expected = values if range_ is None else values.astype(np.float64) / range_[1] * 255
    for loader in (LoadImage, LoadRandomResizedCrop):
        options = dict(value_range=range_)
        image = load(data, loader, color_type='unchanged', **options)
        image = image if range_ is None or loader is LoadRandomResizedCrop else image.astype(float)
        assert image.shape == (12, 16, 4)
        np.testing.assert_allclose(image, expected, atol=0.51 if loader is LoadImage else 2e-5)
        if kind == 'RGBA PNG':
            continue
        for color_type in ('color', 'grayscale'):
            message = rf"/image' has 4 channels, and color_type='{color_type}' .*'unchanged'"
            with pytest.raises(ValueError, match=message):
                load(data, loader, color_type=color_type, **options)


# Headers


def test_headers():
    assert stored(SHALLOW['JPEG'])[:3] == ('8 bits a channel', True, 3)
    assert stored(SHALLOW['grey JPEG']).channels == 1 and stored(SHALLOW['CMYK JPEG']).channels == 3
    assert stored(SHALLOW['RGBA PNG']).channels == 4 and not stored(SHALLOW['RGBA PNG']).bands
    assert stored(BANDS['float TIFF'][0]).values == '32 bits (floats) a channel'
    assert stored(SHALLOW['WebP']) is None and stored(b'') is None and stored(b'II') is None
    for data in SHALLOW.values():
        assert stored(data) is None or stored(data).eight_bits
        assert stored(data[:20]) is None or data[:1] == b'P'


def test_a_jpeg_of_12_bits(load):
    """libjpeg in OpenCV's builds does not read them; only the header is made here."""
    data = bytearray(pillows(PICTURE.convert('L'), 'JPEG'))
    frame = data.index(b'\xff\xc0')
    data[frame + 1 : frame + 5] = b'\xc1' + data[frame + 2 : frame + 4] + bytes([12])
    assert stored(bytes(data))[:2] == ('12 bits a channel', False)
    with pytest.raises(ValueError, match=r'is a JPEG of 12 bits a channel.*save it as PNG'):
        load(bytes(data))
