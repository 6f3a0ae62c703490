"""A classifier's config for classes of one's own, by their number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..class_names import short_name

if TYPE_CHECKING:
    from mmengine.config import Config


def use_own_classes(cfg: Config, count: int, loaders: tuple[str, ...]) -> None:
    """Let a classifier have so many classes, in class folders in place of ImageNet's own.

    Args:
        cfg: A config of mmpretrain, changed in place.
        count: The number of classes, 2 or more.
        loaders: Names of the data loaders.

    Raises:
        ValueError: The config's head has no number of classes, or there are fewer than two.
    """
    head: Any = (cfg.get('model') or {}).get('head') or {}
    if 'num_classes' not in head:
        raise ValueError(
            '--num-classes is for classifiers of mmpretrain, whose model.head has num_classes; set '
            'those of other models with --cfg-options'
        )
    if count < 2:
        raise ValueError(f'--num-classes must be 2 or more, got {count}')
    before = head.num_classes
    for part in parts_of(head):
        if part.get('num_classes') == before:  # label smoothing needs it too
            part['num_classes'] = count
    # Mixup needs the number too.
    for owner in (cfg, cfg.model):
        preprocessor = owner.get('data_preprocessor')
        if preprocessor and preprocessor.get('num_classes'):
            preprocessor.num_classes = count
    for _, dataset in inner_datasets(cfg, loaders):
        if short_name(dataset) == 'ImageNet':
            dataset.type = 'mmpretrain.CustomDataset'


def inner_datasets(cfg: Config, loaders: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """The name of each of these loaders that the config has, and its data set without wrappers."""
    for name in loaders:
        dataset: Any = (cfg.get(name) or {}).get('dataset')
        while dataset and dataset.get('dataset'):
            dataset = dataset.dataset
        if dataset:
            yield name, dataset


def parts_of(model: Any) -> Iterator[dict[str, Any]]:
    """All dicts in a config."""
    if isinstance(model, dict):
        yield model
    for part in model.values() if isinstance(model, dict) else model:
        if isinstance(part, dict | list | tuple):
            yield from parts_of(part)
