"""Label maps of semantic segmentation that do not belong to their images or classes."""

import logging
import os
import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import LoadAnnotations
from mmengine.logging import print_log
from PIL import Image

from ..image_files import missing_files
from .classes import shown
from .seeding import seeded

SAMPLED = 40  # label maps that are read in any case
MOST = 400  # that are read where all so far hold one class only
SECONDS = 5.0  # after which no more are read
LISTED = 50_000  # files that are looked for


def check_label_maps(
    name: str, dataset: Any, ignored: Collection[int], binary: bool = False
) -> None:
    """Read a sample of a data set's label maps, as its pipeline does, and look at the values.

    Label maps are spread over the data set; reading ends after a few seconds. Only mmsegmentation's
    data sets are looked at, and only where their pipeline loads label maps.

    Args:
        name: Of the data loader, for messages.
        dataset: The data set as it was built, without wrappers.
        ignored: Values that the loss, or the metric, passes over.
        binary: Whether the model tells one class from the background by one output. Then the values
            are 0 and 1, also where there is one class.

    Raises:
        FileNotFoundError: A label map or an image does not exist.
        ValueError: A label map cannot be read, is in colour, has another size than its image, holds
            a value that is no class, or all of them hold one class only; or the metric would count
            one class alone.
    """
    if not hasattr(dataset, 'reduce_zero_label') or not _loads_label_maps(dataset):
        return
    if not dataset.backend_args:
        check_files(name, dataset)
    classes: Sequence[str] = dataset.metainfo.get('classes') or ()
    if binary and len(classes) == 1 and not name.startswith('train'):
        raise ValueError(
            f'{name}.dataset.metainfo.classes has one name, {classes[0]!r}, by which the metric '
            f'counts every pixel as right or wrong; a head with one output has two classes: '
            f"('background', {classes[0]!r})"
        )
    count = max(len(classes), 2 if binary else 0)
    found: Counter[int] = Counter()
    places = np.random.default_rng(0).permutation(len(dataset))[:MOST].tolist()
    read, end = 0, time.monotonic() + SECONDS
    for place in places:
        several = len(found.keys() - set(ignored)) > 1
        if time.monotonic() > end or (read >= SAMPLED and several):
            break
        path, label_map = _load(dataset, place)
        values, pixels = np.unique(label_map, return_counts=True)
        found.update(dict(zip(values.tolist(), pixels.tolist(), strict=True)))
        wrong = [value for value in values.tolist() if value >= count and value not in ignored]
        if count and wrong:
            raise ValueError(_outside(name, dataset, path, wrong, count, ignored))
        read += 1
    kinds = sorted(found.keys() - set(ignored))
    # Objects may be rare: then one class in some maps says nothing.
    enough = read == len(dataset) or read >= MOST or found.keys() & set(ignored)
    if count > 1 and read and len(kinds) < 2 and enough:
        raise ValueError(_one_class(name, dataset, found, kinds, read, count))


def check_files(name: str, dataset: Any) -> None:
    """Look for the images and label maps of a data set in local folders.

    Args:
        name: Of the data loader, for messages.
        dataset: As for `check_label_maps`.

    Raises:
        FileNotFoundError: Some do not exist.
    """
    places: Sequence[int] = range(len(dataset))
    if len(places) > LISTED:
        places = np.random.default_rng(0).choice(len(places), LISTED, replace=False).tolist()
    infos = [dataset.get_data_info(place) for place in places]
    for key, what, option in (
        ('img_path', 'images', 'img_suffix'),
        ('seg_map_path', 'label maps', 'seg_map_suffix'),
    ):
        paths = [info[key] for info in infos if key in info and '://' not in info[key]]
        missing, present = missing_files(paths)
        if missing:
            listed = Counter(
                os.path.splitext(f)[1] or 'no suffix' for f in set().union(*present.values())
            )
            raise FileNotFoundError(
                f'{len(missing)} of {len(paths)} {what} of {name} do not exist '
                f'({shown(missing)}); their folders hold {_counted(listed)}; put them there, or '
                f'set {name}.dataset.{option}'
            )
        if key == 'seg_map_path' and not dataset.ann_file and len(infos) == len(dataset):
            names = {os.path.basename(path) for path in paths}
            unused = sorted(
                file
                for files in present.values()
                for file in files
                if file.endswith(dataset.seg_map_suffix) and file not in names
            )
            if unused:
                print_log(
                    f'{len(unused)} label maps of {name} have no image with the suffix '
                    f'{dataset.img_suffix} ({shown(unused)})',
                    'current',
                    level=logging.WARNING,
                )


