"""A folder with every kind of odd and bad image, and what is to become of each."""

import base64
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from tests.data.test_formats import chunk

DECODED, SKIPPED, PASSED_OVER = 'decoded', 'skipped', 'passed over'
#: ``jpegtran -arithmetic`` has made it of a picture of 24 x 16; Pillow does not write such files.
ARITHMETIC_JPEG = base64.b64decode(
    '/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERX'
    'RTc4UG1RV19iZ2hnPk1xeXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2Nj'
    'Y2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2P/yQARCAAQABgDASIAAhEBAxEB/8wACgAQEAUBEBEF/9oADAMBAAIR'
    'AxEAPwDRyisPOwuHCMsIJuXcVJ9x9nozqYuRLF7ZWQKSMEuQx/rm5c3tU+7raDWQ9NlkCK9BuHfLjLvrDxW2jSDO'
    'FLQBUmRjoVPrSITSBWErmQdKOQlA/9k='
)


class Kind(NamedTuple):
    """A file of the folder.

    Attributes:
        name: Where it lies in the folder.
        fate: What is to become of it.
        reason: A part of what the list says of it, where it is skipped.
    """

    name: str
    fate: str
    reason: str = ''


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """Smooth noise, in colour."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """The bytes of a file as Pillow writes it; with ``pages``, of two images."""
    file = io.BytesIO()
    if options.pop('pages', False):
        options.update(save_all=True, append_images=[picture(40, 60, 1)])
    image.copy().save(file, kind, **options)  # an image keeps options of its last encoder
    return file.getvalue()


def turned(kind: str, orientation: int) -> bytes:
    """A file whose EXIF says how it is to be turned; TIFF keeps that in a tag of its own."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture(40, 60), kind, exif=exif)


@cache
def bomb(side: int = 20_000) -> bytes:
    """A grey PNG of one colour: its file is a thousand times smaller than its pixels."""
    packer = zlib.compressobj(1)
    line = bytes(side + 1)
    rows = b''.join([*(packer.compress(line) for _ in range(side)), packer.flush()])
    size = side.to_bytes(4, 'big') * 2 + bytes([8, 0, 0, 0, 0])
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        chunk(name, data) for name, data in ((b'IHDR', size), (b'IDAT', rows), (b'IEND', b''))
    )


def with_size(jpeg: bytes, side: int) -> bytes:
    """A JPEG file whose header says another size."""
    frame = jpeg.index(b'\xff\xc0')
    return jpeg[: frame + 5] + side.to_bytes(2, 'big') * 2 + jpeg[frame + 9 :]


def with_hole(data: bytes, length: int = 60) -> bytes:
    """A file of which some bytes in the middle are lost, as zeros."""
    middle = len(data) // 2
    return data[:middle] + bytes(length) + data[middle + length :]


def decoded() -> Iterator[tuple[str, bytes]]:
    """Files that are odd, and images."""
    image = picture(40, 60)
    alpha = image.copy()
    alpha.putalpha(Image.linear_gradient('L').resize(image.size))
    jpeg = encoded(image, 'JPEG')
    for mode in ('L', 'CMYK', 'YCbCr'):
        yield f'{mode}.jpg', encoded(image.convert(mode), 'JPEG')
    yield 'progressive.jpg', encoded(image, 'JPEG', progressive=True)
    yield 'arithmetic.jpg', ARITHMETIC_JPEG
    yield 'two_in_one.jpg', encoded(image, 'MPO', pages=True)
    yield 'something_behind.jpg', jpeg + bytes(1000)
    inside = b'\xff\xe2' + (len(jpeg) + 2).to_bytes(2, 'big') + jpeg
    # libjpeg goes on after such damage.
    yield 'hole.jpg', with_hole(encoded(picture(200, 300), 'JPEG'))
    yield 'thumbnail_inside.jpg', jpeg[:2] + inside + jpeg[2:]
    for mode in ('1', 'L', 'LA', 'P', 'RGBA'):
        yield f'{mode}.png', encoded((alpha if 'A' in mode else image).convert(mode), 'PNG')
    yield 'transparent.png', encoded(image.convert('P'), 'PNG', transparency=3)
    yield 'moves.png', encoded(image, 'PNG', pages=True)
    yield 'plain.gif', encoded(image.convert('P'), 'GIF')
    yield 'moves.gif', encoded(image.convert('P'), 'GIF', pages=True)
    yield 'transparent.gif', encoded(image.convert('P'), 'GIF', transparency=3)
    yield 'plain.webp', encoded(image, 'WEBP')
    yield 'exact.webp', encoded(image, 'WEBP', lossless=True)
    yield 'alpha.webp', encoded(alpha, 'WEBP', lossless=True, exact=True)
    yield 'moves.webp', encoded(image, 'WEBP', pages=True)
    for mode in ('1', 'L', 'P', 'RGB'):
        yield f'{mode}.bmp', encoded(image.convert(mode), 'BMP')
    for packing in (None, 'tiff_lzw', 'tiff_adobe_deflate', 'packbits', 'jpeg', 'zstd'):
        yield f'{packing}.tif', encoded(image, 'TIFF', compression=packing)
    for mode in ('L', 'P', 'CMYK'):
        yield f'{mode}.tiff', encoded(image.convert(mode), 'TIFF')
    yield 'fax.tif', encoded(image.convert('1'), 'TIFF', compression='group4')
    yield 'pages.tif', encoded(image, 'TIFF', pages=True)
    yield 'colour.ppm', encoded(image, 'PPM')
    yield 'grey.pgm', encoded(image.convert('L'), 'PPM')
    yield 'letters.ppm', b'P3 2 2 255 ' + b'10 200 30 ' * 4
    yield 'colour.jp2', encoded(image, 'JPEG2000')
    yield 'grey.jp2', encoded(image.convert('L'), 'JPEG2000')
    if 'AVIF' in Image.SAVE:
        yield 'plain.avif', encoded(image, 'AVIF')
        yield 'alpha.avif', encoded(alpha, 'AVIF')
        yield 'moves.avif', encoded(image, 'AVIF', pages=True)
        yield 'turned_6.avif', turned('AVIF', 6)
    for orientation in range(1, 9):
        yield f'turned_{orientation}.jpg', turned('JPEG', orientation)
    for kind in ('PNG', 'WEBP', 'TIFF'):
        yield f'turned_6.{kind.lower()}', turned(kind, 6)
    for height, width in ((1, 1), (1, 2000), (2000, 1), (6, 8000)):
        yield f'{height}x{width}.jpg', encoded(picture(height, width), 'JPEG')
        yield f'{height}x{width}.png', encoded(picture(height, width), 'PNG')
    yield 'large.jpg', encoded(picture(3000, 4000), 'JPEG')
    yield 'png_named.jpg', encoded(image, 'PNG')
    yield 'jpeg_named.png', jpeg
    yield 'webp_named.jpg', encoded(image, 'WEBP')
    yield 'gif_named.jpeg', encoded(image.convert('P'), 'GIF')
    for name in ('UPPER.JPG', 'UPPER.JPEG', 'short.jfif', 'a b  c.jpg', '\N{CAT}.jpg', '-rf.jpg'):
        yield name, jpeg
    yield 'tab\tand\nline.jpg', jpeg
    yield os.fsdecode(b'no_utf8_\xff\xe9.jpg'), jpeg
    yield 200 * 'x' + '.jpg', jpeg
    yield 'folder.jpg/inside.jpg', jpeg


