"""From an image file to a model's input size, for commands that look at a model."""

import os
from collections.abc import Sequence

from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.config import Config
from mmpretrain.datasets.transforms import ResizeEdge

from ..class_names import builds, class_of
from .loading import LoadImage, LoadRandomResizedCrop


class ResizeToCover(BaseTransform):
    """Resize an image, its proportions kept, so that it just covers a size.

    Args:
        size: Height and width.
        backend: Of mmpretrain's `ResizeEdge`.
        interpolation: The same, where the image becomes smaller; one that becomes larger is
            interpolated between pixels, for which OpenCV's ``'area'`` is not meant.
    """

    def __init__(self, size: tuple[int, int], backend: str, interpolation: str) -> None:
        self.size = size
        self.backend = backend
        self.interpolation = interpolation

    def transform(self, results: dict) -> dict:
        """Resize the image."""
        height, width = results['img'].shape[:2]
        edge, now, then = 'height', height, self.size[0]
        if width * self.size[0] < height * self.size[1]:
            edge, now, then = 'width', width, self.size[1]
        kind = self.interpolation if then < now else 'bilinear'
        return ResizeEdge(then, edge, self.backend, kind).transform(results)


def train_dataset(cfg: Config) -> dict:
    """A config's training set, inside its wrappers; empty if there is none with a pipeline."""
    dataset = (cfg.get('train_dataloader') or {}).get('dataset')
    while dataset and not dataset.get('pipeline'):
        dataset = dataset.get('dataset') or next(iter(dataset.get('datasets') or ()), None)
    return dataset or {}


def train_folder(cfg: Config) -> str:
    """Where a config's training images lie: shards or a folder; empty if it does not say."""
    dataset = train_dataset(cfg)
    if dataset.get('shards'):
        return dataset['shards']
    root, prefix = dataset.get('data_root') or '', dataset.get('data_prefix') or ''
    if isinstance(prefix, dict):
        prefix = prefix.get('img_path') or prefix.get('img') or ''
    inside = os.path.join(root, prefix)
    return inside if prefix and os.path.isdir(inside) else root


def train_pipeline(cfg: Config) -> list[dict]:
    """The pipeline of a config's training set; empty if there is none."""
    return train_dataset(cfg).get('pipeline', [])


def loading_step(pipeline: Sequence[dict]) -> dict:
    """A step that reads whole images as a pipeline does: its colours, its range, its limit.

    It is the pipeline's own where that is a `LoadImage`, such as one of a user's own that inherits
    from it.
    """
    for step in pipeline:
        try:
            if builds(step, LoadImage, 'TRANSFORMS'):
                return dict(step, type=class_of(step, 'TRANSFORMS'))
            loads = builds(step, LoadImageFromFile | LoadRandomResizedCrop, 'TRANSFORMS')
        except ValueError:  # a step of another library
            continue
        if loads:
            keys = ('color_type', 'value_range', 'max_pixels')
            given = {key: step[key] for key in keys if key in step}
            return dict(type=LoadImage, **given)
    return dict(type=LoadImage)


def centre_crop_pipeline(size: tuple[int, int], pipeline: Sequence[dict] = ()) -> list[dict]:
    """Transforms that read a file and take as much of its centre as has the proportions.

    Args:
        size: Height and width of the centre.
        pipeline: Files are read as it reads them. Of a declared range, all depth is kept.
    """
    load = loading_step(pipeline)
    deep = load.get('value_range') is not None
    # Pillow resizes 8 bits only, and multiplies what it takes for colours by what it takes for
    # their alpha.
    bands = load.get('color_type') == 'unchanged'
    resize = dict(backend='pillow', interpolation='bilinear')
    if deep or bands:
        resize = dict(backend='cv2', interpolation='area')
    return [
        dict(load, to_float32=deep),
        dict(type=ResizeToCover, size=size, **resize),
        dict(type='mmpretrain.CenterCrop', crop_size=size[::-1]),  # (width, height)
        dict(type='mmpretrain.PackInputs'),
    ]
