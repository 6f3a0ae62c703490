"""From an image file to a model's input size, for commands that look at a model."""

from collections.abc import Sequence

from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config

from ..class_names import builds, class_of
from .loading import LoadImage, LoadRandomResizedCrop


def train_pipeline(cfg: Config) -> list[dict]:
    """The pipeline of a config's training set, inside its wrappers; empty if there is none."""
    dataset = (cfg.get('train_dataloader') or {}).get('dataset')
    while dataset and not dataset.get('pipeline'):
        dataset = dataset.get('dataset') or next(iter(dataset.get('datasets') or ()), None)
    return dataset['pipeline'] if dataset else []


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
    """mmpretrain transforms that read a file and take its centre.

    Args:
        size: Height and width of the centre.
        pipeline: Files are read as it reads them. Of a declared range, all depth is kept.
    """
    load = loading_step(pipeline)
    deep = load.get('value_range') is not None
    # Pillow resizes 8 bits only, and multiplies what it takes for colours by what it takes for
    # their alpha.
    bands = load.get('color_type') == 'unchanged'
    resize = dict(backend='pillow')
    if deep or bands:
        resize = dict(backend='cv2', interpolation='area')
    return [
        dict(load, to_float32=deep),
        dict(type='mmpretrain.ResizeEdge', scale=max(size), edge='short', **resize),
        dict(type='mmpretrain.CenterCrop', crop_size=size[::-1]),  # (width, height)
        dict(type='mmpretrain.PackInputs'),
    ]
