"""Bytes of files on a disk, or on whatever fsspec reads: http and s3 for example."""

import os
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, BinaryIO

from fsspec.core import url_to_fs

__all__ = ['file_size', 'is_remote', 'read_all', 'read_part', 'read_parts', 'read_through']

#: Seconds between two questions to a storage that does not answer.
WAITS = (0.5, 2, 5)
#: Files on the disk that a process keeps open.
OPEN = 256


def is_remote(name: str) -> bool:
    """Whether a file is named by an address rather than a path."""
    return '://' in name


def file_size(name: str) -> int:
    """The size of a file in bytes.

    Raises:
        OSError: The storage does not answer, or does not say.
    """
    if not is_remote(name):
        return os.stat(name).st_size
    system, path = url_to_fs(name)
    size = _asked(lambda: system.size(path))
    if size is None:
        raise OSError('the server does not say how large it is, so that parts cannot be read')
    return size


def read_part(name: str, start: int, end: int) -> bytes:
    """Some bytes of a file; fewer where it is shorter.

    Raises:
        OSError: They cannot be read.
    """
    if is_remote(name):
        system, path = url_to_fs(name)
        data = _asked(lambda: system.cat_file(path, start, end))
        if len(data) > end - start:
            raise OSError('the server gives whole files and no parts of them (HTTP Range)')
        return data
    file = _open_local(name)  # held while it is read: another thread's may be the one that is kept
    # No position is kept: processes that were forked share it.
    return os.pread(file.fileno(), end - start, start)


def read_parts(
    names: Sequence[str], starts: Sequence[int], ends: Sequence[int]
) -> list[bytes | BaseException]:
    """Parts of several remote files of one storage, asked for at once.

    Returns:
        The bytes of each, or why they could not be read.
    """
    system, _ = url_to_fs(names[0])
    # Not by the storage's own method: an address may lead through several.
    paths = [url_to_fs(name)[1] for name in names]
    return system.cat_ranges(paths, list(starts), list(ends), on_error='return')


def read_all(name: str) -> bytes:
    """All bytes of a remote file.

    Raises:
        OSError: They cannot be read.
    """
    system, path = url_to_fs(name)
    return _asked(lambda: system.cat_file(path))


def read_through(name: str, block_size: int, read: Callable[[BinaryIO], Any]) -> Any:
    """What a function makes of a remote file; it begins again where the storage fails.

    Args:
        name: Of the file.
        block_size: Bytes that are asked for at a time.
        read: The function, which gets the open file.

    Raises:
        OSError: The file cannot be read.
    """
    system, path = url_to_fs(name)

    def attempt() -> Any:
        with system.open(path, 'rb', cache_type='readahead', block_size=block_size) as file:
            return read(file)

    return _asked(attempt)


@lru_cache(OPEN)
def _open_local(name: str) -> BinaryIO:
    return open(name, 'rb', buffering=0)


def _asked(what: Callable[[], Any]) -> Any:
    """What a storage answers, which is asked again where the network or the storage fails.

    Raises:
        OSError: It does not answer, or there is no such file.
    """
    for wait in (*WAITS, None):
        try:
            return what()
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # libraries for storages have errors of their own
            if wait is None:
                raise OSError(f'{type(error).__name__}: {error}') from error
            time.sleep(wait)
