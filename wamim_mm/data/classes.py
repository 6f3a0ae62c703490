"""Labels mean the same classes in every split, and the same as those that a model was trained on.

mmpretrain's ``CustomDataset`` numbers the class folders that a split has. Where the folder of one
class is missing, all after it get the labels of other classes, and a good model scores 0 %.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import torch
from mmengine.registry import DATASETS as ALL_DATASETS
from mmengine.runner import CheckpointLoader
from mmpretrain.datasets import CustomDataset
from mmpretrain.registry import DATASETS
from torch.utils.data import Dataset

CHECKPOINT = 'the checkpoint'
SHOWN = 3  # names in a message
#: Folders that programs leave behind, beside those whose names begin with a dot.
LEFT_BEHIND = ('__MACOSX', '@eaDir', 'lost+found', '$RECYCLE.BIN')


class TrainedClasses(NamedTuple):
    """The classes that a model is trained on.

    Attributes:
        classes: Their names, in the order of their labels; None if unknown.
        folders: Names of their folders in the training set, in the same order; None if there are
            none.
        origin: Where this is from, for messages.
    """

    classes: Sequence[str] | None = None
    folders: Sequence[str] | None = None
    origin: str = 'the training set'

    @classmethod
    def from_dataset(cls, dataset: Any) -> TrainedClasses:
        """The classes of a training set as it was built, wrappers included."""
        folders = next((p.folder_to_idx for p in inner(dataset) if _has_folders(p)), None)
        classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
        return cls(classes, folders and list(folders))

    @classmethod
    def from_checkpoint(cls, checkpoint: str) -> TrainedClasses:
        """The classes that a checkpoint was trained on, where it holds them."""
        return cls(trained_classes(checkpoint), None, CHECKPOINT)


@DATASETS.register_module()
class ClassFolders(CustomDataset):
    """A folder for each class, labelled by the place of its name among given classes.

    Some of the classes may have no folder here. Folders without images do not matter, whatever
    their names.

    Args:
        classes: Names of all classes, in the order of their labels.
        folders: Names of their folders, in the same order; by default those of the classes.
        **kwargs: As for mmpretrain's ``CustomDataset``.

    Raises:
        ValueError: A folder with images has the name of no class.
    """

    folder_to_idx: dict[str, int]

    def __init__(
        self, classes: Sequence[str], folders: Sequence[str] | None = None, **kwargs
    ) -> None:
        self._classes, self._folders = tuple(classes), tuple(folders or classes)
        given = kwargs.pop('metainfo', None) or {}
        metainfo = {key: value for key, value in given.items() if key != 'classes'}
        super().__init__(metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images, with the labels of the given classes."""
        samples = super().load_data_list()  # labelled by the folders that are here
        here = list(self.folder_to_idx)
        used = sorted({sample['gt_label'] for sample in samples})
        check_class_folders(self.img_prefix, [here[i] for i in used], here, self._folders)
        labels = {name: label for label, name in enumerate(self._folders)}
        for sample in samples:
            sample['gt_label'] = labels[here[sample['gt_label']]]
        self.folder_to_idx = labels
        self._metainfo['classes'] = self._classes
        return samples


def name_folders(dataset: dict, trained: TrainedClasses, scope: str | None) -> None:
    """Let the class folders of a data set be labelled by their names.

    Data sets inside wrappers (``dataset``, ``datasets``) are changed too. Others than mmpretrain's
    ``CustomDataset``, and those with an annotation file or without labels, are left as they are;
    so are those that name other classes.

    Args:
        dataset: Config of the data set; changed in place.
        trained: The classes; where they are unknown, those count that the data set is given.
        scope: The library that the config's types belong to, its ``default_scope``.
    """
    for part in inner_configs(dataset):
        name_folders(part, trained, scope)
    kind = dataset.get('type')
    if isinstance(kind, str):
        with ALL_DATASETS.switch_scope_and_registry(scope) as registry:
            kind = registry.get(kind)
    named = dataset.get('classes') or (dataset.get('metainfo') or {}).get('classes')
    classes = named if trained.classes is None else trained.classes
    if (
        kind is not CustomDataset
        or dataset.get('ann_file')
        or not dataset.get('with_label', True)
        or not isinstance(classes, list | tuple)
    ):
        return
    if named and trained.folders is None:
        root = os.path.join(dataset.get('data_root') or '', dataset.get('data_prefix') or '')
        if not os.path.isdir(root) or not set(named) & set(os.listdir(root)):
            return  # the classes have other names than their folders
    if not named or list(named) == list(classes):
        dataset.update(type='mmpretrain.ClassFolders', classes=classes, folders=trained.folders)


def trained_classes(checkpoint: str) -> tuple[str, ...] | None:
    """The names of the classes that a checkpoint was trained on; None if it does not hold them."""
    classes = trained_on(checkpoint).get('classes')
    return None if classes is None else tuple(classes)


def trained_on(checkpoint: str) -> dict[str, Any]:
    """The meta data of the data set that a checkpoint was trained on; empty if it holds none."""
    try:  # only what lies beside the weights is read
        content = torch.load(
            os.path.expanduser(checkpoint), map_location='cpu', weights_only=True, mmap=True
        )
    except Exception:  # on another storage, of an old format or damaged: as the Runner loads it
        content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    meta = content.get('meta') if isinstance(content, dict) else None
    return (meta or {}).get('dataset_meta') or {}


