"""Check that what the arguments name exists, before anything heavy is imported."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..class_names import LIBRARIES, class_of, import_custom_modules, library_class, short_name
from ..image_files import SUFFIXES, files_under, is_shards
from ..interop.folders import is_one, walk

if TYPE_CHECKING:
    from mmengine.config import Config


def read_config(path: str) -> Config:
    """Read a config, without importing the modules that it names: see `import_custom_modules`.

    Args:
        path: A file; or LIBRARY::FILE, such as ``mmdet::atss/atss_r50_fpn_1x_coco.py``, for one of
            the configs that an installed library of OpenMMLab brings along.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: There is no such library.
        ValueError: It cannot be read.
    """
    path = library_config(path) if '::' in path else path
    if not Path(path).is_file():
        raise FileNotFoundError(f'config {path!r} does not exist')
    from mmengine.config import Config

    try:
        return Config.fromfile(path, import_custom_modules=False)
    except Exception as error:
        # A config is a program: it can fail in any way.
        raise ValueError(
            f'config {path!r} cannot be read: {type(error).__name__}: {error}'
        ) from error


def library_config(name: str) -> str:
    """The file of LIBRARY::FILE, as MMEngine names configs of installed libraries.

    MMEngine's own `get_config` imports torch, and installs a library that is not there.

    Raises:
        FileNotFoundError: The library has no such config; the message names the nearest.
        ImportError: There is no such library, or it has brought no configs along.
    """
    library, _, file = name.partition('::')
    spec = find_spec(library) if library.isidentifier() else None
    places = (spec and spec.submodule_search_locations) or []
    home = next((p for place in places if (p := Path(place, '.mim', 'configs')).is_dir()), None)
    if home is None:
        raise ImportError(
            f'config {name!r}: no library {library!r} with configs is installed; give a file, or '
            f'LIBRARY::FILE with {" or ".join(LIBRARIES)} for LIBRARY'
        )
    if not (home / file).is_file():
        there = [str(path.relative_to(home)) for path in home.rglob('*.py')]
        near = get_close_matches(file, there, n=1, cutoff=0)
        raise FileNotFoundError(
            f'config {name!r} does not exist; the nearest in {library} is {library}::{near[0]}'
        )
    return str(home / file)


def find_images(images: str | Path) -> list[Path | str]:
    """The image itself, all images under a folder, in order, or those in shards.

    Args:
        images: A file, a folder, or shards as `data.shard_index.shard_names` takes them.

    Returns:
        Paths, or for shards what a loading transform takes in place of a path.

    Raises:
        FileNotFoundError: There is none.
    """
    if is_shards(images):
        from ..data.shard_index import shard_uris

        return [*shard_uris(str(images))]
    path = Path(images)
    if path.is_file():
        return [path]
    found = sorted(p for p in files_under(path) if p.suffix.lower() in SUFFIXES)
    if not found:
        raise FileNotFoundError(
            f'no image at {str(path)!r}; give an image or a folder with images '
            f'({", ".join(sorted(SUFFIXES))})'
        )
    return [*found]


def image_names(paths: Sequence[Path | str], images: str | Path) -> list[str]:
    """Names for people of what `find_images` has found, each once, with ``/`` between folders."""
    root = Path(images)
    root = root if root.is_dir() else root.parent
    names: Counter[str] = Counter()
    found = []
    for path in paths:
        name = path.relative_to(root) if isinstance(path, Path) else _name_in_shard(path)
        names[str(name)] += 1
        if names[str(name)] > 1:  # shards of one name in two folders, or a member twice
            name = name.with_name(f'{name.stem}~{names[str(name)]}{name.suffix}')
        found.append(name.as_posix())
    return found


def _name_in_shard(uri: str) -> Path:
    """Shard and member, as a path that leads nowhere else: shards come from strangers."""
    name, _, shard = uri.removeprefix('tar://').rpartition('#')[0].rpartition('::')
    parts = [part for part in name.split('/') if part not in ('', '.', '..')]
    return Path(shard.rpartition('/')[2], *parts)


def use_shards(dataset: dict) -> None:
    """Read images from tar shards where a folder of images has, or is named as, such.

    Args:
        dataset: Config of a data set, changed in place if it is mmpretrain's ``CustomDataset`` and
            its ``data_root``, or the folder ``data_root/data_prefix``, are shards.

    Raises:
        ValueError: It has a setting that shards have not.
    """
    root, prefix = dataset.get('data_root'), dataset.get('data_prefix') or ''
    if dataset.get('ann_file') or not root or isinstance(prefix, dict):
        return
    with_label = dataset.get('with_label', True)
    folder = os.path.join(root, prefix)
    places = [root] if root.endswith('.tar') else [folder]
    if not with_label and not os.path.isdir(folder):
        places.append(root)
    shards = next((place for place in places if is_shards(place)), None)
    if shards is None or short_name(dataset) != 'CustomDataset':
        return
    kept = {key: dataset[key] for key in ('pipeline', 'test_mode', 'metainfo') if key in dataset}
    if dataset.get('classes'):
        kept['metainfo'] = dict(kept.get('metainfo') or {}, classes=dataset['classes'])
    known = {'type', 'data_root', 'data_prefix', 'ann_file', 'extensions', 'with_label', 'classes'}
    known |= {'lazy_init', 'serialize_data', 'max_refetch', 'backend_args', '_scope_', *kept}
    unknown = sorted(key for key in dataset if key not in known and dataset[key] is not None)
    if unknown:
        raise ValueError(
            f'{shards!r} are tar shards, for which {unknown[0]} is not there; leave it out'
        )
    dataset.clear()
    dataset.update(type='ShardDataset', shards=shards, with_label=with_label, **kept)


def use_image_folder(dataset: dict, cfg: dict | None = None) -> Path | None:
    """Take a folder of images, or of class folders, as it is.

    All suffixes that can be decoded are taken. Where no labels are asked for and there is no folder
    ``data_root/data_prefix``, the images are those under ``data_root``.

    Args:
        dataset: Config of a data set; changed in place if it is such a folder.
        cfg: The config around it, whose ``default_scope`` and ``custom_imports`` say what a name
            means.

    Returns:
        The folder; None if it is no such data set, or on another storage.
    """
    root, prefix = dataset.get('data_root'), dataset.get('data_prefix') or ''
    if dataset.get('ann_file') or not root or '://' in root or isinstance(prefix, dict):
        return None
    if not Path(root).is_dir() or not _is_custom_dataset(dataset, cfg or {}):
        return None
    folder = Path(root, prefix)
    if not folder.is_dir() and not dataset.get('with_label', True):
        dataset['data_prefix'], folder = '', Path(root)
    if not folder.is_dir():
        return None
    dataset.setdefault('extensions', SUFFIXES)
    return folder


def _is_custom_dataset(dataset: dict, cfg: dict) -> bool:
    """Whether it is mmpretrain's ``CustomDataset``, or a user's own class that inherits from it.

    mmpretrain's own subclasses, such as ``ImageNet``, know their folders by themselves.
    """
    if short_name(dataset) == 'CustomDataset':
        return True
    import_custom_modules(cfg)
    nearest = library_class(class_of(dataset, 'DATASETS', cfg.get('default_scope')))
    return nearest is not None and nearest.__name__ == 'CustomDataset'


def count_images(folder: Path, suffixes: Sequence[str]) -> tuple[int, str]:
    """Count the images and the other files under a folder, and word it for the screen.

    Args:
        folder: The folder.
        suffixes: Of the images.

    Returns:
        The number of images, and the line.

    Raises:
        FileNotFoundError: There is no image.
    """
    found: Counter[str] = Counter()
    other: Counter[str] = Counter()
    for entry in walk(folder):
        suffix = os.path.splitext(entry.name)[1].lower()
        if is_one(entry.is_file):
            (found if suffix in suffixes else other)[suffix or 'no suffix'] += 1
        elif not is_one(entry.is_dir):
            other['broken links'] += 1
    if not found:
        raise FileNotFoundError(
            f'no image in {str(folder)!r}, found {_counted(other) or "nothing"}; put images there '
            f'({", ".join(suffixes)}), or set it with --cfg-options data_root=DIR'
        )
    passed = f'; passed over {_counted(other)}' if other else ''
    return found.total(), f'{found.total():,} images in {folder} ({_counted(found)}){passed}'


def _counted(files: Counter[str]) -> str:
    return ', '.join(f'{count:,} {suffix}' for suffix, count in files.most_common())


def class_folders(root: Path) -> list[str]:
    """The classes of a folder for training: the names of its sub-folders, in order.

    Raises:
        FileNotFoundError: One of them has no image.
    """
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    for folder in folders:
        files = (entry for entry in walk(folder) if is_one(entry.is_file))
        if not any(entry.name.lower().endswith(SUFFIXES) for entry in files):
            raise FileNotFoundError(
                f'{str(folder)!r} has no image, and would be a class of its own; put some there, '
                'or remove it'
            )
    return [folder.name for folder in folders]


def check_data(dataset: dict, fix: str = 'set it with --cfg-options data_root=DIR') -> None:
    """Raise FileNotFoundError unless what the dataset's config names exists.

    Datasets inside wrappers (``dataset``, ``datasets``) are checked too, paths on other storages
    (``s3://``) are not.

    Args:
        dataset: The config.
        fix: What to do where a folder is another one.
    """
    for inner in [dataset.get('dataset'), *(dataset.get('datasets') or [])]:
        if inner:
            check_data(inner, fix)
    root = dataset.get('data_root')
    if not root or '://' in root:
        return
    if not Path(root).is_dir():
        raise FileNotFoundError(f'data root {root!r} does not exist; {fix}')
    prefixes = dataset.get('data_prefix') or ''
    for prefix in prefixes.values() if isinstance(prefixes, dict) else [prefixes]:
        folder = Path(root, prefix)
        if not folder.is_dir():
            raise FileNotFoundError(f'{str(folder)!r} does not exist; put the data there, or {fix}')
        if not any(folder.iterdir()):
            raise FileNotFoundError(f'{str(folder)!r} is empty; put the data there, or {fix}')
    annotations = dataset.get('ann_file')
    if annotations and not Path(root, annotations).is_file():
        raise FileNotFoundError(
            f'annotation file {str(Path(root, annotations))!r} does not exist; {fix}'
        )
