"""What an image file stores, from its header: its size, more than 8 bits, more than 3 channels.

OpenCV turns such files into 8 bits and three channels without a word: of 12 bits in a 16-bit file
the upper 4 are left, and a fourth band is cut off.
"""

import io
import re
import warnings
from collections.abc import Callable
from mmap import mmap
from typing import Any, NamedTuple

from PIL import TiffImagePlugin

__all__ = ['Stored', 'stored']

#: Start of a binary PGM or PPM: width, height and highest value, comments between them.
_PNM = re.compile(rb'P[56]' + 3 * rb'(?:\s|#[^\n]*\n)+\d+')
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
# TIFF's tags and values that matter here.
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 256, 257, 258, 262
_CHANNELS, _EXTRA, _FORMAT = 277, 338, 339
_PALETTE, _CMYK = 3, 5
_UNSIGNED, _FLOAT = 1, 3
_STRAIGHT_ALPHA = 2


class Stored(NamedTuple):
    """What a file stores.

    Attributes:
        values: What its values are, for a message: ``'16 bits a channel'``.
        eight_bits: Whether they become 0 to 255 in 8 bits without a loss.
        channels: How many there are, palettes and CMYK counted as colour.
        size: Height and width, as they are stored.
        bands: Whether channels beyond the third are data. TIFF keeps more bands than three in them;
            in files of other formats the fourth channel is the alpha of the web.
        straight_alpha: Whether it is a TIFF whose colours OpenCV would multiply by the fourth band.
        unpacked: By how many bits OpenCV shifts the values to the left, of a TIFF of 10, 12 or 14.
        large: Whether it is a TIFF of floats or of more than 16 bits a channel.
    """

    values: str
    eight_bits: bool
    channels: int
    size: tuple[int, int]
    bands: bool = False
    straight_alpha: bool = False
    unpacked: int = 0
    large: bool = False


def stored(data: bytes | mmap) -> Stored | None:
    """Read the header of a JPEG, PNG, TIFF or binary PNM file; None for other or damaged files.

    Args:
        data: The file.
    """
    readers: dict[bytes, Callable[[Any], Stored]] = {
        b'\xff\xd8': _jpeg,
        b'\x89P': _png,
        b'II': _tiff,
        b'MM': _tiff,
        b'P5': _pnm,
        b'P6': _pnm,
    }
    reader = readers.get(bytes(data[:2]))
    try:
        return None if reader is None else reader(data)
    except Exception:  # a damaged header, in one of many ways: who decodes it says what is wrong
        return None


def _png(data: bytes | mmap) -> Stored:
    bits, kind = data[24], data[25]
    size = _number(data[20:24]), _number(data[16:20])
    return Stored(f'{bits} bits a channel', bits <= 8, _PNG_CHANNELS[kind], size)


def _number(data: bytes) -> int:
    return int.from_bytes(data, 'big')


def _jpeg(data: bytes | mmap) -> Stored:
    place = 2
    while True:
        while data[place + 1] == 0xFF:  # any number of them may fill the space before a marker
            place += 1
        if data[place] != 0xFF:
            raise ValueError('no marker')
        marker, length = data[place + 1], _number(data[place + 2 : place + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            bits, channels = data[place + 4], data[place + 9]
            size = _number(data[place + 5 : place + 7]), _number(data[place + 7 : place + 9])
            return Stored(f'{bits} bits a channel', bits == 8, min(channels, 3), size)
        place += 2 + length


def _pnm(data: bytes | mmap) -> Stored:
    found = _PNM.match(data)
    if found is None:
        raise ValueError('no header of a binary PNM file')
    width, height, highest = map(int, re.sub(rb'#[^\n]*', b'', found[0]).split()[1:])
    channels = 1 if data[1:2] == b'5' else 3
    # OpenCV does not scale the values of binary files.
    return Stored(f'values up to {highest}', highest == 255, channels, (height, width))


def _tiff(data: bytes | mmap) -> Stored:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # Pillow's, about damaged files
        return _tiff_header(data)


def _tiff_header(data: bytes | mmap) -> Stored:
    file: Any = io.BytesIO(data) if isinstance(data, bytes) else data
    header = file.read(8)
    if header[2] == 43 or header[3] == 43:  # BigTIFF
        header += file.read(8)
    tags = TiffImagePlugin.ImageFileDirectory_v2(header)
    file.seek(tags.next)
    tags.load(file)
    size = tags[_HEIGHT], tags[_WIDTH]  # KeyError: the tags are not in what is there of the file
    bits, kind = max(tags.get(_BITS, (1,))), max(tags.get(_FORMAT, (_UNSIGNED,)))
    photometric, channels = tags.get(_PHOTOMETRIC), tags.get(_CHANNELS, 1)
    if photometric in (_PALETTE, _CMYK):
        return Stored(f'{bits} bits a channel', bits <= 8 or photometric == _PALETTE, 3, size)
    name = {_UNSIGNED: 'bits', _FLOAT: 'bits (floats)'}.get(kind, 'bits (with a sign)')
    return Stored(
        f'{bits} {name} a channel',
        bits <= 8 and kind == _UNSIGNED,
        channels,
        size,
        bands=channels > 3,
        straight_alpha=bits == 8 and channels == 4 and _STRAIGHT_ALPHA in tags.get(_EXTRA, ()),
        unpacked=16 - bits if 8 < bits < 16 else 0,
        large=bits > 16 or kind == _FLOAT,
    )
