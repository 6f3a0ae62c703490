"""Data sets that do not fit their annotations, each other or the model, found before a run."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from mmcv.transforms import LoadImageFromFile
from mmengine.dist import is_main_process
from mmengine.fileio import list_from_file
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from mmengine.runner import Runner, find_latest_checkpoint
from mmpretrain.datasets import BaseDataset, CustomDataset
from torch import nn

from ..class_names import LIBRARIES, class_of, short_name
from ..model_wrappers import unwrapped
from .classes import (
    TrainedClasses,
    check_classes,
    check_training_folders,
    inner,
    inner_configs,
    left_behind,
    name_folders,
    shown,
)
from .coco import check_content, check_sizes, parsed_files, read_file
from .label_maps import check_label_maps, count_files
from .loading import LoadImage

SAMPLED = 100  # images that are looked for
LABELS = 10_000  # labels that are looked at


def check_datasets(runner: Runner, loaders: tuple[str, ...]) -> None:
    """Build the data sets that a job uses; hold them against their files, each other and the model.

    Class folders of the validation and test sets are labelled by the classes of the training set,
    or of the checkpoint that is tested (see `ClassFolders`). Files are looked at by the first
    process alone.

    Args:
        runner: Before its loops are built.
        loaders: Names of the data loaders that the job uses, the training set's first.

    Raises:
        FileNotFoundError, ValueError: A data set does not fit; the message says what to do. Or what
            building it raises, where no fault of the data is found.
    """
    scope = runner.cfg.get('default_scope')
    model = unwrapped(runner.model)
    trained = TrainedClasses()
    for name in loaders:
        loader, loop = getattr(runner, f'_{name}'), name.replace('dataloader', 'loop')
        if loader is None or getattr(runner, f'_{loop}') is None:
            continue
        check_evaluator_files(runner.cfg, name)
        training, tested = name == 'train_dataloader', name == 'test_dataloader'
        # Some benchmarks have a part of the classes, and a metric that knows which.
        some = tested and _scores_some_classes(runner.cfg)
        if tested and not some and runner._load_from:
            trained = TrainedClasses.from_checkpoint(runner._load_from)
        given = loader['dataset'] if isinstance(loader, dict) else None
        config = given if isinstance(given, dict) else {}
        if not training:
            name_folders(config, trained, scope)
        dataset, files = build_dataset(partial(_dataset_of, runner, loop), name, config, scope)
        if training:
            check_training_folders(dataset)
            path = _resumed(runner) if runner._resume else None
            if path and not Path(path).is_dir():  # DeepSpeed's, which its engine reads alone
                check_classes(name, dataset, TrainedClasses.from_checkpoint(path))
            trained = TrainedClasses.from_dataset(dataset)
        else:
            check_classes(name, dataset, trained)
            if trained.classes is None and not some:
                _check_count(name, dataset, model, trained.origin)
        if is_main_process():
            metrics = [] if training else getattr(runner, loop).evaluator.metrics
            check_dataset(name, dataset, files, model, metrics)


def build_dataset(
    build: Callable[[], Any], name: str, config: dict, scope: str | None
) -> tuple[Any, dict[str, Any]]:
    """Build a data set; where this fails, look for the reason in its files.

    Args:
        build: Returns the data set.
        name: Of its data loader, for messages.
        config: Of the data set.
        scope: The library that the config's types belong to, its ``default_scope``.

    Returns:
        The data set, and the annotation files in COCO's format that were parsed, by path.

    Raises:
        FileNotFoundError, ValueError: The data set is empty, or the files are at fault. Or what
            ``build`` raises.
    """
    parts = list(_parts(config, f'{name}.dataset', scope))
    coco = any(hasattr(kind, 'COCOAPI') for _, _, kind in parts)
    keep: AbstractContextManager[dict[str, Any]] = parsed_files() if coco else nullcontext({})
    with keep as files:
        try:
            dataset = build()
            if not len(dataset):
                raise ValueError('it has no samples')
        except Exception as error:
            for path, part, kind in parts:
                _explain(path, part, kind, scope, files)
            empty = 'need at least one array' in str(error) or 'no samples' in str(error)
            if empty:
                raise ValueError(
                    f'the data set of {name} is empty: no sample is left of those that are there; '
                    'look at its data_root, data_prefix, ann_file, indices and filter_cfg'
                ) from error
            cut = [path for path, part, _ in parts if part.get('indices')]
            if isinstance(error, IndexError) and cut:
                raise ValueError(f'{cut[0]}.indices: there are not so many samples') from error
            if isinstance(error, AssertionError | RuntimeError):
                raise ValueError(f'{name} cannot be built: {error}') from error
            raise
    return dataset, files


def check_dataset(
    name: str, dataset: Any, files: dict[str, Any], model: nn.Module, metrics: list[Any]
) -> None:
    """Hold a data set against its files and the model.

    Args:
        name: Of its data loader, for messages.
        dataset: As it was built, wrappers included.
        files: Content of annotation files in COCO's format, by path.
        model: The model, without wrappers.
        metrics: Of the evaluator; none for a training set.

    Raises:
        FileNotFoundError, ValueError: They do not fit.
    """
    training = name == 'train_dataloader'
    head = getattr(getattr(model, 'head', None), 'num_classes', None)
    own, ordered = set(), True
    for part in inner(dataset):
        _check_task(name, part, model)
        if hasattr(part, 'COCOAPI'):
            own.add(part.ann_file)
            ordered = ordered and _follows_file(part)
            _check_coco(part, files, training, _readers(part.ann_file, metrics))
            if training and part.ann_file in files:
                _count_filtered(part, len(files[part.ann_file]['images']))
        elif hasattr(part, 'reduce_zero_label'):
            check_label_maps(name, part, *_ignored(part, model, metrics))
        elif isinstance(part, BaseDataset):
            _check_labels(name, part, head)
    for path in files.keys() - own:
        if readers := _readers(path, metrics):
            masks = any('segm' in getattr(metric, 'metrics', ()) for metric in readers)
            classes = dataset.metainfo['classes']
            check_content(path, files[path], classes, masks=masks, scored=True, ordered=ordered)
            _check_same_images(path, files[path]['images'], dataset)


def check_evaluator_files(cfg: dict, name: str) -> None:
    """Raise FileNotFoundError unless the annotation file of a loader's evaluator exists."""
    option = name.replace('dataloader', 'evaluator')
    evaluator = cfg.get(option)
    for place, metric in enumerate(evaluator if isinstance(evaluator, list) else [evaluator]):
        path = metric.get('ann_file') if isinstance(metric, dict) else None
        if (
            path
            and '://' not in path
            and not metric.get('backend_args')
            and not Path(path).exists()
        ):
            option += f'.{place}' if isinstance(evaluator, list) else ''
            raise FileNotFoundError(
                f'annotation file {path!r} does not exist; set it with --cfg-options '
                f'{option}.ann_file=FILE, the file of {name}'
            )


