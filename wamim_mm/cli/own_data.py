"""--data: a config for labelled data of one's own, by where its files lie."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..class_names import OTHER_HEADS, library_of, short_name
from ..image_files import SUFFIXES, files_under, is_shards
from ..interop.data_root import move_data_root
from .checks import class_folders
from .own_classes import inner_datasets, parts_of, use_own_classes
from .work_dir import holds_checkpoint, last_checkpoint

if TYPE_CHECKING:
    from mmengine.config import Config

#: Names of folders and in names of files, of each split.
SPLITS = {'train': ('train', 'training'), 'val': ('val', 'valid', 'validation', 'test')}
#: The loader of a split; a test set is the validation set.
LOADERS = {'train_dataloader': 'train', 'val_dataloader': 'val', 'test_dataloader': 'val'}
#: Data sets of class folders.
FOLDER_DATASETS = ('ImageNet', 'CustomDataset')
MASK_FOLDERS = ('annotations', 'masks', 'labels', 'label_maps')
CLASS_FILES = ('labels.txt', 'classes.txt')
#: What no loss and no score counts.
IGNORED = 255
#: Numbers of classes in the heads of panoptic models.
THINGS = ('num_things_classes', 'num_stuff_classes')
#: Classes that a line names.
SAID = 8
#: Label maps that are read together to see whether 0 is a class, and for how many seconds.
SAMPLE, LOOK_SECONDS = 40, 60


def use_own_data(
    cfg: Config, folder: str, checkpoint: str | None = None, trains: bool = True
) -> str:
    """Let a config train and test on a folder of one's own.

    Args:
        cfg: A config, changed in place.
        folder: For mmpretrain class folders, ``train/<class>/`` and ``val/<class>/``, or images
            or tar shards for pre-training; for mmdet COCO's JSON and its images; for mmseg images
            and label maps, and a file with the names of the classes.
        checkpoint: The run's that is tested or goes on, or the work dir with it. Where label maps
            can be read in two ways, they are read as in its training.
        trains: Whether the job trains. Others need no training data: the classes are the
            checkpoint's.

    Returns:
        A line that says what was found.

    Raises:
        FileNotFoundError: There is no such folder, or something in it is missing.
        ValueError: The config is of no library, or the files say several things.
    """
    root, library = Path(folder), library_of(cfg)
    classifies = 'num_classes' in ((cfg.get('model') or {}).get('head') or {})
    if library == 'mmpretrain' and not classifies and is_shards(folder):
        for _, dataset in inner_datasets(cfg, ['train_dataloader']):
            _point(dataset, data_root=folder, data_prefix='')
        cfg.data_root = folder
        return f'images in the shards {folder}'
    if not root.is_dir():
        raise FileNotFoundError(f'--data {folder!r} is no folder')
    for name, dataset in inner_datasets(cfg, LOADERS):
        if dataset.get('datasets'):
            raise ValueError(
                f'--data: {name} of this config joins several data sets; choose a config of one'
            )
    if library == 'mmdet':
        return _coco(cfg, root)
    if library == 'mmseg':
        return _label_maps(cfg, root, checkpoint, trains)
    if library != 'mmpretrain':
        raise ValueError('--data is for configs of mmpretrain, mmdet and mmseg')
    if classifies:
        return _class_folders(cfg, root, checkpoint, trains)
    if cfg.get('val_evaluator'):
        raise ValueError(
            '--data: this model is scored on labels, and its head has no number of classes; choose '
            'a classifier whose model.head has num_classes'
        )
    train = _named(root, 'train')
    for _, dataset in inner_datasets(cfg, ['train_dataloader']):
        _point(dataset, data_root=str(root), data_prefix=train.name if train else '')
    cfg.data_root = str(root)
    return f'images in {train or root}'


def _class_folders(cfg: Config, root: Path, checkpoint: str | None, trains: bool) -> str:
    """Classes are the sub-folders of train/, or those of the checkpoint that is tested."""
    for name, dataset in inner_datasets(cfg, LOADERS):
        if short_name(dataset) not in FOLDER_DATASETS:
            raise ValueError(
                f'--data: {name} of this config reads the files of {short_name(dataset)}; choose a '
                f'config of {" or ".join(FOLDER_DATASETS)}, whose pipeline loads images'
            )
    known = None if trains or _named(root, 'train') else _trained(checkpoint).get('classes')
    folders = {split: _split_folder(root, 'val' if known else split) for split in SPLITS}
    if known:
        classes = list(known)
    elif is_shards(folders['train']):
        from ..data.shards import ShardDataset

        found = ShardDataset(str(folders['train']), with_label=True)
        classes = list(found.metainfo['classes'])
        for _, dataset in inner_datasets(cfg, LOADERS):
            dataset.metainfo = dict(classes=tuple(classes))
    else:
        classes = class_folders(folders['train'])
    if len(classes) < 2:
        raise FileNotFoundError(
            f'--data: {str(folders["train"])!r} has {len(classes)} sub-folders; a classifier needs '
            'two or more, one a class'
        )
    use_own_classes(cfg, len(classes), tuple(LOADERS))
    if cfg.get('data_root'):
        move_data_root(cfg, str(root))
    for name, dataset in inner_datasets(cfg, LOADERS):
        _point(dataset, data_root=str(root), data_prefix=folders[LOADERS[name]].name, ann_file='')
        dataset.pop('split', None)  # of mmpretrain's ImageNet
    return _said(classes, str(root))


def _coco(cfg: Config, root: Path) -> str:
    """COCO's JSON; classes are the categories of the training file, in its order."""
    from ..data.coco import read_file

    files, folders, found = {}, {}, {}
    for split in SPLITS:
        files[split] = _annotations(root, split)
        found[split] = read_file(str(files[split]))
        folders[split] = _image_folder(root, split, files[split], found[split])
    classes = [category['name'] for category in found['train']['categories']]
    _set_class_counts(cfg, len(classes))
    for name, dataset in inner_datasets(cfg, LOADERS):
        _point(
            dataset,
            type='CocoDataset',
            data_root='',
            ann_file=str(files[LOADERS[name]]),
            data_prefix=dict(img=f'{folders[LOADERS[name]]}/'),
            metainfo=dict(classes=tuple(classes)),
        )
    for name in ('val_evaluator', 'test_evaluator'):
        given = cfg.get(name) or []
        metrics = given if isinstance(given, list) else [given]
        # Others are of the data set that the config was written for.
        metrics = [metric for metric in metrics if short_name(metric) == 'CocoMetric']
        for metric in metrics:
            metric.ann_file = str(files['val'])
        if given and not metrics:
            raise ValueError(
                f'--data: {name} has no CocoMetric, which COCO files are evaluated by; choose '
                'another config'
            )
        if given:
            cfg[name] = metrics if isinstance(given, list) else given
    cfg.data_root = str(root)
    places = ' and '.join(dict.fromkeys(map(str, folders.values())))
    return _said(classes, f'{files["train"]}, images in {places}')


