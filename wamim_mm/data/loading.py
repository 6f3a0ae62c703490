"""Loading and cropping an image in one step, so that less of the file has to be decoded."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from numbers import Real

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmpretrain.datasets import RandomResizedCrop
from mmpretrain.registry import TRANSFORMS
from PIL import Image, ImageOps, UnidentifiedImageError
from torch.nn import functional as F

from .bad_files import BadImage
from .formats import Stored, stored

__all__ = ['LoadImage', 'LoadRandomResizedCrop']

#: mmcv's names of what an image becomes, and OpenCV's.
FLAGS = {
    'color': cv2.IMREAD_COLOR,
    'grayscale': cv2.IMREAD_GRAYSCALE,
    'unchanged': cv2.IMREAD_UNCHANGED,
}
EXIF_ORIENTATION = 0x0112
#: Pillow's own limit; an image of so many pixels takes half a gigabyte.
MAX_PIXELS = 178_956_970
#: What Pillow decodes where OpenCV cannot: builds of OpenCV lack the first three or some
#: compressions of TIFF, and do not turn WebP. Of others, OpenCV knows whether a file is damaged.
BY_PILLOW = ('AVIF', 'GIF', 'JPEG2000', 'TIFF', 'WEBP')
#: What libjpeg scales by while it decodes, and OpenCV's names for it.
REDUCED = {
    8: dict(color=cv2.IMREAD_REDUCED_COLOR_8, grayscale=cv2.IMREAD_REDUCED_GRAYSCALE_8),
    4: dict(color=cv2.IMREAD_REDUCED_COLOR_4, grayscale=cv2.IMREAD_REDUCED_GRAYSCALE_4),
    2: dict(color=cv2.IMREAD_REDUCED_COLOR_2, grayscale=cv2.IMREAD_REDUCED_GRAYSCALE_2),
    1: FLAGS,
}

#: Where a config loads images, and what to do about files of another range.
TRAIN_STEP = 'train_dataloader.dataset.pipeline.0.'
RANGE_FIX = (
    'with value_range=(LOWEST, HIGHEST), (0, 4095) for 12 bits: '
    f'--cfg-options {TRAIN_STEP}value_range="(0,4095)"'
)

# Who catches a BadImage says it once; OpenCV would print it each time.
cv2.setLogLevel(0)


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """mmcv's ``LoadImageFromFile`` that loses nothing without a word.

    A file of more than 8 bits a channel is refused unless its range is declared, and so is a TIFF
    of more than three channels unless it is loaded ``'unchanged'``. Files of 8 bits are loaded as
    mmcv does; beyond that, WebP and AVIF are turned as their EXIF says, and Pillow decodes what
    OpenCV cannot (`BY_PILLOW`). Of several pages or frames, the first is taken.

    Takes ``img_path`` and adds ``img``, ``(height, width, channels)`` or, for one channel,
    ``(height, width)``; ``img_shape`` and ``ori_shape``.

    Args:
        color_type: ``'color'``, three channels in the order BGR; ``'grayscale'``, one;
            ``'unchanged'``, those of the file, in OpenCV's order (the first and the third
            exchanged).
        value_range: From and to which value of the files, for example ``(0, 4095)`` for 12 bits.
            It becomes 0 to 255; values outside are clipped.
        to_float32: Whether the image is float32; otherwise uint8, rounded, which Pillow's resizing
            and RandAugment need.
        backend_args: Where files come from, see `mmengine.fileio.get`.
        max_pixels: Files of more pixels are refused before they are decoded.

    Raises:
        ValueError: An argument has another value.
        BadImage: While loading: the file is not there, is no image, has too many pixels, or would
            lose bits or channels.
    """

    def __init__(
        self,
        color_type: str = 'color',
        value_range: Sequence[float] | None = None,
        to_float32: bool = False,
        backend_args: dict | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        check_arguments(type(self).__name__, color_type, value_range, max_pixels)
        self.color_type = color_type
        self.value_range = value_range
        self.to_float32 = to_float32
        self.backend_args = backend_args
        self.max_pixels = max_pixels

    def transform(self, results: dict) -> dict:
        """Load the image at ``img_path``."""
        path = results['img_path']
        with faults_of(path):
            data = read(path, self.backend_args, self.max_pixels)
            image = decode(data, self.color_type)
            image = scaled(image, self.value_range, image, stored(data))
        if self.to_float32:
            image = image.astype(np.float32)
        elif image.dtype != np.uint8:
            image = np.rint(image).astype(np.uint8)
        results['img'] = image[..., 0] if image.shape[2] == 1 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadRandomResizedCrop(RandomResizedCrop):
    """`LoadImage` and ``RandomResizedCrop`` in one, with the same crops from one seed.

    It is faster than these two for two reasons:

    - The crop is drawn before the image is decoded, from the size in the file's header. A JPEG file
      whose crop is at least four times as large as the output is decoded at a half, a quarter or an
      eighth of its size. The crop then is still at least twice as large as the output; its borders
      are rounded to whole pixels.
    - torch resizes the image, several times faster than Pillow. The two differ by at most one of
      255 grey levels in nearly all pixels; in the others they clip overshoots differently.

    Takes ``img_path`` and adds ``img``, ``(height, width, channels)`` uint8, or float32 in [0, 255]
    where a value range is given; ``img_shape`` and ``ori_shape``.

    Args:
        scale: Side of the output, or ``(height, width)``.
        crop_ratio_range: The crop's share of the area, from and to.
        aspect_ratio_range: Its ratio of width to height, from and to.
        interpolation: ``'bilinear'`` or ``'bicubic'``, with antialiasing.
        backend_args: Where files come from, see `mmengine.fileio.get`.
        color_type: As in `LoadImage`.
        value_range: As in `LoadImage`; no depth is lost.
        max_pixels: As in `LoadImage`.

    Raises:
        ValueError: An argument has another value.
        BadImage: While loading: the file is not there, is no image, has too many pixels, or would
            lose bits or channels.
    """

    def __init__(
        self,
        scale: int | tuple[int, int],
        crop_ratio_range: tuple[float, float] = (0.08, 1.0),
        aspect_ratio_range: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: str = 'bicubic',
        backend_args: dict | None = None,
        color_type: str = 'color',
        value_range: Sequence[float] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if interpolation not in ('bilinear', 'bicubic'):
            raise ValueError(
                "LoadRandomResizedCrop: interpolation must be 'bilinear' or 'bicubic', got "
                f'{interpolation!r}'
            )
        check_arguments(type(self).__name__, color_type, value_range, max_pixels)
        super().__init__(scale, crop_ratio_range, aspect_ratio_range, interpolation=interpolation)
        self.backend_args = backend_args
        self.color_type = color_type
        self.value_range = value_range
        self.max_pixels = max_pixels

    def transform(self, results: dict) -> dict:
        """Load, crop and resize the image at ``img_path``."""
        path = results['img_path']
        with faults_of(path):
            data = read(path, self.backend_args, self.max_pixels)
            # OpenCV leaves turned photographs as they are where it changes nothing.
            known = is_jpeg(data) and self.color_type != 'unchanged'
            whole = None if known else decode(data, self.color_type)
            size = image_size(data) if whole is None else whole.shape[:2]
            crop = self.rand_crop_params(np.broadcast_to(np.uint8(0), size))
            factor = 1
            if whole is None:
                factor = reduction(crop[2:], self.scale)
                whole = decode(data, self.color_type, factor)
                if whole.shape[:2] != tuple(-(-side // factor) for side in size):
                    # Its header does not tell what OpenCV makes of it.
                    whole, factor = decode(data, self.color_type), 1
                    size = whole.shape[:2]
                    crop = self.rand_crop_params(whole)
            top, left, height, width = (round(x / factor) for x in crop)
            image = whole[top : top + height, left : left + width]
            image = scaled(image, self.value_range, whole, stored(data) if not known else None)
        results['ori_shape'] = size
        results['img'] = resize(image, self.scale, self.interpolation)
        results['img_shape'] = tuple(self.scale)
        return results


def check_arguments(
    name: str, color_type: str, value_range: Sequence[float] | None, max_pixels: int
) -> None:
    """Raise ValueError unless the arguments of a loader are such."""
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, int) or max_pixels < 1:
        raise ValueError(f'{name}: max_pixels must be a number from 1 on, got {max_pixels!r}')
    if color_type not in FLAGS:
        raise ValueError(f'{name}: color_type must be one of {tuple(FLAGS)}, got {color_type!r}')
    if value_range is None:
        return
    pair = isinstance(value_range, Sequence) and [isinstance(end, Real) for end in value_range]
    if pair != [True, True] or not -np.inf < value_range[0] < value_range[1] < np.inf:
        raise ValueError(
            f'{name}: value_range must be two numbers, the lowest and the highest value of the '
            f'files, such as (0, 4095), got {value_range!r}'
        )


class Refused(ValueError):
    """A file is an image, and not one that this loader takes; the text goes on behind its name."""


@contextmanager
def faults_of(path: str) -> Iterator[None]:
    """Raise BadImage, which names the file, for all that goes wrong with its content.

    Damaged files lead to exceptions of every kind: of OpenCV, OSError, SyntaxError, struct.error,
    OverflowError, MemoryError and others.
    """
    try:
        yield
    except BadImage:
        raise
    except Refused as error:
        raise BadImage(path, str(error)) from None
    except UnidentifiedImageError as error:
        raise BadImage(path, 'is no image: it has no header that is known') from error
    except Exception as error:
        raise BadImage(path, f'is no image: {str(error) or type(error).__name__}') from error


def read(path: str, backend_args: dict | None, max_pixels: int) -> bytes:
    """A file, unless its header says that it is not to be decoded.

    Raises:
        BadImage: It cannot be read.
        Refused: It has too many pixels, or is a JPEG of more than 8 bits.
    """
    try:
        data = fileio.get(path, backend_args=backend_args)
    except OSError as error:
        raise BadImage(path, f'cannot be read: {error.strerror or error}') from error
    if not data:
        raise BadImage(path, 'is no image: it is empty')
    file = stored(data)
    if is_jpeg(data) and file is not None and not file.eight_bits:
        raise Refused(f'is a JPEG of {file.values}, which OpenCV does not decode: save it as PNG')
    height, width = file.size if file is not None else _size_for_pillow(data)
    if height * width > max_pixels:
        raise Refused(
            f'has {width} x {height} pixels, and at most {max_pixels:,} are decoded: make it '
            'smaller, or raise the limit with --cfg-options '
            f'train_dataloader.dataset.pipeline.0.max_pixels={height * width}'
        )
    return data


def _size_for_pillow(data: bytes) -> tuple[int, int]:
    """Height and width from the header; (0, 0) where Pillow does not know it.

    OpenCV itself refuses more than 2 ** 30 pixels.
    """
    with suppress(Exception), opened(data) as image:
        return image.size[::-1]
    return 0, 0


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """Pillow's image, of which only the header has been read.

    Pillow's own limit is off meanwhile: a loader's may be higher.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with Image.open(io.BytesIO(data)) as image:
                yield image
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def scaled(
    image: np.ndarray, value_range: Sequence[float] | None, whole: np.ndarray, file: Stored | None
) -> np.ndarray:
    """An image on the scale of 0 to 255: float32 if a range is declared, else uint8 as it is.

    Args:
        image: ``(H, W, C)``, of any type of numbers.
        value_range: What becomes 0 and 255; values outside are clipped.
        whole: What the image is a part of.
        file: What the file stores, if that is not just 8 bits.

    Raises:
        Refused: Bits would be lost, the range does not fit the file, or values are no numbers.
    """
    if value_range is None:
        if whole.dtype == np.uint8 and (file is None or file.eight_bits):
            return image
        raise Refused(
            f'has {_values(file, whole)}, and the loader makes 8 bits of them: say which values '
            f'become 0 and 255, {RANGE_FIX}'
        )
    low, high = value_range
    if whole.dtype.kind == 'f' and not np.isfinite(whole).all():
        raise Refused('has pixels that are no finite numbers; replace them, or leave it out')
    if whole.dtype.kind != 'f' and high > np.iinfo(whole.dtype).max:
        raise Refused(
            f'has {_values(file, whole)}, which do not reach the end of value_range={value_range}; '
            'give the range of these files, and load files of another range by themselves'
        )
    image = (image.astype(np.float64) - low) * (255 / (high - low))
    return image.clip(0, 255).astype(np.float32)


