"""Check that what the arguments name exists, before anything heavy is imported."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config

#: Of the images that training and inference read: what OpenCV decodes in all its builds.
SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff', '.ppm', '.pgm')


def read_config(path: str) -> Config:
    """Read a config, without importing the modules that it names: see `import_custom_modules`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read.
    """
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


def import_custom_modules(cfg: Config) -> None:
    """Import what a config's ``custom_imports`` names, often a whole library.

    Raises:
        ImportError: One of these modules does not exist.
    """
    from mmengine.utils import import_modules_from_strings

    if cfg.get('custom_imports'):
        try:
            import_modules_from_strings(**cfg.custom_imports)
        except ImportError as error:
            raise ImportError(
                f'custom_imports: {error}; install it, or put its folder on PYTHONPATH'
            ) from error


def find_images(path: Path) -> list[Path]:
    """The image itself, or all images under a folder, in order.

    Raises:
        FileNotFoundError: There is none.
    """
    if path.is_file():
        return [path]
    images = sorted(p for p in path.rglob('*') if p.suffix.lower() in SUFFIXES)
    if not images:
        raise FileNotFoundError(
            f'no image at {str(path)!r}; give an image or a folder with images '
            f'({", ".join(sorted(SUFFIXES))})'
        )
    return images


def use_image_folder(dataset: dict) -> Path | None:
    """Take a folder of images without labels as it is.

    If there is no folder ``data_root/data_prefix``, the images are those under ``data_root``. All
    suffixes that can be decoded are taken.

    Args:
        dataset: Config of a data set; changed in place if it is such a folder.

    Returns:
        The folder; None if it is no such data set, or on another storage.
    """
    kind, root = dataset.get('type'), dataset.get('data_root')
    name = getattr(kind, '__name__', str(kind)).split('.')[-1]
    if name != 'CustomDataset' or dataset.get('with_label', True) or dataset.get('ann_file'):
        return None
    if not root or '://' in root or not Path(root).is_dir():
        return None
    if not Path(root, dataset.get('data_prefix', '')).is_dir():
        dataset['data_prefix'] = ''
    dataset.setdefault('extensions', SUFFIXES)
    return Path(root, dataset.get('data_prefix', ''))


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
    seen = set()
    for path, folders, files in os.walk(folder, followlinks=True):
        if os.path.realpath(path) in seen:  # a link that leads up again
            folders.clear()
            continue
        seen.add(os.path.realpath(path))
        for file in files:
            suffix = os.path.splitext(file)[1].lower()
            (found if suffix in suffixes else other)[suffix or 'no suffix'] += 1
    if not found:
        raise FileNotFoundError(
            f'no image in {str(folder)!r}, found {_counted(other) or "nothing"}; put images there '
            f'({", ".join(suffixes)}), or set it with --cfg-options data_root=DIR'
        )
    passed = f'; passed over {_counted(other)}' if other else ''
    return found.total(), f'{found.total():,} images in {folder} ({_counted(found)}){passed}'


def _counted(files: Counter[str]) -> str:
    return ', '.join(f'{count:,} {suffix}' for suffix, count in files.most_common())


def check_data(dataset: dict) -> None:
    """Raise FileNotFoundError unless what the dataset's config names exists.

    Datasets inside wrappers (``dataset``, ``datasets``) are checked too, paths on other storages
    (``s3://``) are not.
    """
    for inner in [dataset.get('dataset'), *(dataset.get('datasets') or [])]:
        if inner:
            check_data(inner)
    root = dataset.get('data_root')
    if not root or '://' in root:
        return
    fix = 'set it with --cfg-options data_root=DIR'
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