def _resumed(runner: Runner) -> str | None:
    return runner._load_from or find_latest_checkpoint(runner.work_dir)


def _dataset_of(runner: Runner, loop: str) -> Any:
    return getattr(runner, loop).dataloader.dataset


def _parts(config: dict, path: str, scope: str | None) -> Iterator[tuple[str, dict, Any]]:
    """Path, config and class of the data sets inside wrappers, or of the data set itself."""
    parts = inner_configs(config)
    if not parts and 'type' in config:
        yield path, config, class_of(config, 'DATASETS', scope)
    for part in parts:
        # This one is put around by us, and no option names it.
        step = '' if config.get('type') == 'SeededDataset' else '.dataset'
        yield from _parts(part, path + step, scope)


def _explain(path: str, config: dict, kind: Any, scope: str | None, files: dict[str, Any]) -> None:
    """Raise FileNotFoundError or ValueError where the files of a data set are at fault."""
    if config.get('backend_args') or '://' in (config.get('data_root') or ''):
        return
    coco, seg = hasattr(kind, 'COCOAPI'), hasattr(kind, 'get_label_map')
    folders = isinstance(kind, type) and issubclass(kind, CustomDataset)
    if not (coco or seg or folders):
        return
    with DATASETS.switch_scope_and_registry(scope) as registry:
        # With lazy_init it knows its paths and classes, and has not read anything.
        unread = registry.build({**config, 'pipeline': [], 'lazy_init': True})
    if coco:
        _check_coco(unread, {**files}, not unread.test_mode, [], always=True)
    elif seg and not unread.ann_file:
        _check_suffix(path, unread)
    elif folders and unread.ann_file:
        _check_lines(path, unread)
    elif folders and unread.with_label:
        _check_folders(unread)