def _label_maps(cfg: Config, root: Path, checkpoint: str | None, trains: bool) -> str:
    """Images beside label maps of the same names; a file has the names of the classes."""
    names = next((root / name for name in CLASS_FILES if (root / name).is_file()), None)
    if names is None:
        raise FileNotFoundError(
            f'--data: there is no {" or ".join(CLASS_FILES)} in {str(root)!r}; write the names of '
            'the classes there, one a line, in the order of their values'
        )
    classes = _listed_classes(names)
    heads = cfg.model.get('decode_head') or {}
    head = heads[-1] if isinstance(heads, list | tuple) else heads
    binary = head.get('out_channels') == 1
    if len(classes) == 1 and not binary:
        raise ValueError(
            f'--data: {str(names)!r} names one class, {classes[0]!r}, which every pixel would be '
            'of; name what is around it too, as background on the first line'
        )
    if len(classes) == 1:  # one output tells two classes apart, and the metric counts both
        classes = ['background', *classes]
    # The files are listed once: there may be many.
    found: dict[str, dict[str, Any]] = {}
    maps: list[Path] = []
    with_train = trains or _named(root, 'train') or _named(root / 'images', 'train')
    for split in SPLITS:
        images, labels = _images_and_maps(root, split if with_train else 'val')
        listed = _files(labels)
        maps += listed
        found[split] = dict(
            data_prefix=dict(img_path=str(images), seg_map_path=str(labels)),
            img_suffix=_suffix(images, _files(images)),
            seg_map_suffix=_suffix(labels, listed),
        )
    # Classes are 0, 1, ... or, where 0 is ignored, 1, 2, ...
    largest, read = _largest(maps, len(classes))
    without_zero = largest == len(classes) and not binary
    before = None
    if largest < len(classes):  # the last class may not be in these
        before = _trained(checkpoint).get('reduce_zero_label')
        without_zero = bool(before)
    _set_class_counts(cfg, len(classes))
    for name, dataset in inner_datasets(cfg, LOADERS):
        _point(
            dataset,
            type='BaseSegDataset',
            data_root='',
            ann_file='',
            reduce_zero_label=without_zero,
            metainfo=dict(classes=tuple(classes)),
            **found[LOADERS[name]],
        )
        for step in dataset.pipeline:
            if 'reduce_zero_label' in step:
                step.reduce_zero_label = without_zero
    cfg.data_root = str(root)
    zero = (
        '1 is the first in label maps, 0 is ignored'
        if without_zero
        else f'0 is the first: no {len(classes)} in the {read:,} label maps that were read'
    )
    if before is not None:
        zero = f'{"1" if before else "0"} is the first in label maps, as in the training'
    return _said(classes, f'{names}, {zero}')


