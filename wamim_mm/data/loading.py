"""Loading and cropping an image in one step, so that less of the file has to be decoded."""

import io

import cv2
import numpy as np
import torch
from mmengine import fileio
from mmpretrain.datasets import RandomResizedCrop
from mmpretrain.registry import TRANSFORMS
from PIL import Image
from torch.nn import functional as F

EXIF_ORIENTATION = 0x0112
#: What libjpeg scales by while it decodes, and OpenCV's name for it.
REDUCED = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    1: cv2.IMREAD_COLOR,
}


@TRANSFORMS.register_module()
class LoadRandomResizedCrop(RandomResizedCrop):
    """``LoadImageFromFile`` and ``RandomResizedCrop`` in one, with the same crops from one seed.

    It is faster than these two for two reasons:

    - The crop is drawn before the image is decoded, from the size in the file's header. A JPEG file
      whose crop is at least four times as large as the output is decoded at a half, a quarter or an
      eighth of its size. The crop then is still at least twice as large as the output; its borders
      are rounded to whole pixels.
    - torch resizes the image, several times faster than Pillow. The two differ by at most one of
      255 grey levels in nearly all pixels; in the others they clip overshoots differently.

    Takes ``img_path`` and adds ``img``, ``(height, width, 3)`` uint8 in the order BGR,
    ``img_shape`` and ``ori_shape``.

    Args:
        scale: Side of the output, or ``(height, width)``.
        crop_ratio_range: The crop's share of the area, from and to.
        aspect_ratio_range: Its ratio of width to height, from and to.
        interpolation: ``'bilinear'`` or ``'bicubic'``, with antialiasing.
        backend_args: Where files come from, see `mmengine.fileio.get`.

    Raises:
        ValueError: The interpolation is another; or, while loading, the file is not an image.
    """

    def __init__(
        self,
        scale: int | tuple[int, int],
        crop_ratio_range: tuple[float, float] = (0.08, 1.0),
        aspect_ratio_range: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: str = 'bicubic',
        backend_args: dict | None = None,
    ) -> None:
        if interpolation not in ('bilinear', 'bicubic'):
            raise ValueError(
                "LoadRandomResizedCrop: interpolation must be 'bilinear' or 'bicubic', got "
                f'{interpolation!r}'
            )
        super().__init__(scale, crop_ratio_range, aspect_ratio_range, interpolation=interpolation)
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Load, crop and resize the image at ``img_path``."""
        data = fileio.get(results['img_path'], backend_args=self.backend_args)
        try:
            image = None if is_jpeg(data) else decode(data)
            size = image_size(data) if image is None else image.shape[:2]
            crop = self.rand_crop_params(np.broadcast_to(np.uint8(0), size))
            factor = 1
            if image is None:
                factor = reduction(crop[2:], self.scale)
                image = decode(data, factor)
                if image.shape[:2] != tuple(-(-side // factor) for side in size):
                    # Its header does not tell what OpenCV makes of it.
                    image, factor = decode(data), 1
                    size = image.shape[:2]
                    crop = self.rand_crop_params(image)
        except (OSError, cv2.error) as error:
            raise ValueError(f'{results["img_path"]!r} is no image: {error}') from error
        results['ori_shape'] = size
        top, left, height, width = (round(x / factor) for x in crop)
        image = image[top : top + height, left : left + width]
        results['img'] = resize(image, self.scale, self.interpolation)
        results['img_shape'] = tuple(self.scale)
        return results


def is_jpeg(data: bytes) -> bool:
    """Whether a file is a JPEG, from its first two bytes."""
    return data.startswith(b'\xff\xd8')


def image_size(data: bytes) -> tuple[int, int]:
    """Height and width of an encoded image as OpenCV will decode it, from its header alone."""
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        # Not Image.getexif(), which reads an orientation out of XMP too; OpenCV does not.
        exif = Image.Exif()
        exif.load(image.info.get('exif', b''))
    turned = exif.get(EXIF_ORIENTATION) in (5, 6, 7, 8)  # by 90 degrees
    return (width, height) if turned else (height, width)


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
    """``(H, W, C)`` uint8 to ``(height, width, C)``, with antialiasing."""
    resized = F.interpolate(
        torch.from_numpy(image).permute(2, 0, 1)[None], size, mode=interpolation, antialias=True
    )
    return resized[0].permute(1, 2, 0).numpy()


def decode(data: bytes, factor: int = 1) -> np.ndarray:
    """``(H, W, 3)`` uint8, BGR, of a JPEG file at a fraction of its size.

    Raises:
        OSError: It cannot be read.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), REDUCED[factor])
    if image is None:
        raise OSError('OpenCV cannot read it')
    return image