def _check_coco(
    dataset: Any,
    files: dict[str, Any],
    training: bool,
    readers: list[Any],
    always: bool = False,
) -> None:
    if dataset.backend_args:
        return
    path = dataset.ann_file
    if path not in files:
        # LVIS has a parser of its own.
        if not always and not _is_suspicious(dataset):
            return
        files[path] = read_file(path)
    steps = dataset.pipeline.transforms if training else []
    check_content(
        path,
        files[path],
        dataset.metainfo['classes'],
        dataset.data_prefix['img'],
        masks=any(getattr(step, 'with_mask', False) for step in steps)
        or any('segm' in getattr(metric, 'metrics', ()) for metric in readers),
        training=training,
        scored=bool(readers),
        ordered=_follows_file(dataset),
    )
    steps = dataset.pipeline.transforms
    load = next((step for step in steps if isinstance(step, LoadImageFromFile | LoadImage)), None)
    needed = {'width', 'height', 'file_name'}  # LVIS has addresses
    sized = [image for image in files[path]['images'] if needed <= image.keys()]
    if load is not None and sized:
        check_sizes(path, sized, dataset.data_prefix['img'], load)


def _count_filtered(dataset: Any, images: int) -> None:
    """Say how many of a file's images mmdet leaves out without a word."""
    left_out = images - len(dataset)
    if left_out and dataset.filter_cfg and not dataset._indices:
        print_log(
            f'{dataset.ann_file!r}: {left_out} of {images} images are left out of training by '
            f'filter_cfg={dict(dataset.filter_cfg)}: they have no object of the '
            f'{len(dataset.metainfo["classes"])} classes, or are smaller than min_size',
            'current',
        )


def _follows_file(dataset: Any) -> bool:
    """Whether the labels follow the order of the file's categories, as in mmdet's own class."""
    prompted = dataset.return_classes  # such models read the names
    return not prompted and type(dataset).load_data_list.__qualname__.startswith('CocoDataset.')


def _readers(path: str, metrics: list[Any]) -> list[Any]:
    """The metrics that score with a file in COCO's format."""
    return [
        metric
        for metric in metrics
        if getattr(getattr(metric, '_coco_api', None), 'annotation_file', None) == path
        and not getattr(metric, 'format_only', False)
    ]


def _is_suspicious(dataset: Any) -> bool:
    """Whether a dataset in COCO's format has too few classes, or an image that is not there."""
    if not hasattr(dataset, 'cat_ids'):
        return False
    count = len(dataset)
    sample = {0, *random.Random(0).sample(range(count), min(SAMPLED, count))}
    return len(dataset.cat_ids) < len(dataset.metainfo['classes']) or not all(
        os.path.exists(dataset.get_data_info(i)['img_path']) for i in sample
    )


def _check_same_images(path: str, images: list[dict], dataset: Any) -> None:
    """Hold an evaluator's own annotation file against the images of the data set."""
    places = random.Random(0).sample(range(len(dataset)), min(LABELS, len(dataset)))
    infos = [dataset.get_data_info(place) for place in places]
    names = {image['id']: os.path.basename(image.get('file_name', '')) for image in images}
    other = [
        info['img_path']
        for info in infos
        if 'img_id' in info and names.get(info['img_id']) != os.path.basename(info['img_path'])
    ]
    if other:
        raise ValueError(
            f'the evaluator scores with {path!r}, in which {len(other)} of {len(infos)} images of '
            f"the data set ({shown(other)}) are other images or none; set the evaluator's ann_file "
            "to the data set's"
        )


def _check_suffix(path: str, dataset: Any) -> None:
    folder = dataset.data_prefix.get('img_path') or ''
    for _, _, found in os.walk(folder, followlinks=True):
        if any(file.endswith(dataset.img_suffix) for file in found):
            return
    raise FileNotFoundError(
        f'no image with the suffix {dataset.img_suffix!r} in {folder!r}, which holds '
        f'{count_files(folder)}; set {path}.img_suffix, such as {path}.img_suffix=.png'
    )


def _check_lines(path: str, dataset: CustomDataset) -> None:
    lines = list_from_file(dataset.ann_file)
    if not lines:
        raise ValueError(f'{dataset.ann_file!r} is empty; set {path}.ann_file')
    for number, line in enumerate(lines if dataset.with_label else [], 1):
        words = line.strip().rsplit(' ', 1)
        if len(words) < 2 or not words[1].lstrip('+-').isdigit():
            raise ValueError(
                f'{dataset.ann_file!r}, line {number}: {line!r} is no file name and number of its '
                "class, with a space between, such as 'cats/1.jpg 0'; correct it"
            )