def _point(dataset: Any, **keys: Any) -> None:
    """Let a data set read other files, and all of them: `indices` were of those before."""
    dataset.pop('indices', None)
    dataset.update(keys)


def _named(root: Path, split: str) -> Path | None:
    """A folder with one of the split's names."""
    return next((root / name for name in SPLITS[split] if (root / name).is_dir()), None)


def _split_folder(root: Path, split: str) -> Path:
    found = _named(root, split)
    if found is None:
        raise FileNotFoundError(f'--data: there is no folder {split}/ in {str(root)!r}')
    return found


def _annotations(root: Path, split: str) -> Path:
    """The JSON file of a split: its name or its folder's says which."""
    files = sorted([*root.glob('*.json'), *root.glob('*/*.json')])
    named: list[Path] = []
    for name in SPLITS[split]:
        word = re.compile(rf'(?<![a-z]){name}(?![a-z])')
        named = named or [
            path for path in files if word.search(str(path.relative_to(root)).lower())
        ]
    instances = [path for path in named if path.name.startswith('instances')] or named
    if len(instances) != 1:
        listed = ', '.join(str(path.relative_to(root)) for path in instances) or 'none'
        raise FileNotFoundError(
            f'--data: one JSON file in {str(root)!r} must have {split!r} in its name, found '
            f'{listed}; say annotations/instances_{split}.json'
        )
    return instances[0]


def _image_folder(root: Path, split: str, file: Path, content: dict) -> Path:
    """Where the images of a split's JSON file lie, by the first of them.

    Not in the other split's folder, which may have images of the same names.
    """
    if not content.get('images') or not content.get('categories'):
        raise ValueError(f'--data: {str(file)!r} has no images or no categories, as COCO has them')
    from ..data.coco import check_names

    check_names(str(file), content)
    first = content['images'][0]['file_name']
    names = [file.stem.removeprefix('instances_'), *SPLITS[split]]
    places = [
        file.parent,
        *(root / place for name in names for place in (name, f'images/{name}', f'{name}/images')),
        *(root / 'images', root),
    ]
    for place in places:
        if (place / first).is_file():
            return place
    looked = ', '.join(dict.fromkeys(str(place.relative_to(root)) for place in places))
    raise FileNotFoundError(
        f'--data: {first!r}, the first image of {str(file)!r}, is in none of {looked} of '
        f'{str(root)!r}'
    )


def _images_and_maps(root: Path, split: str) -> tuple[Path, Path]:
    """The folders of a split's images and label maps."""
    for name in SPLITS[split]:
        for maps in MASK_FOLDERS:
            for images, labels in (
                (root / 'images' / name, root / maps / name),
                (root / name / 'images', root / name / maps),
                (root / name, root / maps / name),
            ):
                if images.is_dir() and labels.is_dir():
                    return images, labels
    raise FileNotFoundError(
        f'--data: no images with label maps for {split} in {str(root)!r}; put them into '
        f'images/{split}/ and annotations/{split}/, with the same names'
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in files_under(folder) if path.suffix.lower() in SUFFIXES)