def count_files(folder: str) -> str:
    """What lies under a folder, by suffix, for a message."""
    found: Counter[str] = Counter()
    for _, _, files in os.walk(folder, followlinks=True):
        found.update(os.path.splitext(file)[1] or 'no suffix' for file in files)
    return _counted(found)


def _counted(suffixes: Counter[str]) -> str:
    return ', '.join(f'{n:,} {suffix}' for suffix, n in suffixes.most_common(5)) or 'nothing'


def _loads_label_maps(dataset: Any) -> bool:
    return any(isinstance(step, LoadAnnotations) for step in dataset.pipeline.transforms)


def _load(dataset: Any, place: int) -> tuple[str, np.ndarray]:
    """A label map as the data set's pipeline loads it, and where it lies."""
    results = dataset.get_data_info(place)
    path = results['seg_map_path']
    if not dataset.backend_args:
        _check_file(path)
    with seeded(0):  # steps before the label map may draw
        for step in dataset.pipeline.transforms:
            try:
                results = step(results)
            except (OSError, ValueError, AttributeError) as error:
                raise ValueError(
                    f'{path!r} or its image cannot be read: {type(error).__name__}: {error}'
                ) from error
            if results is None or 'gt_seg_map' in results:
                break
    label_map = (results or {}).get('gt_seg_map', np.zeros((0, 0), np.uint8))
    size = (results or {}).get('ori_shape', label_map.shape)[:2]
    if label_map.ndim != 2:
        raise ValueError(
            f'label map {path!r} is in colour, {label_map.shape}: each pixel must be the number of '
            'its class, in an image of one channel or with a palette; convert it'
        )
    if label_map.size and label_map.shape != size:
        raise ValueError(
            f'label map {path!r} has {label_map.shape[0]} x {label_map.shape[1]} pixels, and its '
            f'image {size[0]} x {size[1]}; they must be of one size'
        )
    return path, label_map


def _check_file(path: str) -> None:
    """mmsegmentation takes 16 bits modulo 256."""
    try:
        with Image.open(path) as image:
            most = np.asarray(image).max() if image.mode[0] in 'IF' else 0
    except OSError:
        return  # the pipeline may have another decoder
    if most > 255:
        raise ValueError(
            f'label map {path!r} holds values up to {most}, and mmsegmentation reads 8 bits; '
            'save the numbers of the classes, 0 to 255, as an 8-bit image'
        )


def _outside(
    name: str, dataset: Any, path: str, wrong: list[int], count: int, ignored: Collection[int]
) -> str:
    passed = ' or '.join(map(str, sorted(ignored)))
    hint = _how_read(dataset)
    if path.lower().endswith(('.jpg', '.jpeg')):
        hint += '; JPEG blurs values, label maps are to be saved as PNG'
    return (
        f'label map {path!r} holds {shown(wrong)}, and {name} has {count} classes: values are 0 to '
        f'{count - 1}{f", or {passed} for pixels to ignore" if passed else ""}{hint}; number the '
        f'classes so, or name all of them in {name}.dataset.metainfo.classes and set num_classes'
    )


def _one_class(
    name: str, dataset: Any, found: Counter[int], kinds: list[int], read: int, count: int
) -> str:
    values = ' and '.join(map(str, sorted(found)))
    ignored = sorted(found.keys() - set(kinds))
    what = f'only {values}' + (f', where {shown(ignored)} is ignored' if ignored else '')
    return (
        f'{read} label maps of {name} (of {len(dataset)}, in '
        f'{dataset.data_prefix.get("seg_map_path")!r}) hold {what}{_how_read(dataset)}: '
        f'{len(kinds)} of {count} classes, so there is nothing to learn; masks of 0 and 255 are to '
        'be saved as 0 and 1, each pixel is the number of its class'
    )


def _how_read(dataset: Any) -> str:
    if dataset.reduce_zero_label:
        return ' (after reduce_zero_label=True, which ignores 0 and takes 1 from the others)'
    return ''