def skipped() -> Iterator[tuple[str, bytes, str]]:
    """Files that are bad, and what is wrong with them."""
    image = picture(40, 60)
    files = {
        kind.lower(): encoded(image.convert('P') if kind == 'GIF' else image, kind)
        for kind in ('JPEG', 'PNG', 'GIF', 'WEBP', 'BMP', 'TIFF', 'PPM', 'JPEG2000')
    }
    for kind, data in files.items():
        yield f'truncated_{kind}.jpg', data[: len(data) // 2], 'is no image'
    yield 'hole.png', with_hole(encoded(picture(200, 300), 'PNG')), 'is no image'
    yield 'last_byte_missing.jpg', files['jpeg'][:-1], 'is no image'
    yield 'head_only.jpg', files['jpeg'][:100], 'is no image'
    yield 'empty.jpg', b'', 'is no image: it is empty'
    yield 'one_byte.jpg', b'\xff', 'is no image'
    yield 'zeros.jpg', bytes(1000), 'is no image'
    yield 'text.jpg', b'no image\n', 'is no image'
    yield 'gzip.jpg', gzip.compress(files['jpeg']), 'is no image'
    yield 'page.png', b'<!DOCTYPE html><title>404 Not Found</title>', 'is no image'
    yield 'drawing.png', b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'is no image'
    yield 'document.jpg', b'%PDF-1.4\n%%EOF', 'is no image'
    yield 'postscript.jpg', b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n', 'is no image'
    yield os.fsdecode(b'no_utf8_\xff_text.jpg'), b'no image\n', 'is no image'
    yield 'tab\tand\nline_text.jpg', b'no image\n', 'is no image'
    yield 'damaged_header.png', files['png'][:20] + bytes(9) + files['png'][29:], 'is no image'
    yield 'bomb.png', bomb(), 'has 20000 x 20000 pixels'
    yield 'huge.jpg', with_size(files['jpeg'], 16_000), 'has 16000 x 16000 pixels'
    deep = Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30))
    yield 'deep.png', encoded(deep, 'PNG'), 'has 16 bits a channel'
    yield 'deep.jp2', encoded(deep, 'JPEG2000'), 'has 16 bits a channel'
    floats = Image.fromarray(np.ones((20, 30), np.float32))
    yield 'floats.tif', encoded(floats, 'TIFF'), 'has 32 bits (floats) a channel'
    bands = Image.fromarray(np.ones((20, 30, 4), np.uint8))
    yield 'bands.tif', encoded(bands, 'TIFF'), 'has 4 channels'


def make_folder(root: Path) -> list[Kind]:
    """Write all kinds.

    Args:
        root: The folder.
    """
    kinds = [(name, data, DECODED, '') for name, data in decoded()]
    kinds += [(name, data, SKIPPED, reason) for name, data, reason in skipped()]
    found = []
    for name, data, fate, reason in kinds:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        found.append(Kind(name, fate, reason))
    for name in ('._L.jpg', 'Thumbs.db', '.DS_Store'):
        (root / name).write_bytes(b'\x00\x05\x16\x07')
        found.append(Kind(name, PASSED_OVER))
    os.mkfifo(root / 'pipe.jpg')
    links = {'broken.jpg': 'nowhere', 'itself.jpg': 'itself.jpg', 'folder.jpg/up': '..'}
    for name, target in links.items():
        (root / name).symlink_to(target)
    found += [Kind(name, PASSED_OVER) for name in (*links, 'pipe.jpg', 'folder.jpg')]
    (root / 'link.jpg').symlink_to('L.jpg')
    os.link(root / 'L.jpg', root / 'hard_link.jpg')
    return [*found, Kind('link.jpg', DECODED), Kind('hard_link.jpg', DECODED)]
