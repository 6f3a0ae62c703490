"""The common corruptions of ImageNet-C, made on the fly for the images of any data set."""

import zlib
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmpretrain.datasets import PackInputs
from mmpretrain.registry import TRANSFORMS

from ..class_names import builds
from ..imagenet_c import CORRUPTIONS, SEVERITIES
from .loading import LoadImage

#: The smallest side, in pixels, that the package accepts.
MIN_SIDE = 32
#: These take a seed for a generator of their own.
SEEDED = ('impulse_noise', 'glass_blur')


@TRANSFORMS.register_module()
class Corrupt(BaseTransform):
    """Corrupt an image, always in the same way: the seed is computed from its pixels.

    The parameters are those of ImageNet-C, made for 224 x 224. (mmdet has a transform of this name
    for the same package, whose draws differ from run to run.)

    Args:
        corruption: One of ``CORRUPTIONS``.
        severity: 1 to 5.
        channel_order: ``'bgr'``, what ``LoadImageFromFile`` gives, or ``'rgb'``.

    Raises:
        ValueError: An argument has another value than these.
        ImportError: The package ``imagecorruptions-imaug`` is not installed.
    """

    def __init__(self, corruption: str, severity: int, channel_order: str = 'bgr') -> None:
        for name, value, allowed in (
            ('corruption', corruption, CORRUPTIONS),
            ('severity', severity, SEVERITIES),
            ('channel_order', channel_order, ('bgr', 'rgb')),
        ):
            if value not in allowed:
                raise ValueError(f'Corrupt: {name} must be one of {allowed}, got {value!r}')
        try:
            from imagecorruptions import corrupt
        except ImportError as error:
            raise ImportError(
                'Corrupt needs the package imagecorruptions (pip install imagecorruptions-imaug)'
            ) from error
        self.corrupt = corrupt
        self.corruption = corruption
        self.severity = severity
        self.channel_order = channel_order

    def transform(self, results: dict) -> dict:
        """Replace ``results['img']``, uint8 ``(H, W, 3)``, by a corrupted one of the same form.

        Raises:
            ValueError: The image has another form, or a side below 32 pixels.
        """
        image = results['img']
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                'Corrupt: the image must be uint8 (H, W, 3), colours of 8 bits before any '
                f'normalization, which is all that the package knows; got {image.dtype} '
                f'{image.shape}'
            )
        if min(image.shape[:2]) < MIN_SIDE:
            raise ValueError(
                f'Corrupt: sides must be at least {MIN_SIDE} pixels, got {image.shape[0]} x '
                f'{image.shape[1]}; resize the images'
            )
        step = -1 if self.channel_order == 'bgr' else 1
        results['img'] = np.ascontiguousarray(self._corrupt(image[..., ::step])[..., ::step])
        return results

    def _corrupt(self, rgb: np.ndarray) -> np.ndarray:
        rgb = np.ascontiguousarray(rgb)
        seed = zlib.crc32(f'{self.corruption} {self.severity}'.encode(), zlib.crc32(rgb.data))
        own = dict(seed=seed) if self.corruption in SEEDED else {}
        # The others draw from NumPy's global generator, which is left as it was.
        state = np.random.get_state()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        try:
            return self.corrupt(rgb, self.severity, self.corruption, **own)
        finally:
            np.random.set_state(state)  # noqa: NPY002

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(corruption={self.corruption!r}, severity={self.severity}, '
            f'channel_order={self.channel_order!r})'
        )


def corrupted(
    pipeline: Sequence[dict], corruption: str, severity: int, scope: str | None = None
) -> list[dict]:
    """A test pipeline of mmpretrain with the corruption as its last step before the packing.

    ImageNet-C was made in this order too: from crops of 224 x 224.

    Args:
        pipeline: Transforms of a data set, with ``PackInputs`` among them.
        corruption: As for `Corrupt`.
        severity: As for `Corrupt`.
        scope: The library that the types belong to, the config's ``default_scope``.

    Raises:
        ValueError: There is no ``PackInputs``, or a type that is not registered.
    """
    packs = [builds(step, PackInputs, 'TRANSFORMS', scope) for step in pipeline]
    if True not in packs:
        types = [step['type'] for step in pipeline]
        raise ValueError(f'the pipeline must end with PackInputs, got {types}')
    pack = packs.index(True)
    # OpenCV's order from files; data sets that hold arrays, such as CIFAR10, hold them as RGB.
    loaders = LoadImageFromFile | LoadImage
    from_file = any(builds(step, loaders, 'TRANSFORMS', scope) for step in pipeline)
    step = dict(
        type='mmpretrain.Corrupt',  # mmdet has one too
        corruption=corruption,
        severity=severity,
        channel_order='bgr' if from_file else 'rgb',
    )
    return [*pipeline[:pack], step, *pipeline[pack:]]
