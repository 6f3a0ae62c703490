"""Which files are images, which are in a folder, and which folders hold them in tar shards."""

import os
from collections.abc import Iterable
from pathlib import Path

from .interop.folders import is_one, walk

#: The ends of the names of what OpenCV or Pillow decodes, in lower case.
SUFFIXES = (
    *('.jpg', '.jpeg', '.jfif', '.png', '.webp', '.bmp', '.tif', '.tiff', '.ppm', '.pgm'),
    *('.gif', '.jp2', '.avif'),
)
#: The ends of the names of shards; what is compressed is named as such when it is read.
ARCHIVES = ('.tar', '.tar.gz', '.tgz')
#: In a work dir: the list of files that training could not read.
BAD_FILES = 'bad_files.txt'
#: The share of such files from which on a training stops.
MAX_BAD_SHARE = 0.3


def files_under(folder: str | Path) -> list[Path]:
    """All files in a folder and in those under it, links followed, but for hidden ones.

    The same that a training run of a folder lists; none where there is no such folder.
    """
    if not Path(folder).is_dir():
        return []
    return [Path(entry.path) for entry in walk(folder) if is_one(entry.is_file)]


def missing_files(paths: Iterable[str]) -> tuple[list[str], dict[str, set[str]]]:
    """Files that do not exist, and by folder the names of those that do.

    Each folder is listed once: to ask for 100,000 files one by one is slow on network storage.
    """
    paths = list(paths)
    folders = {os.path.dirname(path) for path in paths}
    names = {
        folder: set(os.listdir(folder)) if os.path.isdir(folder) else set() for folder in folders
    }
    missing = [path for path in paths if os.path.basename(path) not in names[os.path.dirname(path)]]
    return missing, names


def spread(total: int, count: int) -> list[int]:
    """So many places of all, evenly; all of them where there are no more."""
    count = min(total, count)
    return [index * total // count for index in range(count)]


def is_shards(images: str | Path) -> bool:
    """Whether images are given as tar shards: by a pattern, or a folder of no images or folders."""
    if str(images).lower().endswith(ARCHIVES):
        return True
    folder = Path(images)
    if not folder.is_dir():
        return False
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith('.')]
    names = [entry.name.lower() for entry in entries]
    shards = any(name.endswith((*ARCHIVES, '.partial')) for name in names)
    return (
        shards
        and not any(name.endswith(SUFFIXES) for name in names)
        and not any(is_one(entry.is_dir) for entry in entries)
    )