def _values(file: Stored | None, image: np.ndarray) -> str:
    return f'{image.dtype.itemsize * 8} bits a channel' if file is None else file.values


def is_jpeg(data: bytes) -> bool:
    """Whether a file is a JPEG, from its first two bytes."""
    return data.startswith(b'\xff\xd8')


def image_size(data: bytes) -> tuple[int, int]:
    """Height and width of an encoded image as OpenCV will decode it, from its header alone."""
    with opened(data) as image:
        width, height = image.size
        turned = orientation(image) in (5, 6, 7, 8)  # by 90 degrees
    return (width, height) if turned else (height, width)


def orientation(image: Image.Image) -> int:
    """How the EXIF says that an image is to be turned, 1 to 8; 1 for not at all."""
    # Not Image.getexif(), which reads an orientation out of XMP too; OpenCV does not.
    exif = Image.Exif()
    exif.load(image.info.get('exif', b''))
    value = exif.get(EXIF_ORIENTATION)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def reduction(crop: tuple[int, int], out: tuple[int, int]) -> int:
    """By how much to scale while decoding, so that the crop stays twice as large as the output.

    libjpeg scales in another way than the resizing that follows. This changes the targets' finest
    level by 0.1 % of their variance, as much as saving the file once more. If the crop were not
    kept twice as large, it would be 0.7 % (docs/results/bench_decoding.json).
    """
    return next(
        r for r in REDUCED if r == 1 or all(c >= 2 * r * o for c, o in zip(crop, out, strict=True))
    )


