"""From the size of a data set, its images and the machine to a config of pre-training.

Why these numbers: docs/own-data.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

#: Sides of training images to choose from, in pixels.
SIZES = (32, 64, 96, 128, 160, 192, 224)
#: Method and model -> the config of configs/pretrain that it starts from, and the backbone's
#: arguments that differ from there.
MODELS: Mapping[str, Mapping[str, tuple[str, dict[str, Any]]]] = MappingProxyType(
    {
        'wamim': {
            'vit-ti': ('wamim_vit-s', dict(arch='deit-tiny')),
            'vit-s': ('wamim_vit-s', {}),
            'vit-b': ('wamim_vit-b', {}),
            'vit-l': ('wamim_vit-l', {}),
            'swin-t': ('wamim_swin-t', {}),
            'swin-b': ('wamim_swin-b', {}),
        },
        'mfm': {
            'vit-ti': ('mfm_vit-s', dict(arch='deit-tiny')),
            'vit-s': ('mfm_vit-s', {}),
            'vit-b': ('mfm_vit-b', {}),
            'swin-t': ('mfm_swin-b', dict(arch='tiny')),
            'swin-b': ('mfm_swin-b', {}),
            'r18': ('mfm_r50', dict(depth=18)),
            'r50': ('mfm_r50', {}),
        },
    }
)
#: Method and model -> the learning rate for 64 images that docs/study.md has chosen.
RATES = {('wamim', model): 2e-3 for model in MODELS['wamim'] if model.startswith('vit')}
RATES |= {('mfm', 'vit-ti'): 1e-3}
OTHER_RATE = 5e-4
#: MAE's start of an encoder. MFM's own is for 768 channels; in docs/study.md an encoder of 192 that
#: starts so does not learn.
XAVIER = (
    dict(type='Xavier', layer='Linear', distribution='uniform'),
    dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
)
#: Blocks of a ViT.
DEPTHS = {'vit-ti': 12, 'vit-s': 12, 'vit-b': 12, 'vit-l': 24}
#: Steps are no use where an epoch has fewer.
LEAST_STEPS = 8
WARM_UP = 0.1


class Recipe(NamedTuple):
    """How long a run is, and how fast it learns.

    Attributes:
        epochs: Passes over the images.
        warm_up: Of them, those in which the learning rate rises.
        batch_size: Images of a step.
        lr: AdamW's learning rate.
    """

    epochs: int
    warm_up: int
    batch_size: int
    lr: float


def image_size(short_side: int, method: str, model: str) -> int:
    """The largest of `SIZES` that half of the images fill, and no less than the smallest.

    Args:
        short_side: The median of the images' short sides, in pixels.
        method: Of `MODELS`.
        model: Likewise; it must take images of that size.
    """
    sizes = [size for size in SIZES if _takes(method, model, size)]
    return max([size for size in sizes if size <= short_side], default=sizes[0])


def patch_size(model: str, size: int) -> int:
    """Side of a patch, so that a small image has patches enough to hide three quarters of them."""
    if model.startswith('swin'):
        return 4 if size >= 128 else 2
    return 16 if size >= 160 else 8 if size >= 64 else 4


def check_size(method: str, model: str, size: int) -> None:
    """Raise ValueError unless the model takes images of this size."""
    if not _takes(method, model, size):
        unit, least, what = _grid(method, model, size)
        near = max(least, round(size / unit) * unit)
        raise ValueError(
            f'--img-size {size}: must be a multiple of {unit} for {model}, from {least} on, '
            f'because of {what}; the nearest is {near}'
        )


def _takes(method: str, model: str, size: int) -> bool:
    unit, least, _ = _grid(method, model, size)
    return size >= least and size % unit == 0


def _grid(method: str, model: str, size: int) -> tuple[int, int, str]:
    """What a side must be a multiple of, its least value, and why."""
    if model.startswith('r'):
        unit, what = 32, "ResNet's last feature map"
    elif model.startswith('swin'):
        unit, what = 8 * patch_size(model, size), "Swin's last stage"
    else:
        unit = patch_size(model, size) * (2 if method == 'wamim' else 1)
        what = 'the coarsest wavelet level' if method == 'wamim' else 'a patch'
    # A quarter of fewer than 4 x 4 units is too little to see.
    least = 4 * unit if model.startswith('swin') and method == 'wamim' else SIZES[0]
    return unit, least, what


def longest_epochs(images: int) -> int:
    """Epochs that a data set is worth: 800 for a thousand images, 300 for ten, 100 for a hundred.

    A smaller set needs more of them for as many steps, and gives less for each.
    """
    return min(800, max(100, 10 * round(30 * math.sqrt(10_000 / images))))


def recipe(
    images: int, epochs: int, largest_batch: int, method: str = 'wamim', model: str = 'vit-s'
) -> Recipe:
    """Batch and learning rate for a number of images and epochs.

    The learning rate for 64 images is that of `RATES`, or `OTHER_RATE`. It grows with the batch's
    square root, and stays under that of the recipes for 2048 images, 0.0016.

    Args:
        images: How many there are.
        epochs: Passes over them.
        largest_batch: What fits the machine.
        method: Of `MODELS`.
        model: Likewise.
    """
    fits = max(1, min(largest_batch, images // LEAST_STEPS))
    batch = 2 ** int(math.log2(fits))
    lr = min(RATES.get((method, model), OTHER_RATE) * math.sqrt(batch / 64), 1.6e-3)
    return Recipe(epochs, max(1, round(WARM_UP * epochs)), batch, float(f'{lr:.2g}'))


def model_options(method: str, model: str, size: int) -> dict[str, Any]:
    """What a config's ``model`` has for images of this size, beside its base's."""
    _, backbone = MODELS[method][model]
    backbone = dict(backbone)
    patch = patch_size(model, size)
    if not model.startswith('r'):
        backbone['img_size'] = size
    if model.startswith('vit'):
        backbone['patch_size'] = patch
    elif model.startswith('swin'):
        if patch != 4:
            backbone['patch_cfg'] = dict(kernel_size=patch, stride=patch)
        backbone['window_size'] = size // (8 * patch)
    if method == 'mfm':
        # The circle keeps its share of the spectrum: 16 of 224 pixels.
        radius = round(16 * size / 224, 1)
        start = dict(init_cfg=list(XAVIER)) if model == 'vit-ti' else {}
        return dict(img_size=size, backbone=backbone, degradation=dict(radius=radius), **start)
    options: dict[str, Any] = dict(backbone=backbone)
    if model.startswith('swin'):
        coarsest = patch.bit_length() + 2
        options['neck'] = dict(strides=(4 * patch, 4 * patch, 4 * patch, 8 * patch))
    else:
        coarsest = patch.bit_length()
        options['neck'] = dict(strides=patch)
        if model == 'vit-ti':
            options['neck'].update(embed_dims=128, num_heads=4)
    # Four levels down to the coarsest, or three where a patch of 4 pixels has no more.
    levels = tuple(range(max(1, coarsest - 3), coarsest + 1))
    options['target_generator'] = dict(levels=levels)
    if model.startswith('vit'):
        options['target_generator']['norm'] = 'block'
    if len(levels) == 3:
        depth = DEPTHS[model]
        backbone['out_indices'] = [depth // 3 - 1, 2 * depth // 3 - 1, depth - 1]
        options['head'] = dict(loss_weights=(0.8, 1.0, 1.2))
    return options