def check_class_folders(
    root: str, used: Sequence[str], folders: Sequence[str], classes: Sequence[str]
) -> None:
    """Hold the names of class folders against the classes.

    Args:
        root: Where the folders lie.
        used: Names of those that hold images.
        folders: Names of all.
        classes: Names of the classes that the model is trained on.

    Raises:
        ValueError: A folder with images is none of the classes.
    """
    other = [name for name in used if name not in classes]
    if not other:
        return
    folded = {name.casefold(): name for name in classes}
    near = get_close_matches(other[0].casefold(), folded, n=1)
    hint = f'; did you mean {folded[near[0]]!r}?' if near else ''
    raise ValueError(
        f'{len(other)} of the {len(folders)} class folders in {root!r} ({shown(other)}) are none '
        f'of the {len(classes)} classes that the model is trained on ({shown(classes)}); '
        f'rename or remove them, or set data_root or data_prefix to those of the classes{hint}'
    )


def left_behind(root: str, folders: Sequence[str]) -> None:
    """Raise ValueError where a program, and not a person, made one of the class folders."""
    found = [name for name in folders if name.startswith('.') or name in LEFT_BEHIND]
    if found:
        raise ValueError(
            f'{root!r} holds {shown(found)}, which would be a class like the other '
            f'{len(folders) - len(found)} folders; remove it'
        )


def check_training_folders(dataset: Any) -> None:
    """Refuse class folders of a training set that cannot be meant.

    Args:
        dataset: A data set as it was built, wrappers included.

    Raises:
        ValueError: A folder that a program left behind would be a class; there is one folder only;
            or the folders have the names of the classes, which are given in another order.
    """
    for part in filter(_has_folders, inner(dataset)):
        folders = list(part.folder_to_idx)
        root = part.img_prefix
        left_behind(root, folders)
        if len(folders) == 1:
            raise ValueError(
                f'{root!r} has one class folder only, {folders[0]!r}: there is nothing to tell '
                'apart; set data_root or data_prefix to the folder that holds those of all classes'
            )
        classes = part.metainfo.get('classes')
        if classes and set(classes) == set(folders) and list(classes) != folders:
            raise ValueError(
                f'the class folders in {root!r} are numbered in the order of their names '
                f'({shown(folders)}), and classes gives them as {shown(classes)}; leave classes '
                'out, or give them in the order of the folders'
            )


def check_classes(name: str, dataset: Any, trained: TrainedClasses) -> None:
    """Hold the classes of a data set against those that a model is trained on.

    Args:
        name: Of its data loader, for messages.
        dataset: The data set as it was built, wrappers included.
        trained: The model's classes.

    Raises:
        ValueError: They differ, in their names or in their order.
    """
    for part in filter(_has_folders, inner(dataset)):
        if trained.folders is not None and list(part.folder_to_idx) != list(trained.folders):
            raise ValueError(
                f'the class folders of {name} ({len(part.folder_to_idx)}: '
                f'{shown(list(part.folder_to_idx))}) are not those of {trained.origin} '
                f'({len(trained.folders)}: {shown(trained.folders)}), so labels differ; give both '
                'the same folders'
            )
    if trained.classes is None:
        return
    classes, of = trained.classes, trained.origin
    option = f'{name}.dataset.metainfo.classes'
    for part in inner(dataset):
        own = (getattr(part, 'metainfo', None) or {}).get('classes')
        # Those whose classes are a prompt to the model may be tested on any.
        if getattr(part, 'return_classes', False):
            continue
        if own is None and hasattr(part, 'reduce_zero_label'):
            raise ValueError(
                f'the data set of {name} names no classes, and {of} has {len(classes)} '
                f'({shown(classes)}); give it the same, {option}'
            )
        if own is None or list(own) == list(classes):
            continue
        if trained.origin == CHECKPOINT and _respelled(own, classes):
            continue
        if set(own) == set(classes):
            how = 'the same in another order'
        else:
            missing = [str(c) for c in classes if c not in own]
            added = [str(c) for c in own if c not in classes]
            how = '; '.join(
                f'{len(names)} {where} ({shown(names)})'
                for names, where in ((missing, 'are missing there'), (added, 'are new there'))
                if names
            )
        raise ValueError(
            f'the data set of {name} has other classes than {of}: {len(own)} ({shown(own)}) in '
            f'place of {len(classes)} ({shown(classes)}), {how}; set {option} to those of {of}'
        )


def _has_folders(dataset: Any) -> bool:
    """Whether it is a data set that labels images by their folders, not a wrapper."""
    return bool(getattr(dataset, 'folder_to_idx', None))


def _respelled(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether lists differ in a few names only, as ImageNet's in two releases of mmpretrain do."""
    changed = [pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]]
    moved = {a for a, _ in changed} & set(theirs)
    return len(ours) == len(theirs) and 100 * len(changed) <= len(ours) and not moved


def inner(dataset: Any) -> Iterator[Any]:
    """The data sets inside wrappers (``dataset``, ``datasets``), or the data set itself."""
    held = getattr(dataset, '__dict__', {})
    parts = [held.get('dataset'), *(held.get('datasets') or [])]
    parts = [part for part in parts if isinstance(part, Dataset)]
    for part in parts:
        yield from inner(part)
    if not parts:
        yield dataset


def shown(names: Sequence[Any]) -> str:
    """The first names of many, for a message."""
    return ', '.join(map(str, names[:SHOWN])) + (', ...' if len(names) > SHOWN else '')


def inner_configs(dataset: dict) -> list[dict]:
    """The configs of the data sets inside a wrapper (``dataset``, ``datasets``)."""
    parts = [dataset.get('dataset'), *(dataset.get('datasets') or [])]
    return [part for part in parts if isinstance(part, dict)]