def _suffix(folder: Path, files: Sequence[Path]) -> str:
    """Of a folder's image files.

    Raises:
        FileNotFoundError: There are none.
        ValueError: They have several.
    """
    found = sorted({path.suffix for path in files})
    if not found:
        raise FileNotFoundError(f'--data: there is no image in {str(folder)!r}')
    if len(found) > 1:
        raise ValueError(
            f'--data: names in {str(folder)!r} end in {" and ".join(found)}; mmsegmentation takes '
            'one suffix, so save all as one'
        )
    return found[0]


def _largest(maps: Sequence[Path], enough: int) -> tuple[int, int]:
    """The largest label in label maps, and how many were read.

    All are, for a minute at most, until there is one that is large enough: the last class may be
    rare.
    """
    import numpy as np
    from PIL import Image

    def largest_in(path: Path) -> int:
        try:
            with Image.open(path) as image:
                labels = np.asarray(image)
        except (OSError, SyntaxError, ValueError):  # damaged: training skips and lists it
            return 0
        return int(labels[labels != IGNORED].max(initial=0))

    parts = -(-len(maps) // SAMPLE)  # each is spread over all
    largest = read = 0
    until = time.monotonic() + LOOK_SECONDS
    with ThreadPoolExecutor() as pool:
        for part in (maps[start::parts] for start in range(parts)):
            if largest >= enough or (read and time.monotonic() > until):
                break
            largest = max([largest, *pool.map(largest_in, part)])
            read += len(part)
    return largest, read


def _trained(checkpoint: str | None) -> dict[str, Any]:
    """What a checkpoint says of the data set that it was trained on."""
    if checkpoint is not None and holds_checkpoint(checkpoint):  # a work dir
        checkpoint = str(last_checkpoint(Path(checkpoint)))
    if checkpoint is None or '://' in checkpoint or not Path(checkpoint).is_file():
        return {}
    from ..data.classes import trained_on

    return trained_on(checkpoint)


def _listed_classes(file: Path) -> list[str]:
    """The lines of a file with the names of the classes.

    Raises:
        ValueError: It is not in UTF-8, or names no class, or one twice.
    """
    try:
        text = file.read_text(encoding='utf-8-sig')  # Windows' Notepad begins it with a mark
    except UnicodeDecodeError as error:
        raise ValueError(f'--data: {str(file)!r} is not in UTF-8 ({error}); save it so') from None
    classes = [line.strip() for line in text.splitlines() if line.strip()]
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice or not classes:
        what = f'names {", ".join(twice[:3])} twice' if twice else 'names no class'
        raise ValueError(
            f'--data: {str(file)!r} {what}; write one class a line, in the order of their values'
        )
    return classes


def _set_class_counts(cfg: Config, count: int) -> None:
    """Set the number of classes in every head of a model, and of the weights that its losses have.

    Raises:
        ValueError: No head has a number, or a head or loss is of the classes that it was made for.
    """
    heads = [
        part
        for part in parts_of(cfg.model)
        if {*part} & {'num_classes', *THINGS} and short_name(part) not in OTHER_HEADS
    ]
    if not heads:
        raise ValueError(
            '--data: no head of this model has a number of classes; name the data in a config of '
            'your own'
        )
    for head in heads:
        for name in {'num_classes', THINGS[0]} & {*head}:
            before, head[name] = head[name], count
        if head.get(THINGS[1]):
            raise ValueError(
                f'--data: {short_name(head)} tells things from stuff, and the files have no stuff; '
                'choose a config for instances'
            )
        for part in parts_of(head):
            weights = part.get('class_weight')
            if not isinstance(weights, list | tuple) or len(weights) - before not in (0, 1):
                continue
            if len(set(weights[:before])) > 1:
                raise ValueError(
                    f'--data: {short_name(part)} has a weight for each of {before} classes; leave '
                    'them out in a config of your own that inherits from this one, as '
                    'class_weight=None'
                )
            part['class_weight'] = [weights[0]] * count + list(weights[before:])


def _said(classes: list[str], where: str) -> str:
    """How many classes were found where, and the first of them."""
    more = [f'and {len(classes) - SAID} more'] if len(classes) > SAID else []
    return f'{len(classes)} classes of {where}: {", ".join([*classes[:SAID], *more])}'
