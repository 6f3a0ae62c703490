"""Annotation files that do not belong to their images or classes, found before a run."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.registry import DATASETS

from ..class_names import class_of

SHOWN = 3  # names in a message
SAMPLED = 100  # images that are looked for


def check_annotations(build: Callable[[], Any], dataset: dict, scope: str | None) -> None:
    """Build a dataset and compare its annotations with its images and classes.

    An annotation file of COCO takes many seconds to parse, and mmdet parses it anyway. `check_coco`
    parses it a second time, to say what is wrong, only where building fails or the result is
    suspicious.

    Args:
        build: Returns the dataset.
        dataset: Its config.
        scope: As in `check_coco`.

    Raises:
        FileNotFoundError, ValueError: As in `check_coco`; or what ``build`` raises, where
            `check_coco` finds no fault.
    """
    try:
        suspicious = _is_suspicious(build())
    except Exception:
        check_coco(dataset, scope)
        raise
    if suspicious:
        check_coco(dataset, scope)


def _is_suspicious(dataset: Any) -> bool:
    """Whether a dataset in COCO's format has too few classes, or an image that is not there."""
    inner = [getattr(dataset, 'dataset', None), *(getattr(dataset, 'datasets', None) or [])]
    if any(_is_suspicious(part) for part in inner if part is not None):
        return True
    if not hasattr(dataset, 'cat_ids') or dataset.backend_args:
        return False
    count = len(dataset)
    sample = {0, *random.Random(0).sample(range(count), min(SAMPLED, count))}
    return len(dataset.cat_ids) < len(dataset.metainfo['classes']) or not all(
        os.path.exists(dataset.get_data_info(i)['img_path']) for i in sample
    )


def check_coco(dataset: dict, scope: str | None) -> None:
    """Compare the annotation file of a dataset in COCO's format with its images and classes.

    By itself, mmdet stops at a missing image only when it reaches this image. It skips annotations
    whose category is not one of the dataset's classes, and fails without a hint if no annotation is
    left. Datasets inside wrappers (``dataset``, ``datasets``) are checked too; datasets of other
    formats or on other storages (``backend_args``) are not.

    Args:
        dataset: Config of the dataset.
        scope: The library that the config's types belong to, its ``default_scope``.

    Raises:
        FileNotFoundError: Images that the annotation file names are not in the image folder.
        ValueError: The annotation file is not in COCO's format, or its categories lack some of the
            dataset's classes; or its type is not registered.
    """
    for inner in [dataset.get('dataset'), *(dataset.get('datasets') or [])]:
        if inner:
            check_coco(inner, scope)
    if not hasattr(class_of(dataset, 'DATASETS', scope), 'COCOAPI') or dataset.get('backend_args'):
        return
    with DATASETS.switch_scope_and_registry(scope) as registry:
        # With lazy_init it knows its paths and classes, and has not read anything.
        unread = registry.build({**dataset, 'pipeline': [], 'lazy_init': True})
    ann_file = unread.ann_file
    try:
        content = json.loads(Path(ann_file).read_bytes())
        images, categories = content['images'], content['categories']
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{ann_file!r} is not in COCO's format, or damaged: {error!r}") from None
    _check_images(ann_file, images, unread.data_prefix['img'])
    _check_classes(ann_file, categories, unread.metainfo['classes'])


def _check_images(ann_file: str, images: list[dict], folder: str) -> None:
    # LVIS gives addresses in place of file names.
    paths = [os.path.join(folder, image['file_name']) for image in images if 'file_name' in image]
    # Each folder is listed once: to ask for 100,000 files one by one is slow on network storage.
    present = {part: set(os.listdir(part)) for part in {os.path.dirname(path) for path in paths}}
    missing = [
        path for path in paths if os.path.basename(path) not in present[os.path.dirname(path)]
    ]
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} of the {len(paths)} images of {ann_file!r} do not exist '
            f'({_first(missing)}); put them there, or set data_root or data_prefix'
        )


def _check_classes(ann_file: str, categories: list[dict], classes: tuple[str, ...]) -> None:
    names = [category['name'] for category in categories]
    absent = [name for name in classes if name not in names]
    if absent:
        raise ValueError(
            f'the dataset has {len(classes)} classes, and {len(absent)} of them ({_first(absent)}) '
            f'are not among the {len(names)} categories ({_first(names)}) of {ann_file!r}; name '
            "those of the file in the dataset's metainfo=dict(classes=(...)), and set num_classes "
            'of the heads to their number'
        )


def _first(names: list[str]) -> str:
    return ', '.join(names[:SHOWN]) + (', ...' if len(names) > SHOWN else '')