def _check_folders(dataset: CustomDataset) -> None:
    root = dataset.img_prefix
    folders = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    left_behind(root, folders)
    if not folders:
        raise FileNotFoundError(
            f'no class folders in {root!r}, which holds {count_files(root)}; put the images of '
            'each class into a folder of its own, or name their classes in an ann_file'
        )
    for _, _, files in os.walk(root, followlinks=True):
        if any(dataset.is_valid_file(file) for file in files):
            return
    suffixes = ', '.join(sorted(dataset.extensions))
    raise FileNotFoundError(
        f'no image ({suffixes}) in {len(folders)} class folders ({shown(folders)}) in {root!r}, '
        f"which hold {count_files(root)}; convert them, or set the data set's extensions"
    )


def _check_labels(name: str, dataset: BaseDataset, head: int | None) -> None:
    """Look at a sample of the labels and images that an annotation file names."""
    if not dataset.ann_file:
        return  # folders were listed
    classes = dataset.metainfo.get('classes')
    count = head if classes is None else len(classes)
    places = random.Random(0).sample(range(len(dataset)), min(LABELS, len(dataset)))
    infos = [dataset.get_data_info(place) for place in sorted({*places, 0, len(dataset) - 1})]
    wrong = [info for info in infos if not _are_classes(info.get('gt_label'), count)]
    if wrong:
        raise ValueError(
            f'{dataset.ann_file!r} has the label {wrong[0]["gt_label"]} for '
            f'{wrong[0].get("img_path")!r} (and {len(wrong) - 1} more of {len(infos)} looked at), '
            f'and {name} has {count} classes: labels are 0 to {(count or 1) - 1}; number them so, '
            'or set model.head.num_classes'
        )
    paths = [
        info['img_path'] for info in infos[:: max(1, len(infos) // SAMPLED)] if 'img_path' in info
    ]
    missing = [path for path in paths if '://' not in path and not os.path.exists(path)]
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} of {len(paths)} images of {dataset.ann_file!r} that were looked for '
            f'do not exist ({shown(missing)}); put them there, or set data_root or data_prefix'
        )


def _are_classes(label: Any, count: int | None) -> bool:
    """Whether a label, or each of several, is the number of a class; others are not looked at."""
    labels = label if isinstance(label, list | tuple) else [label]
    return all(
        not isinstance(x, int) or (x >= 0 and (count is None or count <= 0 or x < count))
        for x in labels
    )


def _ignored(dataset: Any, model: nn.Module, metrics: list[Any]) -> tuple[set[int], bool]:
    """Which values of label maps do not count, and whether the model has one output for two."""
    heads: list[Any] = []
    for name in ('decode_head', 'auxiliary_head'):
        head = getattr(model, name, None)
        heads += head if isinstance(head, nn.ModuleList) else [head]
    indices = [part.ignore_index for part in metrics or heads if hasattr(part, 'ignore_index')]
    # Each head must pass over it.
    common = set.intersection(*({index} for index in indices)) if indices else None
    binary = getattr(heads[0], 'out_channels', None) == 1
    return ({dataset.ignore_index} if common is None else common), binary


def _check_task(name: str, dataset: Any, model: nn.Module) -> None:
    """Refuse samples that are packed for the models of another library."""
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', None)
    if not steps or not type(steps[-1]).__name__.startswith('Pack'):
        return

    def libraries(thing: Any) -> set[str]:
        return {base.__module__.split('.')[0] for base in type(thing).__mro__} & {*LIBRARIES}

    given, needed = libraries(steps[-1]), libraries(model)
    if given and needed and not given & needed:
        raise ValueError(
            f'{name} has samples of {given.pop()} ({type(dataset).__name__}, '
            f'{type(steps[-1]).__name__}), and the model, {type(model).__name__}, is one of '
            f"{needed.pop()}; take a data set and a pipeline of the model's task"
        )


def _check_count(name: str, dataset: Any, model: nn.Module, origin: str) -> None:
    """Without the names, the number of classes tells whether labels are those of the model."""
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    count = getattr(getattr(model, 'head', None), 'num_classes', None)
    if classes is not None and count is not None and count != len(classes):
        raise ValueError(
            f'the model has {count} classes, and the data set of {name} {len(classes)} '
            f'({shown(classes)}); {origin} does not name its classes, so name all of them, '
            f'in the order of their labels, in {name}.dataset.classes'
        )


def _scores_some_classes(cfg: dict) -> bool:
    """Whether the evaluator itself knows which of the model's classes the labels mean."""
    evaluator = cfg.get('test_evaluator')
    return isinstance(evaluator, dict) and short_name(evaluator) == 'SubsetAccuracy'
