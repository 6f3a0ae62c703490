"""What a data set's files store, against what its loader and the model take, before a run."""

import mmap
import os
import random
from collections.abc import Iterator
from typing import Any

from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from mmengine.logging import MMLogger
from torch import Tensor, nn

from ..model_wrappers import unwrapped
from .classes import inner
from .formats import Stored, stored
from .loading import RANGE_FIX, LoadImage, LoadRandomResizedCrop
from .seeding import seeded

__all__ = ['check_channels', 'check_formats']

LOADERS = (LoadImageFromFile, LoadImage, LoadRandomResizedCrop)
SAMPLED = 48  # files whose headers are read
#: mmcv's color types that keep what a file holds.
KEPT = ('unchanged',)
#: Backends of mmcv's loader that keep all bits.
DEEP_BACKENDS = ('tifffile',)
#: Names of the first convolution in the backbones of the libraries.
STEMS = ('patch_embed.projection', 'patch_embed.proj', 'conv1', 'stem.0', 'downsample_layers.0.0')


def check_formats(dataset: Any, model: Any, name: str, max_bad_share: float = 0) -> None:
    """Read the headers of some files, spread over a data set, and load one sample.

    Args:
        dataset: A built data set, or a wrapper of some. Those without files, on other storages or
            with loaders of others are passed over.
        model: The model that it is for.
        name: Of its data loader in the config, for messages.
        max_bad_share: Up to which share, 0 to 1, files that our own loaders refuse are left to
            them: such a file is replaced by another one (`SeededDataset`).

    Raises:
        ValueError: A file would lose bits or bands, or the sample's number of channels or its size
            is not the model's; the message says which option mends it.
    """
    found = False
    for leaf in inner(dataset):
        loader = next((step for step in _steps(leaf) if isinstance(step, LOADERS)), None)
        if loader is None or not hasattr(leaf, 'get_data_info'):
            continue
        paths = [p for p in _some_paths(leaf) if p.startswith('tar://') or os.path.isfile(p)]
        files = {path: _stored_at(path) for path in paths}
        found = found or bool(files)
        channels: dict[int, str] = {}
        refused = []
        for path, file in files.items():
            if file is None:
                continue
            try:
                _check_file(path, file, loader, name)
                channels.setdefault(file.channels, path)
            except ValueError as error:
                refused.append(error)
        # mmcv's loader refuses nothing.
        share = 0 if isinstance(loader, LoadImageFromFile) else max_bad_share
        if len(refused) > share * len(files):
            raise refused[0]
        if loader.color_type == 'unchanged' and len(channels) > 1:
            (few, one), (many, other), *_ = channels.items()
            raise ValueError(
                f"{one!r} has {few} and {other!r} {many} channels, which color_type='unchanged' "
                f'keeps, and a batch needs one number: --cfg-options {name}.dataset.pipeline.0.'
                'color_type=color or =grayscale, or convert the files'
            )
    if found and len(dataset):
        with seeded(0):  # leaves the generators as they are
            sample = dataset[0]
        images = sample.get('inputs') if isinstance(sample, dict) else None
        if isinstance(images, Tensor) and images.ndim == 3:
            check_channels(len(images), model, f'{name}.dataset.pipeline.0')
            _check_size(tuple(images.shape[1:]), model, name)


def check_channels(channels: int, model: Any, loader: str) -> None:
    """Compare the images' number of channels with the model's preprocessor and backbone.

    Args:
        channels: Of the images.
        model: A model of one of the libraries; what is not known of it is not compared.
        loader: The loading step's place in the config, for messages.

    Raises:
        ValueError: They differ.
    """
    model = unwrapped(model)
    images = f'images of {channels} channel{"s" * (channels != 1)}'
    takes = _input_channels(getattr(model, 'backbone', None))
    if takes is not None and takes != channels:
        color_type = {1: 'grayscale', 3: 'color'}.get(takes, 'unchanged')
        raise ValueError(
            f'the pipeline makes {images}, and model.backbone takes {takes}: --cfg-options '
            f'model.backbone.in_channels={channels}, or {loader}.color_type={color_type}'
        )
    preprocessor = getattr(model, 'data_preprocessor', None)
    mean = getattr(preprocessor, 'mean', None)
    if isinstance(mean, Tensor) and mean.numel() not in (1, channels):
        raise ValueError(
            f'the pipeline makes {images}, and the preprocessor has {mean.numel()} means: '
            f'--cfg-options model.data_preprocessor.mean=[...] and .std=[...] of {channels} values'
        )
    if channels != 3 and getattr(preprocessor, '_channel_conversion', False):
        raise ValueError(
            f'the pipeline makes {images}, and to_rgb=True of the preprocessor exchanges three: '
            '--cfg-options model.data_preprocessor.to_rgb=False'
        )