def resize(image: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """``(H, W, C)`` to ``(height, width, C)``, with antialiasing; overshoots are clipped."""
    resized = F.interpolate(
        torch.from_numpy(image).permute(2, 0, 1)[None], size, mode=interpolation, antialias=True
    )
    if resized.is_floating_point():  # torch clips integers by itself
        resized.clamp_(0, 255)
    return resized[0].permute(1, 2, 0).numpy()


def decode(data: bytes, color_type: str = 'color', factor: int = 1) -> np.ndarray:
    """``(H, W, C)`` of a file, a JPEG file at a fraction of its size; all its bits are kept.

    Args:
        data: The file.
        color_type: As in `LoadImage`.
        factor: 1, or for a JPEG file 2, 4 or 8.

    Raises:
        OSError: It cannot be read.
        Refused: It has bands that would be cut off.
    """
    flag = REDUCED[factor][color_type]
    file = None if is_jpeg(data) else stored(data)
    if file is not None and file.bands and color_type != 'unchanged':
        raise Refused(
            f'has {file.channels} channels, and color_type={color_type!r} would cut off or mix '
            "them: load it with color_type='unchanged' for a backbone of "
            f'in_channels={file.channels}, or save the channels that you want'
        )
    if file is not None and file.straight_alpha:
        with opened(data) as four:
            return np.asarray(four)[..., [2, 1, 0, 3]]
    if file is not None and file.large:
        flag = cv2.IMREAD_UNCHANGED  # OpenCV cannot convert it while it decodes
    elif not is_jpeg(data) and color_type != 'unchanged':
        flag |= cv2.IMREAD_ANYDEPTH
    image = None
    if not (color_type != 'unchanged' and only_pillow_turns(data)):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if image is None:
        image = _by_pillow(data, color_type)
    elif file is not None and file.unpacked:
        image = np.right_shift(image, file.unpacked)
    image = image[..., None] if image.ndim == 2 else image
    if color_type == 'color' and image.shape[2] == 1:
        image = image.repeat(3, axis=2)
    elif color_type == 'grayscale' and image.shape[2] == 3:
        image = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_BGR2GRAY)[..., None]
    return image


def only_pillow_turns(data: bytes) -> bool:
    """Whether it is a WebP or AVIF file that is to be turned; OpenCV leaves them as they are."""
    if data[8:12] == b'WEBP' or data[4:8] == b'ftyp':
        with suppress(Exception), opened(data) as image:
            return orientation(image) != 1
    return False


def _by_pillow(data: bytes, color_type: str) -> np.ndarray:
    """What OpenCV would make of a file: its first frame, turned, without alpha, in the order BGR.

    Raises:
        OSError: It is of a format that OpenCV reads well, or Pillow cannot read it either.
    """
    with opened(data) as image:
        if image.format not in BY_PILLOW:
            raise OSError('OpenCV cannot read it')
        if color_type != 'unchanged':
            image = ImageOps.exif_transpose(image)
        if image.mode.startswith(('I', 'F')):  # more than 8 bits, one channel
            return np.asarray(image)
        alpha = image.mode in ('LA', 'PA', 'RGBA') or 'transparency' in image.info
        kept = 'RGBA' if alpha else 'L' if image.mode in ('1', 'L') else 'RGB'
        mode = {'color': 'RGB', 'grayscale': 'L'}.get(color_type, kept)
        array = np.asarray(image.convert(mode))
    return array if mode == 'L' else array[..., [2, 1, 0, 3][: len(mode)]]