def _check_size(size: tuple[int, ...], model: Any, name: str) -> None:
    """Pre-training models know the size of their images: in the first step it would be too late."""
    model = unwrapped(model)
    built_for = getattr(model, 'img_size', None)
    if isinstance(built_for, tuple) and built_for != size:
        raise ValueError(
            f'the pipeline makes images of {size}, and the model is built for {built_for}, '
            f'(height, width): --cfg-options {name}.dataset.pipeline.0.scale='
            f'"({built_for[0]},{built_for[1]})", or set the img_size of model and backbone'
        )
    from mmpretrain.models import ImageClassifier  # seconds, of which detection has no need

    expected = getattr(getattr(model, 'backbone', None), 'img_size', None)
    if isinstance(model, ImageClassifier) and isinstance(expected, tuple) and expected != size:
        # Some recipes train on smaller images on purpose.
        MMLogger.get_current_instance().warning(
            f'{name}: the pipeline makes images of {size}, and model.backbone.img_size is '
            f'{expected}, (height, width): its position embedding is resized in every step; set '
            'the sizes of the pipelines too, if that is not meant'
        )


def _check_file(path: str, file: Stored, loader: Any, name: str) -> None:
    ours = not isinstance(loader, LoadImageFromFile)
    if not ours and loader.imdecode_backend in DEEP_BACKENDS:
        return
    if file.bands and loader.color_type not in KEPT:
        raise ValueError(
            f'{path!r} has {file.channels} channels, and color_type={loader.color_type!r} cuts '
            f'off or mixes them: --cfg-options {name}.dataset.pipeline.0.color_type=unchanged '
            f'model.backbone.in_channels={file.channels}, or save the channels that you want'
        )
    if file.eight_bits:
        return
    if ours and loader.value_range is None:
        fix = RANGE_FIX.replace('train_dataloader', name)
        raise ValueError(
            f'{path!r} has {file.values}, and the loader makes 8 bits of them: say which values '
            f'become 0 and 255, {fix}'
        )
    if not ours and loader.color_type not in KEPT:
        place = f'{name}.dataset.pipeline.0'
        raise ValueError(
            f"{path!r} has {file.values}, and mmcv's LoadImageFromFile keeps the upper 8 bits: "
            'let LoadImage map a range to 0..255, (0, 4095) for 12 bits: --cfg-options '
            f'{place}.type=mmpretrain.LoadImage {place}.value_range="(0,4095)"'
        )


def _steps(dataset: Any) -> list:
    return list(getattr(getattr(dataset, 'pipeline', None), 'transforms', []))


def _some_paths(dataset: Any) -> Iterator[str]:
    count = len(dataset)
    for i in sorted(
        {0, *random.Random(0).sample(range(count), min(SAMPLED, count))} if count else ()
    ):
        path = dataset.get_data_info(i).get('img_path')
        if isinstance(path, str):
            yield path


def _stored_at(path: str) -> Stored | None:
    """What a file stores; None where it cannot be told, which is not judged here."""
    try:
        if path.startswith('tar://'):
            return stored(fileio.get(path))
        with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return stored(data)
    except (OSError, ValueError):  # not to be read, or empty: the loader will say so
        return None


def _input_channels(backbone: Any) -> int | None:
    if not isinstance(backbone, nn.Module):
        return None
    for name, module in backbone.named_modules():
        if name in STEMS and isinstance(module, nn.Conv2d):
            return module.in_channels
    return None
